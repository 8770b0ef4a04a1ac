"""The real MRML scene of slicer-core with its module logics, wired as Slicer wires them at start."""

from __future__ import annotations

import vtk

# Module name -> class of its logic. Colors first: without it every volume that is loaded prints an error.
LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Data": "vtkSlicerDataModuleLogic",
}


class quiet:
    """Without VTK's complaints: the wheel ships no terminology and no colour files, and says so at each
    start.
    """

    def __enter__(self):
        self.before = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.GlobalWarningDisplayOff()

    def __exit__(self, *_):
        vtk.vtkObject.SetGlobalWarningDisplay(self.before)


def build(slicer) -> None:
    """Fill ``slicer.mrmlScene`` and the logics of ``slicer.app`` and ``slicer.modules``."""
    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    logic = slicer.app.applicationLogic()
    logic.SetMRMLScene(scene)
    _allow_files(slicer, logic, scene)
    with quiet():
        for name, class_name in LOGICS.items():
            module_logic = getattr(slicer, class_name)()
            module_logic.SetMRMLApplicationLogic(logic)
            module_logic.SetMRMLScene(scene)
            if name == "Colors":
                module_logic.AddDefaultColorNodes()
                logic.SetColorLogic(module_logic)
            logic.SetModuleLogic(name, module_logic)
            slicer.modules.add(name, module_logic)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    _add_label_colors(slicer, scene)
    scene.stage_hierarchy = HierarchyKeeper(slicer, scene)


def _allow_files(slicer, logic, scene) -> None:
    """Reading and writing of nodes goes through a data manager, also for local files."""
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLScene(scene)
    manager = slicer.vtkDataIOManagerLogic()
    manager.SetMRMLApplicationLogic(logic)
    manager.SetAndObserveDataIOManager(remote.GetDataIOManager())
    remote.AddDataIOToScene()
    scene.stage_files = (remote, manager)


def _add_label_colors(slicer, scene) -> None:
    """The colours that label maps ask for by id; Slicer reads them from files that the wheel lacks."""
    for name in ("GenericAnatomyColors", "GenericColors"):
        table = slicer.vtkMRMLColorTableNode()
        table.SetTypeToUser()
        table.SetName(name)
        table.SetSingletonTag(f"File{name}.txt")
        table.SetNumberOfColors(9)
        table.SetColor(0, "background", 0, 0, 0, 0)
        for index in range(1, 9):
            table.SetColor(index, f"label {index}", index & 1, (index >> 1) & 1, (index >> 2) & 1, 1)
        table.SetHideFromEditors(True)
        table.SaveWithSceneOff()
        scene.AddNode(table)


class HierarchyKeeper:
    """Keeps the subject hierarchy complete, one item a data node; in Slicer a Qt plug-in does that."""

    def __init__(self, slicer, scene) -> None:
        self.slicer = slicer
        self.scene = scene
        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._added)
        scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._removed)
        scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, self._complete)
        scene.AddObserver(slicer.vtkMRMLScene.EndRestoreEvent, self._complete)
        scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, self._emptied)

    def tree(self):
        return self.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

    def _belongs(self, node) -> bool:
        slicer = self.slicer
        unclaimed = (slicer.vtkMRMLColorNode, slicer.vtkMRMLSubjectHierarchyNode)
        return (
            isinstance(
                node, slicer.vtkMRMLStorableNode | slicer.vtkMRMLDisplayableNode | slicer.vtkMRMLPlotChartNode
            )
            and not isinstance(node, unclaimed)
            and not node.GetHideFromEditors()
            and not node.GetAttribute("SubjectHierarchy.ExcludeFromTree")
        )

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, caller, event, node) -> None:
        if isinstance(node, self.slicer.vtkMRMLSubjectHierarchyNode):
            self.tree()  # merges a second tree into the first
        elif not self.scene.IsImporting() and not self.scene.IsClosing() and self._belongs(node):
            self._item(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, caller, event, node) -> None:
        tree = self.tree() if not self.scene.IsClosing() else None
        if tree and isinstance(node, self.slicer.vtkMRMLNode):
            item = tree.GetItemByDataNode(node)
            if item:
                tree.RemoveItem(item, False, False)

    def _item(self, node) -> None:
        tree = self.tree()
        if tree and not tree.GetItemByDataNode(node):
            tree.CreateItem(tree.GetSceneItemID(), node)

    def _emptied(self, *_) -> None:
        """A closed scene has dropped its tree. Where Python still holds the old one, MRML goes on handing
        it out although it is in no scene, and everything that asks for visibility later fails: so it is put
        back.
        """
        tree = self.tree()
        tree.RemoveAllItems(True)
        if not self.scene.IsNodePresent(tree):
            self.scene.AddNode(tree)

    def _complete(self, *_) -> None:
        for index in range(self.scene.GetNumberOfNodes()):
            node = self.scene.GetNthNode(index)
            if self._belongs(node):
                self._item(node)

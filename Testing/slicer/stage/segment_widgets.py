"""Stand-ins for the widgets around segmentations: the editor, the table of segments, the choice of one."""

from __future__ import annotations

import numpy as np
import qt
import slicer
import vtk
from PySide6.QtCore import Property, Signal
from vtk.util.numpy_support import vtk_to_numpy

from . import mrml_widgets

EFFECTS = ("Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Fill between slices")
EFFECTS += ("Margin", "Hollow", "Smoothing", "Scissors", "Islands", "Logical operators", "Mask volume")


class SegmentEditorEffect:
    """An effect in use: its name and its parameters on the editor node. Paint and Erase really edit
    (``stroke``), through Slicer's own editing logic; the others do nothing."""

    def __init__(self, name, editor) -> None:
        self.name = name
        self._editor = editor

    def setParameter(self, name, value) -> None:
        self._editor.mrmlSegmentEditorNode().SetAttribute(f"{self.name}.{name}", str(value))

    def parameter(self, name) -> str:
        return self._editor.mrmlSegmentEditorNode().GetAttribute(f"{self.name}.{name}") or ""

    def self(self):
        return self


class qMRMLSegmentEditorWidget(mrml_widgets.qMRMLWidget):
    """The segment editor over ``vtkSlicerSegmentEditorLogic``, which does the editing in Slicer too: what may
    be edited (mask segment, intensity range), what is overwritten, and undo are Slicer's own.

    ``stroke(points, radius)`` is what a test does instead of moving a mouse with Paint or Erase active. A
    test that needs another edit changes the segmentation itself, for example with
    ``slicer.util.updateSegmentBinaryLabelmapFromArray``.
    """

    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    currentSegmentIDChanged = Signal(str)
    SIGNATURES = (
        *mrml_widgets.qMRMLWidget.SIGNATURES,
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
        "sourceVolumeNodeChanged(vtkMRMLVolumeNode*)",
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self._effect = None
        self._visible = {}
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMaximumNumberOfUndoStates(10)
        self._read_only = False
        self.shortcuts_installed = False
        self.views_observed = True
        self.setMinimumHeight(120)

    def _scene_changed(self) -> None:
        self._logic.SetMRMLScene(self._scene)
        super()._scene_changed()

    def setMRMLSegmentEditorNode(self, node) -> None:
        self._node = node
        self._logic.SetSegmentEditorNode(node)

    def mrmlSegmentEditorNode(self):
        return self._node

    def _needs_node(self) -> None:
        if self._node is None:
            raise RuntimeError("set a segment editor node first (setMRMLSegmentEditorNode)")

    def setSegmentationNode(self, node) -> None:
        self._needs_node()
        self._node.SetAndObserveSegmentationNode(node)
        if node is not None:
            self._logic.TrivialSetSourceRepresentationToBinaryLabelmap()
        self.segmentationNodeChanged.emit(node)
        names = node.GetSegmentation().GetSegmentIDs() if node is not None else ()
        self.setCurrentSegmentID(names[0] if names else "")

    def segmentationNode(self):
        return self._node.GetSegmentationNode() if self._node else None

    def setSegmentationNodeID(self, identifier) -> None:
        self.setSegmentationNode(slicer.mrmlScene.GetNodeByID(identifier) if identifier else None)

    def setSourceVolumeNode(self, node) -> None:
        self._needs_node()
        self._node.SetAndObserveSourceVolumeNode(node)
        self.sourceVolumeNodeChanged.emit(node)

    def sourceVolumeNode(self):
        return self._node.GetSourceVolumeNode() if self._node else None

    def setCurrentSegmentID(self, identifier) -> None:
        self._needs_node()
        if identifier != (self._node.GetSelectedSegmentID() or ""):
            self._node.SetSelectedSegmentID(identifier)
            self.currentSegmentIDChanged.emit(identifier)

    def currentSegmentID(self) -> str:
        return (self._node.GetSelectedSegmentID() or "") if self._node else ""

    def availableEffectNames(self):
        return EFFECTS

    def setActiveEffectByName(self, name) -> None:
        if name and name not in EFFECTS:
            raise ValueError(f"the segment editor has no effect named {name}")
        if name:
            self._needs_node()
        self._effect = SegmentEditorEffect(name, self) if name else None
        if self._node is not None:
            self._node.SetActiveEffectName(name or "")

    def setActiveEffect(self, effect) -> None:
        self.setActiveEffectByName(effect.name if effect else "")

    def activeEffect(self):
        return self._effect

    def effectByName(self, name):
        return SegmentEditorEffect(name, self) if name in EFFECTS else None

    def paintEvent(self, event) -> None:
        """Slicer shows its table of segments, its effects and their options here."""
        painter = qt.QPainter(self)
        painter.setPen(qt.QColor("gray"))
        painter.drawRect(self.rect.adjusted(0, 0, -1, -1))
        painter.drawText(self.rect, int(qt.Qt.AlignCenter), "Slicer's segment editor")
        painter.end()

    # --- editing
    def saveStateForUndo(self) -> None:
        self._logic.SaveStateForUndo()

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    def stroke(self, points, radius) -> None:
        """One stroke of the active effect, Paint or Erase: balls of ``radius`` mm around ``points`` [n, 3] in
        RAS mm of the segmentation."""
        modes = {"Paint": self._logic.ModificationModeAdd, "Erase": self._logic.ModificationModeRemove}
        if self._effect is None or self._effect.name not in modes:
            raise RuntimeError("choose Paint or Erase first (setActiveEffectByName)")
        self._logic.SetVerbose(True)
        self._logic.ResetModifierLabelmapToDefault()
        image = self._logic.GetModifierLabelmap()
        marked = voxels_of(image)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        affine = slicer.util.arrayFromVTKMatrix(matrix)
        low = np.array(image.GetExtent()[::2])
        reach = np.ceil(radius / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
        for point in np.atleast_2d(np.asarray(points, float)):
            centre = np.linalg.solve(affine, [*point, 1.0])[:3]
            first = np.maximum(np.rint(centre).astype(int) - reach, low)
            last = np.minimum(np.rint(centre).astype(int) + reach + 1, low + marked.shape[::-1])
            if (first >= last).any():
                continue
            ijk = np.stack(np.meshgrid(*map(np.arange, first, last), indexing="ij"), -1)
            near = np.linalg.norm((ijk - centre) @ affine[:3, :3].T, axis=-1) <= radius
            box = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, low, strict=True))[::-1]
            marked[box] |= near.T
        image.GetPointData().GetScalars().Modified()
        self.saveStateForUndo()
        name = self._effect.name
        self._logic.ModifySegmentByLabelmap(
            self.segmentationNode(), self.currentSegmentID(), image, modes[name], True, False
        )

    # --- keys and views
    def installKeyboardShortcuts(self, *_) -> None:
        self.shortcuts_installed = True

    def uninstallKeyboardShortcuts(self) -> None:
        self.shortcuts_installed = False

    def setupViewObservations(self) -> None:
        self.views_observed = True

    def removeViewObservations(self) -> None:
        self.views_observed = False

    def updateWidgetFromMRML(self) -> None:
        """The stand-in shows nothing that could be out of date."""

    def setEffectNameOrder(self, names) -> None:
        self._order = list(names)

    def effectNameOrder(self):
        return self._order

    def setReadOnly(self, on) -> None:
        self._read_only = bool(on)
        if on:
            self.setActiveEffectByName("")

    def _shown(name):
        def write(self, value):
            self._visible[name] = value

        return Property(bool, lambda self: self._visible.get(name, True), write), write

    unorderedEffectsVisible, setUnorderedEffectsVisible = _shown("unordered")
    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = _shown("segmentation")
    sourceVolumeNodeSelectorVisible, setSourceVolumeNodeSelectorVisible = _shown("source")
    switchToSegmentationsButtonVisible, setSwitchToSegmentationsButtonVisible = _shown("switch")
    addRemoveSegmentButtonsVisible, setAddRemoveSegmentButtonsVisible = _shown("add")
    show3DButtonVisible, setShow3DButtonVisible = _shown("show3d")
    maskingSectionVisible, setMaskingSectionVisible = _shown("masking")
    specifyGeometryButtonVisible, setSpecifyGeometryButtonVisible = _shown("geometry")
    autoShowSourceVolumeNode, setAutoShowSourceVolumeNode = _shown("autoshow")
    readOnly = Property(bool, lambda self: self._read_only, setReadOnly)
    maximumNumberOfUndoStates = Property(
        int,
        lambda self: self._logic.GetMaximumNumberOfUndoStates(),
        lambda self, value: self._logic.SetMaximumNumberOfUndoStates(value),
    )


def voxels_of(image) -> np.ndarray:
    """[k, j, i] view of the voxels of an image."""
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


class qMRMLSegmentsTableView(mrml_widgets.qMRMLWidget):
    """The segments of a segmentation in a table."""

    selectionChanged = Signal(object, object)
    segmentationNodeChanged = Signal(object)
    SIGNATURES = (
        *mrml_widgets.qMRMLWidget.SIGNATURES,
        "selectionChanged(QItemSelection,QItemSelection)",
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._node = None
        self._table = qt.QTableWidget(0, 1, self)
        self._table.setHorizontalHeaderLabels(["Name"])
        self._table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        self._table.itemSelectionChanged.connect(lambda: self.selectionChanged.emit(None, None))

    def setSegmentationNode(self, node) -> None:
        self._unobserve()
        self._node = node
        if node is not None:
            self._observe(node, "ModifiedEvent", self._fill)
        self._fill()
        self.segmentationNodeChanged.emit(node)

    def segmentationNode(self):
        return self._node

    def _ids(self) -> list:
        return list(self._node.GetSegmentation().GetSegmentIDs()) if self._node is not None else []

    def _fill(self, *_) -> None:
        self._table.setRowCount(len(self._ids()))
        for row, identifier in enumerate(self._ids()):
            name = self._node.GetSegmentation().GetSegment(identifier).GetName()
            self._table.setItem(row, 0, qt.QTableWidgetItem(name))

    def selectedSegmentIDs(self) -> list:
        chosen = {index.row() for index in self._table.selectionModel().selectedRows()}
        return [identifier for row, identifier in enumerate(self._ids()) if row in chosen]

    def setSelectedSegmentIDs(self, identifiers) -> None:
        self._table.clearSelection()
        self._table.setSelectionMode(qt.QAbstractItemView.MultiSelection)
        for row, identifier in enumerate(self._ids()):
            if identifier in identifiers:
                self._table.selectRow(row)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def _column(name):
        return Property(bool, lambda self: True, lambda self, value: None)

    headerVisible = _column("header")
    visibilityColumnVisible = _column("visibility")
    colorColumnVisible = _column("color")
    opacityColumnVisible = _column("opacity")
    statusColumnVisible = _column("status")
    readOnly = _column("readOnly")


class qMRMLSegmentSelectorWidget(mrml_widgets.qMRMLWidget):
    """Choice of a segmentation and of one of its segments."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    SIGNATURES = (*mrml_widgets.qMRMLWidget.SIGNATURES, "currentNodeChanged(vtkMRMLNode*)")

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._nodes = mrml_widgets.qMRMLNodeComboBox(self)
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._nodes.addEnabled = False
        self._nodes.noneEnabled = True
        self._segments = qt.QComboBox(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._nodes)
        layout.addWidget(self._segments)
        self._nodes.currentNodeChanged.connect(self._node_changed)
        self._segments.currentIndexChanged.connect(
            lambda: self.currentSegmentChanged.emit(self.currentSegmentID())
        )

    def _scene_changed(self) -> None:
        self._nodes.setMRMLScene(self._scene)
        super()._scene_changed()

    def _node_changed(self, node) -> None:
        self._segments.clear()
        segmentation = node.GetSegmentation() if node is not None else None
        for identifier in segmentation.GetSegmentIDs() if segmentation else ():
            self._segments.addItem(segmentation.GetSegment(identifier).GetName(), identifier)
        self.currentNodeChanged.emit(node)

    def currentNode(self):
        return self._nodes.currentNode()

    def setCurrentNode(self, node) -> None:
        self._nodes.setCurrentNode(node)

    def currentSegmentID(self) -> str:
        return self._segments.currentData or ""

    def setCurrentSegmentID(self, identifier) -> None:
        self._segments.setCurrentIndex(self._segments.findData(identifier))

    noneEnabled = Property(
        bool,
        lambda self: self._nodes.noneEnabled,
        lambda self, value: setattr(self._nodes, "noneEnabled", value),
    )


WIDGETS = {name: kind for name, kind in vars().copy().items() if name.startswith("qMRML")}

"""``slicer.app.layoutManager()``: three slice views and one 3D view over the real logics of MRML; a layout of
one's own (``AddLayoutDescription``) may name further slice views, which are then made.

The nodes and logics always exist; a view draws only when asked (``views.py``), so that machines without an
off-screen OpenGL still run everything else.
"""

from __future__ import annotations

from xml.etree import ElementTree

import slicer

from . import views

SLICES = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
COLORS = {"Red": (0.95, 0.29, 0.2), "Yellow": (0.93, 0.84, 0.3), "Green": (0.43, 0.69, 0.29)}
SIZE = (400, 400)


class SliceController:
    def __init__(self, logic) -> None:
        self._logic = logic

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()

    def setSliceOffsetValue(self, offset) -> None:
        self._logic.SetSliceOffset(offset)

    def setSliceVisible(self, visible) -> None:
        self._logic.GetSliceNode().SetSliceVisible(visible)

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()


class SliceWidget:
    """One slice view: ``sliceLogic()``, ``mrmlSliceNode()``, ``sliceView()`` as in Slicer."""

    def __init__(self, name: str, logic) -> None:
        self.name = name
        self._logic = logic
        self._view = views.SliceView(logic)
        self._controller = SliceController(logic)

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def sliceController(self):
        return self._controller

    def sliceView(self):
        return self._view

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class ThreeDWidget:
    def __init__(self, node) -> None:
        self._node = node
        self._view = views.ThreeDView(node)

    def mrmlViewNode(self):
        return self._node

    def threeDView(self):
        return self._view


class LayoutManager:
    def __init__(self) -> None:
        scene = slicer.mrmlScene
        application = slicer.app.applicationLogic()
        self._slices: dict[str, SliceWidget] = {}
        for name, orientation in SLICES.items():
            self._add_slice(name, orientation, COLORS[name])
        self._layout_node = slicer.vtkMRMLLayoutNode()
        self._layout_node.SetSingletonTag("vtkMRMLLayout")
        self._view_logic = slicer.vtkMRMLViewLogic()
        self._view_logic.SetMRMLApplicationLogic(application)
        self._view_logic.SetMRMLScene(scene)
        node = self._view_logic.AddViewNode("1")
        application.GetViewLogics().AddItem(self._view_logic)
        self._three_d = ThreeDWidget(node)
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self.chosen_layouts: list[int] = []

    def _add_slice(self, name, orientation, color) -> None:
        application = slicer.app.applicationLogic()
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.AddSliceNode(name)
        node = logic.GetSliceNode()
        node.SetLayoutLabel(name[0])
        node.SetLayoutColor(*color)
        node.SetOrientation(orientation)
        application.GetSliceLogics().AddItem(logic)
        logic.ResizeSliceNode(*SIZE)
        self._slices[name] = SliceWidget(name, logic)

    def layoutLogic(self):
        return self

    def GetLayoutNode(self):
        """The layout node, as ``vtkMRMLLayoutLogic`` of Slicer gives it."""
        return self._layout_node

    threeDViewCount = 1
    tableViewCount = plotViewCount = 0

    def sliceViewNames(self):
        return tuple(self._slices)

    def sliceWidget(self, name):
        return self._slices.get(name)

    def threeDWidget(self, index):
        return self._three_d

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    def setLayout(self, layout) -> None:
        self.layout = layout
        self.chosen_layouts.append(layout)
        if self._layout_node.IsLayoutDescription(layout):
            text = self._layout_node.GetLayoutDescription(layout)
            for view in ElementTree.fromstring(text).iter("view"):
                name = view.get("singletontag")
                if view.get("class") == "vtkMRMLSliceNode" and name not in self._slices:
                    facts = {p.get("name"): p.text for p in view.iter("property")}
                    color = tuple(int(facts["viewcolor"][i : i + 2], 16) / 255 for i in (1, 3, 5))
                    self._add_slice(name, facts.get("orientation", "Axial"), color)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        self._three_d.threeDView().resetFocalPoint()

    def activeThreeDRenderer(self):
        return self._three_d.threeDView().renderer()

    def build_views(self) -> None:
        """Make all views now; a colour legend is drawn only in views that are older than itself."""
        for widget in self._slices.values():
            widget.sliceView().renderer()
        self._three_d.threeDView().renderer()

    def restore(self) -> None:
        """As after the start of Slicer: standard orientations, no volumes, no overlay; for the next test."""
        for name in [name for name in self._slices if name not in SLICES]:
            logic = self._slices.pop(name).sliceLogic()
            slicer.app.applicationLogic().GetSliceLogics().RemoveItem(logic)
            for node in (logic.GetSliceNode(), logic.GetSliceCompositeNode()):
                slicer.mrmlScene.RemoveNode(node)
        self.layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        for name, widget in self._slices.items():
            node, composite = widget.mrmlSliceNode(), widget.mrmlSliceCompositeNode()
            for layer in ("Background", "Foreground", "Label"):
                getattr(composite, f"Set{layer}VolumeID")(None)
            composite.SetForegroundOpacity(0.0)
            composite.SetLabelOpacity(1.0)
            composite.SetLinkedControl(False)
            node.SetOrientation(SLICES[name])
            if widget.sliceView().built:
                widget.sliceView().resize(*SIZE)
            node.SetSliceVisible(False)
            node.SetXYZOrigin(0, 0, 0)
            widget.sliceLogic().SetSliceOffset(0.0)
        self.chosen_layouts.clear()

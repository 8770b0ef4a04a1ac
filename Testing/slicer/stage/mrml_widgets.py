"""Stand-ins for the MRML widgets that panels use, over the real scene.

Signals that carry nodes have Python signatures in PySide6; ``SIGNATURES`` lists the C++ ones that code may
name.
"""

from __future__ import annotations

import functools
import weakref

import qt
import vtk
from PySide6.QtCore import Property, Signal

from . import ctk_widgets


class SceneMember:
    """Holds the scene that a widget looks at, and observers that end with the widget."""

    _scene = None
    _observed = None

    def _observe(self, thing, event, method) -> None:
        if self._observed is None:
            self._observed = []
            self.destroyed.connect(functools.partial(_end_observers, self._observed))
        me, name = weakref.ref(self), method.__name__

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def call(caller, event_name, data=None):
            if me() is not None:
                getattr(me(), name)(data)

        self._observed.append((thing, thing.AddObserver(event, call)))

    def _unobserve(self) -> None:
        if self._observed is not None:
            _end_observers(self._observed)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        if scene is not self._scene:
            self._scene = scene
            self._scene_changed()

    def _scene_changed(self) -> None:
        """What the widget does with another scene."""


def _end_observers(observed, *_) -> None:
    for thing, tag in observed:
        thing.RemoveObserver(tag)
    observed.clear()


class qMRMLWidget(qt.QWidget, SceneMember):
    """A widget that knows the scene and passes it on through ``mrmlSceneChanged``."""

    mrmlSceneChanged = Signal(object)
    SIGNATURES = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent=None, *_) -> None:
        super().__init__(parent)

    def _scene_changed(self) -> None:
        self.mrmlSceneChanged.emit(self._scene)


class qSlicerWidget(qMRMLWidget):
    """Top widget of a panel's ``.ui`` file."""


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The frame that Slicer puts a scripted module's panel into."""

    _python = None

    def self(self):
        return self._python


class qMRMLNodeComboBox(qMRMLWidget):
    """Choice of a node of given classes and attributes; "None" and "Create new" where allowed."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    SIGNATURES = (
        *qMRMLWidget.SIGNATURES,
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeChanged(bool)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
    )

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._combo = qt.QComboBox(self)
        self._combo.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._options = {
            "nodeTypes": [],
            "hideChildNodeTypes": [],
            "noneEnabled": False,
            "noneDisplay": "None",
            "addEnabled": True,
            "removeEnabled": True,
            "editEnabled": False,
            "renameEnabled": False,
            "showHidden": False,
            "showChildNodeTypes": True,
            "selectNodeUponCreation": True,
            "baseName": "",
        }
        self._attributes: list = []
        self._ids: list = []
        self._current = None
        self._filling = False
        self._combo.currentIndexChanged.connect(self._picked)
        self._combo.activated.connect(self._activated)
        self.setEnabled(False)

    # --- which nodes
    def _accepts(self, node) -> bool:
        options = self._options
        if not any(node.IsA(kind) for kind in options["nodeTypes"]):
            return False
        if any(node.IsA(kind) and node.GetClassName() == kind for kind in options["hideChildNodeTypes"]):
            return False
        if not options["showChildNodeTypes"] and node.GetClassName() not in options["nodeTypes"]:
            return False
        if node.GetHideFromEditors() and not options["showHidden"]:
            return False
        for kind, name, value in self._attributes:
            if node.IsA(kind):
                found = node.GetAttribute(name)
                if found is None or (value is not None and found != str(value)):
                    return False
        return True

    def nodes(self) -> list:
        if self._scene is None:
            return []
        every = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in every if self._accepts(node)]

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index):
        found = self.nodes()
        return found[index] if 0 <= index < len(found) else None

    def addAttribute(self, nodeType, attributeName, attributeValue=None) -> None:
        self._attributes.append((nodeType, attributeName, attributeValue))
        self._refresh()

    def removeAttribute(self, nodeType, attributeName) -> None:
        self._attributes = [a for a in self._attributes if a[:2] != (nodeType, attributeName)]
        self._refresh()

    # --- the scene
    def _scene_changed(self) -> None:
        self._unobserve()
        scene = self._scene
        self.setEnabled(scene is not None)
        if scene is not None:
            for event in (scene.NodeRemovedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent):
                self._observe(scene, event, self._refresh)
            self._observe(scene, scene.NodeAddedEvent, self._node_added)
            self._observe(scene, scene.NodeAboutToBeRemovedEvent, self._node_leaves)
        self._refresh()
        super()._scene_changed()

    def _node_added(self, node) -> None:
        if not self._scene.IsBatchProcessing():
            self._refresh()
            if node is not None and self._accepts(node):
                self.nodeAdded.emit(node)

    def _node_leaves(self, node) -> None:
        if node is not None and self._accepts(node):
            self.nodeAboutToBeRemoved.emit(node)

    def _refresh(self, *_) -> None:
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = self.nodes()
        self._filling = True
        self._combo.clear()
        self._ids = [""] if self._options["noneEnabled"] else []
        self._ids += [node.GetID() for node in nodes]
        if self._options["noneEnabled"]:
            self._combo.addItem(self._options["noneDisplay"])
        for node in nodes:
            self._combo.addItem(node.GetName())
        if self._options["addEnabled"] and self._scene is not None:
            for kind in self._options["nodeTypes"]:
                self._combo.addItem(f"Create new {kind.removeprefix('vtkMRML').removesuffix('Node')}")
        self._filling = False
        current = self._current if self._current in nodes else None
        if current is None and nodes and not self._options["noneEnabled"]:
            current = nodes[0]
        self._select(current)

    def _select(self, node) -> None:
        identifier = node.GetID() if node is not None else ""
        index = self._ids.index(identifier) if identifier in self._ids else -1
        self._filling = True
        self._combo.setCurrentIndex(index)
        self._filling = False
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(identifier)

    def _picked(self, index) -> None:
        if not self._filling and 0 <= index < len(self._ids):
            identifier = self._ids[index]
            self._select(self._scene.GetNodeByID(identifier) if identifier else None)

    def _activated(self, index) -> None:
        if index >= len(self._ids):
            self.addNode(self._options["nodeTypes"][index - len(self._ids)])
        elif self._current is not None:
            self.nodeActivated.emit(self._current)

    # --- the current node
    def currentNode(self):
        return self._current

    def setCurrentNode(self, node) -> None:
        if node is not None and (self._scene is None or not self._accepts(node)):
            node = None
        if node is not None and node.GetID() not in self._ids:
            self._refresh()
        self._select(node)

    def setCurrentNodeID(self, identifier) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if self._scene and identifier else None)

    def setCurrentNodeIndex(self, index) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def addNode(self, kind=None):
        kind = kind or self._options["nodeTypes"][0]
        base = self._options["baseName"] or kind.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(base))
        for node_kind, name, value in self._attributes:
            if node.IsA(node_kind):
                node.SetAttribute(name, str(value or ""))
        self._refresh()
        if self._options["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    def setNodeTypeLabel(self, label, nodeType) -> None:
        """Text of "Create new ..."; not shown here."""

    def _option(kind, name):
        def write(self, value):
            self._options[name] = list(value) if isinstance(value, list | tuple) else value
            self._refresh()

        return Property(kind, lambda self: self._options[name], write)

    nodeTypes = _option("QStringList", "nodeTypes")
    hideChildNodeTypes = _option("QStringList", "hideChildNodeTypes")
    noneEnabled = _option(bool, "noneEnabled")
    noneDisplay = _option(str, "noneDisplay")
    addEnabled = _option(bool, "addEnabled")
    removeEnabled = _option(bool, "removeEnabled")
    editEnabled = _option(bool, "editEnabled")
    renameEnabled = _option(bool, "renameEnabled")
    showHidden = _option(bool, "showHidden")
    showChildNodeTypes = _option(bool, "showChildNodeTypes")
    selectNodeUponCreation = _option(bool, "selectNodeUponCreation")
    baseName = _option(str, "baseName")
    currentNodeID = Property(
        str, lambda self: self._current.GetID() if self._current else "", setCurrentNodeID
    )


class qMRMLSliderWidget(ctk_widgets.ctkSliderWidget, SceneMember):
    """A slider that can take its unit from the scene."""

    quantity = Property(str, lambda self: "", lambda self, value: None)
    unitAwareProperties = Property(int, lambda self: 0, lambda self, value: None)


class qMRMLSpinBox(qt.QDoubleSpinBox, SceneMember):
    """A spin box that can take its unit from the scene."""

    quantity = Property(str, lambda self: "", lambda self, value: None)


class qMRMLTableView(qt.QTableView, SceneMember):
    """Shows a table node; here it keeps the node and draws nothing of it."""

    _node = None

    def setMRMLTableNode(self, node) -> None:
        self._node = node

    def mrmlTableNode(self):
        return self._node


def find_scene_members(widget) -> list:
    """Every MRML widget below ``widget``, for tests that check that all of them got the scene."""
    return [child for child in widget.findChildren(qt.QWidget) if isinstance(child, SceneMember)]


WIDGETS = {name: kind for name, kind in vars().copy().items() if name.startswith(("qMRML", "qSlicer"))}

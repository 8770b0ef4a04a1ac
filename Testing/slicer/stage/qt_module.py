"""The flat ``qt`` module of Slicer, over PySide6 with PythonQt's manners.

Also what loads ``.ui`` files (with the stand-ins for MRML and ctk widgets) and what answers dialogs: a
dialog that nobody answers would stop the tests for ever, so it raises unless a test said beforehand what
the user does.
"""

from __future__ import annotations

import types
import xml.etree.ElementTree as ElementTree
from collections import deque

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from . import qt_manners

_custom: dict[str, type] = {}
answers: deque = deque()
shown: list[str] = []


def build() -> types.ModuleType:
    """Adopt PySide6, start the application, return the module to be found by ``import qt``."""
    module = types.ModuleType("qt", "Qt as PythonQt offers it, over PySide6 (Testing/slicer).")
    vars(module).update(qt_manners.adopt([QtCore, QtGui, QtWidgets, QtNetwork]))
    module.QUiLoader = UiLoader
    module.Qt = QtCore.Qt
    if QtWidgets.QApplication.instance() is None:
        QtWidgets.QApplication.setAttribute(QtCore.Qt.AA_DontUseNativeDialogs, True)
        module._application = QtWidgets.QApplication(["SlicerStage"])
    QtCore.QCoreApplication.setOrganizationName("BATNet tests")
    QtCore.QCoreApplication.setApplicationName("SlicerStage")
    _script_dialogs()
    _plain_single_shot()
    return module


def register(*groups: dict[str, type]) -> None:
    """Make stand-ins known to the loader of ``.ui`` files."""
    for group in groups:
        _custom.update(group)


class UiLoader(QtUiTools.QUiLoader):
    """Loads a ``.ui`` file; a custom widget without a stand-in is an error, not an empty widget."""

    def createWidget(self, className, parent=None, name=""):
        if className in _custom:
            widget = _custom[className](parent)
            widget.setObjectName(name)
            self._made.append(widget)  # nobody else holds the top widget while the file is being read
            return widget
        if className not in self.availableWidgets():
            raise LookupError(f"there is no stand-in for {className} (Testing/slicer/README.md)")
        return super().createWidget(className, parent, name)

    def load(self, device, parent=None):
        text = bytes(device.readAll().data()) if isinstance(device, QtCore.QIODevice) else None
        if text is None:
            raise TypeError("QUiLoader.load takes an open file")
        root = ElementTree.fromstring(text)
        wanted = {element.text for element in root.iterfind("customwidgets/customwidget/class")}
        unknown = wanted - set(_custom) - set(self.availableWidgets())
        if unknown:
            raise LookupError(
                f"there is no stand-in for {', '.join(sorted(unknown))} (Testing/slicer/README.md)"
            )
        scene_connections = _take_scene_connections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        self._made: list = []
        with qt_manners.loading_ui():
            widget = super().load(buffer, parent)
        for sender, signal, receiver, slot in scene_connections:
            source = widget if widget.objectName == sender else widget.findChild(QtWidgets.QWidget, sender)
            target = widget.findChild(QtCore.QObject, receiver)
            source.connect(signal, getattr(target, slot.partition("(")[0]))
        return widget


def _take_scene_connections(root) -> list[tuple[str, str, str, str]]:
    """Connections that carry MRML objects: PySide6 cannot convert those, so they are made in Python."""
    taken = []
    for connections in root.iterfind("connections"):
        for connection in list(connections):
            found = tuple(connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot"))
            if "vtkMRML" in found[1]:
                taken.append(found)
                connections.remove(connection)
    return taken


class UnansweredDialog(AssertionError):
    """A modal dialog opened and the test had not said what the user does."""


def _plain_single_shot() -> None:
    """``QTimer.singleShot`` for every callable; what goes wrong in it is seen as in any slot."""

    def single_shot(milliseconds, slot):
        timer = QtCore.QTimer(QtWidgets.QApplication.instance())
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        timer.timeout.connect(lambda: timer.deleteLater())
        timer.start(milliseconds)

    QtCore.QTimer.singleShot = staticmethod(single_shot)


def _text_of(dialog) -> str:
    return " ".join(
        str(getattr(dialog, part, "")) for part in ("windowTitle", "text", "informativeText")
    ).strip()


def _answer(text: str):
    shown.append(text)
    if not answers:
        raise UnansweredDialog(f"a dialog waits for the user: {text}")
    answer = answers.popleft()
    return answer() if callable(answer) else answer


def _script_dialogs() -> None:
    def execute(self, *_):
        return _answer(_text_of(self) or type(self).__name__)

    for kind in (QtWidgets.QDialog, QtWidgets.QMessageBox, QtWidgets.QFileDialog, QtWidgets.QInputDialog):
        kind.exec_ = execute
    QtWidgets.QMenu.exec_ = lambda self, *_: _answer("menu")

    def static(title_at):
        def ask(*args, **_):
            return _answer(str(args[title_at]) if len(args) > title_at else "")

        return staticmethod(ask)

    # PythonQt returns the chosen name alone, not a pair with the filter.
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory", "getOpenFileNames"):
        setattr(QtWidgets.QFileDialog, name, static(1))
    for name in ("question", "information", "warning", "critical"):
        setattr(QtWidgets.QMessageBox, name, static(2))
    for name in ("getText", "getItem", "getInt", "getDouble"):
        setattr(QtWidgets.QInputDialog, name, static(2))

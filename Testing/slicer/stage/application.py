"""``slicer.app``: the part of the application object that modules use. What is not here raises
AttributeError.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import qt
import slicer
from PySide6.QtCore import Property, Signal

from . import layout, node_files


class ModuleManager(qt.QObject):
    """Tells module widgets that they are about to go (``moduleAboutToBeUnloaded``)."""

    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)

    def module(self, name):
        return slicer.modules.find(name)

    def isModuleLoaded(self, name) -> bool:
        return slicer.modules.find(name) is not None

    def modulesNames(self):
        return slicer.modules.names()

    def factoryManager(self):
        return types.SimpleNamespace(
            loadedModuleNames=slicer.modules.names,
            isLoaded=lambda name: slicer.modules.find(name) is not None,
            registerModule=lambda info: None,
        )


class Application(qt.QObject):
    """Settings, temporary files and the desktop lie in ``folder``, never in the user's own places."""

    startupCompleted = Signal()
    aboutToQuit = Signal()
    mrmlSceneChanged = Signal(object)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        for name in ("settings", "temporary", "home"):
            (folder / name).mkdir()
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        for scope in (qt.QSettings.UserScope, qt.QSettings.SystemScope):
            qt.QSettings.setPath(qt.QSettings.IniFormat, scope, str(folder / "settings"))
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetTemporaryPath(str(folder / "temporary"))
        self._files = node_files.IOManager()
        self._modules = ModuleManager()
        self._layout = None
        self._temporary = str(folder / "temporary")
        self.testing = True
        qt.QApplication.instance().aboutToQuit.connect(self.aboutToQuit)

    def build_layout(self) -> None:
        self._layout = layout.LayoutManager()

    # --- what modules ask for
    def applicationLogic(self):
        return self._logic

    def mrmlScene(self):
        return slicer.mrmlScene

    def coreIOManager(self):
        return self._files

    ioManager = coreIOManager

    def layoutManager(self):
        return self._layout

    def moduleManager(self):
        return self._modules

    def testingEnabled(self) -> bool:
        """True, as with ``Slicer --testing``: message boxes are logged and not shown."""
        return self.testing

    def processEvents(self, *_) -> None:
        qt.QApplication.instance().processEvents()

    def settings(self):
        return qt.QSettings()

    userSettings = settings
    revisionUserSettings = settings

    def translate(self, context, text):
        return text

    def startupEnvironment(self):
        environment = qt.QProcessEnvironment()
        for name, value in os.environ.items():
            environment.insert(name, value)
        return environment

    def setOverrideCursor(self, cursor) -> None:
        qt.QApplication.setOverrideCursor(qt.QCursor(cursor))

    def restoreOverrideCursor(self) -> None:
        qt.QApplication.restoreOverrideCursor()

    def topLevelWidgets(self):
        return qt.QApplication.topLevelWidgets()

    def clipboard(self):
        return qt.QApplication.clipboard()

    def palette(self):
        return qt.QApplication.palette()

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=True, runPythonAndExit=False, testingEnabled=self.testing)

    def exit(self, status=0) -> None:
        """Slicer ends: everybody is told, the tests go on."""
        self.aboutToQuit.emit()

    quit = exit

    def restart(self) -> None:
        raise AssertionError("the module restarted Slicer")

    def pauseRender(self):
        return 1

    def resumeRender(self):
        return 0

    def moduleDocumentationUrl(self, name) -> str:
        return f"https://slicer.readthedocs.io/en/latest/user_guide/modules/{name.lower()}.html"

    def _get_temporary(self) -> str:
        return self._temporary

    def _set_temporary(self, path: str) -> None:
        self._temporary = str(path)
        self._logic.SetTemporaryPath(str(path))

    temporaryPath = Property(str, _get_temporary, _set_temporary)
    slicerHome = Property(str, lambda self: str(self._folder / "home"))
    applicationName = Property(str, lambda self: "SlicerStage")
    applicationVersion = Property(str, lambda self: "5.12.0")
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)
    revision = Property(str, lambda self: "0")
    os = Property(str, lambda self: {"win32": "win", "darwin": "macosx"}.get(sys.platform, "linux"))
    cachePath = Property(str, lambda self: str(self._folder / "temporary"))
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")

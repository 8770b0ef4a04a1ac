"""``slicer.modules`` and the loading of scripted modules, as Slicer's module factory does it.

``load(path)`` imports a module file, makes its module object and, with ``widget=True``, its panel: the same
order of calls as in Slicer (module, then widget with a parent that knows the scene, then ``setup()``, then
``enter()``).
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import qt
import slicer


class CoreModule:
    """A module of slicer-core: its logic, no panel."""

    def __init__(self, name: str, logic) -> None:
        self.name = self.title = name
        self._logic = logic

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


class ScriptedModule:
    """A scripted module: what ``ScriptedLoadableModule.__init__`` gets as its parent."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.name = path.stem
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories: list[str] = []
        self.contributors: list[str] = []
        self.dependencies: list[str] = []
        self.hidden = False
        self.icon = None
        self.python = None
        self.instance = None
        self.panel = None

    def make_panel(self) -> Panel:
        if self.panel is None:
            self.panel = Panel(self)
        return self.panel

    def widgetRepresentation(self):
        """The Qt frame of the panel; ``slicer.util.getModuleWidget`` takes the Python widget from it."""
        return self.make_panel().widget

    def createNewWidgetRepresentation(self):
        return Panel(self).widget

    def logic(self):
        """The C++ logic of a scripted module; Python code asks the widget or makes its own."""
        return None


class Panel:
    """A module's panel: ``widget`` is its Qt frame, ``python`` the module's own widget object in it."""

    def __init__(self, module: ScriptedModule) -> None:
        self.module = module
        self.widget = slicer.qSlicerScriptedLoadableModuleWidget()
        self.widget.setLayout(qt.QVBoxLayout())
        self.widget.setMRMLScene(slicer.mrmlScene)
        self.entered = False
        self.python = getattr(module.python, f"{module.name}Widget")(self.widget)
        self.widget._python = self.python
        setattr(slicer.modules, f"{module.name}Widget", self.python)
        self.python.setup()

    def enter(self) -> None:
        """The user chooses this module."""
        if not self.entered and hasattr(self.python, "enter"):
            self.python.enter()
        self.entered = True

    def exit(self) -> None:
        """The user goes to another module."""
        if self.entered and hasattr(self.python, "exit"):
            self.python.exit()
        self.entered = False

    def unload(self) -> None:
        """Slicer reloads the module or ends."""
        self.exit()
        slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.module.name)
        self.widget.setMRMLScene(None)
        self.widget.close()
        self.widget.deleteLater()
        if getattr(slicer.modules, f"{self.module.name}Widget", None) is self.python:
            delattr(slicer.modules, f"{self.module.name}Widget")


class Modules:
    """``slicer.modules``: one attribute a module, in small letters."""

    def add(self, name: str, logic):
        setattr(self, name.lower(), CoreModule(name, logic))

    def find(self, name: str):
        found = getattr(self, str(name).lower(), None)
        return found if isinstance(found, CoreModule | ScriptedModule) else None

    def names(self) -> list[str]:
        return sorted(m.name for m in vars(self).values() if isinstance(m, CoreModule | ScriptedModule))


def load(path) -> ScriptedModule:
    """Import the module file at ``path`` and make it known; loading again reloads it."""
    path = Path(path).resolve()
    unload(path.stem)
    module = ScriptedModule(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module.python = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module.python
    spec.loader.exec_module(module.python)
    setattr(slicer.modules, path.stem.lower(), module)
    module.instance = getattr(module.python, path.stem)(module)
    slicer.app.moduleManager().moduleLoaded.emit(path.stem)
    return module


def open_panel(path) -> Panel:
    """Load a module and show its panel, as a user who chooses it: the usual start of a test."""
    panel = load(path).make_panel()
    panel.widget.resize(480, 900)
    panel.widget.show()
    panel.enter()
    qt.QApplication.instance().processEvents()
    return panel


def unload(name: str) -> None:
    """Take a scripted module away: cleanup(), then its widgets."""
    module = slicer.modules.find(name) if hasattr(slicer, "modules") else None
    if isinstance(module, ScriptedModule):
        if module.panel is not None:
            module.panel.unload()
            qt.QApplication.instance().sendPostedEvents(None, qt.QEvent.DeferredDelete)
        delattr(slicer.modules, name.lower())
        sys.modules.pop(name, None)


def unload_all() -> None:
    for module in [m for m in vars(slicer.modules).values() if isinstance(m, ScriptedModule)]:
        unload(module.name)

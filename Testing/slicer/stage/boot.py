"""Puts the stage together: Qt, then the scene, then what ``import slicer`` should find inside Slicer."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import tempfile
import types
from pathlib import Path


def _hold_constants() -> None:
    """PySide6 6.12 gives back one reference to None, True or False too many with some calls that return it.
    Before Python 3.12 they can run out of references that way, which ends the interpreter.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 30


def boot():
    _hold_constants()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_LOGGING_RULES", "qt.qpa.*=false")
    from . import qt_module

    sys.modules["qt"] = qt_module.build()
    slicer = _import_slicer()
    from . import ctk_widgets

    sys.modules["ctk"] = _namespace("ctk", ctk_widgets.WIDGETS)
    from . import mrml_widgets, segment_widgets

    for name, widget in {**mrml_widgets.WIDGETS, **segment_widgets.WIDGETS}.items():
        setattr(slicer, name, widget)
    qt_module.register(ctk_widgets.WIDGETS, mrml_widgets.WIDGETS, segment_widgets.WIDGETS)
    from . import application, i18n, modules, mrml_scene, packaging, parameter_node, scripted_module

    for name, module in {
        "i18n": i18n,
        "packaging": packaging,
        "ScriptedLoadableModule": scripted_module,
        "parameterNodeWrapper": parameter_node,
    }.items():
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    slicer.qSlicerScriptedLoadableModule = modules.ScriptedModule
    slicer.modules = modules.Modules()
    slicer.moduleNames = types.SimpleNamespace()
    # Kept, so that it is removed when this process ends.
    slicer._folder = tempfile.TemporaryDirectory(prefix="slicer-stage-", ignore_cleanup_errors=True)
    slicer.app = application.Application(Path(slicer._folder.name))
    mrml_scene.build(slicer)
    slicer.app.build_layout()
    return slicer


def _import_slicer():
    """``slicer`` of slicer-core.

    It imports every module that it finds in a folder named ``slicer`` on ``sys.path``; Testing/slicer is
    such a folder wherever Testing is on the path, so the path is narrowed meanwhile.
    """
    here = Path(__file__).resolve().parents[1]
    whole = list(sys.path)
    sys.path[:] = [entry for entry in whole if Path(entry or ".").resolve() / "slicer" != here]
    try:
        slicer = importlib.import_module("slicer")
        importlib.import_module("slicer.util")
    finally:
        sys.path[:] = whole
    # Slicer's own names for two kits.
    for kit in ("vtkSegmentationCore", "vtkITK"):
        sys.modules.setdefault(kit, importlib.import_module(f"slicer_core.{kit}"))
        sys.modules.setdefault(f"{kit}Python", sys.modules[kit])
    return slicer


def _namespace(name: str, members: dict[str, object]) -> types.ModuleType:
    module = types.ModuleType(name, f"Stand-ins for the widgets of {name} that modules use.")
    vars(module).update(members)
    return module

"""A stage for Slicer modules: real MRML scenes of slicer-core, Qt with PythonQt's manners, no application.

``missing()`` says why the stage cannot be built on this machine (None where it can); ``raise_curtain()``
builds it once per process. After that ``import slicer``, ``import qt`` and ``import ctk`` work as inside
Slicer. See ``Testing/slicer/README.md``.
"""

from __future__ import annotations

import importlib.util
import sys

DEBIAN = (
    "libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libxkbcommon0 libfontconfig1 libdbus-1-3 fonts-dejavu-core"
)

_raised = None


def missing() -> str | None:
    """Why there can be no stage here, in words; None where all that is needed is installed and loads."""
    for package, name in (("slicer_core", "slicer-core==5.12.4.0"), ("PySide6", "PySide6-Essentials")):
        if importlib.util.find_spec(package) is None:
            return f"{name} is not installed (pip install slicer-core==5.12.4.0 PySide6-Essentials)"
    sys.pyside6_option_python_enum = 0x02  # enumerations are integers, as in PythonQt
    try:
        import PySide6.QtUiTools
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        return f"PySide6 cannot be loaded: {error} (Debian: apt-get install {DEBIAN})"
    return None


def raise_curtain():
    """Build the stage on the first call; returns the ``slicer`` package."""
    global _raised
    if _raised is None:
        reason = missing()
        if reason is not None:
            raise ImportError(reason)
        from . import boot

        _raised = boot.boot()
    return _raised

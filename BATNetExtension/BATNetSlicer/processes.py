"""Child processes: which Python to run, how to ask one to end, and that none is left behind.

Only processes started here are ever ended, through their own ``QProcess``, never by name.
"""

from __future__ import annotations

import os
import shutil
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt

from . import library_root

CLOSING_MILLISECONDS = 1500  # what Slicer waits for an engine when it ends itself

_holders: weakref.WeakSet[Any] = weakref.WeakSet()  # whoever has a running process and can close() it
_leaving: set[Any] = set()  # processes that nobody holds any more and that are still ending
_connected = False


def python_program() -> str:
    """The Python that runs the engine: Slicer's PythonSlicer, elsewhere the one that runs this."""
    try:
        import slicer

        name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
        beside = Path(slicer.app.slicerHome) / "bin" / name
        if beside.is_file():
            return str(beside)
    except (ImportError, AttributeError):
        pass
    if Path(sys.executable or "").name.lower().startswith("python"):
        return sys.executable
    return shutil.which("PythonSlicer") or sys.executable


def engine_environment(extra: dict[str, str]) -> Any:
    """The environment of this process, with BATNetLib on PYTHONPATH and ``extra`` on top."""
    environment = qt.QProcessEnvironment.systemEnvironment()
    before = environment.value("PYTHONPATH", "")
    environment.insert("PYTHONPATH", os.pathsep.join([str(library_root()), *([before] if before else [])]))
    environment.insert("PYTHONUNBUFFERED", "1")
    environment.insert("PYTHONIOENCODING", "utf-8")
    # The window goes first: see BATNetLib.cli.priority.
    environment.insert("BATNET_BACKGROUND", "1")
    for name, value in extra.items():
        environment.insert(name, value)
    return environment


def contents(array: Any) -> bytes:
    """The bytes of a QByteArray."""
    data = array.data()
    return data if isinstance(data, bytes) else bytes(data)


def tell(reference: weakref.ref[Any], method: str, *arguments: Any) -> None:
    """Call a method of an object that may be gone."""
    found = reference()
    if found is not None:
        getattr(found, method)(*arguments)


def ask_to_end(process: Any, grace_seconds: float, concerns: Callable[[], bool]) -> None:
    """Close the process's input, by which an engine ends; terminate, then kill it where it does not.

    ``concerns()`` tells whether the process is still there to be ended; asked before each step.
    """
    process.closeWriteChannel()
    grace = int(grace_seconds * 1000)
    qt.QTimer.singleShot(grace, lambda: process.terminate() if concerns() else None)
    qt.QTimer.singleShot(2 * grace, lambda: process.kill() if concerns() else None)


def end_now(process: Any) -> None:
    """End the process and wait for it, at most two seconds."""
    if process.state() == qt.QProcess.NotRunning:
        return
    process.closeWriteChannel()
    if not process.waitForFinished(CLOSING_MILLISECONDS):
        process.kill()
        process.waitForFinished(500)


def leave(process: Any, grace_seconds: float) -> None:
    """Let a process end that nobody holds any more; it is kept here until it has."""
    if process.state() == qt.QProcess.NotRunning:
        return
    _leaving.add(process)
    process.connect("finished(int,QProcess::ExitStatus)", lambda *_: _gone(process))
    ask_to_end(process, grace_seconds, lambda: process in _leaving)


def _gone(process: Any) -> None:
    _leaving.discard(process)
    process.deleteLater()


def hold(holder: Any) -> None:
    """``holder.close()`` is called when Slicer ends."""
    global _connected
    _holders.add(holder)
    if not _connected:
        try:
            import slicer

            slicer.app.connect("aboutToQuit()", close_all)
            _connected = True
        except (ImportError, AttributeError):
            pass  # no application, so none that ends before this process


def release(holder: Any) -> None:
    _holders.discard(holder)


def close_all() -> None:
    """End every engine now: Slicer is about to quit."""
    for holder in list(_holders):
        holder.close()
    for process in list(_leaving):
        end_now(process)

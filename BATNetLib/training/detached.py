"""A training that survives whoever started it: a process of its own, found again through its run folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import EXIT_DEFECT, BATNetError
from ..events import Events
from .runfolder import AT_WORK, ENGINE_LOG, FAILED, STARTING, read_state

#: Seconds between two looks at the state, and how long a run may take until its first step.
_LOOK, _PATIENCE = 0.1, 3600.0


def start_detached(
    run: Path, events: Events, *, epochs: int | None = None, device: str | None = None
) -> None:
    """Go on with the run in ``run`` in a process of its own; returns once it trains (or is over already).

    Its output goes to ``engine.log``. Raises what the process refuses, as ``BATNetError`` with its exit
    code, and ``Cancelled`` where the caller does not want to wait: the training then goes on.
    """
    command = [sys.executable, "-m", "BATNetLib", "train", "resume", str(run), "--in-background"]
    command += ["--epochs", str(epochs)] if epochs is not None else []
    command += ["--device", device] if device is not None else []
    with (run / ENGINE_LOG).open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), **_apart()
        )
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        events.check()
        ended = process.poll()
        state = read_state(run)
        ours = state.get("pid") == process.pid
        if ours and state["state"] == FAILED:
            raise _told(state["error"])
        if ours and state["state"] in AT_WORK and state["state"] != STARTING:
            return
        if ended is not None:
            if ended and not ours:
                raise _told(None, ended)
            return
        time.sleep(_LOOK)


def _environment() -> dict[str, str]:
    """Ours, with the library where this process has it."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _apart() -> dict[str, Any]:
    """A session of its own: closing the terminal or Slicer does not reach it."""
    if os.name == "nt":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}


def _told(error: dict[str, Any] | None, code: int = EXIT_DEFECT) -> BATNetError:
    """The refusal of the other process as an error of this one."""
    made = BATNetError(
        *(
            (error["code"], error["found"], error["wanted"], error["remedy"])
            if error
            else (
                "training-not-started",
                "The process of the training ended before it began.",
                "It writes why into engine.log of the run.",
                "Read the last lines there, and go on with 'batnet train resume'.",
            )
        )
    )
    made.exit_code = int(error["exit_code"]) if error else code
    return made

"""The folder of a training run: who works in it, how far it is, and how it is asked to stop.

Everything here is readable without torch and while the training goes on. ``state.json`` is rewritten
whole; a lock of the operating system keeps a second process out; ``stop`` is a wish.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..batch.lock import is_gone, myself
from ..errors import BATNetError, InputRefused, OutputRefused, UsageError
from ..workfiles import output_errors, whole_file

SCHEMA_VERSION = 1
RUN, CONFIG, PATHS, STATE, LOG = "run.json", "config.yaml", "paths.json", "state.json", "log.jsonl"
SPLIT, ENGINE_LOG, REPORT, STOP, LOCK = "split.json", "engine.log", "report.html", "stop", "lock"
CHECKPOINTS, EXAMPLES, TENSORBOARD, CACHE = "checkpoint", "examples", "tensorboard", "cache"
BEST, LAST = "best.safetensors", "last.safetensors"

STARTING, RUNNING, VALIDATING, STOPPING = "starting", "running", "validating", "stopping"
STOPPED, DONE, FAILED = "stopped", "done", "failed"
#: States in which a process is at work.
AT_WORK = (STARTING, RUNNING, VALIDATING, STOPPING)
#: Seconds between two signs of life, and after how many a process of another computer counts as lost.
BEAT, SILENCE = 3.0, 60.0
_ATTEMPTS = 20


def now() -> str:
    """UTC, ISO 8601 to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as JSON, whole. Raises ``OutputRefused``."""
    with whole_file(path) as tmp:
        tmp.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """Plain values with None in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of a run. Raises ``InputRefused`` where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path.name) from error
    if not isinstance(content, dict):
        raise _damaged(path.name)
    return content


def require_run(folder: str | os.PathLike[str]) -> Path:
    """``folder`` as an absolute path. Raises ``UsageError`` where it is no folder of a training run."""
    place = Path(folder).expanduser().absolute()
    if not (place / RUN).is_file():
        raise UsageError(
            "run-missing",
            f"'{place.name}' is no folder of a training run.",
            "The folder named with --out of 'batnet train' is needed.",
            "Check the path.",
        )
    return place


def read_run(folder: Path) -> dict[str, Any]:
    """What does not change in a run: ``run.json``."""
    return read_json(folder / RUN)


def read_state(folder: Path) -> dict[str, Any]:
    """How far a run is: ``state.json``."""
    return read_json(folder / STATE)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; a last line that is still being written is left out."""
    try:
        text = (folder / LOG).read_text(encoding="utf-8")
    except OSError:
        return []
    lines = []
    for line in text.split("\n"):
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                lines.append(entry)
    return lines


def liveness(folder: Path, state: dict[str, Any] | None = None) -> str:
    """ "running", "over" (stopped, done, failed) or "lost" (it ended without a word, or is not heard of).

    On the computer it runs on, its process is looked for; from another one, its last sign of life counts.
    """
    state = read_state(folder) if state is None else state
    if state.get("state") not in AT_WORK:
        return "over"
    if state.get("host") == socket.gethostname():
        if is_gone(state):
            return "lost"
        # Without the start of the process, a process id that was given again cannot be told apart.
        if state.get("process_start") is not None:
            return "running"
    return "running" if _age(state.get("heartbeat")) < SILENCE else "lost"


def request_stop(folder: Path) -> None:
    """Ask the run to end after its current step. Raises ``OutputRefused``."""
    with output_errors(folder.name):
        (folder / STOP).touch()


def stop_requested(folder: Path) -> bool:
    return (folder / STOP).exists()


def clear_stop(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / STOP).unlink()


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run; the system frees the lock when the process ends, however.

    Raises ``UsageError`` ("run-in-use").
    """
    with output_errors(folder.name):
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _lock(handle)
        except OSError as error:
            raise in_use(folder.name) from error
        yield
    finally:
        # Closing frees the lock. The file stays: removing it would let two processes hold "the" lock.
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in the run."""
    try:
        with run_lock(folder):
            return False
    except UsageError:
        return True


def in_use(name: str) -> UsageError:
    return UsageError(
        "run-in-use",
        f"Another process is training in '{name}'.",
        "One process works in a run folder at a time.",
        "Follow it with 'batnet train status', end it with 'batnet train stop', or choose another --out.",
    )


class RunState:
    """``state.json`` of a run at work, and its sign of life.

    Used as a context: a thread writes the heartbeat until the end. A heartbeat that cannot be written (full
    disk, lost network drive) does not end the training; ``update`` raises ``OutputRefused``.
    """

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._written = 0.0
        self._fields: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "state": STARTING,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "process_start": myself()["process_start"],
            "started": now(),
            "heartbeat": now(),
            "epoch": 0,
            "epochs": 0,
            "step": 0,
            "steps": 0,
            "seconds_per_epoch": None,
            "seconds_left": None,
            "metric": None,
            "best": None,
            "last": None,
            "error": None,
            "result": None,
            **fields,
        }

    def __enter__(self) -> RunState:
        self._write()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def __getitem__(self, key: str) -> Any:
        return self._fields[key]

    def update(self, *, now_: bool = True, **fields: Any) -> None:
        """Change fields; with ``now_`` False they are written within a second or two, and it never raises."""
        with self._lock:
            self._fields.update(fields)
            if now_:
                self._write()
            elif time.monotonic() - self._written > 1.0:
                with contextlib.suppress(BATNetError, OSError):
                    self._write()

    def fail(self, error: BATNetError) -> None:
        """State "failed" with the error in words; never raises."""
        with contextlib.suppress(BATNetError, OSError):
            self.update(state=FAILED, error=error.as_dict(), seconds_left=None)

    def _write(self) -> None:
        with self._lock:
            self._fields["heartbeat"] = now()
            self._written = time.monotonic()
            for attempt in range(_ATTEMPTS):
                try:
                    write_json(self.folder / STATE, finite(self._fields))
                    return
                except OutputRefused as error:
                    # On Windows a file cannot be replaced in the moment in which somebody reads it.
                    if os.name != "nt" or error.code != "output-unwritable" or attempt == _ATTEMPTS - 1:
                        raise
                    time.sleep(0.05)

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with contextlib.suppress(BATNetError, OSError):
                self._write()


def _age(moment: Any) -> float:
    """Seconds since ``moment``; infinite where it says nothing."""
    try:
        then = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except (TypeError, ValueError):
        return float("inf")
    return (datetime.now(timezone.utc) - then).total_seconds()


def _lock(handle: int) -> None:
    """Lock the file or raise ``OSError`` at once."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _damaged(name: str) -> InputRefused:
    return InputRefused(
        "run-damaged",
        f"'{name}' of the run is missing or damaged.",
        "The files of a run must be those that 'batnet train' wrote.",
        "Start the training again in a new folder.",
    )

"""Looks at the folder of a run again and again, a little at a time; never waits for anything.

The run may be at work in another process, on this computer or another one, or be long over: the files are
the same. Nothing is written but the wish to stop.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer import add_library_to_path
from BATNetSlicer.texts import _

from .curvedata import Curves
from .runlog import RunLog
from .words import figure_words, number

LOOK_MS = 1000
#: Looks may take this share of the window's time; on a slow network drive they come less often.
LOOK_SHARE = 0.05
#: Work on the log before the window gets its turn.
TURN_SECONDS = 0.015
LOG_LINES = 500


class RunWatch:
    """Follows one run at a time; ``changed()`` is called after each look that brought news.

    ``run``, ``state``: what ``run.json`` and ``state.json`` say. ``liveness``: "running", "over", "lost", or
    "missing" where the folder cannot be read. ``stopping``: it was asked to stop. ``ending``: it has stopped
    or failed, and its process still writes the report. ``curves``: the log in numbers. ``lines``: the log in
    words, newest last; ``line_count`` grows with each, ``log_count`` with each log that was begun anew.
    ``all_read``: whether the log was read to its end.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        add_library_to_path()
        self._changed = changed
        self.look_ms = LOOK_MS
        self.folder: Path | None = None
        self._forget()
        self._clock = qt.QTimer()
        self._clock.setInterval(self.look_ms)
        self._clock.connect("timeout()", self.look)

    def _forget(self) -> None:
        self.run: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.liveness = "missing"
        self.stopping = self.ending = False
        self.curves = Curves()
        self.lines: deque[str] = deque(maxlen=LOG_LINES)
        self.line_count = self.log_count = 0
        self.all_read = False
        self._log: RunLog | None = None
        self._seen: dict[str, Any] = {}
        self._reading = False

    # --- which run
    def open(self, folder: str | os.PathLike[str]) -> None:
        """Follow the run in ``folder``; what is known of another one is forgotten."""
        self.close()
        self.folder = Path(folder)
        self._log = RunLog(self.folder / "log.jsonl", self._entry, self._restarted)
        self._clock.start()
        self.look()

    def close(self) -> None:
        self._clock.stop()
        self.folder = None
        self._forget()

    @property
    def at_work(self) -> bool:
        return self.liveness == "running"

    def request_stop(self) -> None:
        """Ask the run to end after its current step. Raises ``BATNetLib.errors.OutputRefused``."""
        from BATNetLib.training import runfolder

        if self.folder is not None:
            runfolder.request_stop(self.folder)
            self.look()

    # --- looking
    def look(self) -> None:
        """Read what is new, for some milliseconds; the rest of a long log follows by itself."""
        if self.folder is None or self._reading:
            return
        begun = time.perf_counter()
        news = self._look_at_state()
        taken = 1000 * (time.perf_counter() - begun)
        self._clock.setInterval(int(min(max(self.look_ms, taken / LOOK_SHARE), 30_000)))
        self._read_log(news)

    def _look_at_state(self) -> bool:
        from BATNetLib.errors import BATNetError
        from BATNetLib.training import runfolder

        before = (self.liveness, self.stopping, self.ending)
        news = False
        for name, attribute in (("run.json", "run"), ("state.json", "state")):
            try:
                stamp = (self.folder / name).stat()
                mark = (stamp.st_mtime_ns, stamp.st_size, stamp.st_ino)
                if self._seen.get(name) != mark:
                    setattr(self, attribute, runfolder.read_json(self.folder / name))
                    self._seen[name] = mark
                    news = True
            except (OSError, BATNetError):
                if self._seen.pop(name, None) is not None:
                    news = True
                    setattr(self, attribute, {})
        self.curves.steps_per_epoch = whole(self.state.get("steps"))
        self.liveness = runfolder.liveness(self.folder, self.state) if self.state else "missing"
        self.stopping = self.at_work and (
            self.state.get("state") == "stopping" or runfolder.stop_requested(self.folder)
        )
        self.ending = self.state.get("state") in ("stopped", "failed") and _still_there(self.state)
        return news or before != (self.liveness, self.stopping, self.ending)

    def _read_log(self, news: bool = False) -> None:
        self._reading = False
        if self._log is None:
            return
        before = self._progress()
        more = self._log.read(TURN_SECONDS)
        self.all_read = not more
        if more:
            self._reading = True
            log = self._log
            qt.QTimer.singleShot(0, lambda: self._read_log() if log is self._log else None)
        if news or before != self._progress():
            self._changed()

    def _progress(self) -> tuple[int, int, int, bool]:
        return self.curves.changes, self.line_count, self.log_count, self.all_read

    def _restarted(self) -> None:
        self.curves.clear()
        self.lines.clear()
        self.line_count = 0
        self.log_count += 1

    def _entry(self, entry: dict[str, Any]) -> None:
        self.curves.add(entry)
        words = _line(entry)
        if words:
            self.lines.append(words)
            self.line_count += 1


def _still_there(state: dict[str, Any]) -> bool:
    """Whether the process of a run runs on this computer; False where that cannot be told."""
    import socket

    from BATNetLib.locking import is_gone

    known = state.get("host") == socket.gethostname() and isinstance(state.get("pid"), int)
    return known and state.get("process_start") is not None and not is_gone(state)


def whole(value: Any) -> int:
    """A count of a file that may hold anything; 0 where it is none."""
    return value if isinstance(value, int) and value > 0 else 0


def _line(entry: dict[str, Any]) -> str:
    """A line of the log in words; steps are left out, there are too many of them."""
    kind = entry.get("kind")
    if kind == "epoch":
        figures = {"train_loss": entry.get("train_loss")}
        if isinstance(entry.get("validation"), dict):
            figures |= entry["validation"]
        said = ", ".join(
            f"{figure_words(str(name))} {number(value)}"
            for name, value in figures.items()
            if isinstance(value, int | float)
        )
        words = _("Epoch {number}: {figures}").format(number=entry.get("epoch"), figures=said)
        if entry.get("best"):
            words = _("{words} (best so far)").format(words=words)
    elif kind in ("note", "warning"):
        words = str(entry.get("text") or "")
        if kind == "warning":
            words = _("Warning: {text}").format(text=words)
    else:
        return ""
    clock = _clock(entry.get("time"))
    return f"{clock}  {words}" if clock else words


def _clock(moment: Any) -> str:
    """Day and time of this place; "" where the moment says nothing."""
    try:
        then = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except (TypeError, ValueError):
        return ""
    return then.astimezone().strftime("%m-%d %H:%M")

"""What a long computation says while it runs, and how it is asked to stop.

A function that takes long accepts ``events: Events`` and reports into it. The base class keeps the
warnings and the seconds of each stage (they go into the passport of the result) and shows nothing;
``JsonLines`` writes one JSON object a line for programs, ``ProgressBar`` draws a bar for people.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from .errors import BATNetError, Cancelled


@dataclass
class Stage:
    """A stage that is running; ``advance`` moves it on and raises ``Cancelled`` when asked to stop."""

    name: str
    total: int | None
    events: Events
    done: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def advance(self, steps: int = 1) -> None:
        self.done += steps
        self.events.check()
        self.events.on_stage(self, finished=False)


class Events:
    """Silent reporter: collects warnings and stage times, and carries the wish to cancel."""

    def __init__(self) -> None:
        self.warnings: list[dict[str, str]] = []
        self.seconds: dict[str, float] = {}
        self._cancel = threading.Event()

    # --- said by the computation
    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        """Run a named stage; ``total`` is its number of steps, None where it cannot be known."""
        self.check()
        stage = Stage(name, total, self)
        self.on_stage(stage, finished=False)
        yield stage
        if stage.total is not None:
            stage.done = stage.total
        self.seconds[name] = self.seconds.get(name, 0.0) + stage.seconds
        self.on_stage(stage, finished=True)

    def warning(self, code: str, text: str) -> None:
        """Something the reader of the result should know; ``code`` is stable, ``text`` is a sentence."""
        entry = {"code": code, "text": text}
        if entry not in self.warnings:
            self.warnings.append(entry)
            self.on_warning(code, text)

    def result(self, folder: str, **facts: Any) -> None:
        """The result folder is complete. ``facts`` are plain JSON values for the caller's convenience."""
        self.on_result(folder, facts)

    def error(self, error: BATNetError) -> None:
        self.on_error(error)

    # --- cancelling
    def cancel(self) -> None:
        """Ask the computation to stop at its next step; safe to call from any thread."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` when somebody asked to stop."""
        if self._cancel.is_set():
            raise Cancelled()

    # --- how it is shown; subclasses override
    def on_stage(self, stage: Stage, finished: bool) -> None: ...

    def on_warning(self, code: str, text: str) -> None: ...

    def on_result(self, folder: str, facts: dict[str, Any]) -> None: ...

    def on_error(self, error: BATNetError) -> None: ...


class JsonLines(Events):
    """One JSON object a line, flushed at once, ASCII only so that no console code page can spoil it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def _say(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **fields}, ensure_ascii=True, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def on_stage(self, stage: Stage, finished: bool) -> None:
        self._say(
            "stage",
            name=stage.name,
            done=stage.done,
            total=stage.total,
            seconds=round(stage.seconds, 3),
            finished=finished,
        )

    def on_warning(self, code: str, text: str) -> None:
        self._say("warning", code=code, text=text)

    def on_result(self, folder: str, facts: dict[str, Any]) -> None:
        self._say("result", folder=folder, **facts)

    def on_error(self, error: BATNetError) -> None:
        self._say("error", **error.as_dict())


class ProgressBar(Events):
    """A bar per stage on a terminal; one line per finished stage where the output is a file."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._bar_stage: Stage | None = None

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _tqdm(self) -> Any:
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm

    def on_stage(self, stage: Stage, finished: bool) -> None:
        tqdm = self._tqdm() if self._stream.isatty() else None
        if tqdm and stage.total:
            if self._bar_stage is not stage:
                self.close()
                self._bar = tqdm(total=stage.total, desc=stage.name, file=self._stream, leave=False)
                self._bar_stage = stage
            self._bar.update(stage.done - self._bar.n)
        if finished:
            self.close()
            self._print(f"  {stage.name:<34} {stage.seconds:6.1f} s")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = self._bar_stage = None

    def on_warning(self, code: str, text: str) -> None:
        self.close()
        self._print(f"  Warning: {text}")

    def on_error(self, error: BATNetError) -> None:
        self.close()
        parts = (("Found", error.found), ("Wanted", error.wanted), ("To do", error.remedy))
        said = "\n".join(f"  {name + ':':<9}{text}" for name, text in parts)
        self._print(f"\nStopped [{error.code}].\n{said}")

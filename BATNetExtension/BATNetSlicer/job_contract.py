"""What a job of the engine reports, and what its holder may ask of it.

Panels depend on this and not on processes, so that tests give them a scripted engine.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .job_words import Failure


class State(str, enum.Enum):
    """Where a job stands; the last three are final."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Progress:
    """A stage of the engine; ``total`` is None where the number of steps is not known."""

    name: str
    done: int = 0
    total: int | None = None
    seconds: float = 0.0
    finished: bool = False

    @property
    def fraction(self) -> float | None:
        """Share that is done, 0 to 1; None where it is not known."""
        if self.finished:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def seconds_left(self) -> float | None:
        """Time this stage still takes if it goes on as before; None where that cannot be said yet."""
        if not self.total or not self.done:
            return None
        return self.seconds * (self.total - self.done) / self.done


@dataclass(frozen=True)
class Result:
    """The engine's answer: the folder that is complete now, and facts for convenience."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 0


class JobListener:
    """What a job reports; override what is of interest. All calls come from the event loop.

    The order: ``state(RUNNING)``, then any number of reports, then at most one of ``result`` and ``error``,
    then the final ``state``. A listener that raises does not stop the job.
    """

    def state(self, state: State) -> None: ...

    def stage(self, progress: Progress) -> None: ...

    def warning(self, code: str, text: str) -> None: ...

    def result(self, result: Result) -> None: ...

    def part(self, part: Result) -> None:
        """One case of a batch is over; ``facts`` has its ``case_id``. Parts are no answer."""

    def error(self, failure: Failure) -> None: ...

    def log(self, lines: list[str]) -> None: ...

    def silence(self, seconds: float) -> None:
        """No news for ``seconds``; 0 when there is news again. Nothing is ended because of it."""


class RunningJob(Protocol):
    """What the holder of a job may ask for."""

    answer: Result | None
    failure: Failure | None

    @property
    def state(self) -> State: ...

    @property
    def silent_for(self) -> float: ...

    def log_text(self) -> str: ...

    def follow_scene(self, scene: Any) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class JobRunner(Protocol):
    """Starts jobs; ``Engine`` starts real ones."""

    def start(self, arguments: Sequence[str], listener: JobListener) -> RunningJob: ...

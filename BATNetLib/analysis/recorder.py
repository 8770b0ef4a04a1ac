"""The events of one case inside a longer run, told under the stage names that others rely on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import BATNetError
from ..events import Events, Stage

#: Stages of one analysis, in order. Progress is reported under these names only.
STAGES = ("read", "preflight", "lungs", "adipose", "patches", "classify", "attention", "write")


class CaseEvents(Events):
    """Keeps the warnings and seconds of one case, and passes everything on to the events of the run.

    A batch shares one ``Events`` between its cases; the passport of a case must hold its own warnings
    and times only. Whatever the steps inside a phase call their stages, they are told as the phase.
    """

    def __init__(self, run: Events | None = None) -> None:
        super().__init__()
        self._run = run or Events()
        self._phase: Stage | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[Stage]:
        """One of ``STAGES``; a stage opened inside lends it its steps."""
        assert name in STAGES, name
        with super().stage(name) as outer:
            self._phase = outer
            try:
                yield outer
            finally:
                self._phase = None

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Stage]:
        outer = self._phase
        if outer is None:
            with super().stage(name, total) as stage:
                yield stage
            return
        self.check()
        inner = Stage(outer.name, total, self, started=outer.started)
        self.on_stage(inner, finished=False)
        yield inner
        outer.done, outer.total = inner.total or inner.done, inner.total

    def cancel(self) -> None:
        self._run.cancel()

    @property
    def cancelled(self) -> bool:
        return self._run.cancelled

    def check(self) -> None:
        self._run.check()

    def on_stage(self, stage: Stage, finished: bool) -> None:
        if finished:
            self._run.seconds[stage.name] = self._run.seconds.get(stage.name, 0.0) + stage.seconds
        self._run.on_stage(stage, finished)

    def on_warning(self, code: str, text: str) -> None:
        self._run.warning(code, text)

    def on_result(self, folder: str, facts: dict[str, Any]) -> None:
        self._run.result(folder, **facts)

    def on_error(self, error: BATNetError) -> None:
        self._run.error(error)

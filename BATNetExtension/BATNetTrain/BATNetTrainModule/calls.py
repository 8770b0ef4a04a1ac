"""One call of the engine at a time: who asked is told once how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, Result, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from .words import stage_words


def _nothing(*_arguments: Any) -> None: ...


class Call(JobListener):
    """A call that runs; keep it until it is ``over``.

    Exactly one of ``done(facts)``, ``failed(failure)`` and ``cancelled()`` is called at the end, unless it
    was closed. ``said(words)`` tells how far it is. ``warnings`` holds what the engine warned of.
    """

    def __init__(
        self,
        runner: JobRunner,
        words: list[str],
        done: Callable[[Result], None],
        failed: Callable[[Failure], None],
        cancelled: Callable[[], None] = _nothing,
        said: Callable[[str], None] = _nothing,
    ) -> None:
        self._done, self._failed, self._cancelled, self._said = done, failed, cancelled, said
        self.over = False
        self.warnings: list[str] = []
        self._result: Result | None = None
        self._failure: Failure | None = None
        self._job: RunningJob | None = None
        self._job = runner.start(words, self)

    def cancel(self) -> None:
        """Ask for the end; ``cancelled`` follows."""
        if self._job is not None and not self.over:
            self._said(_("Ending the engine ..."))
            self._job.cancel()

    def close(self) -> None:
        """End now and tell nobody."""
        if not self.over:
            self.over = True
            if self._job is not None:
                self._job.close()

    def log_text(self) -> str:
        return self._job.log_text() if self._job is not None else ""

    # --- what the engine says
    def stage(self, progress: Progress) -> None:
        if not self.over:
            self._said(stage_words(progress))

    def warning(self, code: str, text: str) -> None:
        # How the engine ended is said by what it answered.
        if not code.startswith("engine-exit"):
            self.warnings.append(text)

    def result(self, result: Result) -> None:
        self._result = result

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        if not state.is_over or self.over:
            return
        self.over = True
        if self._failure is not None:
            self._failed(self._failure)
        elif state is State.DONE and self._result is not None:
            self._done(self._result)
        else:
            self._cancelled()

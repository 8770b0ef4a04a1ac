"""Long work on nodes in small pieces, so that the window keeps answering."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import qt

#: Work before the window gets its turn, and the pause for it.
SLICE_SECONDS = 0.02


class Steps:
    """Drives a generator from the event loop: it yields the share done and returns the outcome.

    One of ``done(outcome)`` and ``failed(error)`` is called at the end, unless it was stopped.
    """

    def __init__(
        self,
        work: Generator[float, None, Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        progress: Callable[[float], None] = lambda share: None,
    ) -> None:
        self._work: Generator[float, None, Any] | None = work
        self._done, self._failed, self._progress = done, failed, progress
        qt.QTimer.singleShot(0, self._turn)

    def stop(self) -> None:
        """Give up; what the work had begun is cleared away by the work itself."""
        work, self._work = self._work, None
        if work is not None:
            work.close()

    def _turn(self) -> None:
        if self._work is None:
            return
        stop = time.perf_counter() + SLICE_SECONDS
        share, over = 0.0, False
        outcome: Any = None
        try:
            while time.perf_counter() < stop:
                share = next(self._work)
        except StopIteration as end:
            outcome, over = end.value, True
        except Exception as error:
            outcome, over = error, True
        if not over:
            self._progress(share)
            qt.QTimer.singleShot(0, self._turn)
            return
        self._work = None
        (self._failed if isinstance(outcome, Exception) else self._done)(outcome)

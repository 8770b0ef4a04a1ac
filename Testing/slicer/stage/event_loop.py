"""Running Qt's event loop in a test, and measuring how long it was blocked."""

from __future__ import annotations

import time

import qt


def process_events(until=None, timeout: float = 10.0) -> bool:
    """Run the event loop until ``until()`` is true; True if it became so within ``timeout`` seconds.

    Without ``until`` the loop runs for ``timeout`` seconds (pass a small one). The loop sleeps between
    events, as the real one does, so child processes get the machine.
    """
    loop = qt.QEventLoop()
    end = time.monotonic() + timeout
    while True:
        if until is not None and until():
            return True
        left = end - time.monotonic()
        if left <= 0:
            return until is None
        qt.QTimer.singleShot(int(min(left, 0.02) * 1000) + 1, loop.quit)
        loop.exec_()


class GuiWatch:
    """The longest time the event loop did not turn: what a user feels as a frozen window.

    A timer fires every ``interval`` milliseconds; a gap between two firings beyond that is time in which the
    window could not answer. Measure around what you look at::

        with gui_watch() as watch:
            process_events(until=job.is_over)
        assert watch.longest < 0.1
    """

    def __init__(self, interval: int = 5) -> None:
        self._interval = interval
        self.gaps: list[float] = []

    def __enter__(self) -> GuiWatch:
        self.gaps = []
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._last = time.perf_counter()
        self._timer.start(self._interval)
        return self

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def __exit__(self, *_) -> None:
        self._tick()
        self._timer.stop()

    @property
    def longest(self) -> float:
        """Seconds of the longest gap, less the timer's own interval."""
        return max(0.0, max(self.gaps, default=0.0) - self._interval / 1000)

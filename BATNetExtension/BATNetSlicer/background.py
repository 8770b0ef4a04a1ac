"""Work on plain arrays and files in a thread, while the window keeps answering.

Slicer's event loop holds Python's lock while it waits, so a thread alone would stand still. A timer gives the
lock away for some milliseconds at a time. What runs here must not touch MRML, VTK pipelines or Qt: it gets
copies, and gives back values. numpy, zlib, hashing and files let go of the lock by themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import qt

from .processes import hold, release

#: How long the window's thread waits at a time, and how often.
GIVE_SECONDS = 0.006
EVERY_MS = 8

_alive: set[Any] = set()


class Background:
    """``work()`` runs in a thread; then ``done(outcome)`` or ``failed(error)`` is called from the event loop.

    ``stop()``: nobody is told any more; the thread ends by itself. ``finish()``: wait for the end now, and
    tell. Until the thread has ended the object is kept here: nothing of it is ever freed in the thread.
    """

    def __init__(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
        *,
        must_finish: bool = False,
    ) -> None:
        self._done, self._failed = done, failed
        self._outcome: Any = None
        self._error: Exception | None = None
        self._work: Callable[[], Any] | None = work
        self._must_finish = must_finish
        # A thread that writes what the user has done is not ended with the process.
        self._thread = threading.Thread(target=self._run, daemon=not must_finish)
        self._timer = qt.QTimer()
        self._timer.setInterval(EVERY_MS)
        self._timer.connect("timeout()", self._turn)
        self._over = False
        _alive.add(self)
        hold(self)
        self._thread.start()
        self._timer.start()

    @property
    def over(self) -> bool:
        """Whether the end was told."""
        return self._over

    def stop(self) -> None:
        """Tell nobody. A work that ``must_finish`` goes on to its end."""
        self._done = self._failed = lambda outcome: None

    def finish(self) -> None:
        """Wait until the work is done; what comes of it is told before this returns."""
        if not self._over:
            self._thread.join()
            self._end()

    def close(self) -> None:
        """Slicer ends."""
        if self._must_finish:
            self.finish()
        else:
            self.stop()

    def _run(self) -> None:
        try:
            assert self._work is not None
            self._outcome = self._work()
        except Exception as error:
            self._error = error

    def _turn(self) -> None:
        self._thread.join(GIVE_SECONDS)
        if not self._thread.is_alive():
            self._end()

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self._timer.stop()
        self._timer.deleteLater()
        release(self)
        _alive.discard(self)
        done, failed, outcome, error = self._done, self._failed, self._outcome, self._error
        self._work = self._outcome = None  # arrays of a whole case may hang on them
        self.stop()
        if error is not None:
            failed(error)
        else:
            done(outcome)

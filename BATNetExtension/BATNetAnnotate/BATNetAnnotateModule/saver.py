"""Saving: every minute, when a case is left, when the scene closes and when Slicer ends.

Each save is a new version of the store, written in a thread from a copy. What could not be written stays in
memory and is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from BATNetSlicer.background import Background
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from . import session as sessions
from .session import Session, Snapshot

#: The most work that is lost when Slicer is killed.
EVERY_MS = 60_000


class Saver:
    """``session()`` gives the open case or None; ``saved(session, version)`` and ``failed(session, failure)``
    are told what came of each save."""

    def __init__(
        self,
        session: Callable[[], Session | None],
        saved: Callable[[Session, Any], None],
        failed: Callable[[Session, Failure], None],
    ) -> None:
        self._session, self._saved, self._failed = session, saved, failed
        self._running: Background | None = None
        self._then: list[Callable[[bool], None]] = []
        self._clock = qt.QTimer()
        self._clock.setInterval(EVERY_MS)
        self._clock.connect("timeout()", self.tick)

    @property
    def busy(self) -> bool:
        return self._running is not None

    def start(self) -> None:
        self._clock.start()

    def stop(self) -> None:
        self._clock.stop()

    def tick(self) -> None:
        """The minute is over: a sign of life for the lock, and a save where something has changed."""
        session = self._session()
        if session is None or session.lock is None or self.busy:
            return
        if session.dirty:
            self.save()  # goes through the lock, which is a sign of life too
            return
        try:
            session.lock.refresh()
        except Exception as error:
            self._failed(session, failure_of(error))

    def save(
        self,
        status: str | None = None,
        then: Callable[[bool], None] | None = None,
        *,
        even_if_same: bool = False,
    ) -> None:
        """Save now where something has changed; ``then(whether all is saved)`` is called afterwards.

        ``status``: "done" for a read that the reader calls finished; saved even if nothing else changed.
        """
        session = self._session()
        if self._running is not None:
            # The state that is being written may be older than this wish.
            self._then.append(lambda _ok: self.save(status, then, even_if_same=even_if_same))
            return
        wanted = session is not None and session.editable
        if not wanted or not (session.dirty or even_if_same or status not in (None, session.status)):
            if then is not None:
                then(True)
            return
        if then is not None:
            self._then.append(then)
        try:
            snapshot = session.snapshot(status)
        except Exception as error:  # such as a segment that was deleted in another module
            self._not_written(session, error)
            return
        store = session.store
        self._running = Background(
            lambda: sessions.write(store, snapshot),
            lambda outcome: self._written(session, snapshot, *outcome),
            lambda error: self._not_written(session, error),
            must_finish=True,
        )

    def save_and_wait(self) -> bool:
        """Save what has changed before this returns: the scene closes, or Slicer ends."""
        while self._running is not None:
            self._running.finish()
        outcome: list[bool] = []
        self.save(then=outcome.append)
        while self._running is not None:
            self._running.finish()
        return bool(outcome) and outcome[-1]

    def _written(self, session: Session, snapshot: Snapshot, version: Any, fingerprint: str) -> None:
        self._running = None
        session.version = version.number
        session.fingerprint = fingerprint
        session.saved_changes = snapshot.changes
        session.time.take_back(snapshot.seconds)
        if not session.dirty:
            session.status = snapshot.facts["status"]
        self._saved(session, version)
        self._go_on(True)

    def _not_written(self, session: Session, error: Exception) -> None:
        self._running = None
        self._failed(session, failure_of(error))
        self._go_on(False)

    def _go_on(self, saved: bool) -> None:
        waiting, self._then = self._then, []
        for then in waiting:
            then(saved)


def failure_of(error: Exception) -> Failure:
    """An error in words: the library's own, or that something unforeseen happened."""
    if all(hasattr(error, part) for part in ("code", "found", "wanted", "remedy")):
        return Failure(error.code, error.found, error.wanted, error.remedy, getattr(error, "exit_code", 1))
    import logging

    logging.error("BATNet Annotate: %s", type(error).__name__, exc_info=error)
    return Failure(
        "defect",
        _("Something unforeseen happened ({kind}).").format(kind=type(error).__name__),
        _("What is open here is not lost."),
        _("Save again; if it happens again, send Slicer's log to the developers."),
    )

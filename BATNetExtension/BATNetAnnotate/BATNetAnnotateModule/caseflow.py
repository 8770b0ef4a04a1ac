"""From case to case: open, save, leave, finish, lock, take over; nothing is left that was not saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from BATNetSlicer.background import Background
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from . import rescue
from .mirror_card import MirrorCard
from .opening import Opener
from .paint_card import PaintCard
from .saver import Saver, failure_of
from .scores_card import ScoresCard
from .session import Session
from .worklist_card import WorkListCard


class CaseFlow:
    """The part of the panel that goes through the work list. ``session``: the case that is open, or None."""

    ui: Any
    session: Session | None = None
    opener: Opener
    saver: Saver
    list: WorkListCard
    paint: PaintCard
    mirror: MirrorCard
    scores: ScoresCard
    _opening: str | None = None
    _locking: Background | None = None
    _entered = False
    _why = _code = ""

    # --- what the panel does
    def ask(self, question: str) -> bool:
        raise NotImplementedError

    def say(self, text: str) -> None:
        raise NotImplementedError

    def _show(self) -> None:
        raise NotImplementedError

    def _no_progress(self) -> None:
        raise NotImplementedError

    def _editable_changed(self) -> None:
        raise NotImplementedError

    # --- opening and leaving
    def open_case(self, item: Any, **options: Any) -> None:
        """Leave the case that is open, once it is saved, and open ``item``."""
        if item.refusal is not None:
            self.say(f"{item.refusal.found} {item.refusal.remedy}")
            return

        def left(saved: bool) -> None:
            if not saved:
                return
            self._opening = item.case
            self.list.choose(item.case)
            self.opener.open(
                item,
                self.list.worklist.store,
                self.list.worklist.reader,
                from_dataset=bool(self.ui.datasetMaskBox.checked),
                failed=self._not_opened,
                **{"done": self._opened, **options},
            )
            self._show()

        self.leave(left)

    def leave(self, then: Callable[[bool], None]) -> None:
        """Save the open case and take it away; ``then(whether it is gone)``. What cannot be saved stays."""

        def saved(ok: bool) -> None:
            session = self.session
            if ok and session is not None and session.dirty:  # painted upon while it was saved
                self.saver.save(then=saved)
                return
            if not ok and session is not None and self._code == "segment-missing":
                question = _("{why}\n\nLeave the case as it was saved last?").format(why=self._why)
                if self.ask(question):
                    session.saved_changes = session.changes
                    ok = True
            if ok:
                self._drop()
            else:
                self.say(_("The case stays open: it could not be saved. {why}").format(why=self._why))
            then(ok)

        self._why = self._code = ""
        if self.session is None:
            then(True)
        else:
            self.saver.save(then=saved)

    def _leave_now(self) -> None:
        """As ``leave``, before this returns."""
        if self.session is not None:
            self.saver.save_and_wait()
            self._drop()

    def node_leaves(self, node: Any) -> None:
        """The user takes the CT or the masks of the open case out of the scene: save, then leave the case."""
        session = self.session
        if session is None or node not in (session.nodes.ct, session.nodes.segmentation):
            return
        self.saver.save_and_wait()
        qt.QTimer.singleShot(0, self._drop_orphan)

    def _drop_orphan(self) -> None:
        if self.session is not None and not self.session.nodes.in_scene:
            self._drop()
            self.say(_("The case was closed: its CT or its masks were taken out of the scene."))
            self._show()

    def _drop(self) -> None:
        session = self.session
        if session is None:
            return
        if session.changes != session.saved_changes:
            self._rescue(session)
        self.session = None
        self.paint.show(None)
        self.mirror.show(None)
        self.scores.show({}, "", False)
        session.nodes.remove()
        if session.lock is not None:
            session.lock.release()

    def _rescue(self, session: Session) -> None:
        """The case must be left and could not be saved: keep the work on this computer."""
        try:
            rescue.keep(session.snapshot())
            self.say(
                _(
                    "{case} could not be saved. The work is kept on this computer and offered when the case "
                    "is opened again."
                ).format(case=session.case)
            )
        except Exception as error:
            self.say(_("{case} is not saved: {why}").format(case=session.case, why=failure_of(error).text))

    def _opened(self, session: Session, notes: list[str]) -> None:
        self._opening = None
        self._no_progress()
        self.session = session
        self.scores.show(session.scores, session.comment, session.flagged)
        self.paint.show(session)
        self.mirror.show(session)
        if not self._entered:
            self.mirror.switch(False)
        session.time.touch()
        self.say(" ".join(notes))
        self._show()
        self.opener.ahead(self.list.following(), [session.case])

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        self._no_progress()
        self.say(failure.text)
        self._show()

    def next(self) -> None:
        item = self.list.next()
        if item is not None:
            self.open_case(item)
        elif self.list.worklist is not None:
            self.say(_("This is the last case that the filter shows."))

    # --- the next one
    def previous(self) -> None:
        item = self.list.previous()
        if item is not None:
            self.open_case(item)
        elif self.list.worklist is not None:
            self.say(_("This is the first case that the filter shows."))

    def look_at(self, case: str, versions: dict[str, int], then: Callable[[], None]) -> None:
        """Show a case with the masks of readers that are compared, then go on."""
        session = self.session
        if session is not None and session.case == case and session.compared:
            then()
            return

        def opened(session: Session, notes: list[str]) -> None:
            self._opened(session, notes)
            then()

        self.open_case(self.list.item(case), compared=versions, done=opened)

    def start_over(self) -> None:
        """Begin the case anew; what was saved stays as former versions."""
        if self.session is not None:
            self.open_case(self.session.item, start_over=True)

    def take_over(self) -> None:
        """Break the lock of another place, after asking."""
        session = self.session
        if session is None or not self.ask(_("{why}\n\nTake the case over?").format(why=session.why_not)):
            return
        if session.changes != session.saved_changes:
            self._lock_again(session)
        else:
            self.open_case(session.item, force=True)

    def _lock_again(self, session: Session) -> None:
        """The lock was lost while there was unsaved work: take it back and keep what is open."""
        from BATNetLib.annotation.caselock import CaseLock
        from BATNetLib.errors import BATNetError

        try:
            session.lock = CaseLock(session.store, session.case, session.reader).acquire(force=True)
            session.why_not = ""
        except BATNetError as error:
            session.why_not = f"{error.found} {error.remedy}"
        self._editable_changed()
        self.saver.save()

    # --- saving and finishing
    def save(self) -> None:
        """Save now what has changed."""
        if self.session is not None and not self.session.dirty:
            self.say(_("Nothing has changed since the last save."))
        self.saver.save()

    def done(self) -> None:
        """The read is finished: save it as done and open the next one that is not."""
        session = self.session
        if session is None or not session.editable:
            return

        def saved(ok: bool) -> None:
            if not ok:
                return
            item = self.list.next(("open", "draft", "flagged"))
            if item is not None:
                self.open_case(item)
            else:
                self.say(_("Done. No case after this one is left to do."))

        self.saver.save("done", saved, even_if_same=True)

    def lock(self) -> None:
        """End the read for good."""
        session = self.session
        if session is None or not session.editable or self._locking is not None:
            return
        question = _(
            "Lock this read as final? It can then be compared with others, and no longer be changed."
        )
        if not self.ask(question):
            return

        store, case, reader = session.store, session.case, session.reader

        def saved(ok: bool) -> None:
            if ok:
                self._locking = Background(lambda: store.lock_final(case, reader), locked, failed)

        def locked(version: Any) -> None:
            self._locking = None
            session.version, session.final, session.status = version.number, True, "done"
            session.why_not = _("The read is final: it was locked. It can be looked at, not changed.")
            self.list.refresh(session.case)
            self._editable_changed()

        def failed(error: Exception) -> None:
            self._locking = None
            self.say(failure_of(error).text)

        self.saver.save("done", saved, even_if_same=True)

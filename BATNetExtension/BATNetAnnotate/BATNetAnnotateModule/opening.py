"""Opening a case: the engine reads its files into a scratch folder, Slicer shows them; the next one ahead.

Nothing of a case is decoded in Slicer itself, so a damaged file cannot take Slicer with it, and the window
answers while a scan is read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from BATNetSlicer.background import Background
from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from .casenodes import add_reader, make_nodes, show, volume_node
from .reading import Held, Loaded, Reading
from .saver import failure_of
from .session import Session

_SCRATCH = "BATNet-ahead-"
#: Scratch folders that a killed Slicer left behind are removed after so many seconds.
_ABANDONED = 2 * 86400.0


class Opener:
    """One case at a time. ``runner()`` starts the engine; ``progress(share or None, words)`` tells the user.

    ``volumes``: case to (CT node, PET node, fat, brown), for cases that are loaded already: nodes of the
    scene, the masks as (segmentation node, segment id) or None.
    """

    def __init__(
        self, runner: Callable[[], JobRunner], progress: Callable[[float | None, str], None]
    ) -> None:
        self._runner, self._progress = runner, progress
        self._job: RunningJob | None = None
        self._leaving: RunningJob | None = None
        self._listener: _Listener | None = None
        self._reading: str | None = None
        self._waiting: Callable[[Failure | None], None] | None = None
        self._work: Background | None = None
        self._wanted = 0
        self.volumes: dict[str, tuple[Any, Any]] = {}
        self._scratch: Path | None = None

    @property
    def scratch(self) -> Path:
        """Where cases are read ahead to, for this Slicer alone."""
        if self._scratch is None:
            home = Path(slicer.app.temporaryPath)
            _sweep(home)
            self._scratch = home / f"{_SCRATCH}{os.getpid()}"
        return self._scratch

    # --- opening
    def open(
        self,
        item: Any,
        store: Any,
        reader: str,
        *,
        from_dataset: bool,
        force: bool = False,
        start_over: bool = False,
        compared: dict[str, int] | None = None,
        done: Callable[[Session, list[str]], None],
        failed: Callable[[Failure], None],
    ) -> None:
        """Read ``item`` and show it; one of ``done`` and ``failed`` is called, unless another one is opened.

        ``force``: take the case over where it is locked. ``start_over``: leave the reader's versions aside.
        ``compared``: reader to version: show their masks instead, to be looked at only.
        """
        self._wanted += 1
        wanted = self._wanted
        asked: list[bool] = []
        if self._work is not None:
            self._work.stop()

        def read(failure: Failure | None = None) -> None:
            if wanted != self._wanted:
                return
            if failure is not None:
                failed(failure)
                return
            self._progress(None, _("Loading {case} ...").format(case=item.case))
            node = self.volumes.get(item.case)
            held = Held(node) if node is not None else None
            work = Reading(item, store, reader, self.scratch, held, from_dataset, force, start_over, compared)
            self._work = Background(work.run, loaded, not_loaded)

        def loaded(outcome: Loaded | None) -> None:
            self._work = None
            if wanted != self._wanted:
                _let_go(outcome)
                return
            if outcome is None and not asked:  # not read ahead yet
                asked.append(True)
                self._prepare(item, read)
                return
            if outcome is None:
                failed(not_kept(item.case))
                return
            try:
                session = self._show(item, store, reader, outcome)
            except Exception as error:
                _let_go(outcome)
                failed(failure_of(error))
                return
            done(session, outcome.notes)

        def not_loaded(error: Exception) -> None:
            self._work = None
            if wanted == self._wanted:
                failed(failure_of(error))

        read()

    def _show(self, item: Any, store: Any, reader: str, loaded: Loaded) -> Session:
        given = self.volumes.get(item.case)
        if given is not None:
            ct, pet = given
            own: list[Any] = []
        else:
            ct = volume_node(_("{case} CT").format(case=item.case), loaded.ct, loaded.affine)
            pet = None
            own = [ct]
            if loaded.pet is not None:
                pet = volume_node(_("{case} PET").format(case=item.case), *loaded.pet)
                own.append(pet)
        nodes = make_nodes(item.case, ct, loaded.fat, loaded.brown, pet, own)
        for number, (name, mask) in enumerate(loaded.others.items()):
            add_reader(nodes, name, mask, number)
        show(nodes)
        session = Session(item, store, reader, nodes)
        session.lock, session.why_not, session.final = loaded.lock, loaded.why_not, loaded.final
        session.began_from, session.fat_edited = loaded.began_from, loaded.fat_edited
        session.fingerprint = loaded.fingerprint
        session.compared = bool(loaded.others)
        session.fat_before = loaded.fat
        session.pet = loaded.pet_volume if loaded.pet_unit == "SUVbw" else None
        session.pet_of_unknown_unit = loaded.pet_volume if loaded.pet_unit != "SUVbw" else None
        _remember(session, loaded.rescued or loaded.version)
        if loaded.rescued is not None:
            session.version = None if loaded.version is None else loaded.version.number
            session.changes = 1
        return session

    def give_up(self) -> None:
        """Nothing that is being read is shown any more."""
        self._wanted += 1
        self._waiting = None

    # --- the engine
    def ahead(self, item: Any, keep: list[str]) -> None:
        """Read a case ahead, if nothing else is read now."""
        if self._job is None and item is not None and item.case not in self.volumes:
            self._start(item, keep)

    def _prepare(self, item: Any, then: Callable[[Failure | None], None]) -> None:
        self._progress(0.0, _("Reading {case} ...").format(case=item.case))
        self._waiting = then
        if self._job is not None and self._reading == item.case:
            return  # it is being read ahead just now
        self._end_job()
        self._waiting = then
        self._start(item, [item.case])

    def _start(self, item: Any, keep: list[str]) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        words = read_ahead_words(item, self.scratch, keep)
        self._reading = item.case
        self._listener = _Listener(self)
        self._job = self._runner().start(words, self._listener)

    def _stage(self, progress: Progress) -> None:
        if self._waiting is not None:
            self._progress(progress.fraction, _("Reading {case} ...").format(case=self._reading))

    def _over(self, failure: Failure | None) -> None:
        self._job = self._reading = None
        then, self._waiting = self._waiting, None
        if then is not None:
            then(failure)

    def _end_job(self) -> None:
        job, self._job = self._job, None
        self._waiting = self._listener = None
        if job is not None:
            job.cancel()
            self._leaving = job  # kept until the next one, so that it ends in its own time

    def close(self) -> None:
        """Nothing is left running, and nothing on the disk."""
        self._wanted += 1
        job, self._job = self._job, None
        self._waiting = self._listener = None
        if job is not None:
            job.close()
        if self._work is not None:
            self._work.stop()
            self._work = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
        self.volumes = {}


def _remember(session: Session, version: Any) -> None:
    """What the newest version says of the read goes on with it."""
    from BATNetLib.annotation.record import no_scores
    from BATNetLib.errors import InputRefused
    from BATNetLib.symmetry import MirrorPlane

    session.scores = no_scores()
    if version is None or version.record is None:
        return
    record = version.record
    session.version, session.status = version.number, record.status
    session.criterion, session.comment, session.flagged = record.criterion, record.comment, record.flagged
    session.scores = {depot: dict(sides) for depot, sides in record.scores.items()}
    if record.midplane:
        with contextlib.suppress(InputRefused):
            session.plane = MirrorPlane.from_dict(record.midplane)


def _let_go(loaded: Loaded | None) -> None:
    if loaded is not None and loaded.lock is not None:
        loaded.lock.release()


def not_kept(case: str) -> Failure:
    """The engine has read a case, and what it read is not there."""
    return Failure(
        "read-ahead-gone",
        _("What was read of {case} is not there any more, or its files change all the time.").format(
            case=case
        ),
        _("A case is shown from what was read of it."),
        _("Open it again."),
    )


def read_ahead_words(item: Any, scratch: Path, keep: list[str]) -> list[str]:
    """What the engine is called with to read a case ahead."""
    note = scratch / "item.json"
    note.write_text(item.as_json(), encoding="utf-8")
    return ["annotate", "read-ahead", "--item", str(note), "--scratch", str(scratch), "--keep", *keep]


def _sweep(home: Path) -> None:
    with contextlib.suppress(OSError):
        for folder in home.glob(f"{_SCRATCH}*"):
            if time.time() - folder.stat().st_mtime > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)


class _Listener(JobListener):
    """Listens to one job; what a job says that was given up is not heard any more."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._failure: Failure | None = None

    def stage(self, progress: Progress) -> None:
        if self._opener._listener is self:
            self._opener._stage(progress)

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        if state.is_over and self._opener._listener is self:
            self._opener._over(self._failure)

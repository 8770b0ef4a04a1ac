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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from BATNetSlicer.background import Background
from BATNetSlicer.geometry import ijk_to_ras, size_of, voxels
from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.masks import Cropped, cropped
from BATNetSlicer.texts import _

from . import disputes
from .arrays import Lattice
from .casenodes import add_reader, make_nodes, show, volume_node
from .rawfiles import read_raw
from .saver import failure_of
from .session import Session

_SCRATCH = "BATNet-ahead-"
#: Scratch folders that a killed Slicer left behind are removed after so many seconds.
_ABANDONED = 2 * 86400.0


@dataclass
class Loaded:
    """What a thread has read of a case; arrays [k, j, i] on the CT's voxels."""

    ct: np.ndarray | None = None
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    fat: Cropped | None = None
    brown: Cropped | None = None
    pet: tuple[np.ndarray, np.ndarray] | None = None
    pet_volume: Any = None
    pet_unit: str | None = None
    began_from: str = "empty"
    fat_edited: bool = False
    fingerprint: str | None = None
    version: Any = None
    lock: Any = None
    why_not: str = ""
    final: bool = False
    notes: list[str] = field(default_factory=list)
    others: dict[str, Cropped] = field(default_factory=dict)


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
            held = _Held(node) if node is not None else None
            work = _Reading(
                item, store, reader, self.scratch, held, from_dataset, force, start_over, compared
            )
            self._work = Background(work.run, loaded, not_loaded)

        def loaded(outcome: Loaded | None) -> None:
            self._work = None
            if wanted != self._wanted:
                _let_go(outcome)
                return
            if outcome is None:  # not read ahead yet
                self._prepare(item, read)
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
        session.pet = loaded.pet_volume if loaded.pet_unit == "SUVbw" else None
        session.pet_of_unknown_unit = loaded.pet_volume if loaded.pet_unit != "SUVbw" else None
        _remember(session, loaded.version)
        return session

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
        self._job = self._runner().start(words, _Listener(self))

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
        self._waiting = None
        if job is not None:
            job.cancel()
            self._leaving = job  # kept until the next one, so that it ends in its own time

    def close(self) -> None:
        """Nothing is left running, and nothing on the disk."""
        self._wanted += 1
        job, self._job = self._job, None
        self._waiting = None
        if job is not None:
            job.close()
        if self._work is not None:
            self._work.stop()
            self._work = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
        self.volumes = {}


class _Held:
    """The voxels of nodes that are in the scene already, for the thread."""

    def __init__(self, nodes: tuple[Any, Any]) -> None:
        ct, pet = nodes
        self.hu, self.affine = voxels(ct.GetImageData()), ijk_to_ras(ct)
        self.size = size_of(ct)
        self.pet = None if pet is None else (voxels(pet.GetImageData()), ijk_to_ras(pet))


@dataclass
class _Reading:
    """What runs in the thread: lock, prepared files, the reader's newest version."""

    item: Any
    store: Any
    reader: str
    scratch: Path
    held: _Held | None
    from_dataset: bool
    force: bool
    start_over: bool
    compared: dict[str, int] | None = None

    def run(self) -> Loaded | None:
        """None where the case was not read ahead yet."""
        from BATNetLib.annotation.readahead import find_prepared
        from BATNetLib.errors import InputRefused

        loaded = Loaded()
        if self.held is not None:
            loaded.affine = self.held.affine
            shape = self.held.hu.shape
            if self.held.pet is not None:
                loaded.pet_volume = Lattice(self.held.pet[1], self.held.pet[0].shape).volume(self.held.pet[0])
        else:
            prepared = find_prepared(self.item, self.scratch)
            if prepared is None:
                return None
            try:
                self._read_prepared(prepared, loaded)
            except InputRefused as error:
                if error.code != "prepared-damaged":
                    raise
                shutil.rmtree(prepared.folder, ignore_errors=True)
                return None
            shape = loaded.ct.shape
        if self.compared is not None:
            loaded.brown = None
            loaded.others = disputes.shown_masks(self.store, self.item.case, self.compared)
            loaded.why_not = _(
                "Shown with the masks of the readers that are compared; nothing is painted here."
            )
            return loaded
        self._read_version(loaded, shape)
        self._lock(loaded)
        return loaded

    def _read_prepared(self, prepared: Any, loaded: Loaded) -> None:
        loaded.ct, loaded.affine = read_raw(prepared.files["ct"])
        facts = prepared.facts
        loaded.fingerprint = facts.get("ct")
        for role, refusal in (facts.get("refused") or {}).items():
            loaded.notes.append(
                _("{role}: {why}").format(
                    role=role_words(role),
                    why=" ".join(str(refusal.get(part, "")) for part in ("found", "remedy")),
                )
            )
        if "suv" in prepared.files:
            loaded.pet = read_raw(prepared.files["suv"])
            loaded.pet_volume = Lattice(loaded.pet[1], loaded.pet[0].shape).volume(loaded.pet[0])
            loaded.pet_unit = facts.get("suv")
        origins = facts.get("origins") or {}
        if "adipose" in prepared.files:
            loaded.fat = cropped(read_raw(prepared.files["adipose"])[0].view(bool))
            loaded.fat_edited = origins.get("adipose") == "hu-threshold"
            if loaded.fat_edited:
                loaded.notes.append(
                    _("The case has no mask of adipose tissue; it was found by its range of HU.")
                )
        if "brown" in prepared.files and self.from_dataset:
            loaded.brown = cropped(read_raw(prepared.files["brown"])[0].view(bool))
            loaded.began_from = str(origins.get("brown") or "dataset mask")

    def _read_version(self, loaded: Loaded, shape: tuple[int, ...]) -> None:
        from BATNetLib.annotation.grids import to_slicer
        from BATNetLib.errors import InputRefused

        store, case, reader = self.store, self.item.case, self.reader
        version = store.newest(case, reader)
        damaged = [v for v in store.versions(case, reader) if version is None or v.number > version.number]
        if damaged:
            names = ", ".join(version.name for version in damaged)
            loaded.notes.append(
                _("Damaged and left aside: {names}. The version before is used.").format(names=names)
            )
        loaded.final = store.is_locked(case, reader)
        if version is None:
            return
        loaded.version = version
        if self.start_over:
            return
        brown, adipose, record = store.read(version)
        array, affine = to_slicer(brown)
        if array.shape != tuple(shape) or np.abs(affine - loaded.affine).max() > 0.01:
            raise InputRefused(
                "ct-changed",
                _("The saved masks lie on other voxels than this CT."),
                _("A read goes on upon the CT that it was begun on."),
                _("Put the former CT back, or read this one under another name of the case."),
            )
        if record.ct and loaded.fingerprint and record.ct != loaded.fingerprint:
            loaded.notes.append(
                _("The CT has changed since the last save: its voxels differ. Check the masks.")
            )
        loaded.brown, loaded.began_from = cropped(array.view(bool)), record.edited_from
        if adipose is not None:
            loaded.fat, loaded.fat_edited = cropped(to_slicer(adipose)[0].view(bool)), True

    def _lock(self, loaded: Loaded) -> None:
        from BATNetLib.annotation.caselock import CaseLock
        from BATNetLib.errors import BATNetError

        if loaded.final:
            loaded.why_not = _("The read is final: it was locked. It can be looked at, not changed.")
            return
        try:
            loaded.lock = CaseLock(self.store, self.item.case, self.reader).acquire(force=self.force)
        except BATNetError as error:
            loaded.why_not = f"{error.found} {error.remedy}"


def _remember(session: Session, version: Any) -> None:
    """What the newest version says of the read goes on with it."""
    from BATNetLib.annotation.mirrorplane import MirrorPlane
    from BATNetLib.annotation.record import no_scores
    from BATNetLib.errors import InputRefused

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


def read_ahead_words(item: Any, scratch: Path, keep: list[str]) -> list[str]:
    """What the engine is called with to read a case ahead."""
    note = scratch / "item.json"
    note.write_text(item.as_json(), encoding="utf-8")
    return ["annotate", "read-ahead", "--item", str(note), "--scratch", str(scratch), "--keep", *keep]


def role_words(role: str) -> str:
    return {
        "adipose": _("Adipose mask"),
        "brown": _("Brown-fat mask"),
        "pet": _("PET"),
        "lungs": _("Lung mask"),
    }.get(role, role)


def _sweep(home: Path) -> None:
    with contextlib.suppress(OSError):
        for folder in home.glob(f"{_SCRATCH}*"):
            if time.time() - folder.stat().st_mtime > _ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)


class _Listener(JobListener):
    def __init__(self, opener: Opener) -> None:
        self._opener: Opener | None = opener
        self._failure: Failure | None = None

    def stage(self, progress: Progress) -> None:
        if self._opener is not None:
            self._opener._stage(progress)

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        opener = self._opener
        if not state.is_over or opener is None or opener._job is None:
            return
        self._opener = None
        if opener._job.state is state or opener._job.state.is_over:
            opener._over(self._failure)

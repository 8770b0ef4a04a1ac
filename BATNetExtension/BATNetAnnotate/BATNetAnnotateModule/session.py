"""The case that is open: its nodes, what was saved of it, what has changed since, and the time spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from BATNetSlicer.geometry import size_of
from BATNetSlicer.masks import Cropped

from .arrays import Lattice
from .casenodes import BROWN, FAT, CaseNodes
from .proposing import Scan

#: Nobody looks at a case for longer without moving the mouse or painting; what is longer is a break.
LONGEST_PAUSE = 60.0


class ActiveTime:
    """Seconds in which the reader did something; ``touch`` at every sign of that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self.seconds = 0.0

    def touch(self) -> None:
        now = self._clock()
        if self._last is not None and now - self._last <= LONGEST_PAUSE:
            self.seconds += now - self._last
        self._last = now

    def take_back(self, seconds: float) -> None:
        """So many seconds were written down."""
        self.seconds = max(0.0, self.seconds - seconds)


@dataclass(frozen=True)
class Snapshot:
    """A state of the work, apart from the scene: what a thread needs to write it."""

    case: str
    reader: str
    lattice: Lattice
    brown: Cropped
    fat: Cropped | None
    hu: np.ndarray
    fingerprint: str | None
    facts: Mapping[str, Any]
    seconds: float
    parent: int | None
    changes: int


@dataclass(eq=False, repr=False)
class Session:
    """``item``: of the work list. ``lock``: held while the case may be changed, else None, and ``why_not``
    says why. ``version``: newest one of this reader; ``began_from``: how the mask began. ``compared``: the
    masks of several readers are shown. ``plane_stands_in``: ``plane`` is the middle of the image only, and
    says nothing of sides until the user has moved it. ``fat_edited``: the read has an adipose mask of its
    own; ``fat_touched``: it may have changed since ``fat_before``, which undo says of all segments."""

    item: Any
    store: Any
    reader: str
    nodes: CaseNodes
    lock: Any = None
    why_not: str = ""
    version: int | None = None
    status: str = "draft"
    began_from: str = "empty"
    criterion: str | None = None
    scores: dict[str, dict[str, int | None]] = field(default_factory=dict)
    comment: str = ""
    flagged: bool = False
    final: bool = False
    compared: bool = False
    plane: Any = None
    plane_stands_in: bool = False
    pet: Any = None
    pet_of_unknown_unit: Any = None
    patient: Any = None
    fat_edited: bool = False
    fat_touched: bool = False
    fat_before: Cropped | None = None
    fingerprint: str | None = None
    changes: int = 0
    saved_changes: int = 0
    time: ActiveTime = field(default_factory=ActiveTime)
    lattice: Lattice = field(init=False)

    def __post_init__(self) -> None:
        i, j, k = size_of(self.nodes.ct)
        self.lattice = Lattice(self.nodes.affine, (k, j, i))

    @property
    def case(self) -> str:
        return str(self.item.case)

    @property
    def editable(self) -> bool:
        return self.lock is not None and not self.final

    @property
    def midplane(self) -> Any:
        """The plane between right and left, None where it is not known."""
        return None if self.plane_stands_in else self.plane

    @property
    def dirty(self) -> bool:
        return self.editable and self.changes != self.saved_changes

    def changed(self) -> None:
        """Something that is saved has changed: a finished read is a draft again."""
        self.changes += 1
        self.status = "draft"
        self.time.touch()

    def scan(self) -> Scan:
        """What proposals and copies look at; the fat as it is now."""
        return Scan(self.lattice, self.nodes.hu, self.nodes.mask(FAT), self.pet, self.patient)

    def snapshot(self, status: str | None = None) -> Snapshot:
        """The state now; ``status``: "done" where the reader says so."""
        facts = {
            "status": status or self.status,
            "flagged": self.flagged,
            "criterion": self.criterion,
            "scores": {depot: dict(sides) for depot, sides in self.scores.items()},
            "comment": self.comment,
            "edited_from": self.began_from,
            "midplane": self.midplane.as_dict() if self.midplane is not None else None,
        }
        fat = None
        if self.fat_edited or self.fat_touched:
            fat = _copied(self.nodes.mask(FAT))
            self.fat_edited = self.fat_edited or not _same(fat, self.fat_before)
        return Snapshot(
            case=self.case,
            reader=self.reader,
            lattice=self.lattice,
            brown=_copied(self.nodes.mask(BROWN)),
            fat=fat if self.fat_edited else None,
            hu=self.nodes.hu,
            fingerprint=self.fingerprint,
            facts=facts,
            seconds=self.time.seconds,
            parent=self.version,
            changes=self.changes,
        )


def write(store: Any, snapshot: Snapshot) -> tuple[Any, str]:
    """Save a snapshot as a new version; in a thread. Returns the version and the CT's fingerprint."""
    from BATNetLib.annotation.grids import fingerprint, from_slicer
    from BATNetLib.annotation.record import Record, this_software

    lattice = snapshot.lattice
    ct = snapshot.fingerprint or fingerprint(from_slicer(snapshot.hu, lattice.affine))
    record = Record(
        **snapshot.facts,
        seconds=round(snapshot.seconds, 1),
        ct=ct,
        software=this_software() | {"3D Slicer": str(slicer.app.applicationVersion)},
    )
    version = store.save(
        snapshot.case,
        snapshot.reader,
        lattice.volume(lattice.whole(snapshot.brown)),
        adipose=None if snapshot.fat is None else lattice.volume(lattice.whole(snapshot.fat)),
        record=record,
        parent=snapshot.parent,
    )
    return version, ct


def _same(one: Cropped, other: Cropped | None) -> bool:
    """Whether two masks mark the same voxels."""
    if other is None or not one.array.size or not other.array.size:
        return not one.array.size and (other is None or not other.array.size)
    return one.start == other.start and np.array_equal(one.array, other.array)


def _copied(mask: Cropped) -> Cropped:
    return Cropped(mask.array.copy(), mask.start)

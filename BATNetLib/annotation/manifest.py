"""The manifest of a store: each CT with the newest mask of the reads that were chosen, ready to train on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..dataset.cases import VOLUMES, Dataset, TrainingCase
from ..dataset.manifest import write_manifest
from ..errors import UsageError
from ..volume import Grid, Source, Volume
from ..workfiles import whole_file
from .keys import folder_key
from .maskfile import write_mask
from .record import FILES
from .scanfile import is_array_file, read_place
from .store import Store
from .versions import Version
from .worklist import WorkItem, WorkList

MANIFEST_NAME = "dataset.csv"
#: Where masks lie that had to be written anew for training; no case has such a key.
_COPIES = "_arrays"
#: The reader that adjudicated masks are kept under.
ADJUDICATED = "adjudicated"


@dataclass(frozen=True)
class Exported:
    """What a manifest is made of. ``chosen``: case to (reader, version number). ``left_out``: case to why."""

    path: Path
    chosen: dict[str, tuple[str, int]]
    left_out: dict[str, str]


def export_manifest(
    worklist: WorkList,
    readers: Sequence[str] = (),
    *,
    path: Path | None = None,
    drafts: bool = False,
    with_open: bool = False,
) -> Exported:
    """Write ``dataset.csv`` of the store (or ``path``), which training and ``batnet dataset`` read as it is.

    ``readers``: whose read counts, the first one who has a finished read of the case; by default
    the adjudicated read, then that of the work list's reader. ``drafts``: unfinished reads count too.
    ``with_open``: cases without a read are listed as well, without a brown-fat mask. The adipose mask is the
    read's own where it has one, else the dataset's. Paths are relative to the manifest, which appears whole.

    Raises ``UsageError`` ("nothing-to-export") where no case has such a read; ``OutputRefused``.
    """
    store = worklist.store
    wanted = list(readers) or [ADJUDICATED, worklist.reader]
    chosen: dict[str, tuple[str, int]] = {}
    left_out: dict[str, str] = {}
    rows: list[TrainingCase] = []
    for item in worklist.items:
        if item.refusal is not None:
            left_out[item.case] = item.refusal.code
            continue
        reader, version = chosen_read(store, item, wanted, drafts=drafts)
        if version is not None and reader is not None:
            chosen[item.case] = (reader, version.number)
        elif not with_open:
            left_out[item.case] = "no finished read" if not drafts else "no read"
            continue
        rows.append(_row(item, version, store))
    if not chosen:
        raise UsageError(
            "nothing-to-export",
            "No case of the list has a read that counts.",
            "At least one finished read is needed; drafts count only when they are asked for.",
            "Finish a case, name other readers, or include drafts.",
        )
    place = path or store.root / MANIFEST_NAME
    if not worklist.patients_known:
        rows = [replace(row, patient="") for row in rows]  # nothing is claimed that nobody said
    write_manifest(Dataset(worklist.name, tuple(rows)), place)
    return Exported(place, chosen, left_out)


def chosen_read(
    store: Store, item: WorkItem, readers: Collection[str], *, drafts: bool = False
) -> tuple[str | None, Version | None]:
    """The first reader of ``readers`` with a whole, finished newest version (``drafts``: any), and it."""
    for reader in readers:
        version = store.newest(item.case, reader)
        if version is not None and version.record is not None and (drafts or version.record.finished):
            return reader, version
    return None, None


def _row(item: WorkItem, version: Version | None, store: Store) -> TrainingCase:
    case = item.as_training_case()
    files = {role: path for role, path in case.files.items() if role != "brown"}
    if version is not None:
        files |= _masks(item, version, store)
    return replace(case, files=files, layout=VOLUMES)


def _masks(item: WorkItem, version: Version, store: Store) -> dict[str, Path]:
    """Role to mask of a version as it lies beside its CT."""
    own = {role: path for role in FILES if (path := version.file(role)) is not None}
    place = read_place(item.files["ct"])
    if place is None or not is_array_file(item.files["ct"], place[1], item.axes):
        return own
    # The CT is an array file of the authors without a place in the patient: a mask beside it has to be one
    # as well, while the version keeps the place that it was painted at.
    brown, adipose, _ = store.read(version)
    copies = {}
    for role, mask in (("brown", brown), ("adipose", adipose)):
        if mask is not None:
            path = store.root / _COPIES / folder_key(item.case) / FILES[role]
            source = Source(Grid(mask.grid.shape, place[1]), (0, 1, 2), (False, False, False))
            with whole_file(path) as beside:
                write_mask(Volume(mask.array, mask.grid, source), beside)
            copies[role] = path
    return copies

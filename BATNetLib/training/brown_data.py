"""Labelled patches to train stage 2 on: made from scans with masks, or prepared beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..batch.folders import LEFT_PATCH, RIGHT_PATCH
from ..batch.names import kept_names
from ..batch.patchcase import read_patches
from ..brown.patches import PAIR_BLOCKS, Patches, case_label
from ..dataset.cases import Dataset, TrainingCase
from ..dataset.layouts import PATCH_FILES
from ..dataset.patchfiles import read_labels, read_note, stale
from ..dataset.prepare import prepare_patches
from ..errors import BATNetError, InputRefused
from ..events import Events
from .brown_masks import with_masks

if TYPE_CHECKING:
    from ..models import LoadedModel

#: Patches of a case.
PATCHES = 2 * len(PAIR_BLOCKS)
#: Bytes of patches that are kept in memory; cases beyond are read again each time.
MEMORY = 4 << 30
_NAMED = 5


@dataclass(frozen=True)
class LabelledCase:
    """A case with its patches on disk. ``labels``: int8 [32], authors' order, of -1 (ignored), 0, 1;
    ``label``: 1 when any patch is positive; ``bins``: those of the split, such as "brown fat: little"."""

    case: str
    patient: str
    folder: Path
    labels: np.ndarray
    label: int
    bins: tuple[str, ...] = ()


@dataclass(frozen=True)
class CasePatches:
    """Values of a case. ``ct``: float32 or float16 [32, 32, 32, 32] in [-0.5, 0.5] (patch in the authors'
    order, slice, row, column); ``mask``: bool of the same shape, adipose tissue."""

    ct: np.ndarray
    mask: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.ct.nbytes + self.mask.nbytes


def labelled_cases(
    dataset: Dataset,
    names: Sequence[str],
    place: Path,
    events: Events,
    bins: Mapping[str, tuple[str, ...]] | None = None,
    *,
    segmenter: LoadedModel | None = None,
    device: str = "auto",
) -> list[LabelledCase]:
    """The cases called ``names`` that can teach stage 2, in the same order, with patches that belong to their
    scans and masks as they are now.

    Scans with an adipose and a brown-fat mask get their patches in the folder ``place``, where fresh ones are
    kept and stale ones made again; patches that lie beside a scan are used only when they are not stale.
    Lungs are found where there is no mask of them; with ``segmenter``, a model of stage 1 that runs on
    ``device``, its masks are used in place of the true ones and no patches but those made here.
    Patches without a scan are taken as they are, with a warning where nothing tells what they were made from,
    and 255 of the published code is read as the -1 that it was. Cases without a brown-fat mask are left out
    with a warning: they can teach stage 1 only.

    Raises ``InputRefused``: cases whose files cannot be used ("cases-refused", naming them).
    """
    by_name = {case.case: case for case in dataset.cases}
    cases = [by_name[name] for name in names]
    given = {
        case.case: folder
        for case in cases
        if (segmenter is None or not case.has_scan) and (folder := _given(case, events)) is not None
    }
    without = [c.case for c in cases if c.case not in given and "brown" not in c.files and c.refusal is None]
    if without:
        events.warning(
            "cases-without-brown",
            f"{_count(without)} without a brown-fat mask: left out of the training of stage 2.",
        )
    cut = [case for case in cases if case.case not in {*given, *without}]
    made = {}
    if cut:
        cut = with_masks(cut, place / "masks", events, segmenter, device)
        made = _prepared(replace(dataset, cases=tuple(cut)), place / "patches", events)
    found: list[LabelledCase] = []
    refused: dict[str, BATNetError] = {}
    for case in cases:
        events.check()
        folder = given.get(case.case) or made.get(case.case)
        if folder is None:
            continue
        try:
            labels = _labels(folder, case.case in given, events)
        except InputRefused as error:
            refused[case.case] = error
        else:
            own = tuple((bins or {}).get(case.case, ()))
            found.append(LabelledCase(case.case, case.patient, folder, labels, case_label(labels), own))
    _refuse(refused)
    _tell_uncut([case for case in found if case.case in given], events)
    return found


class PatchMemory:
    """Patches of cases, read once as far as memory is allowed to hold them.

    ``limit``: bytes. The first cases that are asked for stay and the others are read each time: in an epoch
    every case comes once, so exchanging the oldest would keep none.
    """

    def __init__(self, limit: int = MEMORY) -> None:
        self._limit, self._held = limit, 0
        self._kept: dict[Path, CasePatches] = {}

    def read(self, case: LabelledCase) -> CasePatches:
        """Raises ``InputRefused`` where the files have vanished or are damaged."""
        found = self._kept.get(case.folder)
        if found is None:
            found = as_values(read_patches(case.folder / LEFT_PATCH, case.folder / RIGHT_PATCH), case.folder)
            if self._held + found.nbytes <= self._limit:
                self._kept[case.folder] = found
                self._held += found.nbytes
        return found


def as_values(patches: Patches, folder: Path | None = None) -> CasePatches:
    """Both sides one after the other, small in memory without changing a value."""
    both = np.concatenate([patches.left, patches.right])
    ct = both[:, 0]
    # Kept with half precision by 'dataset patches': the same numbers in half of the room.
    if folder is not None and (read_note(folder) or {}).get("precision") == "float16":
        ct = ct.astype(np.float16)
    return CasePatches(np.ascontiguousarray(ct), both[:, 1] > 0)


def _given(case: TrainingCase, events: Events) -> Path | None:
    """The folder of patches that a case brings along and that can be used; None where they must be made."""
    if not all(role in case.files for role in PATCH_FILES):
        return None
    folder = case.files["left"].parent
    if any(case.files[role] != folder / name for role, name in PATCH_FILES.items()):
        return None
    if not case.has_scan:
        return folder
    # Beside a scan, patches that cannot be proved to belong to it are made anew, elsewhere.
    return folder if stale(folder, case, events) is None else None


def _prepared(dataset: Dataset, prepared: Path, events: Events) -> dict[str, Path]:
    result = prepare_patches(dataset, prepared, events=events)
    again = sorted(case for case, why in result.made.items() if why != "new")
    if again:
        events.warning("patches-stale", f"{_count(again)} had patches that were stale: made again.")
    _refuse(result.refused)
    folders = kept_names([case.as_found() for case in dataset.cases])
    return {case.case: prepared / folders[case.case] for case in dataset.cases}


def _labels(folder: Path, given: bool, events: Events) -> np.ndarray:
    """int8 [32]. Patches that were given without a scan are looked at here for the first time."""
    names = [PATCH_FILES["left_label"], PATCH_FILES["right_label"]]
    if given and read_note(folder) is None:
        events.warning(
            "patches-unproved",
            "Some patches come without a note of what they were made from: they are taken as they are. "
            "Patches made by 'batnet dataset patches' are checked against their scans.",
        )
        return np.concatenate([read_labels(folder / name, repair=True) for name in names])
    if given and (why := stale(folder)) is not None:
        raise InputRefused(
            "patches-stale",
            why,
            "Patches must be as they were when their labels were made.",
            "Make them again from the scans with 'batnet dataset patches'.",
        )
    return np.concatenate([read_labels(folder / name) for name in names])


def _tell_uncut(cases: Sequence[LabelledCase], events: Events) -> None:
    """Warn of prepared patches that reach below the lungs' cut plane, where an analysis does not look."""
    notes = {case.case: read_note(case.folder) for case in cases}
    uncut = [name for name, note in notes.items() if note is not None and note.get("cut") is None]
    if uncut:
        events.warning(
            "patches-uncut",
            f"The patches of {_count(uncut)} were cut without a lung mask: they are laid over all fat of the "
            "scan, not over that above the lungs' cut plane. Training from the scans finds the lungs.",
        )


def _refuse(refused: Mapping[str, BATNetError]) -> None:
    if not refused:
        return
    first = next(iter(refused.values()))
    raise InputRefused(
        "cases-refused",
        f"{_count(list(refused))} cannot be trained on. The first: {first.found}",
        first.wanted,
        f"{first.remedy} 'batnet dataset check' tells of all; a new split leaves out what it refuses.",
    )


def _count(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{len(names)} case{'' if len(names) == 1 else 's'} ({listed})"

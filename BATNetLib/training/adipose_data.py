"""Slices with masks to train stage 1 on: from volumes or PNG slices, windowed once, kept small.

Every case becomes uint8 slices and a mask of 0 and 1, [slice, row, column] in canonical axes. They stay in
memory up to a limit; beyond it, and for several processes, they are files beside the run that the system
maps into memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..adipose.slabs import slab_indices, window_to_uint8
from ..dataset.cases import TrainingCase
from ..dataset.findings import CaseFacts
from ..dataset.inner import Inner, in_order
from ..dataset.leaks import same_pixels
from ..dataset.pixels import hash_planes
from ..dataset.scans import read_scan
from ..dataset.slices import read_slices
from ..errors import InputRefused
from ..events import Events
from ..workfiles import whole_file
from .contract import Workspace

#: Cases read at the same time.
_READERS = 2
#: Why a case is left out with a warning where others remain; any other refusal ends the training.
_LEFT_OUT = ("adipose-missing", "mask-empty", "too-few-slices")


@dataclass(frozen=True)
class CaseSlices:
    """``images``: windowed CT, ``mask``: 1 = adipose tissue; both uint8 [slice, row, column]. ``slabs``:
    slices of each slab [slice, 5]."""

    name: str
    images: np.ndarray
    mask: np.ndarray
    slabs: np.ndarray


def load_cases(
    cases: Sequence[TrainingCase], part: str, limit_gb: float, workspace: Workspace, events: Events
) -> list[CaseSlices]:
    """Read cases with their adipose masks, in their order.

    ``part``: what they are called in messages ("training"). ``limit_gb``: memory for all of them. Cases
    without a mask, with an empty one or with fewer than 4 slices are left out with a warning.

    Raises ``InputRefused``: a file that is gone or cannot be read, "nothing-to-train" where none remains.
    """
    found: list[CaseSlices | InputRefused]
    reader = _Reader(limit_gb, workspace, events)
    if workspace.world > 1 and not workspace.writes:
        # The first process writes the files that all map.
        workspace.barrier()
    with events.stage(f"read {part} cases", len(cases)) as stage:
        found = in_order(reader.read, cases, _READERS if len(cases) > 3 else 1, stage)
    if workspace.world > 1 and workspace.writes:
        workspace.barrier()
    left_out = [entry for entry in found if isinstance(entry, InputRefused)]
    if left_out:
        codes = ", ".join(sorted({error.code for error in left_out}))
        events.warning(
            "cases-left-out",
            f"{len(left_out)} of {len(cases)} {part} cases are left out ({codes}); 'batnet dataset check' "
            "tells which.",
        )
    usable = [entry for entry in found if isinstance(entry, CaseSlices)]
    if not usable:
        raise InputRefused(
            "nothing-to-train" if part == "training" else "nothing-to-validate",
            f"None of the {len(cases)} {part} cases has a usable adipose mask.",
            "Stage 1 needs scans or slices with adipose masks in both parts of the split.",
            "See 'batnet dataset check --stage adipose', then split again.",
        )
    return usable


def require_no_common_pixels(
    training: Sequence[CaseSlices],
    validation: Sequence[CaseSlices],
    cases: Sequence[TrainingCase],
    events: Events,
) -> None:
    """Refuse the same images in training and validation, whatever they are called.

    Raises ``InputRefused`` ("pixels-in-two-splits").
    """
    by_name = {case.case: case for case in cases}
    facts = []
    with events.stage("compare images", len(training) + len(validation)) as stage:
        for slices, part in [*((s, "train") for s in training), *((s, "validation") for s in validation)]:
            case = replace(by_name[slices.name], split=part)
            facts.append(CaseFacts(case, planes=hash_planes(slices.images, events)))
            stage.advance()
    common = [f for f in same_pixels(facts) if f.code == "pixels-in-two-splits"]
    if common:
        raise InputRefused(
            "pixels-in-two-splits",
            f"{len(common)} pairs of cases show the same images, one in training and one in validation.",
            "What is validated on must not have been trained on.",
            "See 'batnet dataset check --split' for their names; take copies out and split again.",
        )


class _Reader:
    """Reads cases, from its own files where they are there already."""

    def __init__(self, limit_gb: float, workspace: Workspace, events: Events) -> None:
        self._left = limit_gb * 2**30
        self._workspace = workspace
        self._events = events

    def read(self, case: TrainingCase) -> CaseSlices | InputRefused:
        events = Inner(self._events, tell=False)
        events.check()
        base = self._base(case)
        stored = _mapped(base) if base is not None else None
        if stored is None:
            try:
                stored = _from_source(case, events)
            except InputRefused as error:
                if error.code not in _LEFT_OUT:
                    raise
                return error
            stored = self._kept(stored, base)
        return CaseSlices(case.case, *stored, slab_indices(len(stored[0])))

    def _kept(
        self, stored: tuple[np.ndarray, np.ndarray], base: Path | None
    ) -> tuple[np.ndarray, np.ndarray]:
        size = sum(array.nbytes for array in stored)
        if base is None or (self._workspace.world == 1 and size <= self._left):
            self._left -= size
            return stored
        if not self._workspace.writes:
            # The first process left this case out of its files; reading again must not end differently.
            return stored
        for array, path in zip(stored, _files(base), strict=True):
            with whole_file(path) as tmp, tmp.open("wb") as file:
                np.save(file, array)
        return _mapped(base) or stored

    def _base(self, case: TrainingCase) -> Path | None:
        """Where the files of a case would be: named by what its sources are now. None without a cache."""
        if self._workspace.cache is None:
            return None
        marks: list[object] = [case.case, case.axes, case.series]
        for role in ("ct", "adipose", "slices", "slice_masks"):
            if role in case.files:
                marks.append([role, *_marks(case.files[role], case.members if role == "ct" else ())])
        return self._workspace.cache / hashlib.sha256(json.dumps(marks).encode()).hexdigest()[:24]


def _from_source(case: TrainingCase, events: Events) -> tuple[np.ndarray, np.ndarray]:
    if case.has_slices:
        images, mask = read_slices(case, events)
    elif case.has_scan and "adipose" in case.files:
        scan = read_scan(case, ["adipose"], events)
        assert scan.adipose is not None
        images, mask = window_to_uint8(scan.ct.array), scan.adipose.array
    else:
        raise InputRefused(
            "adipose-missing",
            "A case has no adipose mask.",
            "Stage 1 is trained on a CT with its adipose mask.",
            "Add the mask, or leave the case out.",
        )
    slab_indices(len(images))  # refuses fewer than 4 slices
    if not mask.any():
        raise InputRefused(
            "mask-empty",
            "The adipose mask of a case is empty.",
            "Nobody is without fat.",
            "Give the mask of this scan, or take the case out.",
        )
    return np.ascontiguousarray(images), np.ascontiguousarray(mask)


def _marks(path: Path, members: Sequence[str]) -> list[object]:
    """Name, size and time of a file, or of the files of a folder. Raises ``InputRefused`` "data-vanished"."""
    try:
        if not path.is_dir():
            return _mark(path)
        files = (
            [path / name for name in members] if members else sorted(p for p in path.iterdir() if p.is_file())
        )
        return [mark for file in files for mark in _mark(file)]
    except OSError as error:
        raise InputRefused(
            "data-vanished",
            f"'{path.name}' of a case is not there any more.",
            "The data must stay where they were when the training began.",
            "Connect the drive or put the file back, then go on with 'batnet train resume'.",
        ) from error


def _mark(file: Path) -> list[object]:
    facts = file.stat()
    return [file.name, facts.st_size, facts.st_mtime_ns]


def _files(base: Path) -> tuple[Path, Path]:
    return base.with_name(base.name + "-ct.npy"), base.with_name(base.name + "-mask.npy")


def _mapped(base: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The files of a case mapped into memory; None where they are not whole."""
    try:
        images, mask = (np.load(path, mmap_mode="r") for path in _files(base))
    except (OSError, ValueError):
        return None
    return (images, mask) if images.shape == mask.shape else None

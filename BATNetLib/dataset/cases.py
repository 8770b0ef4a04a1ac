"""What a set of training data is made of: cases with their patient, centre, split and files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..batch.cases import CT, Case, PassedOver
from ..errors import InputRefused, UsageError

#: How the data of a case lies on disk.
VOLUMES, FOLDERS, SLICES, PATCHES, UNUSABLE = "volumes", "folders", "slices", "patches", "unusable"
#: Roles of files: of a scan, of PNG slices (folders), of cached patches.
SCAN_ROLES = ("ct", "lungs", "adipose", "brown")
SLICE_ROLES = ("slices", "slice_masks")
PATCH_ROLES = ("left", "right", "left_label", "right_label")


@dataclass(frozen=True)
class TrainingCase:
    """One scan to train on or to test with.

    ``case``: the user's name of it (its place below the folder, or ``case_id`` of a manifest), unique in a
    ``Dataset``. ``patient``: whole patients are split, never cases; the name of the case itself where
    nothing else is known. ``centre``: where it was scanned, "" when unknown. ``split``: "train",
    "validation", "test", the name of a fold, or None. ``layout``: "volumes", "folders" (the authors' case
    folders), "slices" (PNG), "patches" (cached patches) or "unusable". ``files``: role to path; for
    DICOM ``files["ct"]`` is a folder, with ``series`` and ``members``. ``refusal``: why it is unusable.
    """

    case: str
    patient: str
    layout: str
    files: Mapping[str, Path] = field(default_factory=dict)
    centre: str = ""
    split: str | None = None
    axes: str | None = None
    series: str | None = None
    members: tuple[str, ...] = ()
    refusal: InputRefused | None = None

    @property
    def has_scan(self) -> bool:
        return "ct" in self.files

    @property
    def has_slices(self) -> bool:
        return "slices" in self.files

    @property
    def has_patches(self) -> bool:
        return "left" in self.files or "right" in self.files

    def as_found(self) -> Case:
        """The case as the search for cases knows it, for what is shared with batches (names, keys)."""
        return Case(self.case, CT, dict(self.files), self.layout, self.axes, self.series, self.members)


@dataclass(frozen=True)
class Dataset:
    """All cases in a stable order, and what was passed over. ``name``: of the folder or list they lie in."""

    name: str
    cases: tuple[TrainingCase, ...]
    passed_over: tuple[PassedOver, ...] = ()
    warnings: tuple[str, ...] = ()
    #: Whether a list or a pattern says which patient a case is of.
    patients_known: bool = False

    def patients(self) -> dict[str, list[TrainingCase]]:
        """Patient to cases, in the order of the cases."""
        found: dict[str, list[TrainingCase]] = {}
        for case in self.cases:
            found.setdefault(case.patient, []).append(case)
        return found

    def with_split(self, folds: Mapping[str, str]) -> Dataset:
        """The same cases with ``split`` taken from case name to fold; None for cases it does not name."""
        return replace(self, cases=tuple(replace(case, split=folds.get(case.case)) for case in self.cases))

    def require_apart(self, out: str | os.PathLike[str]) -> None:
        """Refuse ``out`` (``UsageError``) where it holds files of a case: inputs are never written over."""
        place = Path(os.path.realpath(out))
        for case in self.cases:
            for path in case.files.values():
                real = Path(os.path.realpath(path))
                if place == real or place in real.parents:
                    raise UsageError(
                        "output-is-input",
                        f"'{place.name}' holds the data that are read.",
                        "Nothing is written into or over the folders of inputs.",
                        "Choose another folder with --out.",
                    )

    def digest(self) -> str:
        """SHA-256 (hex) of the list of cases with their patients and centres; paths do not matter."""
        rows = sorted([case.case, case.patient, case.centre] for case in self.cases)
        return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()

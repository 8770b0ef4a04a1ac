"""Finding the masks of cases: folders of masks, case folders, result folders of a batch, tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..analysis.casefolder import MASK_NAMES, ending, masks_by_name, stem
from ..batch.rows import PASSPORTS
from ..errors import InputRefused, UsageError
from ..events import Events
from ..volume import Volume, read_mask, read_volume
from ..volume.files import Axes
from .tables import ID, read_table

#: Names (before the ending) of the adipose mask in a case folder.
_NAMES = tuple(name for name, role in MASK_NAMES.items() if role == "adipose")


@dataclass(frozen=True)
class MaskFile:
    """A mask on disk. ``patient``: as a table says, else None; ``passport``: what ``analysis.json`` beside
    it says, else empty."""

    path: Path
    patient: str | None
    passport: dict[str, Any]

    @property
    def slices(self) -> tuple[int, int] | None:
        """First slice and the one after the last that a run of ours looked at; None where it is not said."""
        found = (self.passport.get("adipose") or {}).get("segmented_slices")
        return (int(found[0]), int(found[1])) if found else None


def find_masks(source: Path) -> dict[str, MaskFile]:
    """Case id to mask, sorted by id.

    ``source``: a CSV with ``case_id``, ``mask`` and, if wanted, ``patient`` (masks relative to the CSV); the
    output folder of a batch; a folder with one folder per case that holds ``adipose`` or ``fat_mask`` in any
    format; or a folder of masks named by their case. Raises ``UsageError`` where nothing is found and
    ``InputRefused`` where two masks have the same case.
    """
    if source.is_file():
        return _from_table(source)
    if not source.is_dir():
        raise UsageError(
            "source-missing",
            f"'{source.name}' does not exist.",
            "A folder of masks or a CSV with case_id and mask is needed.",
            "Check the path; a drive that is not connected is a common cause.",
        )
    root = source / "cases" if (source / "cases").is_dir() else source
    found: dict[str, MaskFile] = {}
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            names = [p.name for p in path.iterdir() if p.is_file() and ending(p.name)]
            mask = masks_by_name(path, sorted(names)).get("adipose")
            if mask is not None:
                _add(found, path.name, MaskFile(mask, None, _passport(path)))
        elif ending(path.name):
            _add(found, stem(path.name), MaskFile(path, None, {}))
    if not found:
        raise UsageError(
            "no-masks",
            f"'{source.name}' holds no masks.",
            f"Wanted: files named by their case, or one folder per case with {' or '.join(_NAMES)} in it.",
            "Name the folder that holds them, or give a CSV with case_id and mask.",
        )
    return found


def read_pair(
    truth: MaskFile,
    predicted: MaskFile,
    *,
    case_id: str,
    label: int | None,
    axes: Axes | None,
    events: Events,
) -> tuple[Volume, Volume]:
    """Both masks as booleans on the same canonical grid, ``truth`` first.

    ``label``: the value that counts; None where a mask may have one value beside 0. Raises ``InputRefused``
    naming the case: another grid ("other-grid"), several values ("mask-values"), and what reading refuses.
    """
    try:
        true = read_volume(truth.path, kind="mask", axes=axes, events=events)
        try:
            found = read_mask(predicted.path, true, name="predicted mask", allow_empty=True, events=events)
        except InputRefused as error:
            if error.code != "other-grid":
                raise
            words = error.found.replace("; the CT has", "; the true mask has")
            raise InputRefused(
                "other-grid",
                words,
                "Both masks must lie on the same grid, voxel for voxel.",
                "Compare masks made on the same scan; resample one of them (nearest neighbour) otherwise.",
            ) from error
        first = true.with_array(_binary(true.array, label, "true mask"))
        second = found.with_array(_binary(found.array, label, "predicted mask"))
    except InputRefused as error:
        raise InputRefused(
            error.code, f"Case {case_id}: {error.found}", error.wanted, error.remedy
        ) from error
    return first, second


def _binary(array: np.ndarray, label: int | None, name: str) -> np.ndarray:
    if label is not None:
        return cast(np.ndarray, array == label)
    values = np.unique(array)
    if (values < 0).any() or np.count_nonzero(values) > 1:
        shown = ", ".join(str(int(v)) for v in values[:8]) + (", ..." if len(values) > 8 else "")
        raise InputRefused(
            "mask-values",
            f"The {name} has voxels of {shown}.",
            "A mask has 0 and one other value.",
            "Say with --label which value is adipose tissue.",
        )
    return cast(np.ndarray, array != 0)


def _from_table(path: Path) -> dict[str, MaskFile]:
    table = read_table(path, needed=["mask"])
    found = {}
    missing = []
    for case_id, row in table.rows.items():
        mask = Path(row.get("mask", "")).expanduser()
        mask = mask if mask.is_absolute() else path.parent / mask
        if not mask.is_file():
            missing.append(case_id)
        found[case_id] = MaskFile(mask, row.get("patient") or None, _passport(mask.parent))
    if missing:
        from .tables import count_of, listed

        raise UsageError(
            "mask-missing",
            f"{path.name} names masks that are not there for {count_of(missing, 'case')}: {listed(missing)}.",
            f"The column mask holds files, absolute or relative to the table; {ID} names the case.",
            "Correct the table; a drive that is not connected is a common cause.",
        )
    return dict(sorted(found.items()))


def _add(found: dict[str, MaskFile], case_id: str, mask: MaskFile) -> None:
    if case_id in found:
        raise InputRefused(
            "duplicate-case-id",
            f"Two masks belong to the case {case_id}: {found[case_id].path.name} and {mask.path.name}.",
            "Each case may have one mask.",
            "Take one of them out, or name the right ones in a CSV with case_id and mask.",
        )
    found[case_id] = mask


def _passport(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / PASSPORTS[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

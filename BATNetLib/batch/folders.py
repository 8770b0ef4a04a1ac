"""What one folder holds: the authors' layouts, a scan with its masks by name, or several scans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..analysis.casefolder import (
    CASE_IMAGE,
    CASE_LUNGS,
    MASK_NAMES,
    SCAN_NAMES,
    ending,
    masks_by_name,
    scans_by_name,
    stem,
)
from .cases import CT, PATCHES, Case, Found, unusable

LEFT_PATCH, RIGHT_PATCH = "ct_at_left_patch.nii.gz", "ct_at_right_patch.nii.gz"
_PATCH_LABELS = re.compile(r"ct_at_(left|right)_(patch|label)", re.IGNORECASE)


def cases_in_folder(folder: Path, names: Sequence[str], called: str, found: Found) -> list[Case]:
    """The cases that the files called ``names`` of a folder make; what is passed over goes into ``found``.

    ``called``: what the user calls the folder; it becomes the name of its only case, or the start of the
    names of several.
    """
    images = sorted(name for name in names if ending(name))
    if not images:
        return []
    if CASE_IMAGE in images and CASE_LUNGS in images:
        return [_complete_ct(folder, images, called, found)]
    if LEFT_PATCH in images or RIGHT_PATCH in images:
        return [_patches(folder, images, called)]
    return _scans(folder, images, called, found)


def _complete_ct(folder: Path, images: list[str], called: str, found: Found) -> Case:
    """The authors' complete CT. Array axes are recognised by the reader from layout and identity affine."""
    for name in images:
        if stem(name) not in MASK_NAMES and name != CASE_IMAGE and not _PATCH_LABELS.fullmatch(stem(name)):
            found.skip(f"{called}/{name}", "no file of a complete-CT case folder")
    return Case(
        called,
        CT,
        {
            "ct": folder / CASE_IMAGE,
            "lungs": folder / CASE_LUNGS,
            **masks_by_name(folder, [name for name in images if name != CASE_LUNGS], but=("lungs",)),
        },
        layout="complete CT (BATNet case folder)",
    )


def _patches(folder: Path, images: list[str], called: str) -> Case:
    missing = [name for name in (LEFT_PATCH, RIGHT_PATCH) if name not in images]
    if missing:
        return unusable(
            called,
            "patch-file-missing",
            f"The case folder holds patches of one side only; {missing[0]} is missing.",
            f"Both {LEFT_PATCH} and {RIGHT_PATCH} are needed.",
            "Make the patches again, or give the complete CT.",
        )
    return Case(
        called,
        PATCHES,
        {"left": folder / LEFT_PATCH, "right": folder / RIGHT_PATCH},
        layout="ready-made patches (BATNet case folder)",
    )


def _scans(folder: Path, images: list[str], called: str, found: Found) -> list[Case]:
    masks = masks_by_name(folder, images)
    others = [name for name in images if folder / name not in masks.values()]
    scans = scans_by_name(others)
    only = len(scans) == 1 and stem(scans[0]).lower() in SCAN_NAMES
    for name in others:
        if name not in scans:
            why = f"not the scan ({scans[0]} is) and no mask name" if only else "named like a mask"
            found.skip(f"{called}/{name}", why)
    if len(scans) == 1:
        return [Case(called, CT, {"ct": folder / scans[0], **masks}, layout=_layout(masks))]
    for path in masks.values():
        found.skip(f"{called}/{path.name}", "a mask without a scan of its own")
    stems = [stem(name) for name in scans]
    return [
        # Two files that differ in their ending only are two scans.
        Case(
            f"{called}/{stem(name) if stems.count(stem(name)) == 1 else name}",
            CT,
            {"ct": folder / name},
            layout=_layout({}),
        )
        for name in scans
    ]


def _layout(masks: dict[str, Path]) -> str:
    return "scan" + (f" with {', '.join(sorted(masks))}" if masks else "")

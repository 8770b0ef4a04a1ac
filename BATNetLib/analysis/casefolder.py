"""Which file of a folder is the scan and which are its masks: told by names, for one scan and batches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..volume.instances import is_dicom_file

#: Endings of scan files, longest first.
ENDINGS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
#: Files of the published layout of a case folder.
CASE_IMAGE, CASE_LUNGS = "image.nii.gz", "lobe.nii.gz"
#: Names (before the ending) under which a mask beside a scan is used, and what it is then.
MASK_NAMES = {
    "lungs": "lungs",
    "lobe": "lungs",
    "adipose": "adipose",
    "fat_mask": "adipose",
    "brown": "brown",
    "brown_fat_mask": "brown",
}
#: Names of the scan in a folder with one scan and other images.
SCAN_NAMES = ("ct", "image")
_NOT_A_SCAN = re.compile(
    r".*(mask|seg|segmentation|labels?|labelmap|lungs?|lobes?|fat|adipose|brown|pet|suv|attention|patch_probability)",
    re.IGNORECASE,
)


def ending(name: str) -> str | None:
    """The ending of a scan file, or None for any other file."""
    lower = name.lower()
    return next((e for e in ENDINGS if lower.endswith(e)), None)


def stem(name: str) -> str:
    """A file name without its ending of a scan file."""
    return name[: -len(ending(name) or "")] if ending(name) else name


def masks_by_name(folder: Path, images: Sequence[str], but: tuple[str, ...] = ()) -> dict[str, Path]:
    """Role to path of the masks that count by their name; the first name of ``MASK_NAMES`` wins."""
    found: dict[str, Path] = {}
    for known, role in MASK_NAMES.items():
        for name in images:
            if stem(name).lower() == known and role not in found and role not in but:
                found[role] = folder / name
    return found


def scans_by_name(names: Sequence[str]) -> list[str]:
    """The scans among ``names``: the one called ct or image, else all that are not named like a mask."""
    named = [name for name in names if stem(name).lower() in SCAN_NAMES]
    return named if len(named) == 1 else [name for name in names if not _NOT_A_SCAN.fullmatch(stem(name))]


def scan_of_folder(folder: Path) -> tuple[Path, Path | None] | None:
    """The one scan of a folder with its lung mask, if one lies there under a known name.

    None where the names leave a doubt (no scan, several scans) or DICOM files lie beside it.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    except OSError:  # the reader says so in words
        return None
    if CASE_IMAGE in names and CASE_LUNGS in names:
        return folder / CASE_IMAGE, folder / CASE_LUNGS
    images = [name for name in names if ending(name)]
    masks = masks_by_name(folder, images)
    scans = scans_by_name([name for name in images if folder / name not in masks.values()])
    if len(scans) != 1 or any(is_dicom_file(folder / name) for name in names if name not in images):
        return None
    return folder / scans[0], masks.get("lungs")

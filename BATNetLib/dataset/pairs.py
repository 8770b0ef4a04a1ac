"""Scans and masks that belong together by their names: sibling folders, or an ending of the name.

``images/a.nii.gz`` with ``labels/a.nii.gz`` (also ``imagesTr/a_0000`` with ``labelsTr/a``), and
``a.nii.gz`` with ``a_adipose.nii.gz`` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..analysis.casefolder import MASK_NAMES, ending, stem
from ..batch.cases import CT, Case, Found, natural

#: Folders that hold scans only, and what a mask in a folder or with an ending is. None: the role that
#: the caller says, because "labels" can be anything.
SCAN_FOLDERS = ("images", "imagestr", "imagests", "image", "cts", "scans")
MASK_WORDS: dict[str, str | None] = {
    **MASK_NAMES,
    "fat": "adipose",
    "adipose_mask": "adipose",
    "bat": "brown",
    "brown_fat": "brown",
    "brown_mask": "brown",
    "lobes": "lungs",
    "lung": "lungs",
    "labels": None,
    "labelstr": None,
    "labelsts": None,
    "label": None,
    "masks": None,
    "mask": None,
    "seg": None,
    "segmentation": None,
}
#: Number of the channel, as nnU-Net writes it after the name of a scan.
_CHANNEL = re.compile(r"_0000$")


class Pairing:
    """Finds the masks of scans; each folder is listed once."""

    def __init__(self, mask_role: str, found: Found) -> None:
        self._mask_role, self._found = mask_role, found
        self._listed: dict[Path, dict[str, Path]] = {}
        self._used: set[Path] = set()

    def pair(self, cases: Iterable[Case]) -> list[Case]:
        """The cases that are scans, each with its masks; masks without a scan are passed over by name."""
        scans: list[Case] = []
        masks: list[Case] = []
        for case in cases:
            folder = case.files["ct"].parent.name.lower() if case.kind == CT else ""
            (masks if folder in MASK_WORDS and not case.members else scans).append(case)
        paired = [self._with_masks(case) if self._may_have(case) else case for case in scans]
        used = {path.name for path in self._used}
        self._found.passed_over[:] = [
            entry for entry in self._found.passed_over if entry.name.rpartition("/")[2] not in used
        ]
        for case in masks:
            if case.files["ct"] not in self._used:
                self._found.skip(case.name, "a mask without a scan of its own")
        return sorted(paired, key=lambda case: natural(case.name))

    @staticmethod
    def _may_have(case: Case) -> bool:
        return case.kind == CT and not case.members and case.files["ct"].suffix != ""

    def _with_masks(self, case: Case) -> Case:
        scan = case.files["ct"]
        name = _CHANNEL.sub("", stem(scan.name)).lower()
        files = dict(case.files)
        for word, role in MASK_WORDS.items():
            role = role or self._mask_role
            if role in files:
                continue
            beside = self._files(scan.parent)
            sibling = self._files(_child(scan.parent.parent, word))
            path = next((beside[n] for s in "_-." if (n := f"{name}{s}{word}") in beside), sibling.get(name))
            if path is not None:
                files[role] = path
                self._used.add(path)
        return replace(case, name=_plain(case), files=files)

    def _files(self, folder: Path | None) -> dict[str, Path]:
        """Lower-case stem to path of the images of a folder."""
        if folder is None:
            return {}
        if folder not in self._listed:
            try:
                names = sorted(p for p in folder.iterdir() if ending(p.name) and not p.name.startswith("."))
            except OSError:  # the search has said so already
                names = []
            self._listed[folder] = {_CHANNEL.sub("", stem(p.name)).lower(): p for p in names}
        return self._listed[folder]


def _child(folder: Path, lower: str) -> Path | None:
    """The subfolder whose name in lower case is ``lower``."""
    for name in (lower, lower.capitalize(), re.sub(r"t([rs])$", r"T\1", lower)):
        if (folder / name).is_dir():
            return folder / name
    return None


def _plain(case: Case) -> str:
    """A case's name without the folders that only say that scans lie there."""
    *folders, last = case.name.split("/")
    if last.lower() in SCAN_FOLDERS:  # the only scan of such a folder is called after it
        folders, last = [*folders, last], stem(case.files["ct"].name)
    said = ["test" if folder.lower() == "imagests" else folder for folder in folders]
    kept = [folder for folder in said if folder.lower() not in SCAN_FOLDERS]
    return "/".join([*kept, _CHANNEL.sub("", last)])

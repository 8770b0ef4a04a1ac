"""Where the PET of a case is: named in a list, or lying beside its CT under a known name."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..analysis.casefolder import SCAN_NAMES, ending, stem
from ..batch.caselist import ID, FolderEntry, entry_of, read_rows
from ..batch.cases import Found
from ..batch.words import plain_cell

#: Names (before the ending) of a PET beside a CT, the first one first.
NAMES = ("suv", "pet_suv", "pet")
_SUV = re.compile(r"(.*[ _.-])?suv(bw)?([ _.-].*)?", re.IGNORECASE)


def pet_of_rows(manifest: Path, source: Path) -> dict[str, Path]:
    """Case to PET as the column ``pet`` of a CSV or JSON manifest names it.

    Relative paths start from the folder that is searched, else from the list. Raises ``UsageError`` where the
    list cannot be read.
    """
    start = source if source.is_dir() else manifest.parent
    named: dict[str, Path] = {}
    for number, (case_id, text) in enumerate(_rows(manifest), 2):
        if case_id and text:
            entry = entry_of({ID: case_id}, number, start)
            path = Path(text).expanduser()
            name = entry.case_id if isinstance(entry, FolderEntry) else entry.name
            named[name] = path if path.is_absolute() else start / path
    return named


class PetSearch:
    """PETs beside the CTs of a dataset; each folder is listed once.

    ``a_pet.nii.gz`` belongs to ``a.nii.gz``. ``pet.nii.gz``, or a folder ``pet``, belongs to the CT of its
    folder where there is one CT only, and this is a file or a DICOM folder that is called ``ct``: beside any
    other folder it could be a case of its own.
    """

    def __init__(self, cts: Iterable[Path]) -> None:
        self._cts = Counter(ct.parent for ct in cts)
        self._listed: dict[Path, dict[str, Path]] = {}

    def beside(self, ct: Path) -> Path | None:
        """The PET (volume or DICOM folder) of a CT, None without one."""
        found = self._names(ct.parent)
        own = stem(ct.name).lower()
        is_volume = ending(ct.name) is not None
        for known in NAMES:
            words = [f"{own}{sign}{known}" for sign in "_-."] if is_volume else []
            if self._cts[ct.parent] == 1 and (is_volume or own in SCAN_NAMES):
                words.append(known)
            for word in words:
                if word in found and found[word] != ct:
                    return found[word]
        return None

    def _names(self, folder: Path) -> dict[str, Path]:
        """Lower-case name without ending to path, of volumes and folders."""
        if folder not in self._listed:
            try:
                with os.scandir(folder) as entries:
                    names = sorted((entry.name, entry.path) for entry in entries if entry.name[0] != ".")
            except OSError:  # the search has said so already
                names = []
            self._listed[folder] = {
                stem(name).lower(): Path(path) for name, path in names if ending(name) or "." not in name
            }
        return self._listed[folder]


def called_suv(path: Path) -> bool:
    """Whether a volume says by its name that it holds SUV by body weight, such as ``pet_suv.nii.gz``."""
    return bool(_SUV.fullmatch(stem(path.name)))


def _rows(manifest: Path) -> list[tuple[str, str]]:
    if manifest.suffix.lower() != ".json":
        rows = read_rows(manifest, Found(), ("pet",))
        return [(plain_cell(cells.get(ID, "")), plain_cell(cells.get("pet", ""))) for _, cells in rows]
    content: Any = json.loads(manifest.read_text(encoding="utf-8-sig"))
    listed: Any = content.get("cases") if isinstance(content, dict) else content
    return [(str(row.get(ID, "")).strip(), str(row.get("pet") or "").strip()) for row in listed]

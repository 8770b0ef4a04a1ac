"""Where the PET of a case is: named in a list, or lying beside its CT under a known name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..analysis.casefolder import ending, stem
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


def pets_beside(ct: Path) -> Path | None:
    """A PET under one of ``NAMES`` (volume, or folder of DICOM files) beside a CT; None without one."""
    try:
        names = {entry.name.lower(): entry for entry in os.scandir(ct.parent)}
    except OSError:
        return None
    for known in NAMES:
        for name, entry in sorted(names.items()):
            if entry.path != str(ct) and ((ending(name) and stem(name) == known) or name == known):
                return Path(entry.path)
    return None


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

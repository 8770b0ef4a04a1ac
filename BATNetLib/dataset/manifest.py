"""Manifests: a CSV or JSON that names cases with their patient, centre, split and files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..batch.caselist import FILES, ID, OTHERS, FolderEntry, entry_of, is_list, read_rows
from ..batch.cases import CT, Case, Found, unusable
from ..batch.words import plain_cell, safe_cell
from ..errors import UsageError
from ..workfiles import whole_file
from .cases import PATCH_ROLES, SCAN_ROLES, SLICE_ROLES, Dataset

NAMES = ("manifest.csv", "manifest.json")
#: Columns beside ``case_id``.
FACTS = ("patient", "centre", "split")
DATA = (*SLICE_ROLES, *PATCH_ROLES)


@dataclass(frozen=True)
class Row:
    """One row: a case whose files it names, or a folder to search. ``files``: slices and patches named."""

    name: str
    patient: str
    centre: str
    split: str | None
    case: Case | None
    folder: Path | None = None
    files: dict[str, Path] = field(default_factory=dict)

    def nothing_inside(self) -> Case:
        return unusable(
            self.name,
            "nothing-to-train-on",
            "The folder that the manifest names holds no scan, no PNG slices and no patches.",
            "A case needs one of these.",
            "Check the folder, or name the files in the columns of the manifest.",
        )


def manifest_of(place: Path) -> Path | None:
    """The manifest that ``place`` is or holds."""
    if place.is_file():
        return place if is_list(place) or place.suffix.lower() == ".json" else None
    return next((place / name for name in NAMES if (place / name).is_file()), None)


def read_manifest(path: Path, root: Path | None, found: Found) -> Iterator[Row]:
    """The rows of a manifest in its order. Relative paths start from ``root``, else from the manifest.

    CSV: the column ``case_id`` and any of patient, centre, split, ct, lungs, adipose, brown, slices,
    slice_masks, left, right, left_label, right_label, series, axes. JSON: a list of objects with these keys,
    or an object with such a list as ``cases``.

    Raises ``UsageError`` where it cannot be read or names a case twice.
    """
    start = (root or path.parent).expanduser().absolute()
    rows = _json_rows(path) if path.suffix.lower() == ".json" else read_rows(path, found, (*FACTS, *DATA))
    seen: dict[str, int] = {}
    for number, cells in rows:
        values = {key: plain_cell(value) for key, value in cells.items() if value}
        case_id = values.get(ID, "")
        if case_id and case_id in seen:
            raise UsageError(
                "duplicate-case-id",
                f"Rows {seen[case_id]} and {number} of '{path.name}' have the same case_id.",
                "Each case needs an id of its own; a patient may have several cases.",
                "Give one of them another case_id and name the patient in the column patient.",
            )
        seen[case_id] = number
        yield _row(values, number, start)


def write_manifest(dataset: Dataset, path: str | os.PathLike[str]) -> Path:
    """Write the cases as a manifest (CSV) whose paths are relative to it where they can be."""
    path = Path(path)
    roles = [r for r in (*SCAN_ROLES, *DATA) if any(r in case.files for case in dataset.cases)]
    base = path.parent.absolute()
    with whole_file(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ID, *FACTS, *roles, *OTHERS])
        for case in dataset.cases:
            places = [_relative(case.files[role], base) if role in case.files else "" for role in roles]
            cells = [case.case, case.patient, case.centre, case.split or "", *places]
            writer.writerow([safe_cell(cell) for cell in [*cells, case.series or "", case.axes or ""]])
    return path


def _row(values: dict[str, str], number: int, start: Path) -> Row:
    data = {role: _path(values[role], start) for role in DATA if role in values}
    facts = values.get("patient", ""), values.get("centre", ""), values.get("split") or None
    missing = sorted(role for role, place in data.items() if not place.exists())
    if missing:
        name = values.get(ID) or f"row {number}"
        case = unusable(
            name,
            "file-missing",
            f"The manifest names something that is not there (column {', '.join(missing)}).",
            "Paths are absolute, or relative to the manifest.",
            "Correct the manifest; a drive that is not connected is a common cause.",
        )
        return Row(name, *facts, case)
    if data and values.get(ID) and not any(role in values for role in FILES):
        name = values[ID]
        return Row(name, *facts, Case(name, CT if "slices" in data else "patches", data, layout="manifest"))
    entry = entry_of({key: value for key, value in values.items() if key not in DATA}, number, start)
    if isinstance(entry, FolderEntry):
        return Row(entry.case_id, *facts, None, entry.folder, {**entry.files, **data})
    return Row(entry.name, *facts, entry, None, data)


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    known = (ID, *FACTS, *FILES, *DATA, *OTHERS)
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    rows = content.get("cases") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get(ID) for row in rows):
        raise _unreadable(path)
    for number, row in enumerate(rows, 1):
        yield number, {key: str(row[key]).strip() for key in known if row.get(key) is not None}


def _unreadable(path: Path) -> UsageError:
    return UsageError(
        "manifest-unreadable",
        f"'{path.name}' is no manifest.",
        'A list of objects is needed, each with "case_id" and, if wanted, "patient", "centre", "split" '
        "and files by role.",
        "Correct the file.",
    )


def _path(text: str, start: Path) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else start / path


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        return str(path)

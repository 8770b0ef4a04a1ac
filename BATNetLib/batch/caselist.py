"""Lists of cases: a CSV with the column ``case_id`` and, if wanted, a column per file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..tabletext import NoText, cells, read_text
from .cases import CT, Case, Found, unusable

ID = "case_id"
#: Columns that name files, and further columns.
FILES = ("ct", "lungs", "adipose", "brown")
OTHERS = ("series", "axes")
_ENDINGS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class FolderEntry:
    """A row that names a folder to search. ``files``: masks named in the row; ``series``, ``axes`` too."""

    case_id: str
    folder: Path
    files: dict[str, Path]
    series: str | None
    axes: str | None

    def changes(self, case: Case) -> dict[str, Any]:
        """What the row says of a case found in its folder."""
        changes: dict[str, Any] = {}
        if case.kind == CT and self.files:
            changes |= {"files": {**case.files, **self.files}, "named": frozenset(self.files)}
        if self.axes:
            changes["axes"] = self.axes
        return changes


def is_list(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS and not path.is_dir()


def read_list(path: Path, root: Path | None, found: Found) -> Iterator[Case | FolderEntry]:
    """The entries of a list, in its order. Relative entries start from ``root``, else from the list.

    Separators may be commas, semicolons or tabs; a byte order mark is fine. What a row names and is not
    there becomes an unusable case.

    Raises
    ------
    UsageError : missing or unreadable list, no column ``case_id`` (names the columns found), the same id
        with different files.
    """
    start = (root or path.parent).expanduser().absolute()
    rows = read_rows(path, found)
    seen: dict[str, tuple[int, dict[str, str]]] = {}
    for number, row in rows:
        case_id = row.get(ID, "")
        values = {key: value for key, value in row.items() if value}
        if case_id in seen and case_id:
            first, same = seen[case_id]
            if values == same:
                found.skip(case_id, "a row of the list repeats another", f"rows {first} and {number}")
                continue
            raise UsageError(
                "duplicate-case-id",
                f"Rows {first} and {number} of '{path.name}' have the same case_id and differ otherwise.",
                "Each case needs an id of its own.",
                "Give one of them another case_id.",
            )
        seen[case_id] = (number, values)
        yield entry_of(values, number, start)


def entry_of(values: dict[str, str], number: int, start: Path) -> Case | FolderEntry:
    """What the cells of row ``number`` name; relative paths start from ``start``."""
    case_id = values.get(ID, "")
    if not case_id:
        return unusable(
            f"row {number}",
            "case-id-empty",
            f"Row {number} of the list has no case_id.",
            "Each row needs an id of its own.",
            "Fill in the column case_id.",
        )
    axes = values.get("axes")
    if axes not in (None, "zyx", "header"):
        return unusable(
            _name(case_id, start),
            "axes-unknown",
            "The column axes holds a value that is not known.",
            "It can be zyx, header, or empty.",
            "Correct the list.",
        )
    base = _path(case_id, start)
    files = {role: _file(values[role], base, start) for role in FILES if role in values}
    missing = sorted(role for role, file in files.items() if not file.exists())
    name = _name(case_id, start)
    if missing:
        return unusable(
            name,
            "file-missing",
            f"The list names {'files' if len(missing) > 1 else 'a file'} that "
            f"{'are' if len(missing) > 1 else 'is'} not there (column {', '.join(missing)}).",
            "Paths are absolute, or relative to the case folder, to --root, or to the list.",
            "Correct the list; a drive that is not connected is a common cause.",
        )
    series, named = values.get("series"), frozenset(files)
    if "ct" in files:
        return Case(name, CT, files, layout="named in the list", axes=axes, series=series, named=named)
    if base.is_file():
        return Case(
            name, CT, {"ct": base, **files}, layout="named in the list", axes=axes, series=series, named=named
        )
    if not base.is_dir():
        return unusable(
            name,
            "case-missing",
            "The folder that the list names is not there.",
            "The column case_id holds folders: absolute, or relative to --root or to the list.",
            "Correct the list or say --root; a drive that is not connected is a common cause.",
        )
    if series:
        layout = "DICOM, series named in the list"
        return Case(name, CT, {"ct": base, **files}, layout=layout, series=series, named=named)
    return FolderEntry(name, base, files, series, axes)


def _name(case_id: str, start: Path) -> str:
    """What the case is called: its id; a folder below the start is called by its place there."""
    path = Path(case_id)
    if path.is_absolute():
        for place in (start, start.resolve()):
            if place in path.parents:
                return path.relative_to(place).as_posix()
        return "/".join(path.parts[1:])
    return case_id.strip("/\\") or case_id


def _path(text: str, start: Path) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else start / path


def _file(text: str, base: Path, start: Path) -> Path:
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    return base / path if (base / path).exists() else start / path


def read_rows(path: Path, found: Found, more: tuple[str, ...] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Row number (as a spreadsheet counts) and cells by column, without empty rows. ``more``: columns that
    are kept beside those of a list of cases. Raises ``UsageError`` as ``read_list`` does."""
    try:
        lines = cells(_text(path, found))
        header = [cell.strip().casefold() for cell in next(lines, [])]
        if ID not in header:
            raise _no_id(path, header)
        known = (ID, *FILES, *OTHERS, *more)
        double = sorted({name for name in header if name in known and header.count(name) > 1})
        if double:
            raise UsageError(
                "list-columns",
                f"'{path.name}' has the column {double[0]} twice.",
                "Each column may be there once.",
                "Take one of them out.",
            )
        for number, row in enumerate(lines, 2):
            named = {name: cell.strip() for name, cell in zip(header, row, strict=False) if name in known}
            if any(cell.strip() for cell in row):
                yield number, named
    except NoText as error:
        raise _unreadable(path, str(error)) from error


def _text(path: Path, found: Found) -> str:
    try:
        text, guessed = read_text(path)
    except FileNotFoundError as error:
        raise UsageError(
            "source-missing",
            f"'{path.name}' does not exist.",
            "A CSV list of cases is needed.",
            "Check the path.",
        ) from error
    if guessed:
        found.warnings.append(
            f"'{path.name}' is not UTF-8 and was read as Windows-1252; check names with accents."
        )
    return text


def _no_id(path: Path, header: list[str]) -> UsageError:
    columns = ", ".join(f"'{name}'" for name in header[:12] if name)
    return UsageError(
        "list-columns",
        f"'{path.name}' has no column case_id; it has {columns if columns else 'no columns at all'}.",
        f"The column case_id is needed; {', '.join((*FILES, *OTHERS))} may be there.",
        "Name the column with the case folders case_id in the first row.",
    )


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        "list-unreadable",
        f"'{path.name}' cannot be read: {why}.",
        "A CSV file with the column case_id is needed.",
        "Save the list as CSV (UTF-8) again.",
    )

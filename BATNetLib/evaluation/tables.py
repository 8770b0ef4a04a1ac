"""Tables with one row a case, as people save them: UTF-8 or Windows-1252, commas, semicolons or tabs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..batch.words import plain_cell
from ..errors import InputRefused, UsageError
from ..tabletext import NoText, cells, read_text

ID = "case_id"
#: Ids named in one sentence.
_NAMED = 8


@dataclass(frozen=True)
class Table:
    """``rows``: case id to its cells by column (lower case); ``columns``: in the order of the file."""

    name: str
    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]


def read_table(path: Path, *, needed: Iterable[str] = ()) -> Table:
    """Read a table with the column ``case_id`` and the columns ``needed``.

    Raises ``UsageError`` (not there, no such column) and ``InputRefused`` (no text, a case twice, no id,
    no rows).
    """
    rows = _rows(path)
    columns = tuple(cell.strip().casefold() for cell in rows[0]) if rows else ()
    for column in (ID, *needed):
        if columns.count(column) != 1:
            raise _no_column(path, columns, column)
    found: dict[str, dict[str, str]] = {}
    double: list[str] = []
    nameless = 0
    for given in rows[1:]:
        if not any(cell.strip() for cell in given):
            continue
        row = {c: plain_cell(cell.strip()) for c, cell in zip(columns, given, strict=False) if c}
        case_id = row.get(ID, "")
        nameless += not case_id
        if case_id in found:
            double.append(case_id)
        found[case_id] = row
    if nameless:
        raise InputRefused(
            "case-id-empty",
            f"{path.name} has {nameless} rows without a case_id.",
            "Every row needs the id of its case.",
            "Fill in the column case_id.",
        )
    if double:
        raise InputRefused(
            "duplicate-case-id",
            f"{path.name} has {count_of(double, 'case')} more than once: {listed(double)}.",
            "Each case may have one row.",
            "Take the others out; several scans of a patient have ids of their own and share the patient.",
        )
    if not found:
        raise InputRefused(
            "table-empty",
            f"{path.name} has a head and no rows.",
            "One row a case is needed.",
            "Give the table of results.",
        )
    return Table(path.name, columns, found)


def numbers(table: Table, column: str, ids: Iterable[str]) -> dict[str, float]:
    """The finite numbers of a column; refuses, naming the cases, what is missing or no number."""
    found, bad = {}, []
    for case_id in ids:
        text = table.rows[case_id].get(column, "")
        try:
            found[case_id] = float(text)
        except ValueError:
            bad.append(case_id)
            continue
        if not math.isfinite(found[case_id]):
            bad.append(case_id)
    if bad:
        raise InputRefused(
            "non-finite",
            f"Column {column} of {table.name} is empty or no finite number in {count_of(bad, 'case')}: "
            f"{listed(bad)}.",
            "Every case needs a number there.",
            "Correct the table; cases that could not be assessed are left out with --allow-missing.",
        )
    return found


def listed(ids: Iterable[str]) -> str:
    """The first few ids and how many more there are."""
    ids = list(dict.fromkeys(ids))
    rest = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def count_of(items: Iterable[object], noun: str) -> str:
    """Such as "1 case" or "3 cases"; each id counts once."""
    number = len(dict.fromkeys(items))
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rows(path: Path) -> list[list[str]]:
    try:
        return list(cells(read_text(path)[0]))
    except FileNotFoundError as error:
        raise UsageError(
            "table-missing", f"'{path.name}' does not exist.", "A CSV table is needed.", "Check the path."
        ) from error
    except NoText as error:
        raise _unreadable(path, str(error)) from error


def _no_column(path: Path, columns: tuple[str, ...], column: str) -> UsageError:
    there = ", ".join(f"'{name}'" for name in columns[:12] if name) or "no columns at all"
    twice = columns.count(column) > 1
    return UsageError(
        "table-columns",
        f"'{path.name}' has the column {column} {'twice' if twice else 'not'}; it has {there}.",
        f"The column {column} is needed once.",
        "Name the column so in the first row, or say which one is meant (see --help).",
    )


def _unreadable(path: Path, why: str) -> InputRefused:
    return InputRefused(
        "table-unreadable",
        f"'{path.name}' cannot be read: {why}.",
        "A CSV table with the column case_id is needed.",
        "Save it as CSV (UTF-8) again.",
    )

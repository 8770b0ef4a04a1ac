"""What cases are called in results: numbers by default, with the key kept apart; or the user's own names.

Numbers are given at random among the cases of a run, because a number in alphabetical order still tells
something about the name, and they never change afterwards: the key file remembers them. It lies beside
the output folder, not in it, so that results can be handed on without it.
"""

from __future__ import annotations

import csv
import io
import random
import re
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..errors import OutputRefused, UsageError
from ..workfiles import output_errors, whole_file
from .cases import Case
from .lock import Lock
from .words import plain_cell, safe_cell

COLUMNS = ("case_id", "name", "source")
#: Seconds to wait for another shard that is just writing the key.
_WAIT = 30.0
#: Names that Windows keeps for devices.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_LONGEST = 80


def key_file_of(out: Path) -> Path:
    """Where the key of an output folder lies unless the user says otherwise."""
    return out.with_name(f"{out.name}-key.csv")


def kept_names(cases: Sequence[Case]) -> dict[str, str]:
    """Case name to case id: the user's name (folders joined by an underscore) as one folder name."""
    ids: dict[str, str] = {}
    used: set[str] = set()
    for case in cases:
        wanted = _as_folder(case.name)
        name, number = wanted, 1
        while name.casefold() in used:
            number += 1
            name = f"{wanted}-{number}"
        used.add(name.casefold())
        ids[case.name] = name
    return ids


def pseudonyms(cases: Sequence[Case], key: Path, *, write: bool = True) -> dict[str, str]:
    """Case name to case id, "case-0001" and so on, as the key file says; new cases get new numbers.

    The key file is readable by its owner only. ``write=False`` looks only: new cases get no id then.
    Raises ``OutputRefused`` where the key cannot be written.
    """
    if not write:
        known = {name: case_id for case_id, (name, _) in read_key(key).items()}
        return {case.name: known[case.name] for case in cases if case.name in known}
    with output_errors(key.name):
        key.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock(key.with_name(f".{key.name}.lock"), "the key file")
    lock.take(wait=_WAIT)
    try:
        rows = read_key(key)
        ids = {name: case_id for case_id, (name, _) in rows.items()}
        new = [case for case in cases if case.name not in ids]
        if new:
            rows |= _numbered(new, rows)
            write_key(key, rows)
            ids = {name: case_id for case_id, (name, _) in rows.items()}
        return {case.name: ids[case.name] for case in cases}
    finally:
        lock.release()


def read_key(key: Path) -> dict[str, tuple[str, str]]:
    """Case id to (name, source) of a key file; empty where there is none.

    Raises ``UsageError`` where the file is not a key.
    """
    try:
        text = key.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _not_a_key(key) from error
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows[1:]):
        raise _not_a_key(key)
    return {row[0]: (plain_cell(row[1]), plain_cell(row[2])) for row in rows[1:]}


def write_key(key: Path, rows: dict[str, tuple[str, str]]) -> None:
    """Write a key file whole, readable by its owner only."""
    with whole_file(key) as tmp:
        tmp.chmod(0o600)
        with tmp.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([case_id, *map(safe_cell, row)] for case_id, row in sorted(rows.items()))


def missing_key(key: Path) -> OutputRefused:
    """The refusal to go on in an output folder whose key is gone: its numbers would change their meaning."""
    return OutputRefused(
        "key-missing",
        f"The output folder holds results under pseudonyms, and their key '{key.name}' is not there.",
        "Without the key the same numbers would be given to other cases.",
        "Put the key back or name it with --key FILE, or choose another --out.",
    )


def _numbered(new: Sequence[Case], rows: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    numbers = [int(match[1]) for case_id in rows if (match := re.fullmatch(r"case-(\d+)", case_id))]
    first = max(numbers, default=0) + 1
    width = max(4, len(str(first + len(new) - 1)))
    shuffled = list(new)
    random.Random(secrets.randbits(128)).shuffle(shuffled)
    return {
        f"case-{number:0{width}d}": (case.name, str(case.primary or ""))
        for number, case in enumerate(shuffled, first)
    }


def _as_folder(name: str) -> str:
    """A folder name that every system accepts and that still reads like ``name``."""
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", text).strip(" ._")
    if not text or _RESERVED.fullmatch(text):
        text = f"case_{text}"
    while len(text.encode("utf-8")) > _LONGEST:
        text = text[:-1]
    return text.rstrip(" .")


def _not_a_key(key: Path) -> UsageError:
    return UsageError(
        "key-unreadable",
        f"'{key.name}' is not a key file of a batch.",
        f"A CSV with the columns {', '.join(COLUMNS)} is needed.",
        "Name the right file with --key, or another --out.",
    )

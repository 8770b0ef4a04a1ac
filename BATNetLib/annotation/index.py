"""Where each case of a reader stands, at the cost of one listing per case; and a cache that is only a cache.

A version never changes, so what was once read of version 7 of a case is true for as long as version 7 is the
newest. The cache may be deleted, damaged or out of date at any time: it only saves reading small files.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BATNetError
from ..workfiles import whole_file
from . import versions as lying
from .keys import folder_key
from .store import Store
from .versions import FINAL_NAME

_FORMAT = 1


@dataclass(frozen=True)
class Standing:
    """Where a reader stands with a case, by its newest readable record.

    ``status``: "open" (nothing saved), "draft", "done" or "flagged". ``version``: number of the newest
    readable version, None without one. ``damaged``: numbers of damaged versions after it.
    """

    status: str = "open"
    version: int | None = None
    seconds: float = 0.0
    note: str = ""
    flagged: bool = False
    finished: bool = False
    locked: bool = False
    time: str = ""
    damaged: tuple[int, ...] = ()


def standings(store: Store, reader: str, cases: Iterable[str], *, whole: bool = True) -> dict[str, Standing]:
    """Case to standing. Lists the root once, and the folder of each case that has work in it once.

    ``whole``: ``cases`` are all of a list, so that the cache is written anew for them.

    Raises ``InputRefused`` ("store-unreadable") where the folder cannot be read, ``UsageError`` for an empty
    name of the reader.
    """
    reader_key = folder_key(reader)
    begun = set(lying.names_in(store.root))
    cache = _read_cache(store.root, reader_key) if whole else {}
    kept: dict[str, Any] = {}
    found: dict[str, Standing] = {}
    for case in cases:
        key = folder_key(case)
        names = lying.names_in(store.root / key / reader_key) if key in begun else []
        numbers = lying.numbers_in(names)
        if not numbers:
            found[case] = Standing()
            continue
        seen = [numbers[-1], len(numbers), FINAL_NAME in names]
        standing = _cached(cache.get(case), seen) or _look(store, case, reader, numbers, FINAL_NAME in names)
        found[case] = standing
        if not standing.damaged:  # what is damaged may be put back from a backup
            kept[case] = {"seen": seen, "standing": asdict(standing)}
    if whole and kept and kept != cache:
        _write_cache(store.root, reader_key, kept)
    return found


def _look(store: Store, case: str, reader: str, numbers: list[int], final: bool) -> Standing:
    folder = store.folder(case, reader)
    damaged: list[int] = []
    for number in reversed(numbers):
        version = lying.look(folder, number, case, reader)
        record = version.record
        if record is None or version.damage is not None:
            damaged.append(number)
            continue
        return Standing(
            record.shown_status,
            number,
            record.seconds_total,
            record.comment,
            record.flagged,
            record.finished,
            final or record.locked,
            record.time,
            tuple(damaged),
        )
    return Standing(locked=final, damaged=tuple(damaged))


def _cached(entry: Any, seen: list[Any]) -> Standing | None:
    try:
        if entry is None or entry["seen"] != seen:
            return None
        standing = Standing(**{**entry["standing"], "damaged": ()})
        return standing if standing.version == seen[0] else None
    except (TypeError, KeyError):
        return None


def _place(root: Path, reader_key: str) -> Path:
    return root / f".index-{reader_key}.json"


def _read_cache(root: Path, reader_key: str) -> dict[str, Any]:
    try:
        content = json.loads(_place(root, reader_key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    good = isinstance(content, dict) and content.get("format") == _FORMAT
    cases = content.get("cases") if good else None
    return cases if isinstance(cases, dict) else {}


def _write_cache(root: Path, reader_key: str, cases: dict[str, Any]) -> None:
    # A folder that may only be read is read all the same.
    with contextlib.suppress(OSError, BATNetError), whole_file(_place(root, reader_key)) as path:
        path.write_text(json.dumps({"format": _FORMAT, "cases": cases}), encoding="utf-8")

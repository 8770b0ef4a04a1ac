"""What cases and patients are called in what comes out of a training: numbers, never their names.

Numbers follow a hash of the split and the name, not the alphabet, because a number in alphabetical order
still tells something about a name; the same split gives the same numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..batch.words import private_words, without_names
from .contract import Parts


def numbered(names: Iterable[str], word: str, split: str) -> dict[str, str]:
    """Name to such as "validation-003". ``word``: part of the split, or "patient"; ``split``: its SHA-256."""
    ordered = sorted(set(names), key=lambda name: hashlib.sha256(f"{split}:{name}".encode()).digest())
    digits = max(3, len(str(len(ordered))))
    return {name: f"{word}-{number:0{digits}d}" for number, name in enumerate(ordered, 1)}


def case_ids(parts: Parts) -> dict[str, str]:
    """Case to number, over all parts."""
    ids: dict[str, str] = {}
    for part in ("train", "validation", "test"):
        ids |= numbered((case.case for case in getattr(parts, part)), part, parts.sha256)
    return ids


def case_ids_of_split(split: Mapping[str, Any], fold: str | None) -> dict[str, str]:
    """The same from a file of a split (``split.json`` of a run); ``fold``: the one that is validated on."""
    parts: dict[str, list[str]] = {}
    for case, entry in split.get("cases", {}).items():
        where = str(entry["fold"])
        if split.get("kind") == "folds":
            where = "validation" if where == fold else "train"
        parts.setdefault(where, []).append(case)
    ids: dict[str, str] = {}
    for part, names in parts.items():
        ids |= numbered(names, part, str(split.get("sha256")))
    return ids


def unnaming(ids: Mapping[str, str], patients: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that puts numbers in place of the names of cases in a text, "a patient" in place of theirs,
    and cuts every path to its last part. Names that tell nothing ("case-01") stay."""
    words: dict[str, str] = {}
    for name, number in ids.items():
        words |= {word: number for word in private_words(name, ()) if word not in words}
    for patient in patients:
        words |= {word: "a patient" for word in private_words(patient, ()) if word not in words}
    longest = sorted(words, key=lambda word: (-len(word), word))
    known = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest))})(?!\w)") if words else None

    def without(text: str) -> str:
        if known is not None:
            text = known.sub(lambda match: words[match.group(1)], text)
        return without_names(text, (), "")

    return without

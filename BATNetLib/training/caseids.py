"""What cases and patients are called in what comes out of a training: numbers, never their names.

Numbers follow a hash of the split and the name, not the alphabet, because a number in alphabetical order
still tells something about a name; the same split gives the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def numbered(names: Iterable[str], word: str, split: str) -> dict[str, str]:
    """Name to such as "validation-003". ``word``: part of the split, or "patient"; ``split``: its SHA-256."""
    ordered = sorted(set(names), key=lambda name: hashlib.sha256(f"{split}:{name}".encode()).digest())
    digits = max(3, len(str(len(ordered))))
    return {name: f"{word}-{number:0{digits}d}" for number, name in enumerate(ordered, 1)}

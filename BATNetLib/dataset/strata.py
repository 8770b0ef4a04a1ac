"""Bins of cases for a stratified split: how much brown fat, how much fat, which centre."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .findings import CaseFacts

#: Cases with brown fat are cut into this many groups of equal size by its volume; fat likewise.
_GROUPS = 3
_NAMES = ("little", "middle", "much")
BROWN, FAT, CENTRE = "brown fat", "fat", "centre"
_ANY = f"{BROWN}: any"


def bins_of(facts: Sequence[CaseFacts]) -> list[tuple[str, ...]]:
    """The bins of each case: of brown fat ("none", or "any" and how much), of fat, of centre.

    Volumes are compared within one unit only. A quantity that is not known is a bin too.
    """
    brown = _by_amount([f.brown for f in facts], [f.unit for f in facts], BROWN)
    fat = _by_amount([f.fat for f in facts], [f.unit for f in facts], FAT)
    centres = [f"{CENTRE}: {f.case.centre or 'unknown'}" for f in facts]
    # Groups of volume are small: "any" keeps a fold from being left without brown fat at all.
    some = [(_ANY,) if fact.brown else () for fact in facts]
    return [(*a, b, c, d) for a, b, c, d in zip(some, brown, fat, centres, strict=True)]


def all_bins(bins: Sequence[tuple[str, ...]]) -> list[str]:
    """Every bin in the order in which tables show them."""
    counted = Counter(name for case in bins for name in case)
    ranks = {word: rank for rank, word in enumerate(("none", "any", *_NAMES, "unknown"))}

    def key(name: str) -> tuple[int, int, str]:
        kind, _, word = name.partition(": ")
        return ((BROWN, FAT, CENTRE).index(kind), ranks.get(word.split(" (")[0], 9), word)

    return sorted(counted, key=key)


def _by_amount(amounts: Sequence[float | None], units: Sequence[str], kind: str) -> list[str]:
    edges = {}
    for unit in set(units):
        some = [a for a, u in zip(amounts, units, strict=True) if u == unit and a]
        edges[unit] = np.quantile(some, np.arange(1, _GROUPS) / _GROUPS) if some else np.array([])
    several = len({u for u, a in zip(units, amounts, strict=True) if a}) > 1
    found = []
    for amount, unit in zip(amounts, units, strict=True):
        if amount is None:
            found.append(f"{kind}: unknown")
        elif amount == 0:
            found.append(f"{kind}: none")
        else:
            word = _NAMES[int(np.searchsorted(edges[unit], amount, side="left"))]
            found.append(f"{kind}: {word}" + (f" ({unit})" if several else ""))
    return found

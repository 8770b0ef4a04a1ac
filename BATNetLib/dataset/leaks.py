"""The same patient or the same pixels where they must not be: in two splits, or under two names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations

from .cases import TrainingCase
from .findings import BLOCK, WARN, CaseFacts, Finding

#: From this many common slices on, two cases show the same images; fewer do in small cases, where this
#: share of the smaller one counts.
_SLICES, _SHARE = 3, 0.25


def patients_in_two_splits(cases: Iterable[TrainingCase]) -> list[Finding]:
    """A finding for each patient whose cases lie in more than one split."""
    splits: dict[str, set[str]] = defaultdict(set)
    names: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.split:
            splits[case.patient].add(case.split)
            names[case.patient].append(case.case)
    return [
        Finding(
            BLOCK,
            "patient-in-two-splits",
            f"Cases of one patient lie in {' and '.join(sorted(splits[patient]))}.",
            "Keep all cases of a patient in one split; 'dataset split' does.",
            tuple(names[patient]),
        )
        for patient in splits
        if len(splits[patient]) > 1
    ]


def same_pixels(facts: Sequence[CaseFacts]) -> list[Finding]:
    """A finding for each pair of cases that show the same images, wholly or in part.

    Two layouts of one patient's scan (such as a CT and its PNG slices) are told as a duplicate too, because
    training would see it twice.
    """
    by_name = {fact.case.case: fact for fact in facts}
    found = []
    for (one, other), common in sorted(_common(facts).items()):
        a, b = by_name[one], by_name[other]
        whole = (a.voxels is not None and a.voxels == b.voxels) or a.unit == "patches"
        smaller = min(len(a.planes), len(b.planes))
        if not whole and common < _SLICES and common < _SHARE * smaller:
            continue
        found.append(_pair(a.case, b.case, "All pixels" if whole else f"{common} slices"))
    return found


def _pair(a: TrainingCase, b: TrainingCase, what: str) -> Finding:
    names = (a.case, b.case)
    if a.split and b.split and a.split != b.split:
        return Finding(
            BLOCK,
            "pixels-in-two-splits",
            f"{what} of a case in {a.split} are those of a case in {b.split}.",
            "Take one of them out; what is tested on must not have been trained on.",
            names,
        )
    if a.patient != b.patient:
        return Finding(
            BLOCK,
            "duplicate-pixels",
            f"{what} of one patient's case are those of another's.",
            "Take one of them out, or say in a manifest that both are the same patient; a split cannot keep "
            "them together otherwise.",
            names,
        )
    return Finding(
        WARN,
        "duplicate-pixels",
        f"{what} of one case are those of another of the same patient.",
        "Take one of them out unless it is meant to count twice.",
        names,
    )


def _common(facts: Sequence[CaseFacts]) -> Counter[tuple[str, str]]:
    """How many slices (or whole volumes without slices) each pair of cases has in common."""
    owners: dict[bytes | str, set[str]] = defaultdict(set)
    for fact in facts:
        keys: set[bytes | str] = set(fact.planes)
        if fact.voxels:
            keys.add(fact.voxels)
        for key in keys:
            owners[key].add(fact.case.case)
    common: Counter[tuple[str, str]] = Counter()
    for key, names in owners.items():
        if len(names) > 1:
            # The fingerprint of the whole is no slice, but makes the pair known.
            step = 1 if isinstance(key, bytes) else 0
            for pair in combinations(sorted(names), 2):
                common[pair] += step
    return common

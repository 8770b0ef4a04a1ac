"""Splitting by whole patients, alike in brown fat, fat and centre; the same seed gives the same split."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputRefused, UsageError
from .cases import Dataset
from .findings import BLOCK, CaseFacts, Finding
from .leaks import patients_in_two_splits, same_pixels
from .strata import all_bins, bins_of

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Which patient is in which fold.

    ``kind``: "folds" (each fold is validated on once) or "parts" (train, validation, test). ``shares``:
    fold to wanted share of the cases. ``patients``: patient to fold. ``cases``: case to fold. ``bins``:
    case to its bins. ``dataset``: ``Dataset.digest`` of the list of cases it was made for.
    """

    kind: str
    seed: int
    shares: Mapping[str, float]
    patients: Mapping[str, str]
    cases: Mapping[str, str]
    bins: Mapping[str, tuple[str, ...]]
    dataset: str

    def of(self, fold: str) -> list[str]:
        """Names of the cases of a fold, in the order of the list."""
        return [case for case, where in self.cases.items() if where == fold]

    def training_and_validation(self, fold: str | None = None) -> tuple[list[str], list[str]]:
        """Names of cases to train on and to validate on: all other folds and ``fold``, or the parts.

        Raises ``UsageError`` where a fold is needed and missing, or not known.
        """
        if self.kind == "parts" and fold is None:
            return self.of("train"), self.of("validation")
        if self.kind == "parts" or fold not in self.shares:
            known = ", ".join(self.shares) if self.kind == "folds" else "no folds but parts"
            raise UsageError(
                "fold-unknown",
                "No fold was named." if fold is None else f"The fold {fold!r} was asked for.",
                f"The split has {known}.",
                "Name one of its folds." if self.kind == "folds" else "Leave the fold out.",
            )
        return [case for case, where in self.cases.items() if where != fold], self.of(fold or "")

    def distribution(self) -> list[dict[str, object]]:
        """Rows of a table: ``bin`` ("patients", "cases", then each bin), ``all``, and a count per fold."""
        names = list(self.shares)
        rows: list[dict[str, object]] = []

        def row(called: str, where: Sequence[str]) -> None:
            rows.append({"bin": called, "all": len(where), **{n: list(where).count(n) for n in names}})

        row("patients", list(self.patients.values()))
        row("cases", list(self.cases.values()))
        for name in all_bins(list(self.bins.values())):
            row(name, [self.cases[case] for case, bins in self.bins.items() if name in bins])
        return rows

    def table(self) -> str:
        """``distribution`` as text for a terminal."""
        rows = self.distribution()
        wide = max(len(str(row["bin"])) for row in rows) + 2
        names = ["all", *self.shares]
        width = [max(8, len(name) + 2) for name in names]
        head = " " * wide + "".join(f"{n:>{w}}" for n, w in zip(names, width, strict=True))
        lines = [
            f"{row['bin']!s:<{wide}}" + "".join(f"{row[n]!s:>{w}}" for n, w in zip(names, width, strict=True))
            for row in rows
        ]
        return "\n".join([head, *lines])


def fold_shares(folds: int | None, fractions: Sequence[float] | None) -> tuple[str, dict[str, float]]:
    """Kind and shares of a split: ``folds`` equal folds, or fractions for train, validation (and test).

    Raises ``UsageError``: neither or both, fewer than 2 folds, fractions that are not positive or do not
    sum to 1.
    """
    if (folds is None) == (fractions is None):
        raise UsageError(
            "split-kind",
            "Neither folds nor fractions were given." if folds is None else "Folds and fractions were given.",
            "One of the two is needed.",
            "Say --folds 5, or --fractions 0.7 0.15 0.15.",
        )
    if folds is not None:
        if folds < 2:
            raise UsageError(
                "split-folds", f"{folds} folds were asked for.", "At least 2 are needed.", "Say --folds 5."
            )
        return "folds", {f"fold {n}": 1 / folds for n in range(1, folds + 1)}
    assert fractions is not None
    fits = len(fractions) in (2, 3) and min(fractions) > 0 and abs(sum(fractions) - 1) < 1e-6
    if not fits:
        raise UsageError(
            "split-fractions",
            f"The fractions {', '.join(f'{f:g}' for f in fractions)} were given.",
            "Two or three positive numbers that sum to 1 are needed (train, validation, test).",
            "Say --fractions 0.7 0.15 0.15.",
        )
    return "parts", dict(zip(PARTS, fractions, strict=False))


def make_split(
    dataset: Dataset,
    facts: Sequence[CaseFacts],
    *,
    folds: int | None = None,
    fractions: Sequence[float] | None = None,
    seed: int = 0,
) -> Split:
    """Split whole patients over folds or parts.

    Largest patient (most cases) first, patients of equal size in an order drawn from ``seed``; each goes
    where the sum over folds and bins of ``((n - share * n_bin) / max(n_bin, 1))^2`` is least afterwards,
    ``n`` being the cases of the bin in the fold. A patient larger than a whole quota stays whole.

    ``facts``: those of a check, one per case of ``dataset``. Unusable cases are left out.

    Raises ``UsageError`` as ``fold_shares`` does and where there are fewer patients than folds,
    ``InputRefused`` where the same images are found under two patients ("duplicate-pixels").
    """
    kind, shares = fold_shares(folds, fractions)
    usable = [fact for fact in facts if fact.usable]
    patients: dict[str, list[int]] = {}
    for index, fact in enumerate(usable):
        patients.setdefault(fact.case.patient, []).append(index)
    if len(patients) < len(shares):
        raise UsageError(
            "split-too-few-patients",
            f"{len(patients)} patients with usable cases cannot be split over {len(shares)} folds.",
            "Whole patients are split: each fold needs one at least.",
            "Ask for fewer folds, or see 'dataset check' for cases that cannot be used.",
        )
    _refuse_copies(usable)
    bins = bins_of(usable)
    names = all_bins(bins)
    counts = {
        patient: np.array([sum(name in bins[i] for i in members) for name in names], float)
        for patient, members in patients.items()
    }
    order = sorted(patients)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda patient: -len(patients[patient]))
    where = assign({patient: counts[patient] for patient in order}, shares)
    cases = {fact.case.case: where[fact.case.patient] for fact in usable}
    made = Split(
        kind,
        seed,
        shares,
        {patient: where[patient] for patient in patients},
        cases,
        {fact.case.case: own for fact, own in zip(usable, bins, strict=True)},
        dataset.digest(),
    )
    assert not leaks_of(made, usable), "a patient was torn apart"
    return made


def split_as_given(dataset: Dataset, facts: Sequence[CaseFacts]) -> Split:
    """The split that folders or a manifest say already, checked.

    Raises ``InputRefused``: cases without a split, a split without cases, patients or pixels in two splits.
    """
    usable = [fact for fact in facts if fact.usable]
    splits = [fact.case.split for fact in usable]
    known = [part for part in PARTS if part in splits]
    known += sorted({part for part in splits if part} - set(PARTS))
    if None in splits or len(known) < 2:
        raise InputRefused(
            "split-not-given",
            f"{splits.count(None)} of {len(splits)} usable cases have no split; {len(known)} are named.",
            "Each case needs one, by a folder (train, validation, test) or in a manifest.",
            "Name them, or let 'batnet dataset split' choose with --folds or --fractions.",
        )
    bins = bins_of(usable)
    cases = {fact.case.case: fact.case.split or "" for fact in usable}
    made = Split(
        "parts" if known[0] == PARTS[0] else "folds",
        0,
        {part: splits.count(part) / len(splits) for part in known},
        {fact.case.patient: fact.case.split or "" for fact in usable},
        cases,
        {fact.case.case: own for fact, own in zip(usable, bins, strict=True)},
        dataset.digest(),
    )
    leaks = leaks_of(made, usable)
    if leaks:
        raise InputRefused(
            leaks[0].code,
            f"{len(leaks)} leaks between the splits: {leaks[0].text[0].lower()}{leaks[0].text[1:]}",
            "No patient and no image may be in two splits.",
            "See 'dataset check' for their names, or let 'batnet dataset split' choose.",
        )
    return made


def assign(counts: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> dict[str, str]:
    """Patient to fold. ``counts``: cases per bin [bins] of each patient, in the order they are placed in."""
    folds = list(shares)
    total = np.sum(list(counts.values()), axis=0)
    scale = np.maximum(total, 1)
    share = np.array([shares[fold] for fold in folds])[:, None]
    filled = np.zeros((len(folds), len(total)))
    where: dict[str, str] = {}
    left = len(counts)
    for patient, own in counts.items():
        before = (((filled - share * total) / scale) ** 2).sum(axis=1)
        after = (((filled + own - share * total) / scale) ** 2).sum(axis=1)
        gain = after - before
        empty = [f for f in range(len(folds)) if not filled[f].any()]
        # The last patients are kept for folds that would stay empty.
        allowed = empty if empty and left <= len(empty) else range(len(folds))
        # Where two folds are as good, the emptier one is taken.
        full = filled.sum(axis=1) / share[:, 0]
        chosen = min(allowed, key=lambda f: (round(float(gain[f]), 12), full[f], -share[f, 0], f))
        filled[chosen] += own
        where[patient] = folds[chosen]
        left -= 1
    return where


def leaks_of(split: Split, facts: Sequence[CaseFacts]) -> list[Finding]:
    """Patients or pixels that the folds of a split share, as findings that block; none for a good split."""
    placed = [replace(f, case=replace(f.case, split=split.cases.get(f.case.case))) for f in facts]
    found = patients_in_two_splits([fact.case for fact in placed])
    return found + [f for f in same_pixels(placed) if f.code == "pixels-in-two-splits"]


def _refuse_copies(facts: Sequence[CaseFacts]) -> None:
    alone = [replace(fact, case=replace(fact.case, split=None)) for fact in facts]
    copies = [finding for finding in same_pixels(alone) if finding.level == BLOCK]
    if copies:
        raise InputRefused(
            "duplicate-pixels",
            f"The same images are found under two patients ({len(copies)} pairs of cases).",
            "A split keeps patients apart, so it must know who is one and the same.",
            "See 'dataset check' for their names; take copies out, or name the patient in a manifest.",
        )

"""Weighted kappa of ordinal scores: agreement beyond what the readers' own habits would give by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..evaluation.intervals import LEVEL, RESAMPLES, SEED, Estimate, bootstrapped, draws, patient_index

Weights = Literal["linear", "quadratic"]
WEIGHTS: tuple[Weights, ...] = ("linear", "quadratic")
#: Scores of a depot: none, doubtful or faint, clear.
CATEGORIES = (0, 1, 2)
#: Fewer of the resamples than this with a kappa at all give no interval.
_ENOUGH = 0.5


@dataclass(frozen=True)
class Kappa:
    """Weighted kappa of two readers.

    ``estimate``: value with its interval. ``table``: counts [first reader's score, second one's]. ``exact``:
    share of pairs with the same score, None without pairs. ``standard_error``: asymptotic, None where not
    defined.
    """

    estimate: Estimate
    table: np.ndarray
    exact: float | None
    standard_error: float | None

    @property
    def prevalence(self) -> tuple[list[float], list[float]]:
        """Share of each score with the first and with the second reader: kappa falls where one prevails."""
        total = max(1.0, float(self.table.sum()))
        return (self.table.sum(axis=1) / total).tolist(), (self.table.sum(axis=0) / total).tolist()


def weighted_kappa(
    first: Sequence[int],
    second: Sequence[int],
    *,
    weights: Weights = "linear",
    categories: Sequence[int] = CATEGORIES,
) -> Kappa:
    """Weighted kappa (Cohen 1968) of pairs of scores that are independent of each other.

    ``first``, ``second``: scores of the same things by two readers, values of ``categories`` (in order; all
    of them take part in the weights, used or not). Disagreement weighs by the distance of categories
    ("linear") or its square ("quadratic"). Interval: value -+ 1.96 standard errors (Fleiss, Cohen and Everitt
    1969), cut at -1 and 1. Not defined where both readers gave one and the same score throughout.
    """
    cells, _ = _cells(first, second, categories)
    size = len(categories)
    table = np.bincount(cells, minlength=size * size).reshape(size, size).astype(float)
    return _asymptotic(table, weights)


def kappa_over_patients(
    first: Sequence[int],
    second: Sequence[int],
    patients: Sequence[str],
    *,
    weights: Weights = "linear",
    categories: Sequence[int] = CATEGORIES,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Kappa:
    """``weighted_kappa`` with an interval from resampled patients.

    ``patients``: of each pair. Depots and scans of one patient resemble each other, so that patients are
    drawn whole. Resamples without a kappa are left out.
    """
    found = weighted_kappa(first, second, weights=weights, categories=categories)
    values, count = _resampled([(first, second)], patients, weights, categories, resamples, seed)
    return Kappa(
        _interval(found.estimate, values, count, len(first)), found.table, found.exact, found.standard_error
    )


def mean_pairwise_kappa(
    scores: Sequence[Sequence[int]],
    patients: Sequence[str],
    *,
    weights: Weights = "linear",
    categories: Sequence[int] = CATEGORIES,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """Mean of the weighted kappas of all pairs of readers (Light 1971), interval from resampled patients.

    ``scores``: one sequence per reader over the same things. Pairs without a kappa are left out.
    """
    pairs = [(a, b) for index, a in enumerate(scores) for b in scores[index + 1 :]]
    single = [weighted_kappa(a, b, weights=weights, categories=categories).estimate.value for a, b in pairs]
    defined = [value for value in single if value is not None]
    n = len(patients)
    if not defined:
        return Estimate(None, n=n, note=_undefined(n))
    values, count = _resampled(pairs, patients, weights, categories, resamples, seed)
    return _interval(Estimate(float(np.mean(defined)), n=n), values, count, n)


def disagreement(size: int, weights: Weights) -> np.ndarray:
    """float64 [size, size]: 0 on the diagonal, 1 between the two ends."""
    step = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / max(1, size - 1)
    return step if weights == "linear" else step**2


def _cells(
    first: Sequence[int], second: Sequence[int], categories: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Cell of the table of each pair (row * size + column), and the two scores as places [n, 2]."""
    if len(first) != len(second):
        raise ValueError(f"{len(first)} scores against {len(second)}")
    place = {category: index for index, category in enumerate(categories)}
    try:
        both = np.array([(place[a], place[b]) for a, b in zip(first, second, strict=True)], int).reshape(
            -1, 2
        )
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is none of the scores {tuple(categories)}") from error
    return both[:, 0] * len(categories) + both[:, 1], both


def _values(tables: np.ndarray, weights: Weights) -> np.ndarray:
    """Kappa of each table [..., size, size]; NaN where chance alone agrees wholly."""
    total = tables.sum(axis=(-2, -1), keepdims=True)
    away = disagreement(tables.shape[-1], weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = tables / total
        chance = share.sum(axis=-1, keepdims=True) * share.sum(axis=-2, keepdims=True)
        expected = (away * chance).sum(axis=(-2, -1))
        kappa = 1.0 - (away * share).sum(axis=(-2, -1)) / expected
    return np.where(expected > 1e-12, kappa, np.nan)


def _asymptotic(table: np.ndarray, weights: Weights) -> Kappa:
    n = float(table.sum())
    exact = float(np.trace(table) / n) if n else None
    value = float(_values(table, weights)) if n else math.nan
    if math.isnan(value):
        return Kappa(Estimate(None, n=int(n), note=_undefined(int(n))), table, exact, None)
    agreement = 1.0 - disagreement(len(table), weights)
    share = table / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    expected = float((agreement * np.outer(rows, columns)).sum())
    # Mean agreement weight of each row (over the columns' totals) and of each column (over the rows').
    of_row, of_column = agreement @ columns, rows @ agreement
    spread = agreement - (of_row[:, None] + of_column[None, :]) * (1.0 - value)
    variance = float((share * spread**2).sum()) - (value - expected * (1.0 - value)) ** 2
    error = math.sqrt(max(0.0, variance) / n) / (1.0 - expected)
    if error < 1e-12:
        estimate = Estimate(value, n=int(n), note="no spread, which is no certainty")
    else:
        low, high = max(-1.0, value - 1.959964 * error), min(1.0, value + 1.959964 * error)
        estimate = Estimate(value, low, high, "asymptotic", int(n))
    return Kappa(estimate, table, exact, error)


def _resampled(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    patients: Sequence[str],
    weights: Weights,
    categories: Sequence[int],
    resamples: int,
    seed: int,
) -> tuple[np.ndarray, int]:
    """Mean kappa of the pairs in each resample that has one, and the number of patients."""
    index, count = patient_index(patients)
    if count < 2:
        return np.empty(0), count
    size = len(categories)
    marks = [np.eye(size * size)[_cells(a, b, categories)[0]] for a, b in pairs]
    found = []
    for drawn in draws(index, resamples=resamples, seed=seed):
        per_pair = np.stack([_values((drawn @ mark).reshape(-1, size, size), weights) for mark in marks])
        some = ~np.isnan(per_pair).all(axis=0)
        found.append(np.nanmean(per_pair[:, some], axis=0))
    values = np.concatenate(found)
    return (values if len(values) >= _ENOUGH * resamples else np.empty(0)), count


def _interval(estimate: Estimate, values: np.ndarray, patients: int, n: int) -> Estimate:
    if estimate.value is None:
        return estimate
    if patients < 2:
        return Estimate(estimate.value, n=n, note="an interval needs two patients")
    if not len(values):
        return Estimate(estimate.value, n=n, note="too few resamples have a kappa")
    return bootstrapped(estimate.value, values, patients, n)


def _undefined(n: int) -> str:
    return "both readers gave one and the same score throughout" if n else "nothing that both scored"


assert LEVEL == 0.95  # 1.959964 belongs to it

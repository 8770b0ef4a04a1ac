"""Intervals: Wilson for shares, bootstrap of patients for everything else.

A patient with several scans is drawn with all of them or not at all: scans of one patient resemble each
other, and drawing them singly would make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..events import Events

LEVEL = 0.95
RESAMPLES = 2000
SEED = 20240917
#: Patients below which the bootstrap is warned about.
FEW = 20
#: Counts held at once, so that large cohorts do not fill the memory.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval. ``value``, ``low``, ``high``: None where not defined; ``method``:
    how the interval was made; ``n``: how many cases the number rests on; ``note``: why it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    n: int = 0
    note: str = ""


def share(count: int, total: int) -> Estimate:
    """``count`` of ``total`` with the score interval of Wilson (1927)."""
    from scipy.stats import binomtest

    if total == 0:
        return Estimate(None, n=0, note="no cases")
    found = binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    return Estimate(count / total, float(found.low), float(found.high), "Wilson", total)


def patient_index(patients: Sequence[str]) -> tuple[np.ndarray, int]:
    """Whole number of the patient of each case, int [n], and the number of patients."""
    _, index = np.unique(np.asarray(patients, str), return_inverse=True)
    return index.reshape(-1), int(index.max()) + 1 if len(index) else 0


def draws(
    patient: np.ndarray, strata: np.ndarray | None = None, *, resamples: int = RESAMPLES, seed: int = SEED
) -> Iterator[np.ndarray]:
    """How often each case is drawn in each resample: float64 [chunk, n], ``resamples`` rows in all.

    ``patient``: int [n], the patient of each case. ``strata``: int [n], the same for all cases of a patient;
    as many patients are drawn from each stratum as it has. The same seed gives the same draws.
    """
    rng = np.random.default_rng(seed)
    patients = int(patient.max()) + 1
    stratum = np.zeros(patients, int)
    if strata is not None:
        stratum[patient] = strata
    members = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    rows = max(1, _CHUNK // max(len(patient), patients))
    done = 0
    while done < resamples:
        size = min(rows, resamples - done)
        counts = np.zeros((size, patients))
        for group in members:
            counts[:, group] = rng.multinomial(len(group), np.full(len(group), 1 / len(group)), size)
        yield counts[:, patient]
        done += size


def bootstrapped(value: float, resampled: np.ndarray, patients: int, n: int) -> Estimate:
    """``value`` with the central 95 % of resampled values; no interval where they are all the same."""
    method = f"bootstrap of {patients} patients"
    tail = 50 * (1 - LEVEL)
    low, high = (float(v) for v in np.percentile(resampled, [tail, 100 - tail]))
    if high - low < 1e-12:
        # An interval of no width would claim a certainty that the cohort is too uniform to show.
        return Estimate(value, n=n, method=method, note="all resamples agree, which is no certainty")
    return Estimate(value, low, high, method, n)


def few_patients(patients: int, events: Events) -> None:
    """Warn where resampling patients gives intervals that are too narrow."""
    if patients < FEW:
        events.warning(
            "few-patients",
            f"Only {patients} patient{'s' if patients != 1 else ''}: below about {FEW}, intervals from "
            "resampling are too narrow.",
        )


def mean_and_median(
    values: Sequence[float], patients: Sequence[str], *, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[Estimate, Estimate]:
    """Mean and median of ``values`` over cases, with percentile intervals from resampled patients.

    With fewer than two patients there is no interval; without values nothing is defined.
    """
    array = np.asarray(values, float)
    n = len(array)
    if n == 0:
        nothing = Estimate(None, n=0, note="no cases")
        return nothing, nothing
    mean, median = float(array.mean()), float(np.median(array))
    index, count = patient_index(patients)
    if count < 2:
        note = "an interval needs two patients"
        return Estimate(mean, n=n, note=note), Estimate(median, n=n, note=note)
    order = np.argsort(array, kind="stable")
    means, medians = [], []
    for weights in draws(index, resamples=resamples, seed=seed):
        total = weights.sum(1)
        means.append(weights @ array / total)
        medians.append(_weighted_median(array[order], weights[:, order]))
    return (
        bootstrapped(mean, np.concatenate(means), count, n),
        bootstrapped(median, np.concatenate(medians), count, n),
    )


def _weighted_median(sorted_values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Median of each row when value j is there ``weights[:, j]`` times (whole numbers)."""
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1:]
    lower = (reached >= np.floor((total + 1) / 2)).argmax(1)
    upper = (reached >= np.floor(total / 2) + 1).argmax(1)
    return (sorted_values[lower] + sorted_values[upper]) / 2

"""Area under the ROC curve: DeLong's variance and test, and the bootstrap of patients.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837, computed from midranks as in Sun and Xu,
IEEE Signal Processing Letters 2014;21:1389. Higher scores speak for label 1; equal scores count half.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import LEVEL, RESAMPLES, SEED, Estimate, bootstrapped, draws


@dataclass(frozen=True)
class DeLong:
    """AUCs of several scores on the same cases: ``auc`` [k], ``covariance`` [k, k]."""

    auc: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Difference of two AUCs on the same cases (first minus second).

    ``difference``, ``z``, ``p``: DeLong's paired test, two-sided; it takes cases for independent.
    ``by_patients``: the difference with the interval of resampled patients.
    """

    difference: Estimate
    z: float | None
    p: float | None
    by_patients: Estimate


def delong(labels: np.ndarray, scores: np.ndarray) -> DeLong:
    """AUCs and their covariance. ``labels``: 0/1 [n]; ``scores``: [n] or [k, n].

    The covariance is that of placements in both classes; a class with one case makes it NaN.
    """
    from scipy.stats import rankdata

    scores = np.atleast_2d(np.asarray(scores, float))
    positive = np.asarray(labels).astype(bool)
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores, axis=1)
    among_positive = rankdata(scores[:, positive], axis=1)
    among_negative = rankdata(scores[:, ~positive], axis=1)
    # Share of the other class that a case is on the right side of.
    of_positive = (ranks[:, positive] - among_positive) / n
    of_negative = 1.0 - (ranks[:, ~positive] - among_negative) / m
    auc = of_positive.mean(axis=1)
    if min(m, n) < 2:
        return DeLong(auc, np.full((len(scores), len(scores)), np.nan))
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return DeLong(auc, covariance)


def auc_delong(labels: np.ndarray, scores: np.ndarray) -> Estimate:
    """AUC with DeLong's normal interval, cut at 0 and 1; None for the interval where its variance is 0."""
    found = delong(labels, scores)
    auc, variance = float(found.auc[0]), float(found.covariance[0, 0])
    n = len(labels)
    if not np.isfinite(variance) or variance <= 0:
        return Estimate(auc, n=n, method="DeLong", note="the variance is 0: too few cases or all separated")
    half = _quantile() * float(np.sqrt(variance))
    return Estimate(auc, float(max(0.0, auc - half)), float(min(1.0, auc + half)), "DeLong", n)


def compare(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patient: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """DeLong's paired test of the AUCs of two scores of the same cases, and the bootstrap of patients.

    ``patient``: int [n], the patient of each case.
    """
    from scipy.stats import norm

    found = delong(labels, np.stack([first, second]))
    difference = float(found.auc[0] - found.auc[1])
    contrast = np.array([1.0, -1.0])
    variance = float(contrast @ found.covariance @ contrast)
    n = len(labels)
    drawn = bootstrap_aucs(labels, np.stack([first, second]), patient, resamples=resamples, seed=seed)
    by_patients = bootstrapped(difference, drawn[0] - drawn[1], int(patient.max()) + 1, n)
    if not np.isfinite(variance) or variance <= 1e-15:
        note = "the variance of the difference is 0"
        return Comparison(Estimate(difference, n=n, method="DeLong", note=note), None, None, by_patients)
    error = float(np.sqrt(variance))
    z = difference / error
    half = _quantile() * error
    interval = Estimate(difference, difference - half, difference + half, "DeLong", n)
    return Comparison(interval, float(z), float(2 * norm.sf(abs(z))), by_patients)


def auc_bootstrap(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate:
    """AUC with the percentile interval of stratified resampling of patients; ``patient``: int [n]."""
    values = bootstrap_aucs(labels, np.atleast_2d(scores), patient, resamples=resamples, seed=seed)[0]
    return bootstrapped(float(delong(labels, scores).auc[0]), values, int(patient.max()) + 1, len(labels))


def bootstrap_aucs(
    labels: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> np.ndarray:
    """AUC of each score in each resample, float64 [k, resamples]; the same patients for all scores."""
    groups = []
    for row in np.atleast_2d(scores):
        order = np.argsort(row, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(row[order]) > 0])
        groups.append((order, starts, np.asarray(labels)[order]))
    found: list[list[np.ndarray]] = [[] for _ in groups]
    for weights in draws(patient, strata_of(labels, patient), resamples=resamples, seed=seed):
        for number, (order, starts, sorted_labels) in enumerate(groups):
            sorted_weights = weights[:, order]
            positive = np.add.reduceat(sorted_weights * sorted_labels, starts, axis=1)
            negative = np.add.reduceat(sorted_weights * (1 - sorted_labels), starts, axis=1)
            below = np.cumsum(negative, axis=1) - negative
            won = (positive * (below + negative / 2)).sum(1)
            found[number].append(won / (positive.sum(1) * negative.sum(1)))
    return np.array([np.concatenate(values) for values in found])


def strata_of(labels: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Stratum of each case by its patient: 0 only negative, 1 only positive, 2 both kinds of cases."""
    labels = np.asarray(labels)
    patients = int(patient.max()) + 1
    positive, negative = np.zeros(patients, bool), np.zeros(patients, bool)
    positive[patient[labels == 1]] = True
    negative[patient[labels == 0]] = True
    return np.where(positive & negative, 2, positive.astype(int))[patient]


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates from (0, 0) to (1, 1), one point per distinct score."""
    order = np.argsort(-np.asarray(scores, float), kind="stable")
    sorted_labels, sorted_scores = np.asarray(labels)[order], np.asarray(scores, float)[order]
    last = np.r_[np.flatnonzero(np.diff(sorted_scores)), len(order) - 1]
    true = np.cumsum(sorted_labels)[last] / sorted_labels.sum()
    false = np.cumsum(1 - sorted_labels)[last] / (1 - sorted_labels).sum()
    return np.r_[0.0, false], np.r_[0.0, true]


def _quantile() -> float:
    from scipy.stats import norm

    return float(norm.ppf(0.5 + LEVEL / 2))

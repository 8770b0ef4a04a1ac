"""Whether probabilities mean what they say: Brier, recalibration, bins, and decision curves.

Fits are made with scipy.optimize: one small logistic regression needs no further package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import LEVEL, Estimate, share

#: Probabilities are moved this far from 0 and 1 before their logit is taken.
CLIP = 1e-6
BINS = 10


@dataclass(frozen=True)
class Bin:
    """Cases with predictions in ``low`` <= p < ``high`` (the last bin holds 1 too)."""

    low: float
    high: float
    n: int
    predicted: float | None
    observed: Estimate


@dataclass(frozen=True)
class NetBenefit:
    """Net benefit per patient at threshold probabilities, float64 [k] each."""

    thresholds: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


def brier(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared difference of probability and label; 0 is perfect."""
    return float(np.mean((np.asarray(probabilities, float) - np.asarray(labels)) ** 2))


def recalibration(labels: np.ndarray, probabilities: np.ndarray) -> tuple[Estimate, Estimate]:
    """Calibration slope and calibration-in-the-large, each with a Wald interval.

    Slope b of logit P(label = 1) = a + b logit(p): 1 is right, below 1 too extreme. In the large: a with b
    fixed at 1: 0 is right, above 0 the probabilities are too low on the whole. (Cox, Biometrika 1958;45:562.)
    Not defined, with a note, where the predictions separate the classes or are all the same.
    """
    y, x = np.asarray(labels, float), logit(probabilities)
    n = len(y)
    offset = _fit(np.ones((n, 1)), x, y)
    large = _wald(offset, 0, n)
    if np.ptp(x) == 0:
        return Estimate(None, n=n, note="all predictions are the same"), large
    if x[y == 1].min() >= x[y == 0].max() or x[y == 1].max() <= x[y == 0].min():
        return Estimate(None, n=n, note="the predictions separate the classes; the slope has no end"), large
    return _wald(_fit(np.column_stack([np.ones(n), x]), np.zeros(n), y), 1, n), large


def logit(probabilities: np.ndarray) -> np.ndarray:
    """Log odds of probabilities moved into ``CLIP`` .. 1 - ``CLIP``."""
    p = np.clip(np.asarray(probabilities, float), CLIP, 1 - CLIP)
    return np.log(p) - np.log1p(-p)


def calibration_bins(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[Bin]:
    """``bins`` bins of equal width over 0..1, empty ones included."""
    y, p = np.asarray(labels), np.asarray(probabilities, float)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = index == number
        n = int(inside.sum())
        mean = float(p[inside].mean()) if n else None
        found.append(
            Bin(float(edges[number]), float(edges[number + 1]), n, mean, share(int(y[inside].sum()), n))
        )
    return found


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean over cases of |mean prediction - observed share| of their bin."""
    total = sum(b.n for b in bins)
    gaps = [b.n * abs(b.predicted - b.observed.value) for b in bins if b.predicted is not None and b.n]  # type: ignore[operator]
    return float(sum(gaps) / total)


def net_benefit(labels: np.ndarray, probabilities: np.ndarray, thresholds: np.ndarray) -> NetBenefit:
    """TP/n - FP/n * pt/(1-pt) with p >= pt called positive; treating nobody has net benefit 0.

    Source: Vickers and Elkin, Medical Decision Making 2006;26:565. ``thresholds`` below 1.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, float)
    t = np.asarray(thresholds, float)
    called = p[None] >= t[:, None]
    odds = t / (1 - t)
    true = (called & (y == 1)).mean(1)
    false = (called & (y == 0)).mean(1)
    prevalence = float(np.mean(y == 1))
    return NetBenefit(t, true - false * odds, prevalence - (1 - prevalence) * odds)


def _fit(design: np.ndarray, offset: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and covariance of a logistic regression with an offset."""
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = design @ beta + offset
        return float(np.sum(np.logaddexp(0, z) - y * z)), design.T @ (expit(z) - y)

    def curvature(beta: np.ndarray) -> np.ndarray:
        q = expit(design @ beta + offset)
        return design.T @ (design * (q * (1 - q))[:, None])

    start = np.zeros(design.shape[1])
    found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    return found.x, np.linalg.pinv(curvature(found.x))


def _wald(fit: tuple[np.ndarray, np.ndarray], which: int, n: int) -> Estimate:
    from scipy.stats import norm

    value, error = float(fit[0][which]), float(np.sqrt(fit[1][which, which]))
    half = float(norm.ppf(0.5 + LEVEL / 2)) * error
    return Estimate(value, value - half, value + half, "Wald", n)

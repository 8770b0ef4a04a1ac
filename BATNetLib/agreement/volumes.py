"""Agreement of measured volumes: ICC(2,1) over readers, bias and limits of agreement between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.intervals import LEVEL, Estimate

ICC_DEFINITION = (
    "ICC(2,1): two-way random effects, absolute agreement, single reader (Shrout and Fleiss 1979); the "
    "interval is theirs, from F distributions."
)
LIMITS_DEFINITION = (
    "Bland and Altman 1986: bias and bias ± 1.96 standard deviations of the differences; their intervals "
    "from Student's t with standard errors s/√n and √(3 s²/n)."
)
#: Standard deviations between bias and limit.
MULTIPLE = 1.96


@dataclass(frozen=True)
class ICC:
    """``estimate``: ICC(2,1) with its 95 % interval. Mean squares ``between`` cases, between ``readers``, and
    of the ``error``; NaN where there are too few values."""

    estimate: Estimate
    between: float
    readers: float
    error: float


@dataclass(frozen=True)
class BlandAltman:
    """``bias`` (mean difference), ``lower`` and ``upper`` limit of agreement, each with its 95 % interval;
    ``spread``: standard deviation of the differences, None with fewer than two."""

    bias: Estimate
    lower: Estimate
    upper: Estimate
    spread: float | None
    n: int


def icc_2_1(values: np.ndarray) -> ICC:
    """ICC(2,1) of ``values`` [case, reader], complete. Shrout and Fleiss, Psychol Bull 1979;86:420.

    Not defined with fewer than two cases or readers, or where nothing varies at all. Raises ``ValueError``
    for values that are not finite.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("finite values [case, reader] are needed")
    n, k = values.shape
    if n < 2 or k < 2:
        note = "fewer than two cases" if n < 2 else "fewer than two readers"
        return ICC(Estimate(None, n=n, note=note), math.nan, math.nan, math.nan)
    mean = values.mean()
    of_case, of_reader = values.mean(axis=1), values.mean(axis=0)
    between = float(k * ((of_case - mean) ** 2).sum() / (n - 1))
    readers = float(n * ((of_reader - mean) ** 2).sum() / (k - 1))
    rest = values - of_case[:, None] - of_reader[None, :] + mean
    error = float((rest**2).sum() / ((n - 1) * (k - 1)))
    # Rounding of means leaves a little where there is nothing.
    tiny = 1e-20 * max(1.0, float((values**2).max()))
    between, readers, error = (0.0 if square < tiny else square for square in (between, readers, error))
    below = between + (k - 1) * error + k * (readers - error) / n
    if below <= 0:
        return ICC(Estimate(None, n=n, note="the volumes do not vary"), between, readers, error)
    value = (between - error) / below
    return ICC(_icc_interval(value, n, k, between, readers, error), between, readers, error)


def _icc_interval(value: float, n: int, k: int, between: float, readers: float, error: float) -> Estimate:
    from scipy.stats import f

    if 1 - value < 1e-12:
        return Estimate(value, n=n, note="the readers agree to the voxel, which is no certainty")
    if n < 3:
        return Estimate(value, n=n, note="an interval needs three cases")
    tail = (1 + LEVEL) / 2
    # Satterthwaite's degrees of freedom of the mixture of both mean squares, for the value found.
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    upper_part = (a * readers + b * error) ** 2
    lower_part = (a * readers) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    if lower_part <= 0:
        return Estimate(value, n=n, note="no interval: the readers differ by a constant only")
    freedom = upper_part / lower_part
    f_low, f_high = float(f.ppf(tail, n - 1, freedom)), float(f.ppf(tail, freedom, n - 1))
    rest = k * readers + (k * n - k - n) * error
    low = n * (between - f_low * error) / (f_low * rest + n * between)
    high = n * (f_high * between - error) / (rest + n * f_high * between)
    if not low <= value <= high:  # far below zero the degrees of freedom mean nothing
        return Estimate(value, n=n, note="no interval: the cases differ less than the reads of one case")
    return Estimate(value, low, high, "Shrout and Fleiss, F distribution", n)


def bland_altman(differences: Sequence[float], *, multiple: float = MULTIPLE) -> BlandAltman:
    """Bias and limits of agreement of ``differences``. Bland and Altman, Lancet 1986;1:307.

    ``multiple``: standard deviations between bias and limits. Limits need two differences, intervals three.
    """
    from scipy.stats import t

    values = np.asarray(differences, float)
    n = len(values)
    if n == 0:
        nothing = Estimate(None, n=0, note="no cases")
        return BlandAltman(nothing, nothing, nothing, None, 0)
    bias = float(values.mean())
    if n < 2:
        none = Estimate(None, n=n, note="limits need two cases")
        return BlandAltman(Estimate(bias, n=n, note="one case only"), none, none, None, n)
    spread = float(values.std(ddof=1))
    reach = float(t.ppf((1 + LEVEL) / 2, n - 1)) * spread / math.sqrt(n)

    def around(value: float, half: float) -> Estimate:
        if n < 3 or spread == 0:
            note = "an interval needs three cases" if n < 3 else "all differences are equal"
            return Estimate(value, n=n, note=note)
        return Estimate(value, value - half, value + half, "Student's t", n)

    far = multiple * spread
    limit = reach * math.sqrt(3.0)
    return BlandAltman(around(bias, reach), around(bias - far, limit), around(bias + far, limit), spread, n)

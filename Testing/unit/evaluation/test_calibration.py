"""Calibration and decision curves against closed forms, counts by hand and other solvers."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit

from BATNetLib.evaluation.calibration import (
    brier,
    calibration_bins,
    expected_calibration_error,
    net_benefit,
    recalibration,
)


def two_groups(low, high):
    """Predictions 0.2 and 0.7 for 50 and 40 cases, of which ``low`` and ``high`` have label 1."""
    labels = np.r_[np.repeat([1, 0], (low, 50 - low)), np.repeat([1, 0], (high, 40 - high))]
    return labels, np.repeat([0.2, 0.7], (50, 40))


def test_slope_of_two_groups_is_the_closed_form():
    """With two predictions the fit is saturated: it meets both observed log odds, and the error of their
    difference is that of a log odds ratio (Woolf 1955)."""
    labels, p = two_groups(12, 26)
    step = logit(0.7) - logit(0.2)
    slope, _ = recalibration(labels, p)
    assert slope.value == pytest.approx((logit(26 / 40) - logit(12 / 50)) / step, abs=1e-6)
    error = np.sqrt(1 / 12 + 1 / 38 + 1 / 26 + 1 / 14) / step
    assert slope.high - slope.value == pytest.approx(1.959964 * error, rel=1e-4)


def test_predictions_that_are_right_have_slope_one_and_intercept_zero():
    slope, large = recalibration(*two_groups(10, 28))
    assert slope.value == pytest.approx(1, abs=1e-6) and large.value == pytest.approx(0, abs=1e-6)


def test_recalibration_equals_other_solvers():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    p = rng.beta(0.8, 1.2, 400)
    labels = (rng.random(400) < expit(0.6 * logit(p) - 0.4)).astype(int)
    slope, large = recalibration(labels, p)
    other = LogisticRegression(C=1e8, tol=1e-10, max_iter=1000).fit(logit(p)[:, None], labels)
    assert slope.value == pytest.approx(other.coef_[0, 0], abs=1e-4)
    assert large.value == pytest.approx(
        brentq(lambda a: np.sum(expit(a + logit(p)) - labels), -5, 5), abs=1e-6
    )
    assert slope.low < 0.6 < slope.high < 1


def test_a_slope_without_end_or_without_spread_is_told_in_words():
    slope, large = recalibration(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert slope.value is None and "separate" in slope.note and large.value is not None
    slope, large = recalibration(np.array([0, 1, 0, 1]), np.full(4, 0.5))
    assert slope.value is None and "same" in slope.note and large.value == pytest.approx(0)


def test_probabilities_of_zero_and_one_keep_the_fit_finite():
    slope, large = recalibration(np.array([0, 1, 0, 1, 1, 0]), np.array([0.0, 1.0, 1.0, 0.4, 0.6, 0.2]))
    assert np.isfinite([slope.value, large.value, slope.low, large.high]).all()


def test_brier_bins_and_error_are_those_by_hand():
    labels = np.array([0, 0, 1, 1, 1])
    p = np.array([0.0, 0.15, 0.19, 0.9, 1.0])
    assert brier(labels, p) == pytest.approx((0.15**2 + 0.81**2 + 0.1**2) / 5)
    bins = calibration_bins(labels, p, 10)
    assert [b.n for b in bins] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins[1].predicted == pytest.approx(0.17) and bins[1].observed.value == 0.5
    assert bins[5].predicted is None and bins[5].observed.value is None
    assert expected_calibration_error(bins) == pytest.approx((1 * 0 + 2 * 0.33 + 2 * 0.05) / 5)


def test_net_benefit_is_that_by_hand():
    """Vickers and Elkin 2006: 4 true and 2 false positives of 10 at a threshold of 0.25."""
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.8, 0.5, 0.25, 0.1, 0.6, 0.3, 0.2, 0.1, 0.0])
    found = net_benefit(labels, p, np.array([0.25, 0.5]))
    assert found.model == pytest.approx([4 / 10 - 2 / 10 / 3, 3 / 10 - 1 / 10])
    assert found.treat_all == pytest.approx([0.5 - 0.5 / 3, 0.0])

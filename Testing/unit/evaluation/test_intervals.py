"""Intervals against published ones and against resampling case by case."""

import numpy as np
import pytest

from BATNetLib.evaluation.intervals import _weighted_median, draws, mean_and_median, share


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_the_score_intervals_of_newcombe(count, total, low, high):
    """R. G. Newcombe, Statistics in Medicine 1998;17:857, Table I, score method without correction."""
    found = share(count, total)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert found.n == total


def test_a_share_of_nothing_is_not_defined():
    found = share(0, 0)
    assert found.value is None and found.low is None and found.note


def test_the_weighted_median_is_the_median_of_the_repeated_values():
    rng = np.random.default_rng(1)
    values = np.sort(rng.integers(0, 6, 9).astype(float))
    weights = rng.integers(0, 4, (200, 9)).astype(float)
    weights = weights[weights.sum(1) > 0]
    expected = [np.median(np.repeat(values, row.astype(int))) for row in weights]
    assert _weighted_median(values, weights).tolist() == expected


def test_intervals_of_mean_and_median_equal_those_of_plain_resampling():
    rng = np.random.default_rng(2)
    values = rng.normal(5, 2, 60)
    mean, median = mean_and_median(values, [str(i) for i in range(60)], resamples=4000)
    drawn = rng.choice(values, (4000, 60))
    for found, statistic in ((mean, np.mean), (median, np.median)):
        low, high = np.percentile(statistic(drawn, axis=1), [2.5, 97.5])
        assert found.value == pytest.approx(statistic(values))
        assert found.low == pytest.approx(low, abs=0.12) and found.high == pytest.approx(high, abs=0.12)


def test_scanning_each_patient_four_times_does_not_narrow_the_interval():
    values = np.random.default_rng(3).normal(0, 1, 40)
    once, _ = mean_and_median(values, [str(i) for i in range(40)])
    often, _ = mean_and_median(np.repeat(values, 4), np.repeat(np.arange(40), 4).astype(str))
    singly, _ = mean_and_median(np.repeat(values, 4), [str(i) for i in range(160)])
    width = once.high - once.low
    assert often.high - often.low == pytest.approx(width, rel=0.02)
    assert singly.high - singly.low < 0.6 * width
    assert often.n == 160 and often.method == "bootstrap of 40 patients"


def test_every_resample_holds_whole_patients_and_the_size_of_each_stratum():
    patient = np.array([0, 0, 1, 2, 2, 2, 3])
    strata = np.array([0, 0, 0, 1, 1, 1, 1])
    drawn = np.concatenate(list(draws(patient, strata, resamples=300, seed=5)))
    assert drawn.shape == (300, 7)
    assert (drawn[:, 0] == drawn[:, 1]).all() and (drawn[:, 3] == drawn[:, 5]).all()
    assert (drawn[:, 0] + drawn[:, 2] == 2).all() and (drawn[:, 3] + drawn[:, 6] == 2).all()
    again = np.concatenate(list(draws(patient, strata, resamples=300, seed=5)))
    other = np.concatenate(list(draws(patient, strata, resamples=300, seed=6)))
    assert (drawn == again).all() and (drawn != other).any()


def test_values_that_are_all_the_same_get_no_interval_of_no_width():
    mean, median = mean_and_median([1.0] * 8, [str(i) for i in range(8)])
    assert mean.value == 1 and mean.low is None and median.high is None and "no certainty" in mean.note


def test_one_patient_and_no_case_get_no_interval():
    mean, median = mean_and_median([0.4, 0.6], ["a", "a"])
    assert mean.value == pytest.approx(0.5) and mean.low is None and "two patients" in median.note
    mean, median = mean_and_median([], [])
    assert mean.value is None and median.n == 0

"""ICC(2,1) and Bland-Altman against the examples of their authors."""

import numpy as np
import pytest

from BATNetLib.agreement.volumes import bland_altman, icc_2_1

#: Six targets, four judges: Shrout and Fleiss, Psychol Bull 1979;86:420, their Table 2.
SHROUT_FLEISS = [
    [9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7],
]  # fmt: skip
#: Peak flow (L/min) by two meters in 17 people: Bland and Altman, Lancet 1986;1:307, first readings.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_icc_matches_the_example_of_shrout_and_fleiss():
    found = icc_2_1(SHROUT_FLEISS)
    assert found.between == pytest.approx(11.24, abs=0.005)
    assert found.readers == pytest.approx(32.49, abs=0.005)
    assert found.error == pytest.approx(1.02, abs=0.005)
    assert found.estimate.value == pytest.approx(0.29, abs=0.005)
    # As R's psych prints it for the same table: 0.019 to 0.761.
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.019, 0.761), abs=0.0006)


def test_icc_counts_a_constant_difference_as_disagreement():
    rng = np.random.default_rng(1)
    first = rng.uniform(10, 200, 40)
    noisy = np.stack([first, first + rng.normal(0, 5, 40)], axis=1)
    assert icc_2_1(noisy).estimate.value > 0.98
    shifted = np.add(noisy, [0.0, 60.0])
    assert icc_2_1(shifted).estimate.value < 0.9
    estimate = icc_2_1(shifted).estimate
    assert estimate.low < estimate.value < estimate.high


def test_the_interval_of_icc_holds_what_it_promises():
    """True ICC 0.8 by construction; about 95 of 100 intervals must hold it."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        values = (
            rng.normal(0, 2, (25, 1)) + rng.normal(0, 0.5, (1, 3)) + rng.normal(0, np.sqrt(0.75), (25, 3))
        )
        e = icc_2_1(values).estimate
        held += e.low <= 0.8 <= e.high
    assert 0.92 <= held / 300 <= 0.985


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([[1.0, 2.0]], "fewer than two cases"),
        ([[1.0], [2.0]], "fewer than two readers"),
        ([[3.0, 3.0], [3.0, 3.0]], "do not vary"),
    ],
)
def test_where_icc_is_not_defined_it_says_why(values, word):
    estimate = icc_2_1(np.array(values)).estimate
    assert estimate.value is None and word in estimate.note


def test_identical_readers_have_icc_one_and_claim_no_interval():
    estimate = icc_2_1([[1.0, 1.0], [5.0, 5.0], [90.0, 90.0]]).estimate
    assert estimate.value == pytest.approx(1.0) and estimate.low is None and "no certainty" in estimate.note


def test_an_interval_holds_its_value_or_is_not_given():
    rng = np.random.default_rng(0)
    given = 0
    for _ in range(400):
        n, k = rng.integers(2, 9), rng.integers(2, 5)
        noise = rng.choice([0.0, 1e-9, 0.3, 5.0])
        estimate = icc_2_1(rng.normal(0, 1, (n, 1)) + noise * rng.normal(0, 1, (n, k))).estimate
        assert estimate.value <= 1.0 + 1e-12
        if estimate.low is None:
            assert estimate.note
        else:
            given += 1
            assert estimate.low <= estimate.value <= estimate.high
    assert given > 150


def test_readers_that_differ_by_a_constant_only_get_a_value():
    estimate = icc_2_1([[1.0, 11.0], [5.0, 15.0], [90.0, 100.0]]).estimate
    assert 0.9 < estimate.value < 1.0


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        icc_2_1([[1.0, np.nan], [2.0, 3.0]])


def test_bland_altman_matches_the_example_of_its_authors():
    found = bland_altman(np.subtract(WRIGHT, MINI), multiple=2.0)
    assert found.n == 17
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.spread == pytest.approx(38.8, abs=0.05)
    assert (found.lower.value, found.upper.value) == pytest.approx((-79.7, 75.5), abs=0.15)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.15)
    assert (found.lower.low, found.lower.high) == pytest.approx((-114.3, -45.1), abs=0.25)
    assert (found.upper.low, found.upper.high) == pytest.approx((40.9, 110.1), abs=0.25)


def test_limits_are_1_96_standard_deviations_from_the_bias():
    found = bland_altman([1.0, 2.0, 4.0, -3.0])
    assert found.upper.value - found.bias.value == pytest.approx(1.96 * np.std([1, 2, 4, -3], ddof=1))


@pytest.mark.parametrize(
    ("values", "word"), [([], "no cases"), ([2.0], "one case"), ([1.0, 2.0], "three cases")]
)
def test_too_few_differences_are_said_in_words(values, word):
    found = bland_altman(values)
    assert word in found.bias.note and found.bias.low is None
    assert (found.lower.value is None) == (len(values) < 2)

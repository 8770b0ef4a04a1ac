"""Weighted kappa against published results and against scikit-learn."""

import numpy as np
import pytest

from BATNetLib.agreement.kappa import (
    disagreement,
    kappa_over_patients,
    mean_pairwise_kappa,
    weighted_kappa,
)

#: Two tables whose results SAS PROC FREQ prints (weights of Cicchetti and Allison, the linear ones): value,
#: asymptotic standard error, 95 % limits. The first is on J. Uebersax' page on kappa with SAS.
PUBLISHED = [
    ([[0, 0, 0], [5, 16, 3], [8, 12, 28]], (0.2895, 0.0756, 0.1414, 0.4376)),
    ([[0, 4, 1], [0, 8, 0], [0, 1, 5]], (0.4701, 0.1457, 0.1845, 0.7558)),
]
#: Anxiety of 20 people by the second and the third of three raters (data set "anxiety" of the R package irr).
#: irr takes the values that occur as evenly spaced categories, and prints the kappas below.
SECOND = [3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4]
THIRD = [2, 1, 4, 4, 3, 2, 1, 6, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2]


def as_scores(table):
    pairs = [(a, b) for a in range(3) for b in range(3) for _ in range(table[a][b])]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(("table", "expected"), PUBLISHED)
def test_linear_kappa_and_its_interval_match_published_results(table, expected):
    found = weighted_kappa(*as_scores(table), weights="linear")
    e = found.estimate
    assert (e.value, found.standard_error, e.low, e.high) == pytest.approx(expected, abs=5e-5)
    assert np.array_equal(found.table, table)


@pytest.mark.parametrize(("weights", "expected"), [("linear", 0.1459075), ("quadratic", 0.2520325)])
def test_both_weightings_match_the_results_of_another_program(weights, expected):
    found = weighted_kappa(SECOND, THIRD, weights=weights, categories=(1, 2, 3, 4, 6))
    assert found.estimate.value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_kappa_agrees_with_scikit_learn(weights):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    for n in (5, 30, 400):
        a = rng.integers(0, 3, n)
        b = np.where(rng.random(n) < 0.6, a, rng.integers(0, 3, n))
        expected = metrics.cohen_kappa_score(a, b, labels=[0, 1, 2], weights=weights)
        assert weighted_kappa(a, b, weights=weights).estimate.value == pytest.approx(expected, abs=1e-12)


def test_full_agreement_is_one_and_the_opposite_below_zero():
    assert weighted_kappa([0, 1, 2, 2], [0, 1, 2, 2]).estimate.value == 1.0
    assert weighted_kappa([0, 0, 2, 2], [2, 2, 0, 0]).estimate.value < -0.9


def test_unused_categories_keep_their_distance():
    assert disagreement(3, "linear")[0, 2] == 1.0 and disagreement(3, "linear")[0, 1] == 0.5
    assert disagreement(3, "quadratic")[0, 1] == 0.25
    # Nobody gave a 1, so a 0 against a 2 is the only disagreement: both weightings say the same.
    a, b = [0, 0, 2, 2, 0], [0, 2, 2, 2, 0]
    linear, quadratic = (weighted_kappa(a, b, weights=w).estimate.value for w in ("linear", "quadratic"))
    assert linear == pytest.approx(quadratic)


def test_prevalence_tells_how_often_each_reader_gave_each_score():
    found = weighted_kappa([0, 0, 0, 1], [0, 0, 2, 2])
    assert found.prevalence == ([0.75, 0.25, 0.0], [0.5, 0.0, 0.5])
    assert found.exact == 0.5


@pytest.mark.parametrize(("a", "b"), [([0, 0, 0], [0, 0, 0]), ([], [])])
def test_where_kappa_is_not_defined_it_says_why(a, b):
    found = weighted_kappa(a, b).estimate
    assert found.value is None and found.low is None and found.note


def test_unknown_scores_and_lists_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="none of the scores"):
        weighted_kappa([0, 3], [0, 1])
    with pytest.raises(ValueError, match="2 scores against 1"):
        weighted_kappa([0, 1], [0])


def cohort(patients, per_patient, seed=2):
    """Scores in which the depots of a patient resemble each other strongly."""
    rng = np.random.default_rng(seed)
    base = np.repeat(rng.integers(0, 3, patients), per_patient)
    agree = np.repeat(rng.random(patients) < 0.7, per_patient)
    other = np.where(agree, base, np.repeat(rng.integers(0, 3, patients), per_patient))
    names = np.repeat([f"P{i}" for i in range(patients)], per_patient)
    return base.tolist(), other.tolist(), names.tolist()


def test_patients_are_drawn_whole_so_that_depots_do_not_narrow_the_interval():
    a, b, patients = cohort(30, 6)
    whole = kappa_over_patients(a, b, patients).estimate
    singly = weighted_kappa(a, b).estimate
    assert whole.value == singly.value and whole.n == 180
    assert whole.high - whole.low > 1.7 * (singly.high - singly.low)
    assert whole.method == "bootstrap of 30 patients"


def test_the_bootstrap_agrees_with_the_asymptotic_interval_for_independent_pairs():
    a, b, patients = cohort(400, 1)
    resampled, asymptotic = kappa_over_patients(a, b, patients).estimate, weighted_kappa(a, b).estimate
    assert resampled.low == pytest.approx(asymptotic.low, abs=0.015)
    assert resampled.high == pytest.approx(asymptotic.high, abs=0.015)


def test_one_patient_or_one_score_gives_no_interval_but_words():
    assert kappa_over_patients([0, 1, 2], [0, 2, 2], ["a"] * 3).estimate.note
    found = kappa_over_patients([0, 0, 0], [0, 0, 0], ["a", "b", "c"]).estimate
    assert found.value is None and "same score" in found.note


def test_several_readers_are_averaged_over_their_pairs():
    a, b, patients = cohort(40, 1)
    c = a[::-1]
    together = mean_pairwise_kappa([a, b, c], patients)
    single = [weighted_kappa(*pair).estimate.value for pair in ((a, b), (a, c), (b, c))]
    assert together.value == pytest.approx(np.mean(single))
    assert together.low < together.value < together.high
    assert mean_pairwise_kappa([[0, 0], [0, 0]], ["a", "b"]).value is None

"""AUC, DeLong and bootstrap against published examples and against definitions computed case by case."""

import numpy as np
import pytest

from BATNetLib.evaluation.roc import auc_bootstrap, auc_delong, bootstrap_aucs, compare, delong, roc_curve

#: Albumin, total protein, K-G score, outcome of the 43 complete patients of DeLong et al. 1988, as printed
#: in the SAS/STAT user's guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves".
OVARY = np.array(
    [
        "3.0",
        "5.8",
        "10",
        "0",
        "3.2",
        "6.3",
        "5",
        "1",
        "3.9",
        "6.8",
        "3",
        "1",
        "2.8",
        "4.8",
        "6",
        "0",
        "3.2",
        "5.8",
        "3",
        "1",
        "0.9",
        "4.0",
        "5",
        "0",
        "2.5",
        "5.7",
        "8",
        "0",
        "1.6",
        "5.6",
        "5",
        "1",
        "3.8",
        "5.7",
        "5",
        "1",
        "3.7",
        "6.7",
        "6",
        "1",
        "3.2",
        "5.4",
        "4",
        "1",
        "3.8",
        "6.6",
        "6",
        "1",
        "4.1",
        "6.6",
        "5",
        "1",
        "3.6",
        "5.7",
        "5",
        "1",
        "4.3",
        "7.0",
        "4",
        "1",
        "3.6",
        "6.7",
        "4",
        "0",
        "2.3",
        "4.4",
        "6",
        "1",
        "4.2",
        "7.6",
        "4",
        "0",
        "4.0",
        "6.6",
        "6",
        "0",
        "3.5",
        "5.8",
        "6",
        "1",
        "3.8",
        "6.8",
        "7",
        "1",
        "3.0",
        "4.7",
        "8",
        "0",
        "4.5",
        "7.4",
        "5",
        "1",
        "3.7",
        "7.4",
        "5",
        "1",
        "3.1",
        "6.6",
        "6",
        "1",
        "4.1",
        "8.2",
        "6",
        "1",
        "4.3",
        "7.0",
        "5",
        "1",
        "4.3",
        "6.5",
        "4",
        "1",
        "3.2",
        "5.1",
        "5",
        "1",
        "2.6",
        "4.7",
        "6",
        "1",
        "3.3",
        "6.8",
        "6",
        "0",
        "1.7",
        "4.0",
        "7",
        "0",
        "3.7",
        "6.1",
        "5",
        "1",
        "3.3",
        "6.3",
        "7",
        "1",
        "4.2",
        "7.7",
        "6",
        "1",
        "3.5",
        "6.2",
        "5",
        "1",
        "2.9",
        "5.7",
        "9",
        "0",
        "2.1",
        "4.8",
        "7",
        "1",
        "2.8",
        "6.2",
        "8",
        "0",
        "4.0",
        "7.0",
        "7",
        "1",
        "3.3",
        "5.7",
        "6",
        "1",
        "3.7",
        "6.9",
        "5",
        "1",
        "3.6",
        "6.6",
        "5",
        "1",
    ],
    float,
).reshape(-1, 4)
LABELS = OVARY[:, 3].astype(int)
ALBUMIN, PROTEIN, KG = OVARY[:, 0], OVARY[:, 1], 10 - OVARY[:, 2]
SINGLE = np.arange(43)


def test_areas_and_errors_of_the_example_of_delong_are_the_published_ones():
    found = delong(LABELS, np.stack([KG, ALBUMIN, PROTEIN]))
    assert found.auc == pytest.approx([0.7258, 0.7366, 0.6478], abs=5e-5)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx([0.1028, 0.0927, 0.1000], abs=5e-5)
    interval = auc_delong(LABELS, KG)
    assert (interval.low, interval.high) == (pytest.approx(0.5243, abs=5e-5), pytest.approx(0.9273, abs=5e-5))


@pytest.mark.parametrize(
    ("scores", "difference", "error", "p"),
    [(ALBUMIN, 0.0108, 0.0953, 0.9102), (PROTEIN, -0.0780, 0.1046, 0.4561)],
    ids=["albumin", "protein"],
)
def test_paired_tests_of_the_example_of_delong_are_the_published_ones(scores, difference, error, p):
    found = compare(LABELS, scores, KG, SINGLE)
    assert found.difference.value == pytest.approx(difference, abs=5e-5)
    assert found.difference.value / found.z == pytest.approx(error, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-5)


def test_ratings_of_hanley_and_mcneil_give_the_published_area_and_interval():
    """Radiology 1982;143:29, 109 CT images in five grades; standard error by DeLong as in the manual of Stata
    (roctab): 0.8932, 0.0307, 0.83295 to 0.95339."""
    grades = np.arange(1, 6)
    scores = np.r_[np.repeat(grades, (33, 6, 6, 11, 2)), np.repeat(grades, (3, 2, 2, 11, 33))]
    labels = np.repeat([0, 1], (58, 51))
    found = auc_delong(labels, scores)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert (found.low, found.high) == (pytest.approx(0.83295, abs=5e-6), pytest.approx(0.95339, abs=5e-6))
    drawn = auc_bootstrap(labels, scores, np.arange(109))
    assert drawn.low == pytest.approx(found.low, abs=0.015) and drawn.high == pytest.approx(
        found.high, abs=0.015
    )


def won(a, b):
    return float(a > b) + 0.5 * float(a == b)


@pytest.mark.parametrize("seed", range(3))
def test_covariance_equals_that_of_the_placements_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 40)
    scores = np.round(rng.normal(labels, 1.0, (2, 40)), 1)
    ups, downs = scores[:, labels == 1], scores[:, labels == 0]
    pairs = list(zip(ups, downs, strict=True))
    placed_up = np.array([[np.mean([won(u, d) for d in ds]) for u in us] for us, ds in pairs])
    placed_down = np.array([[np.mean([won(u, d) for u in us]) for d in ds] for us, ds in pairs])
    expected = np.cov(placed_up) / placed_up.shape[1] + np.cov(placed_down) / placed_down.shape[1]
    found = delong(labels, scores)
    assert found.auc == pytest.approx(placed_up.mean(1))
    assert found.covariance == pytest.approx(expected)


def test_resampled_areas_equal_those_of_the_repeated_cases():
    from BATNetLib.evaluation.intervals import draws
    from BATNetLib.evaluation.roc import strata_of

    rng = np.random.default_rng(7)
    labels, patient = rng.integers(0, 2, 30), np.arange(30) // 2
    scores = np.round(rng.normal(labels, 1.5), 1)
    found = bootstrap_aucs(labels, scores, patient, resamples=50, seed=3)[0]
    weights = np.concatenate(list(draws(patient, strata_of(labels, patient), resamples=50, seed=3)))
    for area, row in zip(found, weights.astype(int), strict=True):
        assert area == pytest.approx(delong(np.repeat(labels, row), np.repeat(scores, row)).auc[0])


def test_copies_of_cases_narrow_the_interval_of_delong_but_not_that_over_patients():
    labels, scores, patient = np.repeat(LABELS, 4), np.repeat(KG, 4), np.repeat(SINGLE, 4)
    once, often = auc_bootstrap(LABELS, KG, SINGLE), auc_bootstrap(labels, scores, patient)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.03)
    cases = auc_delong(labels, scores)
    assert cases.high - cases.low < 0.6 * (once.high - once.low)


def test_separated_classes_and_equal_models_get_words_instead_of_a_false_interval():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    found = auc_delong(labels, scores)
    assert found.value == 1 and found.low is None and "separated" in found.note
    drawn = auc_bootstrap(labels, scores, np.arange(4))
    assert drawn.value == 1 and drawn.low is None and "no certainty" in drawn.note
    same = compare(LABELS, KG, KG, SINGLE)
    assert same.difference.value == 0 and same.p is None and same.difference.note
    lonely = auc_delong(np.array([0, 0, 0, 1]), np.array([0.1, 0.6, 0.2, 0.5]))
    assert lonely.value == pytest.approx(2 / 3) and lonely.low is None


def test_the_area_under_the_drawn_curve_is_the_auc():
    for scores in (KG, ALBUMIN, PROTEIN):
        false, true = roc_curve(LABELS, scores)
        assert np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2) == pytest.approx(
            delong(LABELS, scores).auc[0]
        )
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)

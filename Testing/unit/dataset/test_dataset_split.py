"""Splits: whole patients, stratified, seeded, and told when they do not fit the data any more."""

import json
from collections import Counter

import numpy as np
import pytest
from trainingsets import facts

from BATNetLib.dataset.cases import Dataset
from BATNetLib.dataset.split import assign, make_split, split_as_given
from BATNetLib.dataset.splitfile import read_split, write_split
from BATNetLib.errors import InputRefused, UsageError


def dataset_of(made):
    return Dataset("made", tuple(fact.case for fact in made))


def cohort(patients=60, seed=0):
    """Patients of one to three cases, half of them without brown fat, from two centres."""
    rng = np.random.default_rng(seed)
    made = []
    for p in range(patients):
        for scan in range(int(rng.integers(1, 4))):
            brown = 0.0 if p % 2 else float(rng.uniform(1, 200))
            made.append(
                facts(f"p{p}/{scan}", f"p{p}", brown, float(rng.uniform(500, 5000)), "AB"[int(p % 5 == 0)])
            )
    return made


def split(made, **options):
    return make_split(dataset_of(made), made, **options)


def test_every_case_is_in_one_fold_and_every_patient_whole():
    made = cohort()
    result = split(made, folds=5)
    assert sorted(result.cases) == sorted(f.case.case for f in made)
    for patient in {f.case.patient for f in made}:
        assert len({result.cases[f.case.case] for f in made if f.case.patient == patient}) == 1


def test_folds_are_alike_in_size_brown_fat_fat_and_centre():
    result = split(cohort(100), folds=5)
    for row in result.distribution():
        counts = [row[f"fold {n}"] for n in range(1, 6)]
        # A patient of three cases is the smallest step.
        assert max(counts) - min(counts) <= 3, row


def test_a_patient_larger_than_a_whole_quota_stays_whole_and_the_rest_is_balanced():
    # 30 of 50 cases with brown fat are of one patient: three times the quota of a fold.
    made = [facts(f"big/{n}", "big", 50.0 + n) for n in range(30)]
    made += [facts(f"p{n}", brown=10.0 + n) for n in range(20)] + [facts(f"q{n}") for n in range(30)]
    result = split(made, folds=5)
    home = {result.cases[f"big/{n}"] for n in range(30)}
    assert len(home) == 1
    others = [fold for fold in result.shares if fold not in home]
    rest = Counter(result.cases[f"p{n}"] for n in range(20))
    assert rest[home.pop()] == 0 and all(4 <= rest[fold] <= 6 for fold in others)
    assert all(result.of(fold) for fold in result.shares)


def test_the_seed_decides_and_nothing_else():
    made = cohort()
    assert split(made, folds=4, seed=3) == split(made, folds=4, seed=3)
    assert split(made, folds=4, seed=3).cases == split(made[::-1], folds=4, seed=3).cases
    assert split(made, folds=4, seed=3).cases != split(made, folds=4, seed=4).cases


def test_fractions_are_kept_and_name_train_validation_and_test():
    made = cohort(200)
    result = split(made, fractions=(0.7, 0.15, 0.15))
    shares = {name: len(result.of(name)) / len(made) for name in ("train", "validation", "test")}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.15, "test": 0.15}, abs=0.02)
    training, validation = result.training_and_validation()
    assert not set(training) & set(validation) and not set(result.of("test")) & {*training, *validation}


def test_a_fold_is_validated_on_and_the_others_are_trained_on():
    result = split(cohort(), folds=3)
    training, validation = result.training_and_validation("fold 2")
    assert validation == result.of("fold 2") and sorted(training + validation) == sorted(result.cases)
    with pytest.raises(UsageError, match="fold 9"):
        result.training_and_validation("fold 9")


def test_each_patient_goes_where_the_sum_of_squares_grows_least():
    counts = {"a": np.array([3.0, 0.0]), "b": np.array([0.0, 3.0]), "c": np.array([2.0, 0.0])}
    where = assign(counts, {"one": 0.5, "two": 0.5})
    assert where["a"] == "one"
    # By hand: b is as good in both, and two is emptier. c makes 5 and 0 of the first bin in one (12.5 / 25),
    # 3 and 2 in two (0.5 / 25).
    assert where["b"] == "two" and where["c"] == "two"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folds": 1},
        {"folds": 3, "fractions": (0.5, 0.5)},
        {"fractions": (0.7, 0.7)},
        {"fractions": (1.0,)},
    ],
)
def test_a_split_that_makes_no_sense_is_refused(options):
    with pytest.raises(UsageError):
        split(cohort(), **options)


def test_too_few_patients_are_refused():
    with pytest.raises(UsageError, match="3 patients"):
        split([facts(f"p{n}") for n in range(3)], folds=5)


def test_no_fold_stays_empty():
    result = split([facts(f"p{n}/{m}", f"p{n}") for n in range(4) for m in range(1 + 9 * (n == 0))], folds=4)
    assert all(result.of(fold) for fold in result.shares)


def test_the_same_images_under_two_patients_are_not_split():
    made = [facts("a", voxels="x" * 64), facts("b", voxels="x" * 64), facts("c"), facts("d")]
    with pytest.raises(InputRefused) as caught:
        split(made, folds=2)
    assert caught.value.code == "duplicate-pixels"
    same = [facts("a", "P", voxels="x" * 64), facts("b", "P", voxels="x" * 64), facts("c"), facts("d")]
    result = split(same, folds=2)
    assert result.cases["a"] == result.cases["b"]


def test_the_file_of_a_split_reads_back_and_fits_only_its_data(tmp_path):
    made = cohort()
    result = split(made, folds=5, seed=2)
    path = write_split(result, tmp_path / "split.json")
    assert read_split(path, dataset_of(made)) == result
    with pytest.raises(InputRefused) as caught:
        read_split(path, dataset_of(made[1:]))
    assert caught.value.code == "split-of-other-data"


def test_a_split_changed_by_hand_is_refused(tmp_path):
    path = write_split(split(cohort(), folds=5), tmp_path / "split.json")
    content = json.loads(path.read_text())
    case = next(iter(content["cases"].values()))
    case["fold"] = "fold 1" if case["fold"] != "fold 1" else "fold 2"
    path.write_text(json.dumps(content))
    with pytest.raises(InputRefused) as caught:
        read_split(path)
    assert caught.value.code == "split-changed"
    path.write_text("[]")
    with pytest.raises(UsageError):
        read_split(path)


def given(splits, **more):
    from dataclasses import replace

    made = [facts(f"{s}/p{n}", f"p{n}", **more) for n, s in enumerate(splits)]
    return [replace(f, case=replace(f.case, split=s)) for f, s in zip(made, splits, strict=True)]


def test_a_given_split_is_taken_and_a_leak_in_it_refused():
    made = given(["train", "train", "test"])
    result = split_as_given(dataset_of(made), made)
    assert result.of("train") == ["train/p0", "train/p1"] and result.of("test") == ["test/p2"]
    leaking = given(["train", "test"], voxels="y" * 64)
    with pytest.raises(InputRefused) as caught:
        split_as_given(dataset_of(leaking), leaking)
    assert caught.value.code == "pixels-in-two-splits"
    with pytest.raises(InputRefused, match="no split"):
        split_as_given(dataset_of(cohort()), cohort())

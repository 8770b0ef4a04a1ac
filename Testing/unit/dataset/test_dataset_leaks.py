"""The same patient or the same pixels in two splits are found, whatever they are called."""

import numpy as np
from trainingsets import patient, write_png, write_scan

from BATNetLib.dataset.checking import check
from BATNetLib.dataset.layouts import open_dataset


def leaks(folder):
    codes = ("patient-in-two-splits", "pixels-in-two-splits", "duplicate-pixels")
    return [f for f in check(open_dataset(folder)).findings if f.code in codes]


def test_the_same_patient_in_two_splits_is_found(tmp_path):
    write_scan(tmp_path / "train" / "p1", seed=1)
    write_scan(tmp_path / "test" / "p1", seed=2)
    write_scan(tmp_path / "test" / "p2", seed=3)
    (found,) = leaks(tmp_path)
    assert (found.level, found.code) == ("block", "patient-in-two-splits")
    assert set(found.cases) == {"train/p1", "test/p1"}


def test_the_same_pixels_under_another_name_in_another_split_are_found(tmp_path):
    write_scan(tmp_path / "train" / "p1", seed=1)
    write_scan(tmp_path / "test" / "p9", seed=1, ending=".nrrd", share=0.0)
    (found,) = leaks(tmp_path)
    assert (found.level, found.code) == ("block", "pixels-in-two-splits")
    assert "All pixels" in found.text and set(found.cases) == {"train/p1", "test/p9"}


def test_a_cropped_copy_is_found_by_its_slices(tmp_path):
    ct, fat, brown = patient(1)
    write_scan(tmp_path / "train" / "p1", seed=1)
    write_scan(tmp_path / "test" / "p9", ct=ct[4:10], adipose=fat[4:10], brown=brown[4:10])
    (found,) = leaks(tmp_path)
    assert found.code == "pixels-in-two-splits" and "6 slices" in found.text


def test_a_scan_and_its_png_slices_are_the_same_images(tmp_path):
    write_scan(tmp_path / "test" / "p1", seed=1)
    write_png(tmp_path / "train" / "p2", seed=1)
    (found,) = leaks(tmp_path)
    assert found.code == "pixels-in-two-splits" and "12 slices" in found.text


def test_copies_without_splits_are_found_because_a_split_would_part_them(tmp_path):
    write_scan(tmp_path / "p1", seed=1)
    write_scan(tmp_path / "p2", seed=1)
    (found,) = leaks(tmp_path)
    assert (found.level, found.code) == ("block", "duplicate-pixels")


def test_copies_of_one_patient_in_one_split_are_a_warning(tmp_path):
    write_scan(tmp_path / "a", seed=1)
    write_scan(tmp_path / "b", seed=1)
    (tmp_path / "manifest.csv").write_text("case_id,patient,split\na,P,train\nb,P,train\n")
    (found,) = leaks(tmp_path)
    assert (found.level, found.code) == ("warn", "duplicate-pixels")


def test_different_scans_are_no_copies_and_air_is_no_leak(tmp_path):
    for seed, split in ((1, "train"), (2, "test")):
        ct = patient(seed)[0]
        ct[:4] = -1000
        ct[:4, 0, 0] = np.arange(4)
        write_scan(tmp_path / split / f"p{seed}", seed=seed, ct=ct)
    assert leaks(tmp_path) == []


def test_patients_whose_names_are_nearly_the_same_are_named(tmp_path):
    for seed, name in enumerate(("P-01", "p01", "P02")):
        write_scan(tmp_path / name, seed=seed)
    (found,) = (f for f in check(open_dataset(tmp_path)).findings if f.code == "patients-alike")
    assert found.level == "warn" and set(found.cases) == {"P-01", "p01"}

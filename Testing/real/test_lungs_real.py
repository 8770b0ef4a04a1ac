"""Lungs, body and the HU method on published scans."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from realdata import real_data

from BATNetLib.adipose.threshold import adipose_by_threshold
from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.lungs import LEFT, RIGHT, check_lungs, cut_plane, find_lungs
from BATNetLib.volume import Volume, read_volume


@lru_cache(maxsize=2)
def scan(path: str) -> Volume:
    return read_volume(real_data(path))


def labels(path: str) -> Volume:
    return read_volume(real_data(path), kind="mask")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_lungs_agree_with_clinical_contours() -> None:
    ct = scan("ct/chest-with-lungs/ct.nii.gz")
    contours = labels("ct/chest-with-lungs/lungs.nii.gz").array
    found = find_lungs(ct).array
    # In this file 1 is the patient's left lung and 2 the right one.
    assert dice(found > 0, contours > 0) > 0.96
    assert dice(found == RIGHT, contours == 2) > 0.965
    assert dice(found == LEFT, contours == 1) > 0.955  # it holds a tumour
    assert abs(cut_plane(found) - cut_plane(contours)) <= 1


def test_clinical_contours_pass_the_check_and_get_the_patients_sides() -> None:
    ct = scan("ct/chest-with-lungs/ct.nii.gz")
    contours = labels("ct/chest-with-lungs/lungs.nii.gz")
    events = Events()
    sides = check_lungs(contours, ct, events).array
    assert events.warnings == []
    assert dice(sides == RIGHT, contours.array == 2) > 0.999
    assert dice(sides == LEFT, contours.array == 1) > 0.999


def test_lungs_agree_with_a_mask_of_another_tool_on_coarse_voxels() -> None:
    found = find_lungs(scan("ct/tiny-chest/ct-64.nrrd")).array
    whole = labels("ct/tiny-chest/wholeLung-64.nrrd").array
    assert dice(found > 0, whole > 0) > 0.97
    assert abs(cut_plane(found) - cut_plane(whole)) <= 1


def test_upper_lungs_are_found_where_the_scan_ends_in_the_chest() -> None:
    ct = scan("ct/neck-chest/ct.nii.gz")
    events = Events()
    found = find_lungs(ct, events).array
    right, left = (np.count_nonzero(found == side) * ct.voxel_ml for side in (RIGHT, LEFT))
    assert 600 < right < 800 and 500 < left < 700
    slices = np.nonzero(found.any(axis=(1, 2)))[0]
    assert 16 <= slices[0] <= 20  # apices seen on the images from slice 18
    assert slices[-1] == len(found) - 1
    assert events.warnings == []
    assert ct.array[found > 0].mean() < -800


@pytest.mark.parametrize(
    "path",
    [
        "ct/abdomen-with-fat/ct.nii.gz",
        "brain/parcellation-t1/brain.nii.gz",
        "brain/tumour/brats_2013_pat0001_1/Flair_subtrMeanDivStd.nii.gz",
        "brain/stroke/t2.nii.gz",
    ],
)
def test_images_without_lungs_are_refused_in_words(path: str) -> None:
    image = read_volume(real_data(path))
    with pytest.raises(InputRefused) as refusal:
        find_lungs(image)
    assert refusal.value.code in {"no-lungs", "no-body"}


def test_the_hu_method_agrees_with_fat_masks_of_a_model() -> None:
    ct = scan("ct/abdomen-with-fat/ct.nii.gz")
    folder = "ct/abdomen-with-fat/"
    under_skin = labels(folder + "subcutaneous_fat.nii.gz").array > 0
    inner = labels(folder + "torso_fat.nii.gz").array > 0
    muscle = labels(folder + "skeletal_muscle.nii.gz").array > 0
    found = adipose_by_threshold(ct).array > 0
    assert dice(found, under_skin | inner) > 0.90
    assert (found & under_skin).sum() > 0.96 * under_skin.sum()
    assert (found & inner).sum() > 0.94 * inner.sum()
    assert (found & muscle).sum() < 0.05 * muscle.sum()


def test_the_hu_method_leaves_lungs_and_skin_out_and_respects_the_cut() -> None:
    ct = scan("ct/neck-chest/ct.nii.gz")
    lungs = find_lungs(ct).array
    cut = cut_plane(lungs)
    found = adipose_by_threshold(ct, until_slice=cut).array > 0
    assert not found[cut:].any()
    assert (found & (lungs > 0)).sum() < 0.001 * found.sum()
    assert 1000 < found.sum() * ct.voxel_ml < 2200
    assert -115 < ct.array[found].mean() < -90

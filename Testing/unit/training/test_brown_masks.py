"""Lungs and stage-1 masks that training cases get as a patient would."""

import numpy as np
import pytest
from brownsets import Heard

from BATNetLib.adipose.segment import segment_adipose
from BATNetLib.brown.patches import extract_patches
from BATNetLib.dataset import open_dataset
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.lungs import cut_plane, find_lungs
from BATNetLib.models import load_model
from BATNetLib.training.brown_data import PatchMemory, labelled_cases
from BATNetLib.training.brown_masks import NOTE_FILE, with_masks
from BATNetLib.volume import read_mask, read_volume, write_volume


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(5, spacing=(4.0, 4.0, 4.0))


@pytest.fixture
def dataset(phantom, tmp_path):
    folder = tmp_path / "data" / "p"
    for name, volume in {"ct": phantom.ct, "adipose": phantom.adipose, "brown": phantom.brown}.items():
        write_volume(volume, folder / f"{name}.nii.gz")
    return open_dataset(tmp_path / "data")


def test_lungs_are_found_as_for_a_patient_and_kept(phantom, dataset, tmp_path):
    events = Heard()
    (case,) = with_masks(dataset.cases, tmp_path / "masks", events)
    ct = read_volume(case.files["ct"])
    found = read_mask(case.files["lungs"], ct, name="lung mask")
    assert np.array_equal(found.array, find_lungs(phantom.ct).array)
    assert abs(cut_plane(found.array) - cut_plane(phantom.lungs.array)) <= 2
    assert case.files["adipose"] == dataset.cases[0].files["adipose"]
    assert events.codes == []
    note = case.files["lungs"].with_name(NOTE_FILE)
    before = note.stat().st_mtime_ns
    with_masks(dataset.cases, tmp_path / "masks", events)
    assert note.stat().st_mtime_ns == before


def test_masks_of_stage_1_take_the_place_of_the_true_ones(phantom, dataset, tmp_path):
    model = load_model("demo", "adipose")
    (case,) = with_masks(dataset.cases, tmp_path / "masks", Heard(), model, "cpu")
    ct = read_volume(case.files["ct"])
    got = read_mask(case.files["adipose"], ct, name="adipose mask").array > 0
    cut = cut_plane(read_mask(case.files["lungs"], ct, name="lung mask").array)
    true = phantom.adipose.array > 0
    assert not got[cut:].any()
    assert not np.array_equal(got[:cut], true[:cut])
    assert 2 * (got & true)[:cut].sum() / (got[:cut].sum() + true[:cut].sum()) > 0.8
    # Another scan under the same name: the mask is made again.
    before = got
    other = make_phantom(6, spacing=(4.0, 4.0, 4.0))
    write_volume(other.ct, case.files["ct"])
    with_masks(dataset.cases, tmp_path / "masks", Heard(), model, "cpu")
    again = read_mask(case.files["adipose"], read_volume(case.files["ct"]), name="adipose mask").array > 0
    assert not np.array_equal(again, before)


def test_patches_over_masks_of_stage_1_are_what_an_analysis_would_cut(phantom, dataset, tmp_path):
    model = load_model("demo", "adipose")
    (case,) = labelled_cases(dataset, ["p"], tmp_path / "cache", Heard(), segmenter=model, device="cpu")
    ct = read_volume(dataset.cases[0].files["ct"])
    lungs = find_lungs(ct)
    until = cut_plane(lungs.array)
    mask = segment_adipose(ct, model, until_slice=until, device="cpu").mask
    wanted = extract_patches(ct.array, mask.array, phantom.brown.array, lungs.array)
    found = PatchMemory().read(case)
    assert np.array_equal(found.ct, np.concatenate([wanted.left, wanted.right])[:, 0])
    assert np.array_equal(found.mask, np.concatenate([wanted.left, wanted.right])[:, 1] > 0)
    assert np.array_equal(case.labels, np.concatenate([wanted.left_labels, wanted.right_labels]))

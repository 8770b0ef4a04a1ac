"""Phantoms: their tissues, sides and files are what they say they are."""

import functools

import numpy as np
import pytest

from BATNetLib.brown.patches import case_label, extract_patches, patient_side
from BATNetLib.dataset.phantom import LAYOUTS, make_phantom, write_phantom
from BATNetLib.dataset.phantom.samples import CaseSample, imperfect_mask, marble, slab_samples
from BATNetLib.errors import UsageError
from BATNetLib.lungs import cut_plane, find_lungs
from BATNetLib.preflight import preflight
from BATNetLib.volume import read_mask, read_volume


@functools.cache
def phantom(seed=0, **options):
    return make_phantom(seed, **options)


def dice(a, b):
    return 2 * np.sum(a & b) / (np.sum(a) + np.sum(b))


def by_side(p):
    """Brown fat in mL in the right and in the left half of the image."""
    half = p.brown.array.shape[2] // 2
    array = p.brown.array
    return array[:, :, :half].sum() * p.brown.voxel_ml, array[:, :, half:].sum() * p.brown.voxel_ml


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tissues_have_the_hu_they_have_in_people(seed):
    p = phantom(seed)
    hu, brown = p.ct.array, p.brown.array > 0
    white = (p.adipose.array > 0) & ~brown
    assert p.ct.array.dtype == np.int16
    assert -112 < np.median(hu[white]) < -82
    assert -78 < np.median(hu[brown]) < -58
    assert np.median(hu[brown]) - np.median(hu[white]) > 10
    assert -900 < np.median(hu[p.lungs.array > 0]) < -780
    assert np.median(hu[:, :5]) == pytest.approx(-1000, abs=15)
    soft = hu[(hu > 0) & (hu < 120)]
    assert 40 < np.median(soft) < 70
    assert (hu > 400).mean() > 0.002


def test_brown_fat_is_part_of_the_adipose_tissue():
    for seed in (0, 1):
        p = phantom(seed)
        assert p.brown.array.any()
        assert not (p.brown.array > p.adipose.array).any()


def test_the_same_seed_gives_the_same_voxels_and_another_seed_another_patient():
    again = make_phantom(1)
    assert np.array_equal(again.ct.array, phantom(1).ct.array)
    assert again.facts == phantom(1).facts
    assert not np.array_equal(phantom(0).ct.array, phantom(1).ct.array)


def test_brown_fat_changes_nothing_else_of_the_body():
    none, both = phantom(1, brown="none"), phantom(1)
    assert np.array_equal(none.adipose.array, both.adipose.array)
    assert np.array_equal(none.lungs.array, both.lungs.array)
    assert not none.brown.array.any()
    assert none.facts["brown_ml"] == {"right": 0.0, "left": 0.0, "total": 0.0}
    far = both.brown.array == 0
    # Only blur carries a little of the brown fat into its neighbours.
    assert np.mean(none.ct.array[far] != both.ct.array[far]) < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_left_is_the_patients_left_that_is_high_columns(seed):
    p = phantom(seed, brown="left")
    right_ml, left_ml = by_side(p)
    assert left_ml > 20
    assert right_ml < 0.1 * left_ml
    assert p.facts["brown_ml"]["right"] == 0
    assert p.facts["brown_ml"]["left"] == pytest.approx(p.facts["brown_ml"]["total"])


def test_brown_fat_on_both_sides_is_alike_when_symmetry_is_full_and_unlike_when_it_is_none():
    def unlike(symmetry):
        values = [
            make_phantom(seed, symmetry=symmetry, spacing=(6.0, 4.0, 4.0)).facts["brown_ml"]
            for seed in (0, 2, 5)
        ]
        return np.mean([abs(v["left"] - v["right"]) / v["total"] for v in values])

    assert unlike(1.0) < unlike(0.0)
    assert unlike(1.0) < 0.15


def test_the_facts_are_measured_on_the_masks():
    p = phantom(2)
    assert p.facts["adipose_ml"] == pytest.approx(p.adipose.array.sum() * p.adipose.voxel_ml)
    assert p.facts["brown_ml"]["total"] == pytest.approx(p.brown.array.sum() * p.brown.voxel_ml)
    assert 700 < p.facts["lungs_ml"]["left"] < p.facts["lungs_ml"]["right"] < 4000


@pytest.mark.parametrize("seed", [0, 1])
def test_lungs_are_found_on_their_sides_and_give_the_true_cut(seed):
    p = phantom(seed)
    found = find_lungs(p.ct).array
    for label in (1, 2):
        assert dice(found == label, p.lungs.array == label) > 0.95
    columns = [np.argwhere(p.lungs.array == label)[:, 2].mean() for label in (1, 2)]
    assert columns[0] < columns[1], "1 is the patient's right lung"
    assert abs(cut_plane(found) - cut_plane(p.lungs.array)) <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_about_a_phantom_blocks_an_analysis(seed):
    p = phantom(seed)
    assert not preflight(p.ct, p.lungs, p.adipose).blocking


def test_a_phantom_in_fine_voxels_passes_the_checks_without_a_warning():
    p = make_phantom(0, size="full", spacing=(3.0, 2.0, 2.0))
    report = preflight(p.ct, p.lungs, p.adipose)
    assert [f.code for f in report.findings if f.level != "note"] == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_only_patches_of_the_side_with_brown_fat_are_positive(side):
    p = phantom(3, brown=side)
    patches = extract_patches(p.ct.array, p.adipose.array, p.brown.array, p.lungs.array)
    labels = np.concatenate([patches.left_labels, patches.right_labels])
    assert case_label(labels) == 1
    assert {patient_side(int(i)) for i in np.flatnonzero(labels == 1)} == {side}


def test_a_case_without_brown_fat_is_negative():
    p = phantom(3, brown="none")
    patches = extract_patches(p.ct.array, p.adipose.array, p.brown.array, p.lungs.array)
    assert not patches.left_labels.any()
    assert not patches.right_labels.any()


def test_the_pet_lies_on_its_own_grid_and_is_hot_where_fat_is_brown():
    p = make_phantom(0, brown="left", pet=True)
    assert p.pet is not None
    assert not p.pet.grid.same_place(p.ct.grid)
    places = p.brown.grid.points(np.argwhere(p.brown.array))
    index = np.round((places - p.pet.grid.affine[:3, 3]) @ np.linalg.inv(p.pet.grid.affine[:3, :3]).T).astype(
        int
    )
    inside = ((index >= 0) & (index < p.pet.array.shape)).all(axis=1)
    assert inside.mean() > 0.99
    hot = p.pet.array[tuple(index[inside].T)]
    assert np.median(hot) > 2.0
    assert np.percentile(hot, 95) > 0.6 * p.facts["suv"]
    # The hottest voxel of the image is brown fat on the patient's left.
    hottest = p.pet.grid.points(np.argwhere(p.pet.array == p.pet.array.max())[:1])[0]
    assert np.linalg.norm(places - hottest, axis=1).min() < 6
    cold = make_phantom(0, brown="none", pet=True)
    assert cold.pet.array.max() < 2.5


def test_a_spacing_of_ones_own_keeps_the_field_of_view():
    p = make_phantom(1, spacing=(6.0, 4.0, 4.0), noise=0.0)
    assert p.ct.spacing == pytest.approx((6.0, 4.0, 4.0))
    assert p.ct.array.shape[1] % 16 == p.ct.array.shape[2] % 16 == 0
    assert p.facts["adipose_ml"] == pytest.approx(phantom(1).facts["adipose_ml"], rel=0.03)
    assert np.std(p.ct.array[:, :3]) < 1


@pytest.mark.parametrize("wrong", [{"brown": "upper"}, {"size": "huge"}, {"spacing": (0.0, 1.0, 1.0)}])
def test_what_no_phantom_can_be_is_refused_in_words(wrong):
    with pytest.raises(UsageError) as caught:
        make_phantom(0, **wrong)
    assert caught.value.code == "phantom-unknown"


def test_a_case_folder_reads_back_voxel_for_voxel(tmp_path):
    p = phantom(1)
    folder = write_phantom(p, tmp_path / "case")
    assert sorted(f.name for f in folder.iterdir()) == sorted(
        ["image.nii.gz", "lobe.nii.gz", "fat_mask.nii.gz", "brown_fat_mask.nii.gz"]
    )
    ct = read_volume(folder / "image.nii.gz")
    assert np.array_equal(ct.array, p.ct.array)
    assert ct.grid.same_place(p.ct.grid)
    brown = read_mask(folder / "brown_fat_mask.nii.gz", ct, name="brown-fat mask")
    assert np.array_equal(brown.array > 0, p.brown.array > 0)


def test_the_published_array_layout_reads_back_when_its_axes_are_named(tmp_path):
    p = phantom(1)
    folder = write_phantom(p, tmp_path / "case", layout="arrays")
    ct = read_volume(folder / "image.nii.gz", axes="zyx")
    assert np.array_equal(ct.array, p.ct.array)
    with pytest.raises(UsageError):
        write_phantom(p, tmp_path / "other", layout="dicom")
    assert "arrays" in LAYOUTS
    assert not (tmp_path / "other").exists()


# --- training samples


def test_slab_samples_are_windowed_with_the_mask_of_their_middle_slice():
    slabs, masks = slab_samples(0, (6.0, 6.0, 6.0), "small", 6)
    assert slabs.dtype == np.uint8
    assert slabs.shape[:2] == (6, 5)
    assert masks.shape == (6, *slabs.shape[2:])
    # Fat is -190..-30 HU, that is 56..137 of the window.
    inside = slabs[:, 2][masks]
    assert np.mean((inside > 50) & (inside < 145)) > 0.85
    again = slab_samples(0, (6.0, 6.0, 6.0), "small", 6)
    assert np.array_equal(slabs, again[0])
    assert np.array_equal(masks, again[1])


def test_marbling_moves_the_mask_with_the_values():
    p = phantom(0)
    hu, fat = p.ct.array[30:35].astype(np.float32), p.adipose.array[30:35] > 0
    mixed, mask = marble(hu, fat, 3.0, np.random.default_rng(1))
    gained, lost = mask & ~fat, fat & ~mask
    assert gained.any()
    assert lost.any()
    assert np.median(mixed[gained]) < -30 < np.median(mixed[lost])
    untouched = ~(np.abs(mixed - hu) > 0)
    assert np.array_equal(mask[untouched], fat[untouched])


def test_imperfect_masks_stay_near_the_true_one():
    p = phantom(0)
    found = [imperfect_mask(p, np.random.default_rng(seed)) for seed in range(8)]
    scores = [dice(mask, p.adipose.array > 0) for mask in found]
    assert min(scores) > 0.85
    assert min(scores) < 1.0


def test_a_case_sample_holds_both_sides_and_their_labels():
    from BATNetLib.dataset.phantom.samples import as_sample

    p = phantom(3, brown="left")
    sample = as_sample(p, p.adipose.array)
    assert isinstance(sample, CaseSample)
    assert sample.ct.shape == sample.mask.shape == (2, 16, 32, 32, 32)
    assert np.abs(sample.ct).max() <= 0.5
    assert not (sample.brown & ~sample.mask).any()
    assert sample.label == 1
    assert not (sample.labels[0] == 1).any()
    assert (sample.labels[1] == 1).any()

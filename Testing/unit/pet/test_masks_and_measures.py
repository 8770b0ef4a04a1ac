"""Masks and numbers on phantoms whose activity is known."""

from dataclasses import replace

import numpy as np
import pytest
from petfiles import torso

from BATNetLib.brown.patches import patch_boxes
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.events import Cancelled, Events
from BATNetLib.pet import (
    Given,
    PetOptions,
    choose,
    clean,
    evaluate,
    find_midplane,
    load_criteria,
    patch_activity,
    resample_to_ct,
    suv_from_volume,
)
from BATNetLib.pet.peak import RADIUS_MM, peak_map, sphere_weights
from BATNetLib.volume import Grid, Volume

PATIENT = Given(weight_kg=75, height_m=1.78, sex="M")
LEAN = 58.954 / 75
FAT_HU = -100


def case(right=((8, 14), (28, 34), (4, 10)), left=((8, 14), (28, 34), (82, 86)), right_suv=4.0, left_suv=3.0):
    """A torso with two hot blocks in its fat rind (right 6x6x6 voxels, left 6x6x4), PET on the same grid."""
    ct = torso()
    suv = np.where(ct.array > -500, 0.8, 0.0).astype(np.float32)
    hot = np.zeros(ct.array.shape, np.uint8)
    for label, block, value in ((1, right, right_suv), (2, left, left_suv)):
        if block is not None:
            place = tuple(slice(*edge) for edge in block)
            ct.array[place] = FAT_HU
            suv[place] = value
            hot[place] = label
    return ct, suv_from_volume(ct.with_array(suv), "suv", PATIENT), hot


def rows_of(result, name):
    return {(row.region, row.side): row for row in result.rows if row.criterion == name}


def test_the_table_of_a_known_activity():
    ct, pet, hot = case()
    result = evaluate(ct, pet, choose(load_criteria(), ["barcist"]))
    rows = rows_of(result, "barcist")
    right_ml, left_ml = 216 * 0.064, 144 * 0.064
    both, right, left = (rows["total", side] for side in ("both", "right", "left"))
    assert np.array_equal(result.assessments[0].mask.array, hot > 0)
    assert (right.volume_ml, left.volume_ml) == pytest.approx((right_ml, left_ml))
    assert both.volume_ml == pytest.approx(right_ml + left_ml)
    assert (right.suv_mean, right.suv_max, left.suv_mean) == pytest.approx((4, 4, 3))
    assert both.suv_mean == pytest.approx((4 * 216 + 3 * 144) / 360)
    assert both.glycolysis == pytest.approx(4 * right_ml + 3 * left_ml)
    assert both.sul_max == pytest.approx(4 * LEAN, abs=1e-3)
    assert both.mean_hu == FAT_HU
    assert both.asymmetry == pytest.approx((144 - 216) / 360)
    # A sphere of 12.4 mm diameter fits into 24 mm of 4.0, and into 24 x 24 x 16 mm of 3.0.
    assert (right.suv_peak, left.suv_peak) == pytest.approx((4, 3), abs=1e-3)


def test_the_high_columns_are_the_left_of_the_patient():
    ct, pet, _ = case(right=None)
    rows = rows_of(evaluate(ct, pet, choose(load_criteria(), ["barcist"])), "barcist")
    assert rows["total", "left"].volume_ml == pytest.approx(144 * 0.064)
    assert rows["total", "right"].result == "none found"
    assert rows["total", "both"].asymmetry == 1


def test_nothing_found_is_said_in_words_and_not_as_a_number():
    ct, pet, _ = case(right=None, left=None)
    result = evaluate(ct, pet, choose(load_criteria(), ["barcist"]))
    for row in result.rows:
        assert (row.result, row.volume_ml) == ("none found", 0.0)
        assert {row.suv_mean, row.suv_max, row.suv_peak, row.sul_max, row.glycolysis, row.mean_hu} == {None}
        assert row.asymmetry is None


def test_depots_have_their_own_lines():
    ct, pet, hot = case()
    depots = ct.with_array(np.where(hot > 0, 3, 0).astype(np.uint8))
    depots.array[8:11][hot[8:11] > 0] = 7
    result = evaluate(
        ct, pet, choose(load_criteria(), ["barcist"]), depots=depots, depot_names={3: "axillary", 9: "neck"}
    )
    rows = rows_of(result, "barcist")
    assert {region for region, _ in rows} == {"total", "axillary", "depot 7", "neck"}
    assert rows["axillary", "right"].volume_ml == pytest.approx(108 * 0.064)
    assert rows["depot 7", "left"].volume_ml == pytest.approx(72 * 0.064)
    assert rows["neck", "both"].result == "none found"


def test_the_batnet_criterion_counts_inside_the_adipose_mask_only():
    ct, pet, hot = case()
    adipose = ct.with_array((hot == 1).astype(np.uint8))
    rows = rows_of(evaluate(ct, pet, choose(load_criteria(), ["batnet"]), adipose=adipose), "batnet")
    assert rows["total", "both"].volume_ml == pytest.approx(216 * 0.064)
    assert rows["total", "left"].result == "none found"


def test_a_criterion_that_cannot_be_assessed_is_left_out_with_its_reason_or_refused():
    ct, pet, _ = case()
    unknown = replace(pet, factors=replace(pet.factors, patient=replace(pet.factors.patient, height_m=None)))
    events = Events()
    result = evaluate(ct, unknown, list(load_criteria().values()), events=events)
    problems = {a.criterion.name: a.problem["code"] for a in result.assessments if a.mask is None}
    assert problems == {"barcist": "pet-patient-size-missing", "batnet": "pet-adipose-missing"}
    assert all(row.sul_max is None for row in result.rows)
    assert [w["code"] for w in events.warnings].count("pet-criterion-not-assessable") == 2
    for options, names in (
        (PetOptions(strict=True), ["no-hu-suv-2.0", "barcist"]),
        (PetOptions(), ["barcist"]),  # nothing is left to assess
    ):
        with pytest.raises(InputRefused) as caught:
            evaluate(ct, unknown, choose(load_criteria(), names), options=options)
        assert caught.value.code == "pet-patient-size-missing"


def test_small_parts_and_all_but_the_largest_can_be_dropped():
    ct, pet, hot = case()
    voxel = 64.0
    for options, kept in (
        (PetOptions(min_volume_mm3=144 * voxel), {1, 2}),
        (PetOptions(min_volume_mm3=144 * voxel + 1), {1}),
        (PetOptions(min_volume_mm3=216 * voxel + 1), set()),
        (PetOptions(largest_only=True), {1}),
    ):
        result = evaluate(ct, pet, choose(load_criteria(), ["barcist"]), options=options)
        assert set(np.unique(hot[result.assessments[0].mask.array > 0])) == kept


def test_a_part_of_exactly_the_smallest_volume_stays_whatever_the_spacing():
    mask = np.zeros((3, 6, 6), bool)
    mask[1, 2, :3] = True
    for edge in (0.1, 0.7, 0.976562, 3.27):
        assert clean(mask, (edge, edge, edge), min_volume_mm3=3 * edge**3).sum() == 3
        assert clean(mask, (edge, edge, edge), min_volume_mm3=3.01 * edge**3).sum() == 0


def test_parts_that_touch_at_an_edge_only_are_apart():
    mask = np.zeros((3, 6, 6), bool)
    mask[1, 1:3, 1:3] = mask[1, 3:4, 3:4] = True
    assert clean(mask, (1, 1, 1), largest_only=True).sum() == 4
    assert clean(mask, (1, 1, 1), min_volume_mm3=1.0).sum() == 5


def test_a_phantom_with_brown_fat_on_the_left_has_it_there_and_nothing_on_the_right():
    phantom = make_phantom(seed=2, brown="left", pet=True)
    pet = suv_from_volume(phantom.pet, "suv", PATIENT)
    events = Events()
    result = evaluate(
        phantom.ct, pet, choose(load_criteria(), ["batnet"]), adipose=phantom.adipose, events=events
    )
    rows = rows_of(result, "batnet")
    assert rows["total", "right"].result == "none found"
    # The PET blurs over its voxels of about 3 mm, so its volume is near that of the brown fat.
    assert rows["total", "left"].volume_ml == pytest.approx(phantom.facts["brown_ml"]["left"], rel=0.15)
    found, brown = result.assessments[0].mask.array > 0, phantom.brown.array > 0
    assert 2 * (found & brown).sum() / (found.sum() + brown.sum()) > 0.8
    assert events.warnings == []


# --- PET on the CT's grid


def ramp(grid):
    """SUV that grows linearly in space: interpolation must give it back exactly."""
    place = grid.points(np.indices(grid.shape).reshape(3, -1).T)
    return (5 + place @ np.array([0.02, -0.01, 0.03])).reshape(grid.shape).astype(np.float32)


def test_a_coarse_pet_is_interpolated_linearly_and_counts_to_its_outer_edge():
    ct = torso()
    pet_grid = Grid.canonical((20, 40, 50), (5.0, 5.5, 5.5), (-140.0, -110.0, -2.0))
    on_ct = resample_to_ct(Volume(ramp(pet_grid), pet_grid), ct)
    index = (np.linalg.inv(pet_grid.affine) @ np.c_[
        ct.grid.points(np.indices(ct.grid.shape).reshape(3, -1).T), np.ones(ct.array.size)
    ].T)[:3].reshape(3, *ct.grid.shape)  # fmt: skip
    last = np.array(pet_grid.shape).reshape(3, 1, 1, 1) - 1
    between = ((index >= 0) & (index <= last)).all(axis=0)
    reached = ((index > -0.499) & (index < last + 0.499)).all(axis=0)
    beyond = ((index < -0.501) | (index > last + 0.501)).any(axis=0)
    assert between.any()
    assert beyond.any()
    np.testing.assert_allclose(on_ct.array[between], ramp(ct.grid)[between], atol=2e-5)
    assert not np.isnan(on_ct.array[reached]).any()
    assert np.isnan(on_ct.array[beyond]).all()
    assert on_ct.grid is ct.grid


def test_volumes_on_a_finer_ct_come_close_to_the_true_activity():
    # A sphere of 20 mm radius (33.5 mL) with SUV 6 on 2 mm, seen by a PET of 4 mm.
    shape, spacing = (60, 100, 150), (2.0, 2.0, 2.0)
    ct = torso(shape, spacing)
    ct.array[ct.array > -500] = FAT_HU
    fine = Grid.canonical((30, 50, 75), (4.0, 4.0, 4.0), ct.grid.affine[:3, 3])
    place = fine.points(np.indices(fine.shape).reshape(3, -1).T).reshape(*fine.shape, 3)
    centre = ct.grid.points(np.array([[30, 50, 30]]))[0]
    radius = np.linalg.norm(place - centre, axis=-1)
    suv = np.clip((22.0 - radius) / 4.0, 0, 1) * 6.0  # half the height at 20 mm
    pet = suv_from_volume(Volume(suv.astype(np.float32), fine), "suv", PATIENT)
    half = replace(choose(load_criteria(), ["no-hu-suv-2.0"])[0], cutoff=3.0)
    row = evaluate(ct, pet, [half]).rows[0]
    assert row.volume_ml == pytest.approx(4 / 3 * np.pi * 20**3 / 1000, rel=0.03)
    assert row.suv_peak == pytest.approx(6.0, abs=1e-3)


def test_pet_and_ct_that_do_not_overlap_are_refused():
    ct, pet, _ = case()
    far = Grid(
        pet.suv.grid.shape, pet.suv.grid.affine + np.array([[0, 0, 0, 0]] * 2 + [[0, 0, 0, 900]] + [[0] * 4])
    )
    with pytest.raises(InputRefused) as caught:
        evaluate(ct, replace(pet, suv=Volume(pet.suv.array, far)), list(load_criteria().values()))
    assert caught.value.code == "pet-no-overlap"


def test_a_mask_on_another_grid_is_refused():
    ct, pet, _ = case()
    with pytest.raises(InputRefused) as caught:
        evaluate(ct, pet, list(load_criteria().values()), adipose=torso((10, 60, 90)))
    assert caught.value.code == "other-grid"


def test_what_the_reader_must_know_is_warned_of():
    ct, pet, _ = case()
    short = Volume(pet.suv.array[:12] * 20, Grid((12, *pet.suv.grid.shape[1:]), pet.suv.grid.affine))
    short = replace(short, facts={"FrameOfReferenceUID": "1.2"})
    contrast = replace(ct, facts={"FrameOfReferenceUID": "1.3", "contrast_agent": True})
    events = Events()
    evaluate(contrast, replace(pet, suv=short), choose(load_criteria(), ["barcist"]), events=events)
    assert {w["code"] for w in events.warnings} == {
        "pet-ct-contrast", "pet-other-frame", "pet-partial-cover", "pet-mean-suv",
    }  # fmt: skip


def test_a_wish_to_stop_is_heard():
    ct, pet, _ = case()
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        evaluate(ct, pet, list(load_criteria().values()), events=events)


# --- SUVpeak


def test_the_weights_of_the_sphere_add_up_to_one_millilitre():
    for spacing in ((3.27, 0.98, 0.98), (4.0, 4.0, 4.0), (1.0, 0.7, 0.7), (10.0, 2.0, 2.0)):
        weights = sphere_weights(spacing)
        assert weights.sum() * np.prod(spacing) / 1000 == pytest.approx(1.0, rel=0.01)
        assert all(n % 2 for n in weights.shape)


def test_the_peak_is_the_mean_over_the_sphere_worked_out_directly():
    random = np.random.default_rng(5)
    suv = random.gamma(2.0, 1.0, (9, 20, 22)).astype(np.float32)
    suv[2, 5, 6] = np.nan
    suv[:, :, :3] = np.nan
    spacing = (3.0, 1.5, 2.0)
    weights = sphere_weights(spacing)
    half = np.array(weights.shape) // 2
    where = random.random(suv.shape) < 0.05
    where[0, 0, 4] = where[8, 19, 21] = True
    peaks = peak_map(suv, spacing, where)
    padded = np.pad(suv, [(h, h) for h in half], constant_values=np.nan)
    for place in np.argwhere(where):
        value = peaks(place[0], place[1:2], place[2:])[0]
        block = padded[tuple(slice(p, p + n) for p, n in zip(place, weights.shape, strict=True))]
        known = ~np.isnan(block)
        assert value == pytest.approx((block[known] * weights[known]).sum() / weights[known].sum(), rel=1e-4)


def test_the_radius_is_that_of_one_millilitre():
    assert 4 / 3 * np.pi * RADIUS_MM**3 == pytest.approx(1000)


# --- mid-plane


@pytest.mark.parametrize("shift", [-37.0, 0.0, 12.4])
def test_the_midplane_follows_the_body(shift):
    ct = torso()
    affine = ct.grid.affine.copy()
    affine[0, 3] += shift
    moved = Volume(np.roll(ct.array, 3, axis=2), Grid(ct.grid.shape, affine))
    assert find_midplane(moved).plane.point[0] == pytest.approx(shift + 12.0, abs=1.0)


def test_the_midplane_is_as_exact_on_fine_voxels():
    # Columns of 0.8 mm are joined by threes for the search; the body is centred on x = 0 by construction.
    ct = torso((12, 60, 450), (4.0, 4.0, 0.8))
    assert find_midplane(ct).plane.point[0] == pytest.approx(0.0, abs=0.3)


def test_a_body_seen_from_one_side_only_has_no_midplane_and_no_sides():
    ct, pet, _ = case()
    affine = ct.grid.affine.copy()
    half = Grid((24, 60, 40), affine)
    ct, suv = Volume(ct.array[:, :, :40].copy(), half), Volume(pet.suv.array[:, :, :40].copy(), half)
    # The back is cut away from the left half of what is left, as in a crop around a shoulder.
    ct.array[:, 20:, 18:] = -1000
    ct.array[12:, :, 25:] = -1000
    events = Events()
    result = evaluate(ct, replace(pet, suv=suv), choose(load_criteria(), ["barcist"]), events=events)
    rows = rows_of(result, "barcist")
    assert rows["total", "both"].result == "measured"
    assert rows["total", "both"].asymmetry is None
    for side in ("left", "right"):
        assert (rows["total", side].result, rows["total", side].volume_ml) == ("not assessable", None)
    assert "pet-no-midplane" in {w["code"] for w in events.warnings}
    given = evaluate(
        ct, replace(pet, suv=suv), choose(load_criteria(), ["barcist"]), options=PetOptions(midline_mm=0)
    )
    assert rows_of(given, "barcist")["total", "right"].result == "measured"


# --- per patch


def test_each_patch_has_the_activity_of_its_own_fat():
    ct, pet, hot = case()
    adipose = ct.array == FAT_HU
    boxes = patch_boxes(adipose)
    suv = pet.suv.array.copy()
    suv[0] = np.nan
    found = patch_activity(suv, boxes, adipose)
    assert [p.index for p in found] == list(range(32))
    for patch, box in zip(found, boxes, strict=True):
        values = [
            float(suv[z, y, x])
            for z in range(box.start[0], box.end[0])
            for y in range(box.start[1], box.end[1])
            for x in range(box.start[2], box.end[2])
            if adipose[z, y, x] and not np.isnan(suv[z, y, x])
        ]
        assert patch.voxels == len(values)
        if values:
            assert patch.suv_max == max(values)
            assert patch.suv_mean == pytest.approx(np.mean(values))
        else:
            assert (patch.suv_max, patch.suv_mean) == (None, None)
    hottest = max((p for p in found if p.suv_max is not None), key=lambda p: p.suv_max)
    assert hottest.suv_max == 4.0
    assert hot[boxes[hottest.index].slices].max() == 1


def test_a_volume_without_a_stated_unit_is_refused():
    with pytest.raises(InputRefused) as caught:
        suv_from_volume(torso(), None)
    assert caught.value.code == "pet-unit-unknown"
    with pytest.raises(UsageError):
        suv_from_volume(torso(), "bqml", Given(weight_kg=70))

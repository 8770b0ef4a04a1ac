"""Coverage, orientation, position and fat: each finding fires and stays silent."""

from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import as_volume, changed, ct, fat_of, lungs_of

from BATNetLib.body import find_body
from BATNetLib.errors import Cancelled, InputRefused
from BATNetLib.events import Events
from BATNetLib.preflight import preflight
from BATNetLib.volume.geometry import Volume

USUAL = {"large-pixels", "small-matrix"}


def findings(volume: Volume, lungs=None, adipose=None, **limits) -> dict:
    report = preflight(volume, lungs, adipose, limits or None)
    return {f.code: f for f in report.findings if f.code not in USUAL}


def flipped(axis: int, **patient) -> Volume:
    volume = ct(**patient)
    return changed(volume, np.flip(volume.array, axis))


# --- lungs and coverage
def test_a_scan_without_lungs_blocks() -> None:
    volume = ct()
    found = findings(changed(volume, volume.array[82:]))
    assert found["no-lungs"].level == "block"


def test_one_lung_warns() -> None:
    found = findings(ct(right_lung=0.0))
    assert found["one-lung"].level == "warn"
    assert found["one-lung"].values["right_ml"] == 0
    assert found["one-lung"].values["left_ml"] == pytest.approx(1100, rel=0.1)


def test_small_lungs_warn_unless_the_scan_cuts_them_off() -> None:
    volume = ct()
    assert "small-lungs" not in findings(volume)
    assert findings(volume, lung_ml_warn=4000.0)["small-lungs"].level == "warn"
    assert "small-lungs" not in findings(changed(volume, volume.array[:70]), lung_ml_warn=4000.0)


@pytest.mark.parametrize(("from_slice", "level"), [(0, None), (13, None), (16, "warn"), (23, "block")])
def test_the_neck_above_the_lung_apex_is_measured(from_slice: int, level: str | None) -> None:
    volume = ct()
    found = findings(changed(volume, volume.array[from_slice:])).get("apex-missing")
    assert (found.level if found else None) == level
    if found:
        assert found.values["above_apex_mm"] == pytest.approx(72 - 3 * from_slice, abs=4)


def test_lungs_that_start_with_the_first_slice_block() -> None:
    volume = ct()
    assert findings(changed(volume, volume.array[35:]))["apex-missing"].level == "block"


@pytest.mark.parametrize(("last", "level"), [(94, None), (35, "warn"), (26, "block")])
def test_the_axillae_below_the_lung_apex_are_measured(last: int, level: str | None) -> None:
    volume = ct()
    mask = np.where(np.arange(100)[:, None, None] <= last, lungs_of(), 0).astype(np.uint8)
    found = findings(volume, volume.with_array(mask)).get("axilla-missing")
    assert (found.level if found else None) == level


def test_a_cut_plane_below_the_last_slice_blocks() -> None:
    volume = ct()
    neck = np.repeat(volume.array[:1], 140, axis=0)
    tall = changed(volume, np.concatenate([neck, volume.array[:90]]))
    found = findings(tall)
    assert found["cut-outside"].level == "block"
    assert found["cut-outside"].values["slices"] == 230
    assert "cut-outside" not in findings(ct())


def test_lungs_that_go_on_below_the_last_slice_warn() -> None:
    volume = ct()
    found = findings(changed(volume, volume.array[:70]))
    assert set(found) == {"lungs-cut-off"}
    assert found["lungs-cut-off"].values["lung_mm"] == pytest.approx(138, abs=4)


def test_given_and_found_lungs_lead_to_the_same_findings() -> None:
    volume = ct(blood=200.0, shift=15.0)
    given = findings(volume, volume.with_array(lungs_of(shift=15.0)))
    assert set(given) == set(findings(volume)) == {"contrast", "off-centre"}


# --- orientation
@pytest.mark.parametrize(
    "patient", [{}, {"roll": 8.0}, {"touching": True}, {"blood": 250.0}, {"arms_up": True}]
)
def test_patients_who_lie_as_they_should_raise_no_doubt(patient: dict) -> None:
    assert not {"upside-down", "front-to-back", "left-right"} & set(findings(ct(**patient)))


def test_slices_from_feet_to_head_block() -> None:
    found = findings(flipped(0))["upside-down"]
    assert found.level == "block"
    assert found.values["trachea_above_lungs_mm"] < -20
    assert found.values["upper_end_fill"] < found.values["lower_end_fill"]


def test_upper_lungs_alone_show_the_direction_too() -> None:
    volume = ct()
    assert "upside-down" not in findings(changed(volume, volume.array[:60]))
    assert findings(changed(volume, volume.array[:60][::-1]))["upside-down"].level == "block"


def test_witnesses_that_contradict_each_other_only_warn() -> None:
    volume = ct()
    array = volume.array.copy()
    trachea = array[:24, 44:58, 58:70].copy()
    array[:52, 44:58, 58:70][array[:52, 44:58, 58:70] < -900] = 50.0  # no trachea above ...
    array[70:94, 44:58, 58:70] = np.where(trachea < -900, trachea, array[70:94, 44:58, 58:70])  # but below
    assert findings(volume.with_array(array))["upside-down"].level == "warn"


@pytest.mark.parametrize("blood", [40.0, 250.0])
def test_rows_from_back_to_front_block(blood: float) -> None:
    assert findings(flipped(1, blood=blood))["front-to-back"].level == "block"


def test_a_heart_on_the_right_only_warns() -> None:
    found = findings(flipped(2))
    assert set(found) == {"left-right"}
    assert found["left-right"].level == "warn"


# --- position
@pytest.mark.parametrize(
    ("shift", "level"), [(0.0, None), (6.0, None), (14.0, "note"), (-14.0, "note"), (30.0, "warn")]
)
def test_the_midline_is_measured_in_mm_to_the_patients_left(shift: float, level: str | None) -> None:
    found = findings(ct(shift=shift)).get("off-centre")
    assert (found.level if found else None) == level
    if found:
        assert found.values["offset_left_mm"] == pytest.approx(shift, abs=2)
        assert ("patient's left" if shift > 0 else "patient's right") in found.sentence


@pytest.mark.parametrize(
    ("roll", "level"),
    [(0.0, None), (2.0, None), (6.0, "note"), (-6.0, "note"), (14.0, "warn"), (-14.0, "warn")],
)
def test_the_roll_is_measured_in_degrees(roll: float, level: str | None) -> None:
    found = findings(ct(roll=roll)).get("rolled")
    assert (found.level if found else None) == level
    if found:
        assert found.values["roll_left_degrees"] == pytest.approx(roll, abs=1)
        assert ("left side lower" if roll > 0 else "right side lower") in found.sentence


def test_a_body_unlike_its_mirror_image_is_named() -> None:
    volume = ct()
    array = volume.array.copy()
    array[:, :, 75:][array[:, :, 75:] > -950] = -1000.0  # half a patient
    found = findings(volume.with_array(array), volume.with_array(lungs_of()))
    assert found["asymmetric"].values["agreement"] < 0.75


@pytest.mark.parametrize(("columns", "level"), [(0, None), (17, "note"), (24, "warn"), (36, "block")])
def test_a_body_cut_off_by_the_image_is_measured(columns: int, level: str | None) -> None:
    volume = ct()
    part = slice(columns, volume.array.shape[2] - columns)
    lungs = changed(volume, lungs_of()[:, :, part])
    found = findings(changed(volume, volume.array[:, :, part]), lungs).get("body-cut")
    assert (found.level if found else None) == level
    if found:
        assert f"{100 * found.values['share']:.0f} %" in found.sentence


def test_a_round_field_of_view_cuts_too() -> None:
    volume = ct()
    y, x = np.mgrid[:96, :128]
    outside = (y - 47.5) ** 2 + (x - 63.5) ** 2 > 42**2
    array = volume.array.copy()
    array[:, outside] = -2000.0
    assert findings(volume.with_array(array))["body-cut"].level == "warn"


def test_arms_beside_the_neck_are_noted_and_a_table_is_not_an_arm() -> None:
    found = findings(ct(arms_up=True))
    assert set(found) == {"arms"}
    assert found["arms"].level == "note"
    assert found["arms"].values["parts"] == 2
    volume = ct()
    array = volume.array.copy()
    array[:, 85:93, 40:60] = 60.0  # the foot of a table ...
    array[:, 88:90, 45:55] = 400.0  # ... with something dense in it
    assert "arms" not in findings(volume.with_array(array))


# --- adipose tissue
def mask_of(volume: Volume, array: np.ndarray) -> Volume:
    return volume.with_array(array.astype(np.uint8))


def test_true_fat_gives_no_finding() -> None:
    assert findings(ct(), adipose=mask_of(ct(), fat_of())) == {}


def test_a_mask_without_fat_above_the_cut_plane_blocks() -> None:
    below = fat_of() & (np.arange(100)[:, None, None] >= 75)
    assert below.any()
    assert findings(ct(), adipose=mask_of(ct(), below))["adipose-empty"].level == "block"


def test_fat_on_one_side_is_measured_from_the_bodys_own_midline() -> None:
    columns = np.arange(128)[None, None, :]
    for shift in (0.0, 30.0):
        middle = 63.5 + shift / 3.0
        right = fat_of(shift=shift) & (columns < middle)
        found = findings(ct(shift=shift), adipose=mask_of(ct(shift=shift), right))["adipose-one-sided"]
        assert found.level == "block"
        assert found.values["right_ml"] > 20 * found.values["left_ml"]
        assert "adipose-one-sided" not in findings(
            ct(shift=shift), adipose=mask_of(ct(), fat_of(shift=shift))
        )


def test_little_fat_on_one_side_warns() -> None:
    third = (np.arange(100)[:, None, None] % 3 == 0) | (np.arange(128)[None, None, :] < 64)
    found = findings(ct(), adipose=mask_of(ct(), fat_of() & third))
    assert found["adipose-one-sided"].level == "warn"
    assert found["adipose-one-sided"].values["balance"] == pytest.approx(1 / 3, abs=0.05)


def test_volumes_and_hu_out_of_the_ordinary_warn() -> None:
    volume = ct()
    few = fat_of() & (np.arange(100)[:, None, None] % 25 == 0)
    assert findings(volume, adipose=mask_of(volume, few))["adipose-volume"].level == "warn"
    muscle = (volume.array > 0) & (volume.array < 100)
    assert findings(volume, adipose=mask_of(volume, muscle))["adipose-hu"].level == "warn"


def test_masks_on_another_grid_are_refused_in_words() -> None:
    elsewhere = as_volume(lungs_of(), (3.0, 3.0, 2.9))
    for masks in ({"lungs": elsewhere}, {"adipose": elsewhere}):
        with pytest.raises(InputRefused) as refusal:
            preflight(ct(), **masks)
        assert refusal.value.code == "other-grid"


# --- the run itself
def test_a_body_that_is_there_already_gives_the_same_report() -> None:
    volume = ct(shift=14.0)
    assert preflight(volume, body=find_body(volume)).as_dict() == preflight(volume).as_dict()


def test_it_can_be_cancelled() -> None:
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        preflight(ct(), events=events)


def test_an_empty_lung_mask_is_refused_in_words() -> None:
    with pytest.raises(InputRefused) as refusal:
        preflight(ct(), ct().with_array(np.zeros_like(lungs_of())))
    assert refusal.value.code == "mask-empty"


@pytest.mark.parametrize(
    "part", [np.s_[:4], np.s_[40:44], np.s_[:, 40:41], np.s_[:, :, 60:62], np.s_[30:60, 20:40]]
)
def test_slivers_of_a_scan_get_a_report_and_no_traceback(part) -> None:
    volume = ct()
    report = preflight(changed(volume, volume.array[part]))
    assert report.blocking
    assert all(f.sentence and f.advice for f in report.findings)

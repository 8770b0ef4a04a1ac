from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import AIR, as_volume, changed, ct, dice, lungs_of

from BATNetLib.body import find_body
from BATNetLib.errors import Cancelled, InputRefused
from BATNetLib.events import Events
from BATNetLib.lungs import LEFT, RIGHT, cut_plane, find_lungs


def refusal_of(volume) -> InputRefused:
    with pytest.raises(InputRefused) as refusal:
        find_lungs(volume)
    return refusal.value


@pytest.mark.parametrize(
    "patient",
    [
        {},
        {"touching": True},
        {"extra": ("gas",)},
        {"roll": 12.0, "shift": 20.0},
        {"blood": 250.0},
        {"arms_up": True},
        {"noise": 40.0},
    ],
    ids=["plain", "touching lungs", "stomach gas", "rolled", "contrast", "arms up", "noisy"],
)
def test_both_lungs_are_found_on_their_sides(patient: dict) -> None:
    found, wanted = find_lungs(ct(**patient)).array, lungs_of(**patient)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, RIGHT, LEFT}
    assert dice(found == RIGHT, wanted == RIGHT) > 0.95
    assert dice(found == LEFT, wanted == LEFT) > 0.95
    assert cut_plane(found) == cut_plane(wanted)


def test_the_right_lung_is_the_patients_right_one() -> None:
    columns = [np.nonzero(find_lungs(ct()).array == side)[2].mean() for side in (RIGHT, LEFT)]
    assert columns[0] < columns[1]  # columns run from the patient's right to the left


def test_trachea_and_stomach_gas_are_left_out() -> None:
    volume = ct(extra=("gas",))
    found = find_lungs(volume).array
    trachea = volume.array[5:40, 44:56, 60:68] < -900
    assert trachea.any()
    assert not found[5:40, 44:56, 60:68][trachea].any()
    assert np.nonzero(found.any(axis=(1, 2)))[0][-1] == np.nonzero(lungs_of().any(axis=(1, 2)))[0][-1]


def test_vessels_inside_the_lungs_belong_to_them() -> None:
    volume, wanted = ct(), lungs_of()
    vessels = (volume.array > -100) & (wanted > 0)
    assert vessels.sum() > 200
    assert (find_lungs(volume).array[vessels] > 0).mean() > 0.85


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_the_type_of_the_voxels_does_not_matter(dtype: type) -> None:
    volume = ct()
    other = volume.with_array(np.rint(volume.array).astype(dtype))
    assert dice(find_lungs(other).array > 0, find_lungs(volume).array > 0) > 0.999


def test_fine_slices_are_refined_at_their_own_resolution() -> None:
    fine = {"shape": (60, 192, 256), "spacing": (5.0, 1.5, 1.5)}
    found, wanted = find_lungs(ct(**fine)).array, lungs_of(**fine)
    assert dice(found == RIGHT, wanted == RIGHT) > 0.96
    assert dice(found == LEFT, wanted == LEFT) > 0.96


def test_upper_lungs_alone_are_enough() -> None:
    volume, wanted = ct(), lungs_of()
    found = find_lungs(changed(volume, volume.array[:50]))
    assert dice(found.array > 0, wanted[:50] > 0) > 0.95


def test_one_lung_alone_is_taken_with_a_warning() -> None:
    events = Events()
    found = find_lungs(ct(right_lung=0.0), events).array
    assert set(np.unique(found)) == {0, LEFT}
    assert [w["code"] for w in events.warnings] == ["one-lung"]
    assert "patient's left" in events.warnings[0]["text"]
    events = Events()
    find_lungs(ct(), events)
    assert events.warnings == []


def test_a_body_that_is_there_already_gives_the_same_lungs() -> None:
    volume = ct()
    assert (find_lungs(volume, body=find_body(volume)).array == find_lungs(volume).array).all()


def test_lung_bases_alone_are_no_lungs() -> None:
    volume = ct()
    assert lungs_of()[80:].any()
    refusal = refusal_of(changed(volume, volume.array[80:]))
    assert refusal.code == "no-lungs"
    assert "mL" in refusal.found and "mm" in refusal.found


def test_a_neck_alone_has_no_lungs() -> None:
    volume = ct()
    assert refusal_of(changed(volume, volume.array[:22])).code == "no-lungs"


def test_bowel_gas_alone_is_no_lung() -> None:
    volume = ct(extra=("gas",))
    array = volume.array.copy()
    array[lungs_of(extra=("gas",)) > 0] = 40.0
    assert refusal_of(volume.with_array(array)).code == "no-lungs"


def test_a_wide_homogeneous_gas_bubble_is_no_lung() -> None:
    volume = ct()
    array = volume.array.copy()
    array[lungs_of() > 0] = AIR + 10  # as large as the lungs, but without any tissue in it
    assert refusal_of(volume.with_array(array)).code == "no-lungs"


def test_images_that_are_no_ct_are_refused() -> None:
    rng = np.random.default_rng(1)
    magnetic = rng.normal(400, 90, (40, 64, 64)).astype(np.float32)
    standardised = rng.normal(0, 1, (40, 64, 64)).astype(np.float32)
    noise = rng.normal(-200, 600, (40, 64, 64)).astype(np.float32)
    empty = np.full((40, 64, 64), AIR, np.float32)
    for array in (magnetic, standardised):
        assert refusal_of(as_volume(array)).code == "no-lungs"
    for array in (noise, empty):
        assert refusal_of(as_volume(array)).code in {"no-body", "no-lungs"}


def test_the_search_can_be_cancelled() -> None:
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        find_lungs(ct(), events)


def test_the_input_is_not_changed() -> None:
    volume = ct()
    before = volume.array.copy()
    find_lungs(volume)
    assert (volume.array == before).all()

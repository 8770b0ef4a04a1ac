from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import as_volume, ct, lungs_of

from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.lungs import LEFT, RIGHT, check_lungs


def checked(mask: np.ndarray, **patient) -> np.ndarray:
    volume = ct(**patient)
    return check_lungs(volume.with_array(mask), volume).array


def refusal_of(mask: np.ndarray, volume=None) -> InputRefused:
    volume = volume or ct()
    with pytest.raises(InputRefused) as refusal:
        check_lungs(volume.with_array(mask), volume)
    return refusal.value


def test_a_good_mask_comes_back_as_it_is() -> None:
    assert (checked(lungs_of()) == lungs_of()).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_sides_follow_the_patient_and_not_the_numbers(dtype: type) -> None:
    exchanged = np.array([0, 2, 1], dtype)[lungs_of()]
    assert (checked(exchanged) == lungs_of()).all()


def test_one_label_for_both_lungs_is_parted_into_sides() -> None:
    assert (checked(lungs_of() > 0) == lungs_of()).all()
    touching = checked(lungs_of(touching=True) > 0, touching=True)
    assert (touching != lungs_of(touching=True)).mean() < 0.001


def test_lobes_become_sides() -> None:
    lobes = lungs_of().astype(np.uint8)
    upper = np.arange(len(lobes))[:, None, None] < 55
    lobes = np.where(lobes == 1, np.where(upper, 4, 5), np.where(lobes == 2, np.where(upper, 7, 8), 0))
    assert (checked(lobes) == lungs_of()).all()


def test_no_voxel_of_the_mask_is_lost_or_added() -> None:
    mask = lungs_of() > 0
    mask[60, 50, 64] = True  # a stray voxel
    assert ((checked(mask) > 0) == mask).all()


def test_a_mask_on_another_grid_is_refused_in_words() -> None:
    elsewhere = as_volume(lungs_of(), (3.0, 3.0, 2.5))
    with pytest.raises(InputRefused) as refusal:
        check_lungs(elsewhere, ct())
    assert refusal.value.code == "other-grid"
    assert "lung mask" in refusal.value.found


def test_an_empty_mask_is_refused() -> None:
    assert refusal_of(np.zeros_like(lungs_of())).code == "mask-empty"


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (lambda m: m * 0.5, "whole"),
        (lambda m: np.where(m, np.nan, 0), "finite"),
        (lambda m: m.astype(np.int16) * -1, "-2"),
        (lambda m: m.astype(np.float32) * 1e6, "up to"),
        (lambda m: (np.arange(m.size).reshape(m.shape) % 300).astype(np.int16), "different values"),
    ],
    ids=["fractions", "not a number", "negative", "huge", "an image"],
)
def test_values_that_no_mask_has_are_refused(bad, word: str) -> None:
    refusal = refusal_of(bad(lungs_of()))
    assert refusal.code == "mask-values"
    assert word in refusal.found


def test_a_mask_of_something_else_is_refused_by_its_hu() -> None:
    volume = ct()
    body = np.zeros(volume.array.shape, np.uint8)
    body[40:80, 30:80, 30:100] = 1
    body[lungs_of() > 0] = 0
    refusal = refusal_of(body)
    assert refusal.code == "lungs-hu"
    assert "HU" in refusal.found


def test_dense_lungs_are_taken_with_a_warning() -> None:
    volume, mask = ct(), lungs_of()
    array = volume.array.copy()
    array[mask > 0] += 550
    events = Events()
    check_lungs(volume.with_array(mask), volume.with_array(array), events)
    assert [w["code"] for w in events.warnings] == ["lungs-dense"]


def test_a_mask_of_a_few_voxels_is_refused_by_its_volume() -> None:
    mask = np.zeros_like(lungs_of())
    mask[50:55, 45:50, 40:45] = 1
    refusal = refusal_of(mask)
    assert refusal.code == "lungs-volume"
    assert "3 mL" in refusal.found


def test_a_missing_side_is_said() -> None:
    events = Events()
    volume = ct()
    only_right = np.where(lungs_of() == RIGHT, RIGHT, 0).astype(np.uint8)
    assert not (check_lungs(volume.with_array(only_right), volume, events).array == LEFT).any()
    assert "left" in events.warnings[0]["text"]

from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import BONE, as_volume, changed, ct, dice, fat_of

from BATNetLib.adipose.threshold import adipose_by_threshold
from BATNetLib.body import find_body
from BATNetLib.errors import Cancelled, InputRefused, UsageError
from BATNetLib.events import Events


def test_fat_is_found_where_it_is() -> None:
    found = adipose_by_threshold(ct())
    assert found.array.dtype == np.uint8
    assert set(np.unique(found.array)) == {0, 1}
    assert dice(found.array > 0, fat_of()) > 0.95


def test_the_result_names_method_and_range() -> None:
    named = adipose_by_threshold(ct(), (-150, -50), min_component_mm3=500).facts
    assert named == {
        "adipose": {"method": "hu-threshold", "hu_range": [-150.0, -50.0], "min_component_mm3": 500.0}
    }


def block(hu: float) -> np.ndarray:
    """A body of muscle with a block of 6 x 6 x 6 voxels of ``hu`` in it; 2 mm voxels."""
    array = np.full((40, 60, 60), -1000.0, np.float32)
    array[:, 10:50, 10:50] = 50.0
    array[17:23, 27:33, 27:33] = hu
    return array


@pytest.mark.parametrize(("hu", "counts"), [(-191, False), (-190, True), (-30, True), (-29, False)])
def test_both_ends_of_the_range_belong_to_it(hu: float, counts: bool) -> None:
    volume = as_volume(block(hu), (2.0, 2.0, 2.0))
    if counts:
        assert adipose_by_threshold(volume).array[17:23, 27:33, 27:33].all()
        assert adipose_by_threshold(volume).array.sum() == 6**3
    else:
        with pytest.raises(InputRefused) as refusal:
            adipose_by_threshold(volume)
        assert refusal.value.code == "adipose-empty"
        assert "-190 to -30 HU" in refusal.value.found


@pytest.mark.parametrize("voxels", [(2.0, 2.0, 2.0), (4.0, 2.0, 2.0)])
def test_small_parts_go_by_their_volume_in_mm3(voxels: tuple[float, float, float]) -> None:
    array = block(-100.0)
    array[30, 20, 20] = array[30, 20, 21] = -100.0
    volume = as_volume(array, voxels)
    two = 2 * float(np.prod(voxels))
    kept = adipose_by_threshold(volume, min_component_mm3=two).array
    dropped = adipose_by_threshold(volume, min_component_mm3=two + 0.1).array
    assert kept.sum() == 6**3 + 2
    assert dropped.sum() == 6**3


def test_skin_and_lung_edges_are_no_fat() -> None:
    array = np.full((30, 80, 80), -1000.0, np.float32)
    array[:, 10:70, 10:70] = 50.0
    array[:, 25:55, 25:55] = -850.0  # a lung
    # Edges blurred between air and tissue, with values of fat.
    for low, high in ((10, 69), (25, 54)):
        array[:, low, low : high + 1] = array[:, high, low : high + 1] = -110.0
        array[:, low : high + 1, low] = array[:, low : high + 1, high] = -110.0
    for row in (25, 54):
        array[:, row, 25] = array[:, row, 54] = 50.0
    array[10:20, 15:20, 30:50] = -110.0
    found = adipose_by_threshold(as_volume(array, (2.0, 2.0, 2.0))).array
    assert found[10:20, 15:20, 30:50].all()
    assert found.sum() == 10 * 5 * 20


def test_nothing_outside_the_body_counts() -> None:
    volume = ct()
    array = volume.array.copy()
    array[:, 88:93, 20:100] = -100.0  # a mattress with the HU of fat, apart from the body
    assert not adipose_by_threshold(volume.with_array(array)).array[:, 88:93].any()


def test_marrow_is_no_fat() -> None:
    volume = ct(noise=0.0)
    marrow = np.zeros(volume.array.shape, bool)
    rows, columns = np.nonzero(volume.array[60] == BONE)
    y, x = round(rows.mean()), round(columns.mean())
    marrow[5:95, y - 3 : y + 4, x - 2 : x + 3] = True
    assert (volume.array[marrow] == -80.0).all()
    assert not adipose_by_threshold(volume).array[marrow].any()


def test_only_slices_above_the_cut_count_and_they_do_not_change() -> None:
    whole = adipose_by_threshold(ct(), min_component_mm3=0).array
    cut = adipose_by_threshold(ct(), min_component_mm3=0, until_slice=45).array
    assert (cut[:45] == whole[:45]).all()
    assert not cut[45:].any()
    assert (adipose_by_threshold(ct(), until_slice=5000).array == adipose_by_threshold(ct()).array).all()


def test_fine_voxels_keep_their_resolution() -> None:
    fine = {"shape": (40, 288, 384), "spacing": (5.0, 1.0, 1.0), "noise": 5.0}
    found = adipose_by_threshold(ct(**fine)).array > 0
    assert dice(found, fat_of(**fine)) > 0.97


def test_a_body_that_is_there_already_gives_the_same_mask() -> None:
    volume = ct()
    assert (
        adipose_by_threshold(volume, body=find_body(volume)).array == adipose_by_threshold(volume).array
    ).all()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"hu_range": (-30, -190)}, "hu-range"),
        ({"hu_range": (-30, float("nan"))}, "hu-range"),
        ({"min_component_mm3": -1}, "min-component"),
        ({"until_slice": 0}, "until-slice"),
    ],
)
def test_requests_that_make_no_sense_are_refused(arguments: dict, code: str) -> None:
    with pytest.raises(UsageError) as refusal:
        adipose_by_threshold(ct(), **arguments)
    assert refusal.value.code == code


def test_a_patient_without_fat_is_refused_and_no_empty_mask_comes_back() -> None:
    with pytest.raises(InputRefused) as refusal:
        adipose_by_threshold(ct(extra=("fatless",), noise=0.0))
    assert refusal.value.code == "adipose-empty"


def test_slices_above_the_head_have_no_fat() -> None:
    volume = ct()
    air = np.full((30, *volume.array.shape[1:]), -1000.0, np.float32)
    taller = changed(volume, np.concatenate([air, volume.array]))
    with pytest.raises(InputRefused) as refusal:
        adipose_by_threshold(taller, until_slice=10)
    assert refusal.value.code == "adipose-empty"


def test_it_can_be_cancelled() -> None:
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        adipose_by_threshold(ct(), events=events)

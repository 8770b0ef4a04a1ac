from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import AIR, as_volume, ct, lungs_of

from BATNetLib import morphology
from BATNetLib.body import body_mask, find_body
from BATNetLib.coarse import shrink
from BATNetLib.errors import InputRefused

CUBE = (1.0, 1.0, 1.0)


def test_lungs_and_trachea_are_inside_the_body_and_the_table_is_not() -> None:
    volume = ct()
    mask = body_mask(volume).array
    assert mask.dtype == np.uint8
    assert mask[lungs_of() > 0].mean() > 0.999
    table = np.nonzero((volume.array[2] > 0).any(axis=1))[0][-1]
    assert volume.array[:, table].max() > 0
    assert not mask[:, table - 1 :].any()


def test_a_table_that_touches_the_back_is_not_body() -> None:
    array = np.full((40, 80, 100), AIR, np.float32)
    array[:, 20:60, 30:70] = 40.0
    array[:, 60:62, 2:98] = 60.0  # 6 mm thick, and it touches
    mask = body_mask(as_volume(array)).array
    assert mask[:, 20:60, 30:70].all()
    assert not mask[:, :, :25].any() and not mask[:, :, 75:].any()


def test_a_thin_chest_wall_does_not_let_the_outside_in() -> None:
    _, y, x = np.mgrid[:40, :80, :110].astype(np.float32)
    body = ((x - 55) / 48) ** 2 + ((y - 36) / 33) ** 2 < 1
    lung = ((np.abs(x - 55) - 24) / 20) ** 2 + ((y - 36) / 26) ** 2 < 1
    lung &= ((x - 55) / 46) ** 2 + ((y - 36) / 31) ** 2 < 1  # 6 mm of wall
    array = np.where(body, 40.0, AIR)
    array[lung] = -850.0
    array[:, 72:74] = 80.0  # a table behind, apart from the back
    mask = body_mask(as_volume(array.astype(np.float32))).array
    assert (mask[lung] > 0).all()
    assert not mask[:, 71:].any()


def test_air_in_a_hollow_table_is_not_body() -> None:
    array = np.full((40, 80, 100), AIR, np.float32)
    array[:, 20:60, 30:70] = 40.0
    array[:, 60, 10:90] = array[:, 70, 10:90] = array[:, 60:71, 10] = array[:, 60:71, 89] = 100.0
    mask = body_mask(as_volume(array)).array
    assert mask[:, 20:60, 30:70].all()
    assert not mask[:, 63:].any()


def test_the_edge_of_the_body_is_that_of_the_full_resolution() -> None:
    array = np.full((20, 200, 200), AIR, np.float32)
    array[:, 51:150, 52:149] = 30.0
    mask = body_mask(as_volume(array, (3.0, 0.9, 0.9))).array
    assert (mask == (array > 0)).all()


def test_lungs_that_the_scan_cuts_off_are_still_inside() -> None:
    volume = ct()
    part = as_volume(volume.array[40:60])
    assert body_mask(part).array[lungs_of()[40:60] > 0].all()


def test_air_alone_is_no_body() -> None:
    with pytest.raises(InputRefused) as refusal:
        find_body(as_volume(np.full((30, 40, 40), AIR, np.float32)))
    assert refusal.value.code == "no-body"


def test_the_middle_is_halfway_between_the_outermost_columns() -> None:
    assert find_body(ct()).middle == pytest.approx(63.5, abs=0.6)
    assert find_body(ct(shift=30.0)).middle == pytest.approx(73.5, abs=0.6)


@pytest.mark.parametrize("shape", [(7, 11, 13), (6, 9, 12), (1, 3, 3)])
def test_blocks_are_means_of_what_they_cover(shape: tuple[int, int, int]) -> None:
    array = np.random.default_rng(0).integers(-1000, 2000, shape).astype(np.int16)
    coarse = shrink(as_volume(array, (1.25, 0.8, 0.8)), 2.5)
    assert coarse.factors == (2, 3, 3)
    assert coarse.array.shape == tuple(-(-n // f) for n, f in zip(shape, (2, 3, 3), strict=True))
    assert coarse.array[0, 0, 0] == pytest.approx(array[:2, :3, :3].mean(), abs=0.01)
    assert coarse.array[-1, -1, -1] == pytest.approx(
        array[(shape[0] - 1) // 2 * 2 :, (shape[1] - 1) // 3 * 3 :, (shape[2] - 1) // 3 * 3 :].mean(),
        abs=0.01,
    )
    assert coarse.enlarge(coarse.array).shape == shape


def test_a_coarse_scan_is_not_made_coarser() -> None:
    array = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    coarse = shrink(as_volume(array, (5.0, 4.0, 4.0)))
    assert coarse.factors == (1, 1, 1)
    assert np.allclose(coarse.array, array)


def test_masks_go_to_blocks_by_majority_or_by_touch() -> None:
    coarse = shrink(as_volume(np.zeros((4, 6, 6), np.float32), CUBE), 2.0)
    mask = np.zeros((4, 6, 6), np.uint8)
    mask[0:2, 0:2, 0] = 1  # half of a block
    mask[2, 4, 4] = 1  # an eighth of another
    assert np.argwhere(coarse.shrink_mask(mask)).tolist() == [[0, 0, 0]]
    assert np.argwhere(coarse.touched_by(mask > 0)).tolist() == [[0, 0, 0], [1, 2, 2]]


def test_a_cropped_part_covers_its_own_voxels() -> None:
    array = np.arange(7 * 9 * 10, dtype=np.float32).reshape(7, 9, 10)
    coarse = shrink(as_volume(array, CUBE), 2.0)
    box = (slice(1, 4), slice(0, 2), slice(3, 5))
    part = coarse.cropped(box)
    assert coarse.voxels(box) == (slice(2, 7), slice(0, 4), slice(6, 10))
    assert part.enlarge(part.array).shape == array[coarse.voxels(box)].shape


def test_dilation_and_erosion_are_in_millimetres() -> None:
    point = np.zeros((21, 21, 21), bool)
    point[10, 10, 10] = True
    grown = morphology.dilate(point, (2.0, 1.0, 1.0), 4.0)
    reach = [np.ptp(np.nonzero(grown)[axis]) // 2 for axis in range(3)]
    assert reach == [2, 4, 4]
    assert (morphology.erode(~point, (2.0, 1.0, 1.0), 4.0) == ~grown).all()
    assert not grown[10, 6, 6]  # an octagon and no square


def test_distances_are_in_millimetres_and_infinite_to_nothing() -> None:
    mask = np.zeros((5, 9, 9), bool)
    mask[2, 4, 4] = True
    distance = morphology.distance_to(mask, (3.0, 1.0, 2.0))
    assert distance[4, 4, 4] == pytest.approx(6.0)
    assert distance[2, 0, 4] == pytest.approx(4.0)
    assert distance[2, 4, 0] == pytest.approx(8.0)
    assert distance[2, 4, 4] == 0
    assert np.isinf(morphology.distance_to(mask & False, CUBE)).all()


def test_holes_are_filled_slice_by_slice_and_bays_at_the_edge_stay_open() -> None:
    ring = np.zeros((2, 9, 9), bool)
    ring[:, 2:7, 2:7] = True
    ring[:, 3:6, 3:6] = False
    ring[1, 2, 4] = False  # a gap
    filled = morphology.fill_slices(ring)
    assert filled[0, 4, 4] and not filled[1, 4, 4]
    assert not filled[:, 0, 0].any()


def test_small_parts_are_dropped_by_their_number_of_voxels() -> None:
    mask = np.zeros((4, 6, 6), bool)
    mask[0, 0, :3] = mask[3, 3, 3] = mask[3, 4, 4] = True
    assert morphology.drop_small(mask, 3).sum() == 3
    assert morphology.drop_small(mask, 1).sum() == 5
    assert morphology.drop_small(mask, 4).sum() == 0

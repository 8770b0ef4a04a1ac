"""Dice, surfaces and volumes of shapes whose answer is known by hand, and against all pairs of voxels."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from BATNetLib.evaluation.overlap import compare_masks, face_area


def empty(shape=(12, 20, 30)):
    return np.zeros(shape, bool)


def box(slices, rows, columns, shape=(12, 20, 30)):
    mask = empty(shape)
    mask[slice(*slices), slice(*rows), slice(*columns)] = True
    return mask


def test_equal_masks_agree_in_everything():
    mask = box((2, 6), (3, 9), (4, 12))
    found = compare_masks(mask, mask, (3.0, 0.8, 0.8), tolerance_mm=1.0)
    assert (found.state, found.dice, found.nsd, found.hd95_mm, found.error_ml) == ("both", 1, 1, 0, 0)
    assert found.truth_ml == pytest.approx(4 * 6 * 8 * 3.0 * 0.8 * 0.8 / 1000)


def test_dice_and_volume_of_a_shifted_box_are_those_by_hand():
    truth, predicted = box((2, 7), (5, 15), (5, 15)), box((2, 7), (5, 15), (7, 17))
    found = compare_masks(truth, predicted, (5.0, 1.0, 1.0), tolerance_mm=2.0)
    assert found.dice == pytest.approx(2 * 400 / 1000)
    assert found.error_ml == 0 and found.truth_ml == pytest.approx(2.5)
    # No voxel of either surface is further than the shift of two columns.
    assert found.nsd == 1 and found.hd95_mm == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("axis", "steps", "distance"), [(0, 1, 2.0), (1, 3, 3.0), (2, 3, 1.5)], ids=["slices", "rows", "columns"]
)
def test_distances_are_in_millimetres_along_every_axis(axis, steps, distance):
    truth, predicted = empty(), empty()
    place = [5, 8, 10]
    truth[tuple(place)] = True
    place[axis] += steps
    predicted[tuple(place)] = True
    found = compare_masks(truth, predicted, (2.0, 1.0, 0.5), tolerance_mm=distance)
    assert found.dice == 0 and found.hd95_mm == pytest.approx(distance)
    assert found.nsd == 1, "the tolerance itself still counts as within"
    nearer = compare_masks(truth, predicted, (2.0, 1.0, 0.5), tolerance_mm=distance - 0.1)
    assert nearer.nsd == 0


@pytest.mark.parametrize(
    ("spacing", "plate", "stray"), [((1, 1, 1), 48, 6), ((5, 1, 1), 112, 22)], ids=["even", "thick slices"]
)
def test_surfaces_count_by_the_area_of_their_faces(spacing, plate, stray):
    truth = box((5, 6), (4, 8), (4, 8))
    predicted = truth.copy()
    predicted[5, 4, 17] = True
    assert face_area(truth, spacing).sum() == plate
    found = compare_masks(truth, predicted, spacing, tolerance_mm=1.0)
    assert found.nsd == pytest.approx(2 * plate / (2 * plate + stray))
    # The stray voxel is more than 5 % of the predicted surface and lies ten columns from the plate.
    assert found.hd95_mm == pytest.approx(10.0)


def test_a_stray_voxel_below_five_percent_of_the_surface_does_not_move_hd95():
    truth = box((1, 11), (2, 18), (2, 18))
    predicted = truth.copy()
    predicted[5, 5, 28] = True
    found = compare_masks(truth, predicted, (1.0, 1.0, 1.0), tolerance_mm=1.0)
    assert found.hd95_mm == 0 and found.nsd < 1


def test_a_mask_that_ends_at_the_border_of_the_scan_has_its_surface_there():
    truth = np.ones((5, 6, 7), bool)
    predicted = truth.copy()
    predicted[:, :, 0] = False
    found = compare_masks(truth, predicted, (1.0, 1.0, 1.0), tolerance_mm=0.5)
    assert found.hd95_mm == pytest.approx(1.0) and 0 < found.nsd < 1


def test_empty_masks_are_told_apart_and_never_become_nan():
    mask, none, spacing = box((2, 6), (3, 9), (4, 12)), empty(), (1.0, 1.0, 1.0)
    both = compare_masks(none, none, spacing, tolerance_mm=1.0)
    missed = compare_masks(mask, none, spacing, tolerance_mm=1.0)
    invented = compare_masks(none, mask, spacing, tolerance_mm=1.0)
    assert (both.state, both.dice, both.nsd, both.hd95_mm) == ("both-empty", None, None, None)
    assert (missed.state, missed.dice, missed.hd95_mm) == ("prediction-empty", 0.0, None)
    assert (invented.state, invented.nsd, invented.hd95_mm) == ("truth-empty", 0.0, None)
    assert missed.error_ml == pytest.approx(-0.192) and invented.error_ml == pytest.approx(0.192)


def by_every_pair(truth, predicted, spacing, tolerance):
    """The same measures from all distances between all surface voxels, voxel by voxel."""
    surfaces = []
    for mask in (truth, predicted):
        points, areas = [], []
        for index in np.argwhere(mask):
            area = 0.0
            for axis in range(3):
                for step in (-1, 1):
                    other = index.copy()
                    other[axis] += step
                    outside = (other < 0).any() or (other >= mask.shape).any()
                    if outside or not mask[tuple(other)]:
                        area += np.prod(spacing) / spacing[axis]
            if area:
                points.append(index * spacing)
                areas.append(area)
        surfaces.append((np.array(points), np.array(areas)))
    (points, areas), (others, weights) = surfaces
    distances = cdist(points, others)
    there, back = distances.min(1), distances.min(0)

    def reached(values, area):
        return min(v for v in values if area[values <= v + 1e-9].sum() >= 0.95 * area.sum() - 1e-9)

    near = areas[there <= tolerance + 1e-6].sum() + weights[back <= tolerance + 1e-6].sum()
    return near / (areas.sum() + weights.sum()), max(reached(there, areas), reached(back, weights))


@pytest.mark.parametrize("seed", range(4))
def test_surface_measures_equal_those_from_every_pair_of_voxels(seed):
    rng = np.random.default_rng(seed)
    spacing = tuple(rng.uniform(0.6, 4.0, 3))
    slices, rows, columns = np.mgrid[:9, :14, :14]
    masks = []
    for _ in range(2):
        centre, radius = rng.uniform(4, 7, 3), rng.uniform(2.5, 4)
        ball = (slices - centre[0]) ** 2 + (rows - centre[1]) ** 2 + (columns - centre[2]) ** 2 < radius**2
        masks.append(ball ^ (rng.random(ball.shape) < 0.01))
    found = compare_masks(*masks, spacing, tolerance_mm=1.5)
    nsd, hd95 = by_every_pair(*masks, np.array(spacing), 1.5)
    assert found.nsd == pytest.approx(nsd, abs=1e-5)
    assert found.hd95_mm == pytest.approx(hd95, abs=1e-4)

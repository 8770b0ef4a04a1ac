"""The body's mirror plane and copies to the mirror place, on a body whose plane is known."""

import time
from functools import lru_cache

import numpy as np
import pytest

from BATNetLib.annotation.grids import volume_on_own_grid
from BATNetLib.annotation.mirror import find_mirror_plane, mirror_copy
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.evaluation.overlap import compare_masks
from BATNetLib.events import Events
from BATNetLib.symmetry import MirrorPlane
from BATNetLib.volume import Grid, Volume, read_volume
from BATNetLib.volume.orient import resample

#: Depots of the right side in the body's own frame: centre and half axes in mm from the image's centre.
DEPOTS = (((-75.0, 10.0, 40.0), (26.0, 20.0, 24.0)), ((-52.0, 18.0, 68.0), (12.0, 15.0, 17.0)))


def turn(roll, yaw, nod=0.0):
    """Rotation matrix, LPS: nodding, then yaw (left side up), then roll (left side to the back)."""
    r, y, n = np.radians([roll, yaw, nod])
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    about_y = [[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]]
    about_x = [[1, 0, 0], [0, np.cos(n), -np.sin(n)], [0, np.sin(n), np.cos(n)]]
    return np.array(about_z) @ about_y @ about_x


@lru_cache(maxsize=1)
def symmetric_body():
    """HU of a phantom whose left half is the mirror image of its right one, its grid and its centre."""
    ct = make_phantom(1).ct
    hu = ct.array.copy()
    half = hu.shape[2] // 2
    hu[:, :, half:] = hu[:, :, half - 1 :: -1]
    return hu, ct.grid, ct.grid.points((np.array([hu.shape]) - 1) / 2.0)[0]


class Turned:
    """The symmetric body turned and shifted, scanned on a grid that stands still."""

    def __init__(self, roll, yaw, nod=0.0, shift=(0.0, 0.0, 0.0), grid=None):
        hu, own, centre = symmetric_body()
        self.turn, self.centre, self.shift = turn(roll, yaw, nod), centre, np.array(shift)
        affine = own.affine.copy()
        affine[:3, :3] = self.turn @ own.affine[:3, :3]
        affine[:3, 3] = self.turn @ (own.affine[:3, 3] - centre) + centre + self.shift
        self.grid = grid or own
        array = resample(hu, Grid(hu.shape, affine), self.grid, nearest=False, fill=-1000.0)
        self.ct = Volume(array, self.grid)
        self.plane = MirrorPlane.from_angles(
            centre + self.shift, np.degrees(np.arctan2(self.turn[1, 0], self.turn[0, 0])), yaw
        )

    def depots(self, side):
        """bool: the depots on the patient's ``side``, drawn at their true places."""
        affine, shape = self.grid.affine, self.grid.shape
        sign = np.array([1.0 if side == "right" else -1.0, 1.0, 1.0])
        # Body coordinates of a voxel are a sum over its three indices.
        start = (affine[:3, 3] - self.centre - self.shift) @ self.turn
        steps = affine[:3, :3].T @ self.turn
        found = np.zeros(shape, bool)
        for centre, half in DEPOTS:
            far = np.zeros(shape)
            for axis in range(3):
                a, b, c = (np.arange(n) * steps[k, axis] for k, n in enumerate(shape))
                own = (a + start[axis])[:, None, None] + b[:, None] + c
                far += ((sign[axis] * own - centre[axis]) / half[axis]) ** 2
            found |= far < 1
        return found

    def error_mm(self, plane):
        """How far mirror images about ``plane`` lie from the true ones, at the edges of a body."""
        own = np.array([(150, 0, 0), (-150, 0, 0), (110, 90, 70), (-110, -90, -70), (0, 90, 90.0)])
        points = own @ self.turn.T + self.centre + self.shift
        return np.linalg.norm(plane.reflect(points) - self.plane.reflect(points), axis=1).max()


CASES = {
    "7 degrees and shifted": ((7.0, 0.0), {"shift": (12.0, 5.0, 3.0)}),
    "roll, yaw, nod and shift": ((7.0, 4.0, 3.0), {"shift": (-15.0, 5.0, 3.0)}),
    "to the other side": ((-7.0, -5.0), {"shift": (20.0, 0.0, 0.0)}),
}


@lru_cache(maxsize=4)
def scanned(name):
    angles, rest = CASES[name]
    body = Turned(*angles, **rest)
    return body, find_mirror_plane(body.ct)


def nowhere_further_than_a_voxel(found, truth, spacing):
    """Surfaces compared both ways: no part of either lies a voxel's edge or more beyond the other."""
    overlap = compare_masks(truth, found, spacing, tolerance_mm=max(spacing))
    return overlap.nsd == 1.0


@pytest.mark.parametrize("name", CASES)
def test_the_plane_of_a_turned_body_is_found_to_a_fraction_of_a_millimetre(name):
    body, plane = scanned(name)
    assert plane.found and plane.symmetry > 0.9 and plane.correlation > 0.95
    assert plane.roll_degrees == pytest.approx(body.plane.roll_degrees, abs=0.1)
    assert plane.yaw_degrees == pytest.approx(body.plane.yaw_degrees, abs=0.1)
    assert body.error_mm(plane) < 0.3


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("side", "other"), [("right", "left"), ("left", "right")])
def test_a_mirror_copy_lands_within_one_voxel_of_the_true_place(name, side, other):
    body, plane = scanned(name)
    source, truth = body.depots(side), body.depots(other)
    copy = mirror_copy(body.ct.with_array(source.astype(np.uint8)), plane, body.ct, None, None, side)
    assert copy.array.dtype == np.uint8 and copy.grid is body.ct.grid
    found = copy.array > 0
    assert nowhere_further_than_a_voxel(found, truth, body.grid.spacing)
    apart = body.grid.points([np.argwhere(m).mean(axis=0) for m in (found, truth)])
    assert np.linalg.norm(apart[0] - apart[1]) < 0.5
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)


def test_a_wrong_plane_would_be_noticed_by_these_tests():
    body, plane = scanned("7 degrees and shifted")
    source, truth = body.depots("right"), body.depots("left")
    upright = MirrorPlane.from_angles(plane.point)
    copy = mirror_copy(body.ct.with_array(source.astype(np.uint8)), upright, body.ct, None, None, "right")
    assert not nowhere_further_than_a_voxel(copy.array > 0, truth, body.grid.spacing)
    assert body.error_mm(upright) > 30


FRAMES = {
    "oblique": turn(9.0, 0.0),
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "left-handed, a little oblique": turn(0.0, 2.0) @ np.diag([1.0, -1.0, 1.0]),
}


def as_file(body, frame):
    """The same turned patient scanned on a grid of which only its affine knows how it lies: voxels in the
    order [k, j, i] and the 4x4 affine from (i, j, k) to LPS mm."""
    hu, own, centre = symmetric_body()
    count, spacing = np.array(hu.shape[::-1]), np.array(own.spacing[::-1])
    affine = np.eye(4)
    affine[:3, :3] = frame * spacing
    affine[:3, 3] = centre + body.shift - affine[:3, :3] @ ((count - 1) / 2.0)
    slowest_first = affine.copy()
    slowest_first[:3, :3] = affine[:3, 2::-1]
    target = Grid(hu.shape, slowest_first)
    return resample(body.ct.array, body.grid, target, nearest=False, fill=-1000.0), affine


def check_sides(body, ct):
    plane = find_mirror_plane(ct)
    assert plane.normal[0] > 0.9  # towards the patient's left
    assert body.error_mm(plane) < 0.6
    there = object.__new__(Turned)
    there.__dict__.update(body.__dict__ | {"grid": ct.grid})
    right, left = there.depots("right"), there.depots("left")
    copy = mirror_copy(ct.with_array(right.view(np.uint8)), plane, ct, None, None, "right").array > 0
    assert nowhere_further_than_a_voxel(copy, left, ct.spacing)
    assert (plane.distance(ct.grid.points(np.argwhere(copy))) > 0).all()


@pytest.mark.parametrize("name", FRAMES)
def test_sides_are_the_patients_on_the_voxels_of_the_file_itself(name):
    body, _ = scanned("7 degrees and shifted")
    array, affine = as_file(body, FRAMES[name])
    check_sides(body, volume_on_own_grid(array.transpose(2, 1, 0), affine))


def test_sides_are_the_patients_where_an_oblique_file_was_resampled(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    body, _ = scanned("7 degrees and shifted")
    array, affine = as_file(body, FRAMES["oblique"])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    ct = read_volume(tmp_path / "ct.nrrd")
    assert ct.facts["resampled"]["reason"] == "oblique"
    check_sides(body, ct)


def test_the_copy_stays_in_fat_and_in_the_hu_range_and_on_the_other_side():
    body, plane = scanned("7 degrees and shifted")
    ct, fat = body.ct, np.zeros(body.grid.shape, np.uint8)
    fat[: fat.shape[0] // 3] = 1
    both = body.depots("right") | body.depots("left")
    copy = mirror_copy(
        ct.with_array(both.view(np.uint8)), plane, ct, ct.with_array(fat), (-150.0, 40.0), "right"
    ).array.view(bool)
    free = mirror_copy(ct.with_array(both.view(np.uint8)), plane, ct, None, None, "right").array.view(bool)
    assert 0 < copy.sum() < free.sum()
    assert (copy == free & (fat > 0) & (ct.array >= -150) & (ct.array <= 40)).all()
    assert not (free & plane.on_side(ct.grid, "right")).any()


def test_a_mask_across_the_plane_gives_only_what_lies_on_the_chosen_side():
    grid = Grid.canonical((8, 20, 40), (3.0, 1.0, 1.0), (-19.5, 0.0, 0.0))
    ct = Volume(np.zeros(grid.shape, np.int16), grid)
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:5, 5:9, 15:30] = 1  # columns 15 to 19 lie right of x = 0, 20 to 29 left of it
    plane = MirrorPlane.from_angles((0.0, 0.0, 0.0))
    to_left = mirror_copy(ct.with_array(mask), plane, ct, None, None, "right").array
    to_right = mirror_copy(ct.with_array(mask), plane, ct, None, None, "left").array
    expected = np.zeros_like(mask)
    expected[2:5, 5:9, 20:25] = 1
    assert np.array_equal(to_left, expected)
    expected = np.zeros_like(mask)
    expected[2:5, 5:9, 10:20] = 1
    assert np.array_equal(to_right, expected)


def test_an_empty_side_and_what_falls_outside_the_image_give_an_empty_copy():
    grid = Grid.canonical((6, 10, 20), (3.0, 1.0, 1.0))
    ct = Volume(np.zeros(grid.shape, np.int16), grid)
    mask = np.zeros(grid.shape, np.uint8)
    plane = MirrorPlane.from_angles((2.0, 0.0, 0.0))
    assert not mirror_copy(ct.with_array(mask), plane, ct, None, None, "left").array.any()
    mask[1, 2, 15] = 1
    assert not mirror_copy(ct.with_array(mask), plane, ct, None, None, "right").array.any()
    assert not mirror_copy(ct.with_array(mask), plane, ct, None, None, "left").array.any()  # x = -11


def test_an_unknown_side_and_another_grid_are_refused_in_words():
    grid = Grid.canonical((6, 10, 20), (3.0, 1.0, 1.0))
    ct = Volume(np.zeros(grid.shape, np.int16), grid)
    mask, plane = ct.with_array(np.ones(grid.shape, np.uint8)), MirrorPlane.from_angles((0.0, 0.0, 0.0))
    with pytest.raises(UsageError, match="right or left"):
        mirror_copy(mask, plane, ct, None, None, "L")
    other = Volume(mask.array, Grid.canonical((6, 10, 20), (3.0, 1.0, 1.1)))
    with pytest.raises(InputRefused, match="The mask to copy"):
        mirror_copy(other, plane, ct, None, None, "left")
    with pytest.raises(InputRefused, match="The fat mask"):
        mirror_copy(mask, plane, ct, other, None, "left")


@pytest.mark.parametrize("part", [slice(0, 85), slice(100, 192)])
def test_a_crop_to_one_side_has_no_plane_and_says_why(part):
    ct = make_phantom(3).ct
    affine = ct.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * part.start
    array = np.ascontiguousarray(ct.array[:, :, part])
    events = Events()
    assert find_mirror_plane(Volume(array, Grid(array.shape, affine)), events=events) is None
    assert [w["code"] for w in events.warnings] == ["mirror-no-plane"]
    assert "one side of the body" in events.warnings[0]["text"]


def test_a_body_cut_off_on_one_side_keeps_its_plane():
    ct = make_phantom(3).ct
    whole = find_mirror_plane(ct)
    affine = ct.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * 45
    array = np.ascontiguousarray(ct.array[:, :, 45:])  # 5 cm of the right side are missing
    cut = find_mirror_plane(Volume(array, Grid(array.shape, affine)))
    body = ct.grid.points([(36, 80, 96), (10, 60, 40), (60, 100, 150)])
    assert np.linalg.norm(whole.reflect(body) - cut.reflect(body), axis=1).max() < 6.0


def test_an_image_without_a_body_has_no_plane_and_says_so():
    events = Events()
    grid = Grid.canonical((20, 40, 40), (3.0, 3.0, 3.0))
    assert find_mirror_plane(Volume(np.full(grid.shape, -1000, np.int16), grid), events=events) is None
    assert events.warnings[0]["code"] == "no-body"


def test_a_search_stops_when_asked():
    from BATNetLib.errors import Cancelled

    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        find_mirror_plane(make_phantom(3).ct, events=events)


def test_a_scan_of_512_x_512_x_300_takes_less_than_three_seconds():
    ct = make_phantom(2).ct
    rows, columns = (np.linspace(0, n - 1, 512).astype(int) for n in ct.array.shape[1:])
    slices = np.linspace(0, ct.array.shape[0] - 1, 300).astype(int)
    array = np.ascontiguousarray(ct.array[slices][:, rows][:, :, columns])
    spacing = [s * n / m for s, n, m in zip(ct.spacing, ct.array.shape, array.shape, strict=True)]
    big = Volume(array, Grid.canonical(array.shape, spacing))
    start = time.thread_time()  # of this thread: the machine may be busy with other tests
    plane = find_mirror_plane(big)
    assert time.thread_time() - start < 3.0
    assert plane is not None and abs(plane.roll_degrees) < 5

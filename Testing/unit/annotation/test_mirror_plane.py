"""The geometry of a mirror plane: matrices, views, sides, moving it by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from BATNetLib.errors import InputRefused
from BATNetLib.symmetry import MirrorPlane
from BATNetLib.volume import Grid, Volume

angles = st.floats(-40, 40)
places = st.tuples(*[st.floats(-300, 300)] * 3)


@given(point=places, roll=angles, yaw=angles, where=places)
def test_a_mirror_image_of_a_mirror_image_is_the_point_itself(point, roll, yaw, where):
    plane = MirrorPlane.from_angles(point, roll, yaw)
    there = plane.reflect(np.array([where]))
    assert np.allclose(plane.reflect(there), where, atol=1e-8)
    assert np.allclose(plane.distance(there), -plane.distance(np.array([where])), atol=1e-8)
    assert np.allclose((plane.matrix_lps @ [*where, 1.0])[:3], there, atol=1e-8)
    assert (plane.roll_degrees, plane.yaw_degrees) == pytest.approx((roll, yaw), abs=1e-6)


def test_ras_and_lps_say_the_same():
    plane = MirrorPlane.from_angles((12.0, -30.0, 40.0), 7.0, -3.0)
    lps = np.array([80.0, 20.0, -10.0])
    ras = lps * (-1, -1, 1)
    assert np.allclose(plane.reflect_ras(ras), plane.reflect(lps) * (-1, -1, 1))
    assert np.allclose((plane.matrix_ras @ [*ras, 1.0])[:3], plane.reflect_ras(ras))
    assert np.linalg.det(plane.matrix_ras) == pytest.approx(-1.0)


def test_an_upright_plane_turns_left_into_right():
    plane = MirrorPlane.from_angles((10.0, 0.0, 0.0))
    assert np.allclose(plane.reflect([[30.0, 5.0, 7.0]]), [[-10.0, 5.0, 7.0]])
    assert plane.distance([30.0, 5.0, 7.0]) == pytest.approx(20.0)  # to the patient's left


def test_roll_lowers_the_left_side_and_yaw_lifts_it():
    for roll, yaw, axis in ((8.0, 0.0, 1), (0.0, 8.0, 2)):
        plane = MirrorPlane.from_angles((0.0, 0.0, 0.0), roll, yaw)
        right = np.array([-100.0, 0.0, 0.0])
        left = plane.reflect(right)
        assert left[0] > 90 and left[axis] > 20  # more posterior, more superior


def test_the_mirrored_view_shows_the_mirror_place_of_every_pixel():
    plane = MirrorPlane.from_angles((4.0, 2.0, 1.0), 5.0, 2.0)
    # An axial view as in Slicer: x to the patient's right on the left of the screen.
    view = np.array([[-1.0, 0, 0, 3.0], [0, 1.0, 0, -7.0], [0, 0, 1.0, 50.0], [0, 0, 0, 1]])
    mirrored, turned_back = plane.mirrored_view(view), plane.mirrored_view(view, flipped=False)
    for x, y in ((0.0, 0.0), (60.0, -20.0)):
        here = (view @ [x, y, 0, 1])[:3]
        assert np.allclose((mirrored @ [x, y, 0, 1])[:3], plane.reflect_ras(here))
        assert np.allclose((turned_back @ [-x, y, 0, 1])[:3], plane.reflect_ras(here))
    assert np.sign(np.linalg.det(mirrored)) == -np.sign(np.linalg.det(view))
    assert np.sign(np.linalg.det(turned_back)) == np.sign(np.linalg.det(view))


def test_a_plane_moves_and_turns_by_hand_and_then_claims_no_quality():
    plane = MirrorPlane.from_angles((0.0, 0.0, 0.0), 4.0, symmetry=0.97, correlation=0.8, found=True)
    moved = plane.moved(5.0)
    assert moved.distance(plane.point) == pytest.approx(-5.0)
    assert moved.normal == plane.normal
    turned = moved.turned(roll_degrees=3.0, yaw_degrees=-2.0)
    assert (turned.roll_degrees, turned.yaw_degrees) == pytest.approx((7.0, -2.0))
    assert turned.point == moved.point
    for changed in (moved, turned):
        assert changed.symmetry is None and changed.correlation is None and not changed.found
    assert "found from the body" in plane.words() and "placed by hand" in moved.words()


def test_a_plane_turned_too_far_is_refused():
    with pytest.raises(InputRefused, match="no longer lies between right and left"):
        MirrorPlane.from_angles((0.0, 0.0, 0.0), 40.0).turned(roll_degrees=25.0)


def test_a_plane_survives_its_record():
    plane = MirrorPlane.from_angles(
        (1.5, -2.25, 30.125), 6.5, 1.25, symmetry=0.95, residual_hu=20.0, found=True
    )
    again = MirrorPlane.from_dict(plane.as_dict())
    assert np.allclose(again.point, plane.point, atol=1e-3)
    assert np.allclose(again.normal, plane.normal, atol=1e-7)
    assert (again.symmetry, again.residual_hu, again.found) == (0.95, 20.0, True)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"point_lps_mm": [0, 0], "normal_lps": [1, 0, 0]},
        {"point_lps_mm": [0, 0, 0], "normal_lps": [0, 0, 0]},
    ],
)
def test_a_damaged_record_is_refused_in_words(facts):
    with pytest.raises(InputRefused, match="cannot be read"):
        MirrorPlane.from_dict(facts)


def test_sides_of_a_grid_follow_the_plane():
    grid = Grid.canonical((4, 6, 8), (3.0, 2.0, 1.0), (-3.5, -5.0, 0.0))
    plane = MirrorPlane.from_angles((0.0, 0.0, 0.0), 20.0)
    points = grid.points(np.argwhere(np.ones(grid.shape, bool))).reshape(*grid.shape, 3)
    assert np.array_equal(plane.on_side(grid, "left"), plane.distance(points) > 1e-6)
    assert np.array_equal(plane.on_side(grid, "right"), plane.distance(points) < -1e-6)


def test_the_middle_of_the_image_is_a_plane_to_start_from():
    grid = Grid.canonical((5, 7, 9), (3.0, 2.0, 1.0), (100.0, 0.0, 0.0))
    plane = MirrorPlane.middle_of(Volume(np.zeros(grid.shape, np.int16), grid))
    assert plane.point[0] == pytest.approx(104.0) and not plane.found and plane.roll_degrees == 0.0

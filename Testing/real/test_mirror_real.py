"""Mirror planes of real CTs: whole bodies have one, one-sided crops have none."""

import numpy as np
import pytest
from realdata import real_data

from BATNetLib.annotation.mirror import find_mirror_plane
from BATNetLib.events import Events
from BATNetLib.volume import Grid, Volume, read_volume


def columns(ct, part):
    affine = ct.grid.affine.copy()
    affine[:3, 3] += affine[:3, 2] * part.start
    array = np.ascontiguousarray(ct.array[:, :, part])
    return Volume(array, Grid(array.shape, affine))


def test_a_neck_and_chest_has_a_plane_that_a_narrower_field_of_view_does_not_move():
    ct = read_volume(real_data("ct/neck-chest/ct.nii.gz"))
    whole = find_mirror_plane(ct)
    assert whole is not None and whole.correlation > 0.8
    cut = find_mirror_plane(columns(ct, slice(100, 512)))
    body = ct.grid.points([(49, 256, 256), (20, 200, 120), (80, 300, 400)])
    assert np.linalg.norm(whole.reflect(body) - cut.reflect(body), axis=1).max() < 4.0
    assert find_mirror_plane(columns(ct, slice(256, 512))) is None


@pytest.mark.parametrize("name", ["ct/abdomen-with-fat/ct.nii.gz", "ct/tiny-chest/ct-64.nrrd"])
def test_a_coarse_or_short_scan_of_a_whole_body_has_a_plane(name):
    plane = find_mirror_plane(read_volume(real_data(name)))
    assert plane is not None and abs(plane.roll_degrees) < 5 and abs(plane.yaw_degrees) < 2


def test_a_crop_around_a_shoulder_has_no_plane():
    events = Events()
    assert find_mirror_plane(read_volume(real_data("petct/shoulder/ct.nii.gz")), events=events) is None
    assert "one side of the body" in events.warnings[0]["text"]

"""Choosing patches: which one is where, all views go there, clicks find them."""

from __future__ import annotations

import numpy as np
import pytest
import result_cases as cases
import slicer
import vtk
from BATNetSlicer.inputs import write_inputs
from BATNetSlicer.overlays import Overlays
from BATNetSlicer.scene import load_result

VIEWS = ("Red", "Green", "Yellow")


def slice_node(name):
    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()


def distance(name, ras):
    """mm from a point to the plane that a slice view shows."""
    matrix = slicer.util.arrayFromVTKMatrix(slice_node(name).GetSliceToRAS())
    return abs(float((np.asarray(ras) - matrix[:3, 3]) @ matrix[:3, 2]))


def in_view(name, ras):
    """Where a point lies in a view, 0..1 across and up."""
    node = slice_node(name)
    matrix = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
    return (matrix @ [*ras, 1.0])[:2] / node.GetDimensions()[:2]


@pytest.fixture
def overlays(scene):
    ct, analysis = cases.load_case()
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    made = Overlays(analysis)
    yield made
    made.close()


def centre_of(patch):
    """Centre of a patch in the world, as the engine wrote it."""
    return np.mean(patch.corners, axis=0) * [-1, -1, 1]


def test_every_patch_is_found_at_its_centre_and_none_outside(overlays):
    for patch in overlays.analysis.patches:
        assert overlays.patch_at(centre_of(patch)) == patch.index
    corners = np.array([patch.corners for patch in overlays.analysis.patches]).reshape(-1, 3) * [-1, -1, 1]
    low, high = corners.min(axis=0), corners.max(axis=0)
    for axis in range(3):
        for edge, sign in ((low, -1), (high, 1)):
            point = (low + high) / 2
            point[axis] = edge[axis] + sign
            assert overlays.patch_at(point) is None


def test_a_voxel_belongs_to_the_patch_whose_probability_the_map_shows(overlays):
    analysis = overlays.analysis
    ijk = cases.some_voxels(analysis.ct, 1500)
    found = [overlays.patch_at(ras) for ras in cases.to_world(analysis.ct, ijk)]
    expected = [0.0 if index is None else analysis.patches[index].probability for index in found]
    np.testing.assert_allclose(cases.values_at(analysis.patch_map, ijk), expected, atol=2**-14)
    assert len(set(found)) == 33


@pytest.mark.parametrize("degrees", [0.0, 9.0], ids=["straight", "oblique"])
def test_patches_move_with_the_ct_when_its_transform_changes(scene, tmp_path, degrees):
    ct = cases.volume_node(cases.phantom().ct, flips=(True, False, True), turn=cases.rotation(degrees))
    transform = cases.put_under_transform(ct, cases.rotation(2.0))
    analysis = load_result(cases.analyse(write_inputs(tmp_path / "job", ct), tmp_path / "out"), ct)
    overlays = Overlays(analysis)
    patches = analysis.patches
    assert [overlays.patch_at(centre_of(patch)) for patch in patches] == list(range(32))
    move = cases.rotation(25.0)
    move[:3, 3] = 100, 50, -30
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(move @ cases.rotation(2.0)))
    moved = [move @ [*centre_of(patch), 1.0] for patch in patches]
    assert [overlays.patch_at(point[:3]) for point in moved] == list(range(32))
    # Hardened, the CT itself lies there.
    for node in (ct, analysis.patch_map):
        node.HardenTransform()
    assert [overlays.patch_at(point[:3]) for point in moved] == list(range(32))
    overlays.patch_map = True
    fat = analysis.node.GetNodeReference("overlay.fat")
    ijk = cases.some_voxels(fat, 4000)
    percent = [
        None if index is None else round(100 * patches[index].probability)
        for index in map(overlays.patch_at, cases.to_world(fat, ijk))
    ]
    shown = cases.values_at(fat, ijk)
    assert all(value in (-1, wanted) for value, wanted in zip(shown, percent, strict=True))
    assert (shown >= 0).sum() > 100
    overlays.close()


def test_choosing_a_patch_moves_every_view_to_the_planes_with_most_of_its_fat(overlays):
    analysis = overlays.analysis
    fat = cases.segment_array(analysis)
    for index in (0, 13, 22, 31):
        overlays.select_patch(index)
        ras = overlays.patch_position(index)
        assert overlays.patch_at(ras) == index and overlays.selected == index
        assert max(distance(name, ras) for name in VIEWS) < 0.01
        k = int(np.rint(np.linalg.solve(ijk_to_world(analysis.ct), [*ras, 1.0]))[2])
        inside = in_box(analysis, index)
        counts = (fat & inside).sum(axis=(1, 2))
        assert counts[k] == counts.max() > 0


def ijk_to_world(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def in_box(analysis, index):
    """The voxels of a patch's box, [k, j, i]; patches can share a probability, never a box."""
    ras = np.array(analysis.patches[index].corners) * (-1, -1, 1)
    ijk = np.linalg.solve(ijk_to_world(analysis.ct), np.c_[ras, np.ones(8)].T)[:3].T
    low, high = ijk.min(0), ijk.max(0)
    inside = np.zeros(slicer.util.arrayFromVolume(analysis.ct).shape, bool)
    i, j, k = (slice(int(np.ceil(a)), int(np.floor(b)) + 1) for a, b in zip(low, high, strict=True))
    inside[k, j, i] = True
    return inside


def test_views_stay_where_they_are_as_long_as_the_patch_is_in_sight(overlays):
    before = {name: in_view(name, (0, 0, 0)) for name in VIEWS}
    overlays.select_patch(5)
    for name in VIEWS:
        np.testing.assert_allclose(in_view(name, (0, 0, 0)), before[name], atol=1e-6)
    slice_node("Red").SetFieldOfView(60, 60, 1)
    slice_node("Red").SetXYZOrigin(0, 0, 0)
    overlays.select_patch(16)
    np.testing.assert_allclose(in_view("Red", overlays.patch_position(16)), 0.5, atol=0.02)


def test_turned_slice_views_go_there_too(overlays):
    for name in VIEWS:
        node = slice_node(name)
        turned = cases.rotation(33.0) @ slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        node.GetSliceToRAS().DeepCopy(turned.ravel())
        node.UpdateMatrices()
    for index in (2, 29):
        overlays.select_patch(index)
        assert max(distance(name, overlays.patch_position(index)) for name in VIEWS) < 0.01
        for name in VIEWS:
            assert (np.abs(in_view(name, overlays.patch_position(index)) - 0.5) < 0.5).all()


def test_a_patch_can_be_outlined_without_moving_the_views(overlays):
    before = [slice_node(name).GetSliceOffset() for name in VIEWS]
    overlays.select_patch(7, jump=False)
    assert [slice_node(name).GetSliceOffset() for name in VIEWS] == before and overlays.selected == 7
    with pytest.raises(IndexError, match="no patch 32"):
        overlays.select_patch(32)


def test_the_outlines_enclose_the_patch_and_its_mirror_partner(overlays):
    node = overlays.analysis.node
    overlays.select_patch(6)
    for role, index in (("chosen", 6), ("partner", 22)):
        bounds = np.zeros(6)
        node.GetNodeReference(f"overlay.{role}").GetRASBounds(bounds)
        corners = np.array(overlays.analysis.patches[index].corners) * [-1, -1, 1]
        np.testing.assert_allclose(bounds[::2], corners.min(axis=0), atol=0.01)
        np.testing.assert_allclose(bounds[1::2], corners.max(axis=0), atol=0.01)
    overlays.select_patch(None)
    assert node.GetNodeReference("overlay.chosen") is node.GetNodeReference("overlay.partner") is None


# --- clicks


@pytest.fixture
def clicks(overlays):
    """What was clicked in the slice views."""
    seen = []
    overlays.watch_clicks(lambda index, ras: seen.append((index, ras)))
    return seen


def view_of(name):
    return slicer.app.layoutManager().sliceWidget(name).sliceView()


@pytest.mark.draws
@pytest.mark.parametrize("name", VIEWS)
def test_a_click_on_a_patch_tells_which_it_is(overlays, clicks, name):
    overlays.patch_map = True
    for index in (3, 20):
        overlays.select_patch(index)
        ras = overlays.patch_position(index)
        view_of(name).click(*view_of(name).to_view(ras))
        assert clicks[-1][0] == index
        assert np.abs(np.array(clicks[-1][1]) - ras).max() < 5
    count = len(clicks)
    view_of(name).click(1, 1)  # the corner lies outside all boxes
    assert len(clicks) == count == 2


@pytest.mark.draws
def test_drags_and_clicks_without_an_overlay_choose_nothing(overlays, clicks):
    overlays.select_patch(3)
    at = view_of("Red").to_view(overlays.patch_position(3))
    view_of("Red").click(*at)
    assert clicks == []
    overlays.patch_map = True
    interactor = view_of("Red").interactor()
    interactor.SetEventInformation(*at, 0, 0, chr(0), 0, None)
    interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
    interactor.SetEventInformation(at[0] + 30, at[1], 0, 0, chr(0), 0, None)
    interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)
    assert clicks == []
    overlays.watch_clicks(None)
    view_of("Red").click(*at)
    assert clicks == []

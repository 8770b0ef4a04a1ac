"""What a user sees: colours where they must be, and gone after switching off."""

from __future__ import annotations

import numpy as np
import pytest
import result_cases as cases
import slicer
from BATNetSlicer.overlays import Overlays

from BATNetLib.analysis import colours

pytestmark = pytest.mark.draws

WIDTH = 500


def view(name):
    return slicer.app.layoutManager().sliceWidget(name).sliceView()


def near(pixels, colour, tolerance=14):
    """Pixels of a colour, as a mask."""
    return np.abs(pixels.astype(int) - np.asarray(colour)).max(axis=-1) <= tolerance


def greys(pixels, tolerance=3):
    return pixels.max(axis=-1).astype(int) - pixels.min(axis=-1) <= tolerance


def at(pixels, name, ras):
    """Colour of a view at a point of the patient."""
    x, y = view(name).to_view(ras)
    return pixels[pixels.shape[0] - 1 - y, x]


@pytest.fixture
def overlays(scene):
    """The CT in a soft-tissue window; the mask still switched off."""
    ct, analysis = cases.load_case()
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(500, 0)
    slicer.util.setSliceViewerLayers(background=ct)
    for name in ("Red", "Green", "Yellow"):
        view(name).resize(WIDTH, WIDTH)
    slicer.app.layoutManager().resetSliceViews()
    made = Overlays(analysis)
    made.mask = False
    yield made
    made.close()


def strongest(analysis):
    return max(analysis.patches, key=lambda patch: patch.probability).index


def fat_point(overlays, index):
    """A point in the fat of a patch, in the planes that the views show for it, away from edges; world RAS."""
    analysis = overlays.analysis
    fat = analysis.node.GetNodeReference("overlay.fat")
    array = slicer.util.arrayFromVolume(fat)
    k = round(np.linalg.solve(affine_of(fat), [*overlays.patch_position(index), 1.0])[2])
    wanted = round(100 * analysis.patches[index].probability)
    inside = array[k] == wanted
    inner = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(inside, step, axis)
    for j, i in np.argwhere(inner):
        ras = (affine_of(fat) @ [i, j, k, 1.0])[:3]
        x, _y = view("Red").to_view(ras)
        if overlays.patch_at(ras) == index and x < 0.8 * WIDTH:  # not under the legend
            return ras
    raise AssertionError("no fat in this plane")


def affine_of(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def test_fat_has_the_colour_of_its_patch_and_the_ct_shows_through(overlays):
    analysis = overlays.analysis
    index = strongest(analysis)
    overlays.select_patch(index)
    bare = view("Red").pixels()
    overlays.patch_map = True
    ras = fat_point(overlays, index)
    colour = colours.colour(colours.PROBABILITY, round(100 * analysis.patches[index].probability) / 100)
    grey = at(bare, "Red", ras).astype(float)
    for opacity in (1.0, 0.5):
        overlays.opacity = opacity
        shown = at(view("Red").pixels(), "Red", ras)
        np.testing.assert_allclose(shown, opacity * colour + (1 - opacity) * grey, atol=6)
    assert greys(bare[50:-50, 50:-50]).mean() > 0.99


def test_tissue_without_fat_keeps_its_grey(overlays):
    overlays.select_patch(strongest(overlays.analysis))
    overlays.select_patch(None)
    bare = view("Red").pixels()
    overlays.patch_map = True
    overlays.opacity = 1.0
    pixels = view("Red").pixels()
    fat = overlays.analysis.node.GetNodeReference("overlay.fat")
    array = slicer.util.arrayFromVolume(fat)
    k = round(np.linalg.solve(affine_of(fat), [0, 0, view_offset("Red"), 1.0])[2])
    same, count = 0, 0
    for j, i in np.argwhere(array[k] < 0)[::7]:
        ras = (affine_of(fat) @ [i, j, k, 1.0])[:3]
        if view("Red").to_view(ras)[0] < 0.7 * WIDTH:  # not under the legend
            count += 1
            same += (at(pixels, "Red", ras) == at(bare, "Red", ras)).all()
    assert count > 100 and same > 0.9 * count  # the outlines cross some


@pytest.mark.parametrize("name", ["patch_map", "attention", "mask"])
def test_switching_off_leaves_no_pixel_behind(overlays, name):
    overlays.select_patch(strongest(overlays.analysis))
    overlays.select_patch(None)
    before = {v: view(v).pixels() for v in ("Red", "Green", "Yellow")}
    setattr(overlays, name, True)
    for v, pixels in before.items():
        changed = (view(v).pixels() != pixels).any(axis=-1)
        assert changed.mean() > 0.005, f"nothing to be seen in {v}"
    setattr(overlays, name, False)
    for v, pixels in before.items():
        np.testing.assert_array_equal(view(v).pixels(), pixels)


def test_the_mask_is_drawn_in_its_own_colour_where_fat_is(overlays):
    overlays.mask = True
    fat = cases.segment_array(overlays.analysis)
    overlays.select_patch(strongest(overlays.analysis), jump=True)
    overlays.select_patch(None)
    pixels = view("Red").pixels().astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 25
    k = round(np.linalg.solve(affine_of(overlays.analysis.ct), [0, 0, view_offset("Red"), 1.0])[2])
    size = np.array(overlays.analysis.ct.GetSpacing()[:2])
    pixel = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetFieldOfView()[0] / WIDTH
    expected = fat[k].sum() * size.prod() / pixel**2
    assert blue.sum() == pytest.approx(expected, rel=0.12)


def view_offset(name):
    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().GetSliceOffset()


def test_outlines_lie_where_the_boxes_are(overlays):
    analysis = overlays.analysis
    index = strongest(analysis)
    overlays.select_patch(index)
    pixels = view("Red").pixels()
    patch, partner = analysis.patches[index], analysis.patches[analysis.patches[index].partner]
    z = overlays.patch_position(index)[2]
    white = {}
    for one in (patch, partner):
        corners = np.array(one.corners) * [-1, -1, 1]
        low, high = corners.min(axis=0), corners.max(axis=0)
        steps = np.linspace(0.03, 0.97, 150)[:, None]
        # Along the outer edges, those that no other line shares.
        edge = np.array([low[0] if one.side == "left" else high[0], low[1], z])
        along = edge + steps * [0, high[1] - low[1], 0]
        white[one.index] = np.mean([near(at(pixels, "Red", ras), (255, 255, 255), 40) for ras in along])
    assert white[patch.index] > 0.95, "the chosen patch has a full outline"
    assert 0.3 < white[partner.index] < 0.8, "its mirror partner has a dashed one"
    overlays.select_patch(None)
    assert not near(view("Red").pixels(), (255, 255, 255), 5)[5:40].any()


def test_all_boxes_have_thin_grey_outlines_while_the_map_is_on(overlays):
    overlays.select_patch(0)
    overlays.select_patch(None)
    overlays.patch_map = True
    pixels = view("Red").pixels()
    z = view_offset("Red")
    corners = np.array([patch.corners for patch in overlays.analysis.patches]).reshape(-1, 3) * [-1, -1, 1]
    low, high = corners.min(axis=0), corners.max(axis=0)
    line = [(high[0], low[1] + t * (high[1] - low[1]), z) for t in np.linspace(0.02, 0.98, 100)]
    assert np.mean([near(at(pixels, "Red", ras), (150, 150, 150), 25) for ras in line]) > 0.9


def test_the_legend_goes_from_the_lowest_to_the_highest_colour_in_percent(overlays):
    overlays.patch_map = True
    pixels = view("Red").pixels()
    bar = [near(pixels[:, WIDTH - 60 :], colours.PROBABILITY[step], 6) for step in (5, 128, 250)]
    rows = [np.argwhere(found)[:, 0].mean() for found in bar]
    assert rows[0] > rows[1] > rows[2], "high values are on top"
    texts = near(pixels[:, WIDTH // 2 :], (255, 255, 255), 20).sum()
    assert texts > 100, "labels and title are written in white"
    legend = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "Brown-fat\nprobability (%)" and legend.GetLabelFormat() == "%.0f"


def test_attention_is_green_and_says_how_fine_it_really_is(overlays):
    analysis = overlays.analysis
    array = slicer.util.arrayFromVolume(analysis.attention)
    k, j, i = np.argwhere(array == array.max())[0]
    overlays.attention = True
    overlays.opacity = 1.0
    ras = (affine_of(analysis.ct) @ [i, j, k, 1.0])[:3]
    for name in ("Red", "Green", "Yellow"):
        slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().JumpSliceByOffsetting(*ras)
    shown = at(view("Red").pixels(), "Red", ras)
    assert near(shown[None], colours.colour(colours.ATTENTION, float(array.max())), 12).all()
    legend = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert analysis.attention_edges in legend.GetTitleText() and "not brown fat" in legend.GetTitleText()
    # Cells are cells: every colour in the boxes is one of a cell, none in between.
    inside = np.unique(array)
    assert len(inside) < 129


def test_boxes_are_drawn_in_the_3d_view_and_can_be_left_out(overlays):
    three_d = slicer.app.layoutManager().threeDWidget(0).threeDView()
    three_d.resize(400, 400)
    overlays.patch_map = True
    three_d.resetFocalPoint()
    overlays.patch_map = False
    bare = three_d.pixels()
    overlays.boxes_in_3d = False
    overlays.patch_map = True
    np.testing.assert_array_equal(three_d.pixels(), bare)
    overlays.boxes_in_3d = True
    overlays.select_patch(3)
    drawn = three_d.pixels()
    assert (drawn != bare).any(axis=-1).mean() > 0.01
    assert near(drawn, (255, 255, 255), 10).sum() > near(bare, (255, 255, 255), 10).sum() + 50
    overlays.select_patch(None)
    overlays.boxes_in_3d = False
    np.testing.assert_array_equal(three_d.pixels(), bare)

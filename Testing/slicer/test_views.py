"""Slice and 3D views draw what is in the scene; pixels are looked at, not file names."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk
from PIL import Image

pytestmark = pytest.mark.draws

SHAPE = (40, 60, 80)  # slices, rows, columns
SPACING = (2.0, 2.0, 3.0)
FAT = (1.0, 0.8, 0.0)


@pytest.fixture
def volume(scene):
    """A grey block with a bright ramp; the centre lies at the origin of the patient."""
    values = np.zeros(SHAPE, np.int16)
    values[:] = np.linspace(-200, 200, SHAPE[2]).astype(np.int16)
    matrix = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1.0])
    matrix[:3, 3] = [SPACING[0] * SHAPE[2] / 2, SPACING[1] * SHAPE[1] / 2, -SPACING[2] * SHAPE[0] / 2]
    node = slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name="CT")
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def red(volume):
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    slicer.app.layoutManager().sliceWidget("Red").fitSliceToBackground()
    return view


@pytest.fixture
def three_d(volume):
    """The 3D view without its box and letters: only what a test puts there counts for the camera."""
    widget = slicer.app.layoutManager().threeDWidget(0)
    node = widget.mrmlViewNode()
    node.SetBoxVisible(False)
    node.SetAxisLabelsVisible(False)
    yield widget.threeDView()
    node.SetBoxVisible(True)
    node.SetAxisLabelsVisible(True)


def share(pixels, color, tolerance=40):
    """Share of pixels within ``tolerance`` of ``color`` (0 to 255 each)."""
    return float((np.abs(pixels.astype(int) - np.array(color)).max(axis=-1) <= tolerance).mean())


def hue_share(pixels, wanted):
    """Share of coloured pixels whose strongest and weakest channels are those of ``wanted``."""
    pixels = pixels.astype(int)
    colored = pixels.max(axis=-1) - pixels.min(axis=-1) > 60
    same = (pixels.argmax(axis=-1) == np.argmax(wanted)) & (pixels.argmin(axis=-1) == np.argmin(wanted))
    return float((colored & same).mean())


def add_segmentation(volume):
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:30, 20:40, 20:50] = 1
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Fat")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    identifier = node.GetSegmentation().AddEmptySegment("fat", "Adipose tissue", FAT)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, volume)
    return node


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_each_slice_view_shows_the_scan(volume, name):
    widget = slicer.app.layoutManager().sliceWidget(name)
    widget.fitSliceToBackground()
    pixels = widget.sliceView().pixels()
    assert pixels.shape == (400, 400, 3)
    assert pixels.max() > (200 if name != "Yellow" else 60)
    assert share(pixels, (0, 0, 0), 5) < 0.9


def test_patient_right_is_on_the_left_of_an_axial_slice(red):
    pixels = red.pixels().astype(int)
    left, right = pixels[200, 40].mean(), pixels[200, 360].mean()
    assert right > left + 100  # columns run from right to left, and the ramp rises with them


def test_a_view_without_a_scan_is_black(scene):
    assert slicer.app.layoutManager().sliceWidget("Red").sliceView().pixels().max() < 30


def test_a_segmentation_is_drawn_over_the_slice_and_can_be_hidden(red, volume):
    before = hue_share(red.pixels(), FAT)
    node = add_segmentation(volume)
    assert before < 0.001
    assert 0.04 < hue_share(red.pixels(), FAT) < 0.3
    node.GetDisplayNode().SetVisibility(False)
    assert hue_share(red.pixels(), FAT) < 0.001


def test_a_model_is_drawn_in_3d_and_cut_in_the_slice(red, three_d):
    ball = vtk.vtkSphereSource()
    ball.SetRadius(30)
    ball.Update()
    model = slicer.modules.models.logic().AddModel(ball.GetOutput())
    model.GetDisplayNode().SetColor(0, 1, 0)
    model.GetDisplayNode().SetVisibility2D(True)
    three_d.resetFocalPoint()
    assert hue_share(three_d.pixels(), (0, 1, 0.1)) > 0.2
    model.GetDisplayNode().SetSliceIntersectionThickness(4)
    assert hue_share(red.pixels(), (0, 1, 0)) > 0.002


def test_the_surface_of_a_segmentation_is_drawn_in_3d(volume, three_d):
    node = add_segmentation(volume)
    node.CreateClosedSurfaceRepresentation()
    three_d.resetFocalPoint()
    assert hue_share(three_d.pixels(), FAT) > 0.1


def test_points_and_regions_are_drawn_where_they_are(red, volume):
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Points")
    points.CreateDefaultDisplayNodes()
    points.AddControlPoint([30, 20, 0], "here")
    points.GetDisplayNode().SetSelectedColor(0, 1, 0)
    pixels = red.pixels().astype(int)
    x, y = red.to_view((30, 20, 0))
    around = pixels[399 - y - 6 : 399 - y + 7, x - 6 : x + 7]
    assert (around[..., 1] - around[..., 0]).max() > 60
    region = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Box")
    region.CreateDefaultDisplayNodes()
    region.SetCenter([-30, -20, 0])
    region.SetSize([40, 40, 40])
    for set_color in (region.GetDisplayNode().SetSelectedColor, region.GetDisplayNode().SetColor):
        set_color(0.6, 0, 1)
    assert hue_share(red.pixels(), (0.6, 0, 1)) > 0.005


def make_overlay(volume, name, values, labelmap=False):
    kind = "vtkMRMLLabelMapVolumeNode" if labelmap else "vtkMRMLScalarVolumeNode"
    node = slicer.util.addVolumeFromArray(values, name=name, nodeClassName=kind)
    node.CopyOrientation(volume)
    node.CreateDefaultDisplayNodes()
    return node


def test_a_heat_overlay_follows_its_opacity(red, volume):
    heat = np.zeros(SHAPE, np.float32)
    heat[:, 20:40, 20:60] = 1
    node = make_overlay(volume, "Heat", heat)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 1)
    display.SetThreshold(0.5, 1)
    display.ApplyThresholdOn()
    slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=0.0)
    assert hue_share(red.pixels(), (1, 0, 0)) < 0.001
    slicer.util.setSliceViewerLayers(foregroundOpacity=0.9)
    assert hue_share(red.pixels(), (1, 0, 0)) > 0.05


def test_a_label_overlay_is_drawn_in_the_colours_of_its_table(red, volume):
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 20:40, 20:60] = 2
    node = make_overlay(volume, "Labels", labels, labelmap=True)
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "Colours")
    table.SetTypeToUser()
    table.SetNumberOfColors(3)
    table.SetColor(0, "none", 0, 0, 0, 0)
    table.SetColor(1, "one", 1, 0, 0, 1)
    table.SetColor(2, "two", 0, 0.2, 1, 1)
    node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
    slicer.util.setSliceViewerLayers(label=node, labelOpacity=0.8)
    assert hue_share(red.pixels(), (0, 0.2, 1)) > 0.05


def test_the_colour_legend_is_drawn_and_goes_away(red, volume):
    volume.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    without = red.pixels().astype(int)
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
    legend.SetTitleText("Probability")
    legend.SetVisibility(True)
    changed = np.abs(red.pixels().astype(int) - without).max(axis=-1) > 40
    assert changed[:, 250:].mean() > 0.01 and changed[:, :200].mean() < 0.01
    legend.SetVisibility(False)
    assert np.abs(red.pixels().astype(int) - without).max() < 40


def test_a_click_in_a_slice_reaches_who_observes_it(red, volume):
    heard = []
    tag = red.interactor().AddObserver(
        "LeftButtonPressEvent", lambda who, what: heard.append(who.GetEventPosition())
    )
    red.click(*red.to_view((30, 20, 0)))
    red.interactor().RemoveObserver(tag)
    assert heard == [red.to_view((30, 20, 0))]


def test_a_view_still_draws_after_the_scene_was_closed_and_read_again(red, volume, tmp_path):
    add_segmentation(volume)
    drawn = hue_share(red.pixels(), FAT)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert red.pixels().max() < 30
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert abs(hue_share(red.pixels(), FAT) - drawn) < 0.02


def test_a_picture_is_written(red, tmp_path):
    assert Image.open(red.save(tmp_path / "pictures" / "red.png")).size == (400, 400)

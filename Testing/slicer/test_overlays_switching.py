"""Overlays give the views back as they were; nothing stays behind when scenes close and nodes are deleted."""

from __future__ import annotations

import gc
import time
import weakref

import numpy as np
import pytest
import result_cases as cases
import slicer
from BATNetSlicer.overlays import Overlays
from BATNetSlicer.scene import find_analyses, load_result

VIEWS = ("Red", "Green", "Yellow")


def composite(name):
    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()


def layers():
    """What the views show: layers, opacity, mode of mixing."""
    out = {}
    for name in VIEWS:
        view = composite(name)
        out[name] = (
            view.GetBackgroundVolumeID(),
            view.GetForegroundVolumeID(),
            view.GetLabelVolumeID(),
            view.GetForegroundOpacity(),
            view.GetLabelOpacity(),
            view.GetCompositing(),
        )
    return out


def nodes(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


@pytest.fixture
def shown(scene):
    """The case with its CT and a PET in all views."""
    ct, analysis = cases.load_case()
    pet = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), name="PET")
    slicer.util.setSliceViewerLayers(background=ct, foreground=pet, foregroundOpacity=0.3, fit=True)
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350, 40)
    composite("Green").SetCompositing(2)
    return ct, analysis, pet


@pytest.fixture
def overlays(shown):
    made = Overlays(shown[1])
    yield made
    made.close()


@pytest.mark.parametrize("name", ["patch_map", "attention"])
def test_switching_off_puts_layers_opacity_and_window_back(scene, shown, overlays, name):
    ct = shown[0]
    before, there = layers(), nodes(scene)
    setattr(overlays, name, True)
    assert getattr(overlays, name)
    for view in VIEWS:
        background, foreground, _label, opacity, _lo, mixing = layers()[view]
        assert background == ct.GetID() and foreground not in (None, before[view][1])
        assert (opacity, mixing) == (overlays.opacity, 0)
    overlays.opacity = 0.4
    assert composite("Red").GetForegroundOpacity() == 0.4
    setattr(overlays, name, False)
    assert not getattr(overlays, name) and layers() == before
    assert (ct.GetDisplayNode().GetWindow(), ct.GetDisplayNode().GetLevel()) == (350, 40)
    assert nodes(scene) - there == set()


def test_what_the_user_chose_in_between_stays(shown, overlays):
    ct, _analysis, pet = shown
    other = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), name="Other")
    overlays.patch_map = True
    composite("Red").SetForegroundVolumeID(other.GetID())
    composite("Green").SetForegroundOpacity(0.9)
    composite("Yellow").SetBackgroundVolumeID(other.GetID())
    composite("Yellow").SetLabelOpacity(0.2)
    overlays.patch_map = False
    after = layers()
    assert after["Red"][1] == other.GetID() and after["Red"][0] == ct.GetID()
    assert after["Red"][3] == 0.3, "the opacity was set here, the layer was not"
    assert after["Green"][1] == pet.GetID() and after["Green"][3] == 0.9
    assert after["Yellow"][0] == other.GetID() and after["Yellow"][4] == 0.2
    assert after["Yellow"][1] == pet.GetID() and after["Yellow"][3] == 0.3


def test_one_map_gives_way_to_the_other_and_both_give_back_what_was_first(shown, overlays):
    before = layers()
    overlays.patch_map = True
    overlays.attention = True
    assert overlays.attention and not overlays.patch_map
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    overlays.patch_map = True
    assert overlays.patch_map and not overlays.attention
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    overlays.patch_map = False
    assert layers() == before


def test_two_analyses_take_turns_and_the_first_layers_come_back(shown):
    before = layers()
    first, second = Overlays(shown[1]), Overlays(load_result(cases.case_folder() / "result", shown[0]))
    first.patch_map = True
    second.patch_map = True
    assert second.patch_map and not first.patch_map
    first.close()
    assert second.patch_map
    second.close()
    assert layers() == before


def test_views_that_show_something_else_are_left_alone(scene, shown, overlays):
    analysis = shown[1]
    other = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), name="Follow-up")
    composite("Yellow").SetBackgroundVolumeID(other.GetID())
    before = layers()
    overlays.patch_map = True
    assert layers()["Yellow"] == before["Yellow"] and layers()["Red"] != before["Red"]
    display = analysis.node.GetNodeReference("overlay.boxes").GetDisplayNode()
    shown_in = {display.GetNthViewNodeID(n) for n in range(display.GetNumberOfViewNodeIDs())}
    assert "vtkMRMLSliceNodeRed" in shown_in and "vtkMRMLSliceNodeYellow" not in shown_in
    overlays.patch_map = False
    assert layers() == before


def test_empty_views_show_the_ct_while_an_overlay_is_on(scene):
    ct, analysis = cases.load_case()
    overlays = Overlays(analysis)
    before = layers()
    assert before["Red"][0] is None
    overlays.patch_map = True
    assert layers()["Red"][0] == ct.GetID()
    overlays.close()
    assert layers() == before


def test_the_mask_gives_way_to_a_map_and_comes_back(shown, overlays):
    display = shown[1].segmentation.GetDisplayNode()
    assert overlays.mask
    overlays.patch_map = True
    assert not overlays.mask
    overlays.mask = True  # wanted nevertheless: then only as an outline
    assert overlays.mask and not display.GetVisibility2DFill() and display.GetVisibility2DOutline()
    overlays.patch_map = False
    assert overlays.mask and display.GetVisibility2DFill()
    overlays.mask = False
    overlays.patch_map = True
    overlays.patch_map = False
    assert not overlays.mask
    overlays.mask = True
    assert overlays.mask and display.GetVisibility2DFill()


def test_overlays_agree_after_a_module_reload(shown, overlays):
    before = layers()
    overlays.opacity = 0.5
    overlays.patch_map = True
    again = Overlays(shown[1])
    assert again.patch_map and not again.attention and again.opacity == 0.5
    again.patch_map = False
    assert layers() == before and not overlays.patch_map


def test_switching_on_is_fast_for_a_large_ct(scene, tmp_path):
    """512 x 512 x 300 voxels; the case's 32 boxes and fat, enlarged fourfold in plane."""
    from BATNetSlicer.masks import Cropped
    from BATNetSlicer.patchboxes import PatchBoxes

    _ct, analysis = cases.load_case()
    boxes = PatchBoxes(analysis)
    size, small = np.array((512, 512, 300)), np.array(cases.load_ct().GetImageData().GetDimensions())
    boxes.corners = np.rint((boxes.corners + 0.5) * size / small) - 0.5
    fat = np.zeros(size[::-1], bool)
    fat[:, ::2] = True
    probabilities = [patch.probability for patch in analysis.patches]
    fastest = 9.0
    for _attempt in range(3):
        start = time.perf_counter()
        values, _at = boxes.percentages(probabilities, Cropped(fat, (0, 0, 0)), tuple(size))
        fastest = min(fastest, time.perf_counter() - start)
    assert (values >= 0).sum() > 5e6 and fastest < 0.3


def test_an_edit_of_the_mask_shows_after_a_refresh(shown, overlays):
    analysis = shown[1]
    overlays.patch_map = True
    node = analysis.node.GetNodeReference("overlay.fat")
    before = int((slicer.util.arrayFromVolume(node) >= 0).sum())
    mask = cases.segment_array(analysis)
    mask[:, :, : mask.shape[2] // 2] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), analysis.segmentation, analysis.segment_id, analysis.ct
    )
    overlays.refresh()
    assert overlays.patch_map and analysis.node.GetNodeReference("overlay.fat") is node
    after = int((slicer.util.arrayFromVolume(node) >= 0).sum())
    assert 0.3 * before < after < 0.7 * before


def test_what_cannot_be_shown_is_said_in_words(scene, tmp_path):
    from BATNetSlicer.inputs import write_inputs

    ct = cases.volume_node(cases.phantom().ct)
    slicer.util.arrayFromVolume(ct)[:] -= 2000
    analysis = load_result(cases.analyse(write_inputs(tmp_path / "job", ct), tmp_path / "out"), ct)
    told = []
    overlays = Overlays(analysis, on_notice=told.append)
    for name in ("mask", "patch_map", "attention"):
        setattr(overlays, name, True)
        assert not getattr(overlays, name) and overlays.why_not(name) == told[-1]
    assert "not assessable" in told[1] and overlays.patch_at((0, 0, 0)) is None
    overlays.select_patch(None)
    overlays.close()


# --- deleting, closing, saving


@pytest.mark.parametrize("role", ["ct", "segmentation", "patch_map", "attention"])
@pytest.mark.parametrize("name", ["patch_map", "attention"])
def test_deleting_a_node_while_an_overlay_is_on_is_told_and_breaks_nothing(scene, shown, role, name):
    analysis, told, changes = shown[1], [], []
    overlays = Overlays(analysis, on_change=lambda: changes.append(1), on_notice=told.append)
    before = layers()
    setattr(overlays, name, True)
    overlays.select_patch(5)
    scene.RemoveNode(getattr(analysis, role))
    assert told == [analysis.deleted()[role]] and changes
    gone = role == "ct" or role == name == "attention"
    assert getattr(overlays, name) == (not gone)
    if role == "ct":
        overlays.patch_map = True
        assert not overlays.patch_map and len(told) == 2
        outlines = ("overlay.boxes", "overlay.chosen", "overlay.partner")
        assert all(analysis.node.GetNodeReference(role) is None for role in outlines)
    overlays.select_patch(7)
    overlays.mask = True
    overlays.refresh()
    overlays.close()
    if role != "ct":
        assert layers() == before


def test_a_patch_map_without_its_segmentation_fills_the_whole_boxes(scene, shown, overlays):
    analysis = shown[1]
    scene.RemoveNode(analysis.segmentation)
    overlays.patch_map = True
    array = slicer.util.arrayFromVolume(analysis.node.GetNodeReference("overlay.fat"))
    assert (array >= 0).all()


def test_deleting_the_analysis_takes_its_overlays_along(scene, shown):
    analysis = shown[1]
    before, changes = layers(), []
    there = nodes(scene)
    overlays = Overlays(analysis, on_change=lambda: changes.append(1))
    overlays.patch_map = True
    overlays.select_patch(3)
    scene.RemoveNode(analysis.node)
    assert layers() == before and changes
    assert nodes(scene) <= there


@pytest.mark.parametrize("name", ["patch_map", "attention"])
def test_closing_the_scene_with_an_overlay_on_leaves_no_observer(scene, name):
    _ct, analysis = cases.load_case()
    changes = []
    overlays = Overlays(analysis, on_change=lambda: changes.append(1))
    setattr(overlays, name, True)
    overlays.select_patch(3)
    overlays.watch_clicks(lambda index, ras: None)
    scene.Clear(0)
    assert changes
    gone = weakref.ref(overlays)
    del overlays, analysis
    gc.collect()
    assert gone() is None
    # The next scene begins afresh.
    _ct, analysis = cases.load_case()
    slicer.util.setSliceViewerLayers(background=_ct)
    before = layers()
    again = Overlays(analysis)
    again.patch_map = True
    again.close()
    assert layers() == before


def test_closing_the_overlays_leaves_no_observer(scene, shown):
    before = nodes(scene)
    overlays = Overlays(shown[1])
    overlays.patch_map = True
    overlays.select_patch(2)
    overlays.watch_clicks(lambda index, ras: None)
    overlays.close()
    assert nodes(scene) <= before
    gone = weakref.ref(overlays)
    del overlays
    gc.collect()
    assert gone() is None


def test_a_scene_saved_with_an_overlay_on_opens_with_the_users_own_layers(scene, shown, tmp_path):
    overlays = Overlays(shown[1])
    overlays.patch_map = True
    overlays.select_patch(3)
    assert slicer.util.saveScene(str(tmp_path / "saved.mrb"))
    assert overlays.patch_map
    scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "saved.mrb"))
    (analysis,) = find_analyses(scene)
    pet = slicer.util.getNode("PET")
    names = {scene.GetNthNode(n).GetName() for n in range(scene.GetNumberOfNodes())}
    assert not any("by patch" in (name or "") or "BATNet patches" in (name or "") for name in names)
    again = Overlays(analysis)
    assert not again.patch_map and again.mask
    for view in VIEWS:
        assert layers()[view][:2] == (analysis.ct.GetID(), pet.GetID()) and layers()[view][3] == 0.3
    before = layers()
    for name in ("patch_map", "attention"):
        setattr(again, name, True)
        assert getattr(again, name)
    again.select_patch(4)
    again.close()
    assert layers() == before

"""Analyses live with the scene: edited, run again, saved, loaded, deleted, several at a time."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import result_cases as cases
import slicer
from BATNetSlicer.inputs import write_inputs
from BATNetSlicer.scene import Analysis, edited_fraction, find_analyses, load_result


def edit(analysis, change):
    """Change the mask as the Segment Editor does: ``change(array)`` on the CT's grid."""
    mask = cases.segment_array(analysis)
    change(mask)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), analysis.segmentation, analysis.segment_id, analysis.ct
    )


def test_an_edit_is_measured_in_millilitres_and_dice(scene):
    ct, analysis = cases.load_case()
    untouched = edited_fraction(analysis)
    assert not untouched.edited and untouched.dice == 1.0 and untouched.fraction == 0.0
    before = cases.segment_array(analysis)
    volume = np.prod(ct.GetSpacing()) / 1000
    removed = int(before[20:22].sum())

    def change(mask):
        mask[20:22] = False
        mask[0, :3, :5] = True

    edit(analysis, change)
    found = edited_fraction(analysis)
    assert found.removed_ml == pytest.approx(removed * volume)
    assert found.added_ml == pytest.approx(15 * volume)
    total = int(before.sum())
    assert found.dice == pytest.approx(2 * (total - removed) / (2 * total - removed + 15))
    assert found.fraction == pytest.approx((removed + 15) / total)


def test_an_emptied_mask_counts_as_wholly_removed(scene):
    _ct, analysis = cases.load_case()
    edit(analysis, lambda mask: mask.__setitem__(slice(None), False))
    found = edited_fraction(analysis)
    assert found.dice == 0.0 and found.removed_ml == pytest.approx(found.before_ml) and found.added_ml == 0


def test_running_again_with_an_edited_mask_keeps_the_users_segmentation(scene, tmp_path):
    ct, analysis = cases.load_case()
    edit(analysis, lambda mask: mask.__setitem__((slice(None), slice(0, 40)), False))
    mine, segmentation = cases.segment_array(analysis), analysis.segmentation
    inputs = write_inputs(tmp_path / "job", ct, adipose=(segmentation, analysis.segment_id))
    folder = cases.analyse(inputs, tmp_path / "out")
    former = analysis.probability, [patch.probability for patch in analysis.patches]
    count = scene.GetNumberOfNodes()
    again = load_result(folder, ct, update=analysis)
    assert again == analysis and find_analyses(scene) == [analysis] and scene.GetNumberOfNodes() == count
    assert analysis.segmentation is segmentation
    np.testing.assert_array_equal(cases.segment_array(analysis), mine)
    assert analysis.passport["method"]["adipose"] == "given"
    assert (analysis.probability, [patch.probability for patch in analysis.patches]) != former
    # Edited against what was computed, not edited against what the numbers rest on.
    assert edited_fraction(analysis).removed_ml > 10
    assert not edited_fraction(analysis, since="run").edited
    edit(analysis, lambda mask: mask.__setitem__((0, 0, 0), True))
    assert edited_fraction(analysis, since="run").edited


def test_several_analyses_share_a_scene(scene):
    _ct, first = cases.load_case("CT first")
    _ct, second = cases.load_case("CT second")
    third = load_result(cases.case_folder() / "result", second.ct)
    assert find_analyses(scene) == [first, second, third]
    assert len({analysis.node.GetName() for analysis in find_analyses(scene)}) == 3
    assert first.title.startswith("CT first, 20") and second.patch_map is not third.patch_map
    edit(second, lambda mask: mask.__setitem__(slice(None), False))
    assert not edited_fraction(third).edited and edited_fraction(second).edited


def save_as(path, scene):
    """As the Save dialog does: every node that is not hidden into its own file, then the scene."""
    if path.suffix == ".mrml":
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
            node = scene.GetNthNodeByClass(index, "vtkMRMLStorableNode")
            if node.GetHideFromEditors() or not node.GetSaveWithScene():
                continue
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            if storage is not None:
                ending = storage.GetDefaultWriteFileExtension()
                assert slicer.util.saveNode(node, str(path.parent / f"{node.GetID()}.{ending}"))
    assert slicer.util.saveScene(str(path))


@pytest.mark.parametrize("kind", [".mrml", ".mrb"])
def test_everything_comes_back_with_the_scene(scene, tmp_path, kind):
    ct, analysis = cases.load_case("Müller <'Söhne'> 100 %")
    cases.put_under_transform(ct, np.eye(4))
    edit(analysis, lambda mask: mask.__setitem__(slice(20, 22), False))
    expected = {
        "passport": analysis.passport,
        "edit": edited_fraction(analysis),
        "mask": cases.segment_array(analysis),
        "patch_map": slicer.util.arrayFromVolume(analysis.patch_map).copy(),
        "attention": slicer.util.arrayFromVolume(analysis.attention).copy(),
        "title": analysis.title,
    }
    (tmp_path / "scene").mkdir()
    save_as(tmp_path / "scene" / f"saved{kind}", scene)
    scene.Clear(0)
    assert find_analyses(scene) == []
    slicer.util.loadScene(str(tmp_path / "scene" / f"saved{kind}"))
    (back,) = find_analyses(scene)
    assert back.passport == expected["passport"] and back.title == expected["title"] and back.deleted() == {}
    np.testing.assert_array_equal(cases.segment_array(back), expected["mask"])
    for role in ("patch_map", "attention"):
        node = getattr(back, role)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), expected[role])
        display = node.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel(), display.GetInterpolate()) == (1.0, 0.5, 0)
        colours = display.GetColorNode()
        assert colours.GetNumberOfColors() == 256 and colours.GetName().startswith("BATNet")
    assert edited_fraction(back).removed_ml == pytest.approx(expected["edit"].removed_ml)
    assert back.table.GetTable().GetNumberOfRows() == 16
    segment = back.segmentation.GetSegmentation().GetSegment(back.segment_id)
    assert segment.GetName().startswith("Adipose tissue")


def test_the_scene_file_needs_no_result_folder(scene, tmp_path):
    ct = cases.load_ct()
    shutil.copytree(cases.case_folder() / "result", tmp_path / "result")
    load_result(tmp_path / "result", ct)
    shutil.rmtree(tmp_path / "result")
    assert slicer.util.saveScene(str(tmp_path / "saved.mrb"))
    scene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "saved.mrb"))
    (back,) = find_analyses(scene)
    assert back.patch_map is not None and back.segment_id and back.probability is not None


@pytest.mark.parametrize("role", ["ct", "segmentation", "patch_map", "attention", "table"])
def test_deleting_a_node_is_told_in_words_and_breaks_nothing(scene, role):
    _ct, analysis = cases.load_case()
    scene.RemoveNode(getattr(analysis, role))
    told = analysis.deleted()
    assert list(told) == [role] and told[role].endswith(".") and "deleted" in told[role]
    assert getattr(analysis, role) is None
    assert analysis.probability is not None and len(analysis.pairs) == 16 and analysis.title
    if role == "segmentation":
        assert analysis.segment_id is None and edited_fraction(analysis) is None


def test_deleting_only_the_segment_is_told_too(scene):
    _ct, analysis = cases.load_case()
    analysis.segmentation.GetSegmentation().RemoveSegment(analysis.segment_id)
    assert list(analysis.deleted()) == ["segmentation"] and edited_fraction(analysis) is None


def test_only_the_node_of_an_analysis_is_taken_for_one(scene):
    other = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "BATNet analysis")
    assert find_analyses(scene) == []
    with pytest.raises(ValueError, match="not the node of an analysis"):
        Analysis.from_node(other)
    _ct, analysis = cases.load_case()
    assert Analysis.from_node(analysis.node) == analysis

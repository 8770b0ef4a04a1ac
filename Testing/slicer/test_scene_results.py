"""A result folder in the scene: on the CT's exact voxels, complete, and refused in words where it does not
fit."""

from __future__ import annotations

import json
import shutil
import time

import nibabel
import numpy as np
import pytest
import result_cases as cases
import slicer
import vtk
from BATNetSlicer.inputs import write_inputs
from BATNetSlicer.scene import find_analyses, load_result, loading_result

from BATNetLib.errors import InputRefused

GEOMETRIES = {
    "as scanners store it": {},
    "left-handed": {"flips": (True, False, True)},
    "coronal slices": {"order": (2, 0, 1), "flips": (False, False, True)},
    "two degrees oblique": {"turn": cases.rotation(2.0)},
    "eleven degrees oblique, left-handed": {"turn": cases.rotation(11.0), "flips": (False, True, True)},
}


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("how", [*GEOMETRIES, "under a transform"])
def test_results_lie_on_the_exact_voxels_of_the_ct(scene, tmp_path, how):
    phantom = cases.phantom()
    ct = cases.volume_node(phantom.ct, **GEOMETRIES.get(how, {}))
    transform = None
    if how == "under a transform":
        affine = cases.rotation(4.0, (0, 0, 1))
        affine[:3, 3] = 30.0, -20.0, 50.0
        transform = cases.put_under_transform(ct, affine)
    folder = cases.analyse(write_inputs(tmp_path / "job", ct), tmp_path / "out")
    analysis = load_result(folder, ct)
    ijk = np.vstack([cases.some_voxels(ct), np.argwhere(cases.segment_array(analysis))[::97, ::-1]])
    world = cases.to_world(ct, ijk)
    for node, file in (
        (analysis.patch_map, "patch_probability.nii.gz"),
        (analysis.attention, "attention.nii.gz"),
    ):
        np.testing.assert_array_equal(ijk_to_ras(node), ijk_to_ras(ct))
        assert node.GetImageData().GetDimensions() == ct.GetImageData().GetDimensions()
        assert node.GetParentTransformNode() is transform
        image = nibabel.load(folder / file)
        there = np.rint(np.linalg.solve(image.affine, np.c_[world, np.ones(len(world))].T)).astype(int)[:3]
        stored = np.asarray(image.dataobj, np.float32)[tuple(there)]
        np.testing.assert_array_equal(cases.values_at(node, ijk), stored)
        assert stored.max() > 0
    import SimpleITK as sitk

    mask = sitk.ReadImage(str(folder / "adipose.seg.nrrd"))
    places = [mask.TransformPhysicalPointToIndex((-r, -a, s)) for r, a, s in world]
    in_file = [mask.GetPixel(place) == 1 for place in places]
    i, j, k = ijk.T
    assert cases.segment_array(analysis)[k, j, i].tolist() == in_file
    assert 0.1 < np.mean(in_file) < 0.99


def test_right_is_the_patients_right(scene):
    _ct, analysis = cases.load_case()
    for patch in analysis.patches:
        towards_right = -np.mean(patch.corners, axis=0)[0]
        assert (towards_right > 0) == (patch.side == "right")


def test_the_segmentation_is_named_coloured_coded_and_ready_for_dicom_seg(scene):
    ct, analysis = cases.load_case()
    segmentation = analysis.segmentation.GetSegmentation()
    segment = segmentation.GetSegment(analysis.segment_id)
    assert segmentation.GetNumberOfSegments() == 1 and segment.GetName().startswith("Adipose tissue")
    np.testing.assert_allclose(segment.GetColor(), np.array([86, 180, 233]) / 255, atol=1e-5)
    entry = vtk.reference("")
    assert segment.GetTag("TerminologyEntry", entry) and "SCT^55603005^Adipose tissue" in str(entry)
    reference = analysis.segmentation.GetNodeReference("referenceImageGeometryRef")
    assert reference is ct
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parents = {
        tree.GetItemParent(tree.GetItemByDataNode(node))
        for node in (ct, analysis.segmentation, analysis.patch_map, analysis.attention, analysis.table)
    }
    assert len(parents) == 1 and all(
        tree.GetItemByDataNode(n) for n in (analysis.segmentation, analysis.table)
    )


def test_results_go_beside_a_ct_that_lies_in_a_study(scene):
    ct = cases.load_ct()
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "Study")
    tree.SetItemParent(tree.GetItemByDataNode(ct), study)
    analysis = load_result(cases.case_folder() / "result", ct)
    for node in (analysis.segmentation, analysis.patch_map, analysis.attention, analysis.table):
        assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study


def test_slicers_own_reader_and_a_label_map_with_a_colour_table_give_the_same_segment(scene):
    ct, analysis = cases.load_case()
    ours = cases.segment_array(analysis)
    segment = analysis.segmentation.GetSegmentation().GetSegment(analysis.segment_id)
    file = cases.case_folder() / "result" / "adipose.seg.nrrd"
    read = slicer.util.loadSegmentation(str(file))
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "Tissues")
    table.SetTypeToUser()
    table.SetNumberOfColors(2)
    table.SetColor(0, "background", 0, 0, 0, 0)
    table.SetColor(1, segment.GetName(), *segment.GetColor(), 1)
    labels = slicer.util.loadLabelVolume(str(file), {"show": False})
    labels.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
    built = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Built")
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labels, built)
    for node in (read, built):
        other = node.GetSegmentation().GetNthSegment(0)
        identifier = node.GetSegmentation().GetNthSegmentID(0)
        assert other.GetName() == segment.GetName()
        np.testing.assert_allclose(other.GetColor(), segment.GetColor(), atol=1e-5)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, ct)
        np.testing.assert_array_equal(array > 0, ours)


@pytest.mark.parametrize("moved", [False, True], ids=["", "ct under a transform"])
def test_a_mask_that_slicer_saved_over_the_result_is_read_too(scene, tmp_path, moved):
    ct, analysis = cases.load_case()
    folder = tmp_path / "result"
    shutil.copytree(cases.case_folder() / "result", folder)
    edited = cases.segment_array(analysis)
    edited[: edited.shape[0] // 2] = False  # Slicer saves only the part that is marked
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        edited.astype(np.uint8), analysis.segmentation, analysis.segment_id, ct
    )
    assert slicer.util.exportNode(analysis.segmentation, str(folder / "adipose.seg.nrrd"))
    if moved:
        # The file lies where the CT was; the CT's own coordinates are still those.
        cases.put_under_transform(ct, cases.rotation(30.0))
    again = load_result(folder, ct)
    np.testing.assert_array_equal(cases.segment_array(again), edited)
    assert (
        again.segmentation.GetSegmentation()
        .GetSegment(again.segment_id)
        .GetName()
        .startswith("Adipose tissue")
    )


def test_a_mask_that_slicer_saved_is_read_over_a_ct_that_is_counted_the_other_way(scene, tmp_path):
    ct, analysis = cases.load_case()
    folder = tmp_path / "result"
    shutil.copytree(cases.case_folder() / "result", folder)
    edited = cases.segment_array(analysis)
    edited[:, : edited.shape[1] // 2] = False
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        edited.astype(np.uint8), analysis.segmentation, analysis.segment_id, ct
    )
    assert slicer.util.exportNode(analysis.segmentation, str(folder / "adipose.seg.nrrd"))
    turned = cases.volume_node(cases.phantom().ct, flips=(True, False, False))
    again = load_result(folder, turned)
    np.testing.assert_array_equal(cases.segment_array(again), edited[::-1, :, ::-1])


def test_maps_show_zero_to_one_with_cells_as_cells(scene):
    ct, analysis = cases.load_case()
    for node in (analysis.patch_map, analysis.attention):
        display = node.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel()) == (1.0, 0.5)
        assert not display.GetInterpolate() and not display.GetAutoWindowLevel()
        array = slicer.util.arrayFromVolume(node)
        assert array.min() == 0 and 0 < array.max() <= 1
    colours = [node.GetDisplayNode().GetColorNode() for node in (analysis.patch_map, analysis.attention)]
    second = load_result(cases.case_folder() / "result", ct)
    assert second.patch_map.GetDisplayNode().GetColorNode() is colours[0] is not colours[1]
    assert scene.GetNodesByClass("vtkMRMLColorTableNode").GetNumberOfItems() == len(
        {scene.GetNthNodeByClass(n, "vtkMRMLColorTableNode").GetName() for n in range(100)
         if scene.GetNthNodeByClass(n, "vtkMRMLColorTableNode")}
    )  # fmt: skip


def test_patches_in_the_map_have_the_probability_of_their_box(scene):
    ct, analysis = cases.load_case()
    ijk = cases.some_voxels(ct, 4000)
    world = cases.to_world(ct, ijk) * [-1, -1, 1]
    expected = np.zeros(len(ijk))
    for patch in analysis.patches:
        low, high = np.min(patch.corners, axis=0), np.max(patch.corners, axis=0)
        expected[((world > low) & (world < high)).all(axis=1)] = patch.probability
    np.testing.assert_allclose(cases.values_at(analysis.patch_map, ijk), expected, atol=2**-14)
    assert np.count_nonzero(expected) > 300


def test_numbers_pairs_and_findings_are_those_of_the_result_folder(scene):
    _ct, analysis = cases.load_case()
    facts = json.loads((cases.case_folder() / "result" / "analysis.json").read_text("utf-8"))
    assert analysis.passport == facts and analysis.outcome == "assessed" and analysis.assessed
    assert analysis.probability == facts["case"]["probability"]
    assert [patch.probability for patch in analysis.patches] == [p["probability"] for p in facts["patches"]]
    assert [patch.place for patch in analysis.patches] == [p["place"] for p in facts["patches"]]
    assert [pair.number for pair in analysis.pairs] == list(range(1, 17))
    for pair in analysis.pairs:
        assert (pair.right.side, pair.left.side) == ("right", "left")
        assert pair.right.partner == pair.left.index and pair.left.partner == pair.right.index
        assert pair.difference == pair.right.probability - pair.left.probability
    assert analysis.findings == facts["preflight"]["findings"] and analysis.adipose == facts["adipose"]
    assert "phantoms" in analysis.demonstration and "not a medical device" in analysis.statement
    n = facts["attention"]["cells_per_patch_edge"]
    assert (
        f"{n} x {n} x {n} cells" in analysis.attention_note
        and "not where brown fat is" in analysis.attention_note
    )


def test_the_table_has_a_row_for_each_pair(scene):
    _ct, analysis = cases.load_case()
    table = analysis.table.GetTable()
    assert table.GetNumberOfRows() == 16
    names = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    assert names == [
        "Pair",
        "Place",
        "Right (%)",
        "Left (%)",
        "Right - left",
        "Fat right (mL)",
        "Fat left (mL)",
    ]
    pair = analysis.pairs[4]
    row = [table.GetValue(4, n).ToString() for n in range(2)]
    assert row == ["5", pair.place]
    assert table.GetValueByName(4, "Left (%)").ToDouble() == pytest.approx(
        100 * pair.left.probability, abs=0.06
    )
    assert table.GetValueByName(4, "Fat right (mL)").ToDouble() == pytest.approx(
        pair.right.adipose_ml, abs=0.06
    )
    for note in ("not a medical device", "trained on phantoms", "HU threshold, not by the network"):
        assert note in analysis.table.GetDescription()


def test_loading_changes_neither_window_nor_layers_nor_slices(scene):
    ct = cases.load_ct()
    pet = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4)), name="PET")
    slicer.util.setSliceViewerLayers(background=ct, foreground=pet, foregroundOpacity=0.3, fit=True)
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350, 40)

    def state():
        out = [display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()]
        for name in ("Red", "Green", "Yellow"):
            widget = slicer.app.layoutManager().sliceWidget(name)
            composite, node = widget.mrmlSliceCompositeNode(), widget.mrmlSliceNode()
            out += [composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()]
            out += [composite.GetLabelVolumeID(), composite.GetForegroundOpacity()]
            out += [node.GetSliceOffset(), node.GetFieldOfView()]
        return out

    before = state()
    load_result(cases.case_folder() / "result", ct)
    assert state() == before


def test_saving_the_scene_can_never_write_into_the_result_folder(scene):
    _ct, analysis = cases.load_case()
    result = str(cases.case_folder() / "result")
    for node in (analysis.segmentation, analysis.patch_map, analysis.attention, analysis.table):
        storage = node.GetStorageNode()
        assert storage is None or not str(storage.GetFileName() or "").startswith(result)


def test_a_scan_that_is_not_assessable_loads_with_reasons_and_findings_only(scene, tmp_path):
    ct = cases.volume_node(cases.phantom().ct)
    slicer.util.arrayFromVolume(ct)[:] -= 2000  # not Hounsfield units
    folder = cases.analyse(write_inputs(tmp_path / "job", ct), tmp_path / "out")
    before = scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode")
    analysis = load_result(folder, ct)
    assert analysis.outcome == "not-assessable" and analysis.probability is None and not analysis.assessed
    assert analysis.reasons and all(reason["text"] and reason["advice"] for reason in analysis.reasons)
    assert analysis.patches == [] and analysis.pairs == []
    assert analysis.segmentation is analysis.patch_map is analysis.attention is analysis.table is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == before
    assert analysis.deleted() == {} and find_analyses(scene) == [analysis]


# --- special ways


def test_a_result_loads_over_a_ct_whose_slices_are_counted_the_other_way_round(scene):
    """DICOM readers differ in it: the files of the result count as the engine did, the nodes as Slicer
    does."""
    straight = cases.load_case()[1]
    turned = cases.volume_node(cases.phantom().ct, order=(2, 1, 0), flips=(False, False, False))
    analysis = load_result(cases.case_folder() / "result", turned)
    assert np.linalg.det(ijk_to_ras(turned)[:3, :3]) * np.linalg.det(ijk_to_ras(straight.ct)[:3, :3]) < 0
    np.testing.assert_array_equal(cases.segment_array(analysis), cases.segment_array(straight)[::-1])
    for role in ("patch_map", "attention"):
        array = slicer.util.arrayFromVolume(getattr(straight, role))[::-1]
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(getattr(analysis, role)), array)


def test_a_ct_that_was_moved_while_the_engine_ran_gets_its_result(scene, tmp_path):
    ct = cases.volume_node(cases.phantom().ct)
    transform = cases.put_under_transform(ct, cases.rotation(3.0))
    inputs = write_inputs(tmp_path / "job", ct)
    folder = cases.analyse(inputs, tmp_path / "out")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(cases.rotation(60.0)))
    with pytest.raises(InputRefused, match="lies elsewhere"):
        load_result(folder, ct)
    analysis = load_result(folder, ct, inputs=inputs)
    np.testing.assert_array_equal(ijk_to_ras(analysis.patch_map), ijk_to_ras(ct))


def test_a_ct_that_is_deleted_while_its_result_is_read_is_told_in_words(scene):
    ct = cases.load_ct()
    steps = loading_result(cases.case_folder() / "result", ct)
    next(steps)
    scene.RemoveNode(ct)
    with pytest.raises(InputRefused, match="removed from the scene meanwhile"):
        list(steps)
    assert find_analyses(scene) == []


def test_a_large_result_loads_in_steps_that_do_not_freeze_the_window(scene):
    ct = cases.load_ct()
    longest, last = 0.0, time.perf_counter()
    steps = loading_result(cases.case_folder() / "result", ct)
    shares = []
    for share in steps:
        shares.append(share)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert shares == sorted(shares) and len(shares) > 5 and longest < 0.1


def test_a_result_without_millilitres_is_shown_with_a_dash(scene, tmp_path):
    """The authors' array files do not say how large a voxel is; the engine then gives no volumes."""
    from batnet_cases import MODULE
    from BATNetSlicer.scene import load_result
    from BATNetSlicer.texts import millilitres
    from stage import modules

    modules.load(MODULE)
    from BATNetModule import reports

    folder = tmp_path / "result"
    shutil.copytree(cases.case_folder() / "result", folder)
    facts = json.loads((folder / "analysis.json").read_text("utf-8"))
    for entry in [*facts["patches"]]:
        entry["adipose_ml"] = None
    (folder / "analysis.json").write_text(json.dumps(facts), encoding="utf-8")
    analysis = load_result(folder, cases.load_ct())
    assert {millilitres(pair.adipose_ml) for pair in analysis.pairs} == {"–"}
    assert analysis.table.GetNumberOfRows() == 16
    copied = reports.table_text(analysis).splitlines()
    assert copied[1].endswith("\t\t") and "nan" not in copied[1], "an empty cell, not a number that is none"
    assert (millilitres(None), millilitres(2.04)) == ("–", "2.0")

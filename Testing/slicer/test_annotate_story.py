"""A reader's day on real MRML: a list of five cases, proposals, painting, the other side, scores, saving."""

from __future__ import annotations

import json

import annotate_cases as work
import numpy as np
import pytest
import slicer
from annotate_cases import mask_array, open_annotate, open_case, open_list, settle, to_ras

HU15 = "hu-180-10-suv-1.5"


@pytest.fixture
def panel(open_panel, process_events, tmp_path):
    """The panel with a list of five cases, none of which is open."""
    panel = open_annotate(open_panel)
    panel.ui.datasetMaskBox.checked = False
    open_list(panel, process_events, work.cases(tmp_path), tmp_path / "reads")
    return panel


def uptake_at(panel, kji):
    """SUV at voxels of the CT by scipy, from the PET node as Slicer holds it."""
    from scipy import ndimage

    pet = panel.session.nodes.pet
    import vtk

    matrix = vtk.vtkMatrix4x4()
    pet.GetRASToIJKMatrix(matrix)
    to_ijk = slicer.util.arrayFromVTKMatrix(matrix)
    ijk = to_ras(panel, kji) @ to_ijk[:3, :3].T + to_ijk[:3, 3]
    return ndimage.map_coordinates(slicer.util.arrayFromVolume(pet), ijk[:, ::-1].T, order=1, mode="nearest")


def propose(panel, process_events, criterion=HU15):
    panel.paint.choose(criterion)
    panel.ui.proposeButton.click()
    settle(panel, process_events)


def test_a_proposal_is_fat_and_uptake_voxel_by_voxel(panel, process_events):
    open_case(panel, process_events, "anna")
    assert not mask_array(panel, "brown").any()
    propose(panel, process_events)
    found = mask_array(panel, "brown") > 0
    fat = mask_array(panel, "adipose") > 0
    hu = slicer.util.arrayFromVolume(panel.session.nodes.ct)
    within = fat & (hu >= -180) & (hu <= -10)
    kji = np.argwhere(within)
    suv = uptake_at(panel, kji)
    sure = np.abs(suv - 1.5) > 1e-3
    assert (found[tuple(kji[sure].T)] == (suv[sure] >= 1.5)).all()
    assert found.sum() > 100 and not (found & ~within).any()
    assert process_events(lambda: panel.paint.volumes[0] > 0, 2)
    total, right, left = panel.paint.volumes
    assert total == pytest.approx(found.sum() * panel.session.nodes.voxel_ml)
    assert total == pytest.approx(right + left) and min(right, left) > 1
    assert f"{total:.1f}" in panel.ui.volumeLabel.text
    assert "180 to -10 HU, SUV 1.5" in panel.ui.proposeNote.text


def test_painting_stays_inside_fat_and_the_range_of_hu_and_undo_goes_through_everything(
    panel, process_events
):
    session = open_case(panel, process_events, "anna")
    states = [mask_array(panel, "brown").copy()]
    propose(panel, process_events)
    states.append(mask_array(panel, "brown").copy())
    panel.paint.choose("barcist")
    assert panel.ui.editor.mrmlSegmentEditorNode().GetSourceVolumeIntensityMaskRange() == (-190.0, -10.0)
    panel.paint.choose_effect("Paint")
    fat, hu = mask_array(panel, "adipose") > 0, slicer.util.arrayFromVolume(session.nodes.ct)
    here = np.argwhere(fat & (states[1] == 0))[2000]
    panel.ui.editor.stroke(to_ras(panel, here), 25.0)
    states.append(mask_array(panel, "brown").copy())
    added = (states[2] > 0) & (states[1] == 0)
    assert added.any() and not (added & ~(fat & (hu >= -190) & (hu <= -10))).any()
    ball = np.linalg.norm(to_ras(panel, np.argwhere(np.ones_like(fat))) - to_ras(panel, here), axis=1) <= 25
    wanted = ball.reshape(fat.shape) & fat & (hu >= -190) & (hu <= -10) & (states[1] == 0)
    assert (added == wanted).all(), "all of the brush that may be painted is painted"
    assert (mask_array(panel, "adipose") == fat).all(), "brown fat lies inside fat, it does not replace it"
    panel.ui.fromCombo.currentIndex = 1
    panel.ui.copyButton.click()
    settle(panel, process_events)
    states.append(mask_array(panel, "brown").copy())
    assert states[3].sum() > states[2].sum() and not ((states[2] > 0) & (states[3] == 0)).any()
    panel.paint.choose_effect("Erase")
    panel.ui.editor.stroke(to_ras(panel, here), 30.0)
    assert mask_array(panel, "brown").sum() < states[3].sum()
    for state in states[::-1]:
        panel.ui.undoButton.click()
        assert (mask_array(panel, "brown") == state).all()
    for _ in range(3):
        panel.ui.redoButton.click()
    assert (mask_array(panel, "brown") == states[3]).all()


def test_the_copy_lands_on_the_other_side_at_the_mirror_place(panel, process_events):
    session = open_case(panel, process_events, "berta")
    truth = work.phantom(4).brown
    right = session.lattice.back(
        np.where(session.plane.on_side(truth.grid, "right"), truth.array, 0).astype(np.uint8)
    )
    panel.paint.put("brown", np.ascontiguousarray(right) > 0)
    panel.paint.choose("batnet")
    panel.ui.fromCombo.currentIndex = 1
    panel.ui.copyButton.click()
    settle(panel, process_events)
    both = mask_array(panel, "brown") > 0
    left = both & ~(right > 0)
    assert left.any() and "on the left" in panel.ui.planeNote.text
    canonical = session.lattice.volume(left)
    assert not (canonical.array & session.plane.on_side(canonical.grid, "right")).any()
    there = to_ras(panel, np.argwhere(left))
    mirrored = session.plane.reflect_ras(there)
    nearest = np.abs(mirrored[:, None, :] - to_ras(panel, np.argwhere(right))[None]).max(-1).min(1)
    assert nearest.max() < 6.0, "each copied voxel has its counterpart within a voxel"


def test_a_whole_day_and_everything_is_there_again(panel, process_events, tmp_path):
    """Open, propose, paint, mirror, score, next, through all five; then open the first again."""
    kept = {}
    for number, case in enumerate(work.CASES):
        if number == 0:
            open_case(panel, process_events, case)
        assert panel.session.case == case
        propose(panel, process_events)
        panel.paint.choose_effect("Paint")
        fat = np.argwhere(mask_array(panel, "adipose") > 0)
        panel.ui.editor.stroke(to_ras(panel, fat[len(fat) // 2 + 97 * number]), 20.0)
        panel.ui.copyButton.enabled and panel.ui.fromCombo.setCurrentIndex(2)
        panel.ui.copyButton.click()
        settle(panel, process_events)
        panel.ui.scoreTable.setCurrentCell(1, 0)
        panel.scores.score(2)
        panel.scores.score(1)
        panel.ui.commentEdit.text = f"comment {number}"
        panel.ui.commentEdit.textEdited.emit(panel.ui.commentEdit.text)
        if number == 2:
            panel.scores.flag()
        kept[case] = mask_array(panel, "brown").copy()
        if case != work.CASES[-1]:
            panel.ui.nextButton.click()
            after = work.CASES[number + 1]
            assert process_events(
                lambda after=after: panel.session is not None and panel.session.case == after, 20
            )
            settle(panel, process_events)
    panel.ui.doneButton.click()
    settle(panel, process_events)
    assert panel.session.case == "emma" and panel.session.status == "done"
    assert [item.status for item in panel.list.worklist.items] == [
        "draft",
        "draft",
        "flagged",
        "draft",
        "done",
    ]
    before = sidecar(tmp_path, "anna")
    open_case(panel, process_events, "anna")
    assert (mask_array(panel, "brown") == kept["anna"]).all()
    assert panel.session.scores["supraclavicular"] == {"right": 2, "left": 1}
    assert panel.ui.commentEdit.text == "comment 0" and panel.session.criterion == HU15
    assert not panel.session.dirty
    panel.saver.save_and_wait()
    assert sidecar(tmp_path, "anna") == before, "looking at a case writes nothing"
    assert before["edited_from"] == f"proposal {HU15}" and before["criterion"] == HU15
    assert before["reader"] == "Anna Reader" and before["parent"] is None and before["version"] == 1
    assert before["seconds"] >= 0 and before["software"]["3D Slicer"] == "5.12.0"
    assert before["midplane"]["found"] is True and before["scores"]["supraclavicular"]["right"] == 2


def sidecar(tmp_path, case):
    """The record of the newest version of a case."""
    folders = sorted((tmp_path / "reads" / case).glob("*/v*"))
    return json.loads((folders[-1] / "annotation.json").read_text())


def test_what_is_saved_is_the_same_for_nibabel_simpleitk_and_slicer(panel, process_events, tmp_path):
    import nibabel
    import SimpleITK as sitk

    session = open_case(panel, process_events, "carla")
    propose(panel, process_events)
    drawn = mask_array(panel, "brown").copy()
    panel.save()
    settle(panel, process_events)
    path = next((tmp_path / "reads" / "carla").glob("*/v0001/brown_fat_mask.nii.gz"))
    ct = nibabel.load(tmp_path / "study" / "carla" / "image.nii.gz")
    image = nibabel.load(path)
    assert np.allclose(image.affine, ct.affine, atol=1e-4) and image.shape == ct.shape
    assert (np.asarray(image.dataobj) == drawn.T).all()
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) == drawn).all()
    node = slicer.util.loadLabelVolume(str(path))
    assert (slicer.util.arrayFromVolume(node) == drawn).all()
    import vtk

    ours, theirs = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(theirs)
    session.nodes.ct.GetIJKToRASMatrix(ours)
    assert np.allclose(
        slicer.util.arrayFromVTKMatrix(ours), slicer.util.arrayFromVTKMatrix(theirs), atol=1e-4
    )


def test_training_reads_the_finished_reads_directly(panel, process_events, tmp_path):
    from BATNetLib.dataset import open_dataset

    panel.ui.exportButton.click()
    assert process_events(lambda: panel._listing is None, 10)
    assert "No case of the list has a read that counts." in panel.ui.statusLabel.text
    open_case(panel, process_events, "anna")
    propose(panel, process_events)
    drawn = int(mask_array(panel, "brown").sum())
    panel.ui.doneButton.click()
    assert process_events(lambda: panel.session is not None and panel.session.case == "berta", 20)
    settle(panel, process_events)
    panel.ui.exportButton.click()
    assert process_events(lambda: panel._listing is None, 10)
    assert panel.ui.statusLabel.text == "Finished reads listed in dataset.csv: 1; cases without one: 4."
    (case,) = open_dataset(tmp_path / "reads" / "dataset.csv").cases
    import nibabel

    assert case.case == "anna" and int(np.asarray(nibabel.load(case.files["brown"]).dataobj).sum()) == drawn
    assert {"ct", "adipose", "brown"} <= set(case.files) and case.refusal is None


def test_the_module_tests_itself(open_panel):
    """ "Reload and Test" of the developer: the real engine, two phantoms."""
    panel = open_annotate(open_panel)
    panel.ui.readerEdit.text = "somebody"
    slicer.modules.batnetannotate.instance.runTest()
    assert panel.ui.readerEdit.text == "somebody", "what the user had entered is back"

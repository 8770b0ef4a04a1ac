"""The whole story as a radiologist clicks it, with the real engine in a child process."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
import qt
import slicer
from batnet_cases import (
    MODULE,
    BusyWatch,
    answers_doctor,
    build_views,
    ct_node,
    hands_out,
    open_batnet,
    result_folder,
    run_leftovers,
)
from BATNetSlicer.scene import Analysis, find_analyses
from result_cases import put_under_transform, rotation
from stage import modules
from stage import scripted_engine as script


def slice_offsets():
    manager = slicer.app.layoutManager()
    return [
        round(manager.sliceWidget(n).mrmlSliceNode().GetSliceOffset(), 3) for n in manager.sliceViewNames()
    ]


def engines():
    return [p for p in psutil.Process().children(recursive=True) if "BATNetLib" in " ".join(p.cmdline())]


def layers():
    manager = slicer.app.layoutManager()
    composites = [manager.sliceWidget(n).mrmlSliceCompositeNode() for n in manager.sliceViewNames()]
    return [
        (c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for c in composites
    ]


def start(panel, process_events, seconds=60):
    """Press Apply and wait for the result to be shown."""
    panel.ui.applyButton.click()
    assert panel.run is not None, panel.ui.statusLabel.text
    assert process_events(lambda: panel.run is None, seconds)
    assert process_events(lambda: not panel._todo, 5)


def test_from_sample_to_saved_scene_and_back(open_panel, process_events, tmp_path):
    import time

    build_views()
    opened = open_panel(MODULE)
    panel, ui = opened.python.panel, opened.python.ui
    assert process_events(lambda: panel.setup.models is not None, 30), "the engine told its models"
    assert not ui.applyButton.enabled and ui.applyButton.toolTip == "Choose a CT."

    # A sample in one click.
    ui.phantomButton.click()
    assert process_events(lambda: panel.parameters.ct is not None, 30), ui.statusLabel.text
    assert panel.parameters.model == "demo" and "Demonstration" in ui.modelCombo.currentText
    ct = panel.parameters.ct
    before = layers()
    assert before[0][0] == ct.GetID()

    # Apply becomes Cancel, the bar moves, the window answers all the time.
    shares = []
    ui.applyButton.click()
    assert ui.cancelButton.visible and not ui.applyButton.visible
    began = time.monotonic()
    with BusyWatch() as watch:

        def over():
            shares.append(ui.progressBar.value)
            return panel.run is None and not panel._todo

        assert process_events(over, 60)
    seconds = time.monotonic() - began
    assert ui.statusLabel.text == "Done."
    assert ui.applyButton.visible and not ui.cancelButton.visible
    assert len(set(shares)) > 10 and shares == sorted(shares)
    assert seconds < 30, f"Apply to result took {seconds:.1f} s"
    watch.check()
    assert engines() == [] and run_leftovers() == []

    # The result: nodes on the CT's own voxels, words and numbers in the card.
    analysis = panel.result.analysis
    assert analysis == find_analyses()[0] and analysis.assessed
    assert f"{100 * analysis.probability:.0f} %" in ui.resultLabel.text
    assert "no operating point" in ui.resultLabel.text
    assert "emonstration model" in ui.demonstrationLabel.text and ui.demonstrationLabel.visible
    assert ui.researchLabel.visible and "Research use only" in ui.researchLabel.text
    assert slicer.util.arrayFromVolume(analysis.patch_map).shape == slicer.util.arrayFromVolume(ct).shape
    assert ui.volumesTable.rowCount == 3
    assert float(ui.volumesTable.item(2, 0).text()) == pytest.approx(analysis.adipose["volume_ml"], abs=0.05)
    assert "3 to know" in ui.checksButton.text

    # The patch map is on; a row moves all views and outlines the patch and its partner.
    assert ui.patchMapBox.checked and layers()[0][1] is not None
    assert ui.patchTable.rowCount == 16
    offsets = slice_offsets()
    ui.patchTable.setCurrentCell(3, 2)
    chosen = panel.patches.overlays.selected
    pair = analysis.pairs[3]
    assert chosen == pair.left.index
    assert slice_offsets() != offsets
    ui.patchTable.setCurrentCell(3, 1)
    assert panel.patches.overlays.selected == pair.right.index
    ui.patchTable.setCurrentCell(9, 0)
    best = max(analysis.pairs[9].right, analysis.pairs[9].left, key=lambda p: p.probability)
    assert panel.patches.overlays.selected == best.index

    # A click in a view chooses the row, and the views stay where the user looks.
    view = slicer.app.layoutManager().sliceWidget("Red").sliceView()
    x, y = view.to_view(panel.patches.overlays.patch_position(best.index))
    ui.patchTable.setCurrentCell(0, 0)
    slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().SetSliceOffset(
        float(panel.patches.overlays.patch_position(best.index)[2])
    )
    x, y = view.to_view(panel.patches.overlays.patch_position(best.index))
    offsets = slice_offsets()
    view.click(x, y)
    assert ui.patchTable.currentRow() == 9
    assert panel.patches.overlays.selected == best.index
    assert slice_offsets() == offsets

    # Attention takes the place of the map; opacity follows; switched off, all is as before.
    ui.attentionBox.click()
    assert not ui.patchMapBox.checked and ui.attentionLabel.visible
    assert "not where brown fat is" in ui.attentionLabel.text
    ui.opacitySlider.value = 0.4
    assert layers()[0][2] == pytest.approx(0.4)
    ui.attentionBox.click()
    assert layers() == before
    assert ui.maskBox.checked, "without a map the mask is there again"

    # The table goes to the clipboard, the report to the browser.
    ui.copyTableButton.click()
    rows = qt.QApplication.clipboard().text().splitlines()
    assert rows[0].startswith("Pair\tPlace") and len(rows) == 19
    assert "Research use only" in rows[-1] and "emonstration" in rows[-2]

    # Saved, closed, loaded: everything is back.
    text = ui.resultLabel.text
    ui.patchMapBox.click()
    assert slicer.util.saveScene(str(tmp_path / "review.mrb"))
    slicer.mrmlScene.Clear(0)
    assert process_events(lambda: not panel._todo, 5)
    assert "No analysis yet" in ui.resultLabel.text and ui.patchTable.rowCount == 0
    assert panel.result.analysis is None and ui.resultButton.collapsed
    slicer.util.loadScene(str(tmp_path / "review.mrb"))
    assert process_events(lambda: not panel._todo and panel.result.analysis is not None, 5)
    assert not ui.resultButton.collapsed, "a saved result is seen at once"
    back = panel.result.analysis
    assert ui.resultLabel.text == text
    assert back.probability == analysis.passport["case"]["probability"] if analysis.in_scene else True
    assert ui.patchTable.rowCount == 16 and panel.parameters.ct.GetName() == "Phantom"
    assert panel.parameters.model == "demo"
    assert ui.openReportButton.enabled
    ui.patchTable.setCurrentCell(5, 1)
    assert panel.patches.overlays.selected == back.pairs[5].right.index


def oblique_anisotropic_left_handed():
    """A CT whose axes are turned, of unequal spacing, and run left-handed; below a tilted transform."""
    node = ct_node(flips=(True, False, True), turn=rotation(4))
    put_under_transform(node, rotation(3, (1, 0, 0)))
    return node


def test_an_edited_mask_is_judged_again_on_an_oblique_left_handed_ct(open_panel, process_events):
    build_views()
    opened = open_panel(MODULE)
    panel, ui = opened.python.panel, opened.python.ui
    node = oblique_anisotropic_left_handed()
    matrix = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(node))
    assert np.linalg.det(matrix[:3, :3]) < 0 and len(set(np.round(node.GetSpacing(), 3))) > 1
    panel.parameters.ct = node
    panel.choose_model("demo")
    panel.parameters.method = type(panel.parameters.method).HU_RANGE
    start(panel, process_events)
    first = panel.result.analysis
    assert first is not None, ui.statusLabel.text
    assert first.assessed, first.reasons
    # The mask lies on the very voxels of the CT: fat voxels have HU of fat.
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(first.segmentation, first.segment_id, node)
    hu = slicer.util.arrayFromVolume(node)
    assert mask.shape == hu.shape and mask.any()
    # The engine resampled the tilted scan and laid the mask back, so edges differ by half a voxel.
    assert np.mean((hu[mask > 0] > -200) & (hu[mask > 0] < -20)) > 0.85
    assert -110 < np.median(hu[mask > 0]) < -80
    assert first.segmentation.GetParentTransformNode() is node.GetParentTransformNode()
    assert not ui.againButton.enabled

    # The user edits; the card says by how much, and only then offers to run again.
    probability, volume = first.probability, first.adipose["volume_ml"]
    edited = mask.copy()
    filled = np.argwhere(edited.any(axis=(1, 2))).ravel()
    edited[filled[: len(filled) // 3]] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, first.segmentation, first.segment_id, node)
    assert process_events(lambda: panel.result.is_edited, 5)
    removed = float((mask.sum() - edited.sum()) * np.prod(node.GetSpacing()) / 1000)
    assert f"\N{MINUS SIGN}{removed:.2f} mL" in ui.editLabel.text
    assert "do not count that yet" in ui.editLabel.text
    assert ui.againButton.enabled
    ui.againButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 60), ui.statusLabel.text
    again = panel.result.analysis
    assert again == first and len(find_analyses()) == 1
    assert again.passport["method"]["adipose"] == "given"
    assert again.adipose["volume_ml"] != volume and again.probability != probability
    assert "Edited mask" in ui.editLabel.text and "Dice" in ui.editLabel.text
    assert f"\N{MINUS SIGN}{removed:.2f} mL" in ui.editLabel.text
    assert not ui.againButton.enabled
    after = slicer.util.arrayFromSegmentBinaryLabelmap(again.segmentation, again.segment_id, node)
    assert np.array_equal(after > 0, edited > 0), "the user's own mask was left alone"


def _ijk_to_ras(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_two_scans_in_one_scene_are_two_analyses(open_panel, process_events, monkeypatch):
    folder = result_folder()
    view, centred = slicer.app.layoutManager().threeDWidget(0).threeDView(), []
    monkeypatch.setattr(view, "resetCamera", lambda: centred.append(len(find_analyses())))
    panel = open_batnet(open_panel, answers_doctor(then=[script.result(hands_out(folder))]))
    ui = panel.ui
    panel.parameters.ct = ct_node("first")
    start(panel, process_events)
    panel.parameters.ct = ct_node("second")
    start(panel, process_events)
    assert [a.ct.GetName() for a in find_analyses()] == ["first", "second"]
    assert panel.result.analysis.ct.GetName() == "second"
    names = [a.node.GetName() for a in find_analyses()]
    assert names == ["first analysis", "second analysis"]
    assert centred == [1], "the 3D view goes to the first result, and is the user's after that"
    first, second = (a.segmentation.GetDisplayNode() for a in find_analyses())
    assert not first.GetVisibility2D(), "its mask would tint the colours of the second"
    ui.patchMapBox.checked = True
    ui.analysisSelector.setCurrentNode(find_analyses()[0].node)
    assert process_events(lambda: not panel._todo, 5)
    assert panel.result.analysis.ct.GetName() == "first"
    assert not ui.patchMapBox.checked, "the overlays of the other one went"
    assert first.GetVisibility2D() and first.GetVisibility2DFill() and ui.maskBox.checked
    assert not second.GetVisibility2D()


def test_after_a_reload_of_the_module_the_analysis_is_shown_again(open_panel, process_events):
    folder = result_folder()
    panel = open_batnet(open_panel, answers_doctor(then=[script.result(hands_out(folder))]))
    panel.parameters.ct = ct_node()
    start(panel, process_events)
    text = panel.ui.resultLabel.text
    again = open_panel(MODULE).python.panel
    assert again is not panel
    assert process_events(lambda: not again._todo, 5)
    assert again.ui.resultLabel.text == text
    assert again.ui.patchTable.rowCount == 16
    assert isinstance(again.result.analysis, Analysis)


def test_reloaded_while_it_is_shown_the_module_goes_on(application, process_events, monkeypatch):
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: slicer.app, raising=False)
    for shown in ("Data", "BATNet"):
        monkeypatch.setattr(slicer.util, "selectedModule", lambda shown=shown: shown, raising=False)
        panel = modules.load(MODULE).make_panel().python.panel
        assert panel.setup.looked is (shown == "BATNet"), "Slicer does not enter a module again"
        modules.unload("BATNet")


def test_the_analysis_is_deleted_by_the_user(open_panel, process_events):
    folder = result_folder()
    panel = open_batnet(open_panel, answers_doctor(then=[script.result(hands_out(folder))]))
    panel.parameters.ct = ct_node()
    start(panel, process_events)
    analysis = panel.result.analysis
    slicer.mrmlScene.RemoveNode(analysis.segmentation)
    assert process_events(lambda: not panel.ui.maskBox.enabled, 5)
    assert "deleted" in panel.ui.statusLabel.text
    slicer.mrmlScene.RemoveNode(analysis.ct)
    panel.run_again()
    assert panel.run is None and panel.ui.statusLabel.text == "Choose a CT."
    slicer.mrmlScene.RemoveNode(analysis.node)
    assert process_events(lambda: panel.result.analysis is None, 5)
    assert "No analysis yet" in panel.ui.resultLabel.text

"""The logic for scripts, the self test, the samples, and the exports."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from batnet_cases import MODULE, answers_doctor, ct_node, hands_out, open_batnet, result_folder, run_leftovers
from BATNetSlicer.scene import find_analyses, load_result
from result_cases import phantom, volume_node
from stage import modules
from stage import scripted_engine as script

README = MODULE.parents[1] / "README.md"


@pytest.fixture
def logic(scene):
    return modules.load(MODULE).python.BATNetLogic()


def test_a_refusal_is_raised_in_words(logic):
    from BATNetLib.errors import BATNetError, InputRefused, NoModel, UsageError

    refusal = script.error("no-hu", "The values are no HU.", "HU are needed.", "Take the original series.", 3)
    with pytest.raises(InputRefused) as caught:
        logic.process(ct_node(), runner=script.ScriptedRunner(refusal))
    assert caught.value.code == "no-hu" and "original series" in str(caught.value)
    for code, kind in ((5, NoModel), (2, UsageError), (1, BATNetError)):
        with pytest.raises(kind):
            logic.process(ct_node(), runner=script.ScriptedRunner(script.error("x", "X.", exit_code=code)))
    with pytest.raises(UsageError, match="Choose a CT"):
        logic.process(None)
    with pytest.raises(InputRefused):
        slice_only = slicer.util.addVolumeFromArray(np.zeros((1, 8, 8), np.int16))
        logic.process(slice_only, runner=script.ScriptedRunner())
    assert run_leftovers() == [] and find_analyses() == []


def test_interactive_returns_at_once_and_reports(logic, process_events):
    from BATNetModule.run import RunListener

    class Listener(RunListener):
        analysis = None

        def analysed(self, analysis):
            self.analysis = analysis

    listener = Listener()
    runner = script.ScriptedRunner(script.result(hands_out(result_folder())))
    run = logic.process(ct_node(), interactive=True, listener=listener, runner=runner)
    assert not run.over
    assert process_events(lambda: listener.analysis is not None, 10)
    assert run.over


def test_the_options_reach_the_engine(logic):
    from BATNetModule.request import Request

    words = Request(
        ct_node(),
        method="hu-threshold",
        hu_range=(-150, -40.5),
        model="demo",
        prevalence=0.05,
        overrides={"arms": "known"},
    ).options()
    for option, values in (
        ("--method", ["hu-threshold"]),
        ("--hu-range", ["-150", "-40.5"]),
        ("--model", ["demo"]),
        ("--override", ["arms=known"]),
    ):
        at = words.index(option)
        assert words[at + 1 : at + 1 + len(values)] == values
    # The command line of the engine takes all of it.
    from BATNetLib.cli import build_parser
    from BATNetLib.cli.analyze import options_of

    options = options_of(build_parser().parse_args(["analyze", "ct.nrrd", *words]))
    assert (
        options.prevalence == 0.05
        and options.hu_range == (-150, -40.5)
        and options.overrides == {"arms": "known"}
    )


def test_a_script_gets_the_analysis_when_it_is_done_with_the_uptake_of_a_pet(logic):
    ct = ct_node()
    pet = ct_node("PET")
    values = np.where(slicer.util.arrayFromVolume(ct) > -500, 2.5, 0.1).astype(np.float32)
    slicer.util.updateVolumeFromArray(pet, values)
    analysis = logic.process(ct, pet=pet, method="hu-threshold", model="demo", interactive=False)
    assert analysis.assessed and 0 <= analysis.probability <= 1
    assert analysis == find_analyses()[0]
    uptake = [patch["pet"] for patch in analysis.passport["patches"]]
    assert max(u["suv_max"] for u in uptake if u) == pytest.approx(2.5, abs=0.01)
    assert run_leftovers() == []


def test_reload_and_test_runs_the_logic_on_the_phantom(open_panel):
    panel = open_panel(MODULE)
    panel.python.panel.setup.close()
    slicer.modules.batnet.instance.runTest()
    ct = find_analyses()[0].ct
    assert ct.GetName() == "Phantom"
    assert ct.GetStorageNode() is None, "its temporary file is gone"
    assert run_leftovers() == []


def test_the_example_of_the_readme_runs(tmp_path):
    """As ``Slicer --no-main-window --python-script``: the script itself, in a process without a panel."""
    from BATNetLib.volume import write_volume

    write_volume(phantom().ct, tmp_path / "chest.nii.gz")
    example = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[1]
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(MODULE.parent)!r})
import stage
slicer = stage.raise_curtain()
slicer.util.exit = sys.exit
{example}
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert done.stdout.splitlines()[0].startswith("assessed 0.")
    assert len(done.stdout.splitlines()) == 17
    assert (tmp_path / "chest.mrb").is_file()


def test_masks_of_the_users_own_are_handed_over(open_panel, process_events):
    """A lung segmentation and a label map of fat, chosen in the panel."""
    panel = open_batnet(open_panel, answers_doctor(then=[script.result(hands_out(result_folder()))]))
    ct = ct_node()
    lungs = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lungs")
    lungs.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        (slicer.util.arrayFromVolume(ct) < -700).astype(np.uint8),
        lungs,
        lungs.GetSegmentation().AddEmptySegment("lung", "lung"),
        ct,
    )
    fat = volume_node(phantom().adipose, "label of fat")
    panel.parameters.ct = ct
    panel.ui.lungsSelector.setCurrentNode(lungs)
    panel.ui.adiposeSelector.setCurrentNode(fat)
    assert panel.parameters.lungs is lungs and panel.parameters.adipose is fat
    assert panel.ui.ctSelector.nodeCount() == 1, "a label map is no CT"
    seen = {}

    def look(job):
        words = job.arguments
        for option in ("--lungs", "--adipose"):
            seen[option] = Path(words[words.index(option) + 1]).stat().st_size
        return 0.0

    panel.runner.default.insert(0, look)
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 20), panel.ui.statusLabel.text
    assert panel.ui.statusLabel.text == "Done."
    assert min(seen.values()) > 1000


# --- samples


def test_both_samples_are_registered_with_slicers_sample_data(monkeypatch, application):
    registered = []
    module = types.ModuleType("SampleData")

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(
            category="Custom",
            sampleName=None,
            uris=None,
            fileNames=None,
            nodeNames=None,
            customDownloader=None,
            thumbnailFileName=None,
            loadFileTypes=None,
            loadFiles=None,
            loadFileProperties=None,
            checksums=None,
        ):
            # As in Slicer: an address is text, or a list as long as the others.
            assert isinstance(uris, str) and all(
                not isinstance(given, (list, tuple)) for given in (fileNames, nodeNames, checksums)
            )
            registered.append((category, sampleName, uris, checksums, customDownloader, thumbnailFileName))

    module.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", module)
    modules.load(MODULE)
    slicer.app.startupCompleted.emit()
    registered = registered[-2:]  # each module loaded by a test before has connected as well
    assert [entry[:2] for entry in registered] == [("BATNet", "BATNetPhantom"), ("BATNet", "CTChest")]
    assert callable(registered[0][4])
    assert registered[1][3] == f"SHA256:{registered[1][2].rpartition('/')[2]}"
    assert all(Path(entry[5]).is_file() for entry in registered)


def test_a_phantom_that_cannot_be_made_is_told(open_panel, process_events):
    panel = open_batnet(open_panel, answers_doctor(then=[script.error("disk-full", "The disk is full.")]))
    panel.ui.phantomButton.click()
    assert not panel.ui.phantomButton.enabled
    assert process_events(lambda: panel.ui.statusLabel.text == "The disk is full.", 5)
    assert panel.ui.phantomButton.enabled and run_leftovers() == []


def test_a_chest_ct_that_cannot_be_downloaded_is_told(open_panel, monkeypatch):
    panel = open_batnet(open_panel)
    monkeypatch.setattr("BATNetModule.panel.chest_ct", lambda: None)
    panel.ui.chestButton.click()
    assert "could not be downloaded" in panel.ui.statusLabel.text and panel.parameters.ct is None
    node = ct_node("Chest")
    monkeypatch.setattr("BATNetModule.panel.chest_ct", lambda: node)
    panel.ui.chestButton.click()
    assert panel.parameters.ct is node


# --- report and export


@pytest.fixture
def reviewed(open_panel, process_events):
    folder = result_folder()
    panel = open_batnet(open_panel)
    analysis = load_result(folder, ct_node())
    from BATNetModule.reports import keep_report

    keep_report(analysis, folder)
    panel.parameters.analysis = analysis.node
    assert process_events(lambda: not panel._todo, 5)
    return panel, analysis


def test_the_report_opens_in_the_browser(reviewed, monkeypatch):
    panel, _analysis = reviewed
    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    panel.ui.openReportButton.click()
    text = Path(opened[0]).read_text(encoding="utf-8")
    assert "Research use only" in text and "<html" in text


def test_the_pdf_is_printed_by_slicers_web_view(reviewed, monkeypatch, dialogs, process_events, tmp_path):
    panel, analysis = reviewed
    assert not panel.ui.savePdfButton.enabled and "browser" in panel.ui.savePdfButton.toolTip
    from PySide6.QtCore import Signal

    class WebView(qt.QWidget):
        """What of ``qSlicerWebWidget`` is used: loads a page, prints it, tells when."""

        loadFinished = Signal(bool)
        pdfPrintingFinished = Signal(str, bool)

        def setUrl(self, url):
            self.page = Path(qt.QUrl(url).toLocalFile()).read_text(encoding="utf-8")
            qt.QTimer.singleShot(0, lambda: self.loadFinished.emit(True))

        def printToPdf(self, path):
            Path(path).write_text("%PDF " + str(len(self.page)))
            qt.QTimer.singleShot(0, lambda: self.pdfPrintingFinished.emit(path, True))

    monkeypatch.setattr(slicer, "qSlicerWebWidget", WebView, raising=False)
    panel.report.show(analysis)
    assert panel.ui.savePdfButton.enabled
    dialogs.append(str(tmp_path / "report.pdf"))
    panel.ui.savePdfButton.click()
    assert process_events(lambda: panel.ui.reportNote.text == "The PDF is saved.", 5)
    assert (tmp_path / "report.pdf").read_text().startswith("%PDF ")


def test_a_ct_that_is_not_from_dicom_says_how_its_mask_is_exported(reviewed):
    panel, _analysis = reviewed
    panel.ui.exportSegButton.click()
    assert (
        "not loaded from DICOM" in panel.ui.reportNote.text and "Export to files" in panel.ui.reportNote.text
    )


def test_a_mask_on_a_dicom_ct_becomes_a_dicom_seg(open_panel, process_events, dialogs, monkeypatch, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "unit" / "analysis"))
    from test_analysis_dicom_seg import write_series

    series = write_series(phantom(), tmp_path / "ct")
    files = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID: str(f) for f in series.iterdir()}
    database = types.SimpleNamespace(fileForInstance=lambda uid: files.get(uid, ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    folder = result_folder()
    panel = open_batnet(open_panel)
    ct = ct_node()
    ct.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    analysis = load_result(folder, ct)
    panel.parameters.analysis = analysis.node
    assert process_events(lambda: not panel._todo, 5)
    panel.runner = None
    dialogs.append(str(tmp_path / "seg.dcm"))
    panel.ui.exportSegButton.click()
    assert process_events(lambda: panel.ui.exportSegButton.enabled, 30)
    assert panel.ui.reportNote.text == "The DICOM SEG is saved."
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(analysis.segmentation, analysis.segment_id, ct)
    assert int(found.pixel_array.sum()) == int(mask.sum())
    assert found.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert run_leftovers() == []


def test_the_segment_editor_opens_with_mask_and_ct(reviewed, monkeypatch):
    panel, analysis = reviewed
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    chosen = []
    monkeypatch.setattr(slicer.util, "selectModule", chosen.append)
    widget = types.SimpleNamespace(editor=editor)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: widget)
    # After a run the coloured map covers the mask; what is painted must be seen.
    panel.ui.patchMapBox.checked = True
    display = analysis.segmentation.GetDisplayNode()
    assert not display.GetVisibility2D() and not display.GetVisibility2DFill()
    panel.ui.editButton.click()
    assert display.GetVisibility() and display.GetVisibility2D() and display.GetVisibility2DFill()
    assert panel.ui.maskBox.checked and not panel.ui.patchMapBox.checked
    assert chosen == ["SegmentEditor"]
    assert editor.segmentationNode() is analysis.segmentation and editor.sourceVolumeNode() is analysis.ct
    assert editor.currentSegmentID() == analysis.segment_id

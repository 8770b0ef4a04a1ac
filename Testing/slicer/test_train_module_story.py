"""The whole story with the real engine: from a folder of phantoms to a model that BATNet uses."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import qt
import slicer
from batnet_cases import MODULE as BATNET
from batnet_cases import build_views, ct_node
from BATNetSlicer import modelsettings
from train_cases import MODULE, ThreadWatch, end_training, write_study

pytest.importorskip("monai", reason="training needs pip install 'batnet[train]'")
pytest.importorskip("lightning_fabric", reason="training needs pip install 'batnet[train]'")


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "cohort", 6)


@pytest.fixture
def run(tmp_path, application, scene):
    """Where the training goes; models go into a folder of the test, and no process stays behind."""
    slicer.app.settings().setValue(modelsettings.HOME_SETTING, str(tmp_path / "models"))
    yield tmp_path / "training-1"
    end_training(tmp_path / "training-1")


def test_from_a_folder_to_a_model_that_batnet_uses(
    open_panel, process_events, dialogs, study, run, tmp_path, monkeypatch
):
    build_views()
    opened = open_panel(MODULE)
    panel, ui = opened.python.panel, opened.python.ui
    assert process_events(lambda: panel.doctor is not None, 60)
    assert any(ui.startFromCombo.itemData(n) == "demo-adipose" for n in range(ui.startFromCombo.count))

    # Folder in; the check tells what to look at; the split shows its distribution.
    dialogs.append(str(study))
    ui.dataFolderButton.click()
    ui.checkButton.click()
    assert process_events(lambda: panel.data._call is None, 60)
    assert ui.checkLabel.text.startswith("6 cases of 6 patients. 0 in the way")
    ui.trainShareBox.value, ui.validationShareBox.value, ui.testShareBox.value = 60, 20, 20
    dialogs.append(str(tmp_path / "split.json"))
    ui.makeSplitButton.click()
    assert process_events(lambda: panel.split._call is None, 60)
    assert ui.splitTable.item(0, 0).text() == "patients" and ui.splitTable.item(0, 1).text() == "6"

    # A tiny network, some epochs; what it costs; the start.
    ui.epochsBox.value, ui.widthBox.value, ui.nameEdit.text = 4, 4, "fat-of-a-test"
    ui.batchBox.value = 8
    ui.deviceCombo.setCurrentIndex(
        [ui.deviceCombo.itemData(n) for n in range(ui.deviceCombo.count)].index("cpu")
    )
    ui.estimateButton.click()
    with ThreadWatch() as watch:
        assert process_events(lambda: panel.train._call is None, 90)
    watch.check()
    assert ui.estimateLabel.text.startswith("Memory: ") and "with 3 of 4 cases" in ui.estimateLabel.text
    dialogs.append(str(tmp_path))
    ui.outButton.click()
    assert ui.outEdit.text == str(run)
    ui.startButton.click()
    assert not ui.startCancelButton.isHidden() and ui.startButton.isHidden()
    with ThreadWatch() as watch:
        assert process_events(lambda: panel.watch.folder is not None, 90), ui.startLabel.text
        assert panel.watch.folder == run

        # The curves move in the chart of the plot view.
        table = panel.curves.nodes.series["steps"].GetTableNode()
        assert process_events(lambda: table.GetNumberOfRows() >= 10, 60)
        seen = table.GetNumberOfRows()
        assert process_events(lambda: table.GetNumberOfRows() > seen and panel.watch.curves.epochs, 60)
    watch.check()
    assert "of 4 epochs" in ui.stateLabel.text and "Training loss" in ui.curvesLabel.text

    # Stop ends it with its state saved; Resume goes on from there.
    ui.stopButton.click()
    assert process_events(lambda: panel.watch.state.get("state") == "stopped" and not panel.watch.ending, 60)
    epoch, steps = panel.watch.state["epoch"], panel.watch.curves.of_steps()[0][-1]
    assert epoch < 4 and ui.resumeButton.enabled
    ui.resumeButton.click()
    with ThreadWatch() as watch:
        assert process_events(lambda: panel.run._call is None, 90)
        assert panel.watch.at_work or panel.watch.state["state"] == "done", ui.timeLabel.text
        assert process_events(lambda: panel.watch.state.get("state") == "done", 180), ui.stateLabel.text
        assert process_events(lambda: not panel.watch.at_work, 30)
    watch.check()
    assert panel.watch.curves.of_steps()[0][-1] == pytest.approx(4.0) and steps < 4.0
    x, y = panel.watch.curves.of_epochs("dice")
    assert list(x) == [1, 2, 3, 4] and y.max() > 0.3
    assert ui.errorLabel.isHidden() and "Best: Dice" in ui.stateLabel.text

    # Examples of the best epoch, in the panel and in the views.
    assert panel.examples.cases() and not ui.exampleLabel.isHidden()
    ui.showExampleButton.click()
    assert process_events(lambda: panel.examples.nodes.there() and panel.examples._steps is None, 10)
    nodes = panel.examples.nodes
    truth = slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, "truth", nodes.ct)
    hu = slicer.util.arrayFromVolume(nodes.ct)
    assert truth.any() and -130 < hu[truth > 0].mean() < -60, "the truth lies on the fat"
    ui.hideExampleButton.click()

    # Report, model card, and the model in the list.
    shown = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: shown.append(url.toLocalFile()) or True)
    ui.reportButton.click()
    assert shown == [str(run / "report.html")] and Path(shown[0]).stat().st_size > 1000
    ui.cardButton.click()
    assert "fat-of-a-test" in ui.cardText.plainText and "esearch use only" in ui.cardText.plainText
    assert "'fat-of-a-test' is in the list" in ui.resultLabel.text
    assert "Test: Dice 0." in ui.resultLabel.text
    assert process_events(lambda: panel._doctor_call is None, 60)
    ui.useButton.click()

    # BATNet offers it first and finds the fat with it.
    batnet = open_panel(BATNET).python.panel
    assert process_events(lambda: batnet.setup.models is not None, 60)
    assert batnet.parameters.fatModel == "fat-of-a-test" and not batnet.ui.fatModelCombo.isHidden()
    batnet.choose_model("demo")
    batnet.parameters.ct = ct_node()
    begun = time.monotonic()
    batnet.ui.applyButton.click()
    assert process_events(lambda: batnet.run is None and not batnet._todo, 120), batnet.ui.statusLabel.text
    analysis = batnet.result.analysis
    assert analysis is not None, f"{batnet.ui.statusLabel.text} ({time.monotonic() - begun:.0f} s)"
    assert analysis.passport["models"]["adipose"]["name"] == "fat-of-a-test"
    assert analysis.adipose["volume_ml"] > 0


def test_a_refusal_of_the_engine_is_said_where_it_was_asked(
    open_panel, process_events, dialogs, study, run, tmp_path
):
    """A split that was made for other data: the start is refused in words, and nothing trains."""
    from BATNetLib.cli import main

    others = write_study(tmp_path / "others", 4)
    split = tmp_path / "split.json"
    assert main(["dataset", "split", str(others), "--folds", "2", "--out", str(split)]) == 0
    panel = open_panel(MODULE).python.panel
    ui = panel.ui
    assert process_events(lambda: panel.doctor is not None, 60)
    ui.dataEdit.text, ui.outEdit.text = str(study), str(run)
    dialogs.append(str(split))
    ui.splitOpenButton.click()
    ui.startButton.click()
    assert process_events(lambda: panel.train._call is None, 60)
    assert "was made for another list of cases" in ui.startLabel.text
    assert panel.watch.folder is None and not run.exists()
    assert str(tmp_path) not in ui.startLabel.text and os.sep not in ui.startLabel.text


def test_the_modules_own_test_passes_and_leaves_nothing_behind(scene, process_events):
    """What "Reload and Test" does in Slicer."""
    from stage import modules

    before = sorted(Path(slicer.app.temporaryPath).iterdir())
    module = modules.load(MODULE)
    module.python.BATNetTrainTest().runTest()
    assert sorted(Path(slicer.app.temporaryPath).iterdir()) == before

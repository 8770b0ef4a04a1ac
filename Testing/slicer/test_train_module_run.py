"""Following a training that is a process of its own: start, stop, resume, found again, and how it may end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time

import psutil
import pytest
import slicer
from stage import modules
from train_cases import (
    MODULE,
    Mixed,
    ThreadWatch,
    end_training,
    fill_in,
    open_train,
    played,
    write_split_file,
)


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.fixture
def start(open_panel, process_events, study, tmp_path):
    """``start(name, epochs)``: a training that is played, started by a click; returns (panel, run folder)."""
    runs = []

    def click(name="played", epochs=6, panel=None):
        panel = panel or open_train(open_panel)
        split = write_split_file(tmp_path / "split.json")
        runs.append(tmp_path / f"run-{len(runs) + 1}")
        fill_in(panel, study, split, runs[-1], name, epochs)
        assert panel.ui.startButton.enabled, panel.ui.startButton.toolTip
        panel.ui.startButton.click()
        assert process_events(lambda: panel.watch.folder == runs[-1], 20), panel.ui.startLabel.text
        return panel, runs[-1]

    yield click
    for run in runs:
        end_training(run)


def over(panel, state="done"):
    return lambda: panel.watch.state.get("state") == state and not panel.watch.at_work


def columns(panel, key):
    """x and y of a series of the chart, as the plot view reads them."""
    table = panel.curves.nodes.series[key].GetTableNode().GetTable()
    return [
        [table.GetValueByName(row, name).ToDouble() for row in range(table.GetNumberOfRows())]
        for name in "xy"
    ]


def test_from_start_over_stop_and_resume_to_the_end(start, process_events):
    panel, run = start(epochs=24)
    ui = panel.ui
    call = next(c for c in panel.runner.calls if c[0] == "train")
    assert (
        call[:2] == ["train", "adipose"] and "--detach" in call and call[call.index("--out") + 1] == str(run)
    )
    assert ui.plotBox.checked, "the curves of a training that was started here are shown"
    layouts = slicer.app.layoutManager().chosen_layouts
    assert layouts == [slicer.modules.plots.logic().GetLayoutWithPlot(slicer.app.layoutManager().layout)]

    # The curves move, the bar too, and the window answers.
    with ThreadWatch() as watch:
        assert process_events(lambda: len(panel.watch.curves.epochs) >= 2, 10)
        seen = len(columns(panel, "steps")[0])
        assert process_events(lambda: len(columns(panel, "steps")[0]) > seen + 8, 10)
    watch.check()
    x, y = columns(panel, "steps")
    chart = panel.curves.nodes.chart
    assert not chart.GetXAxisRangeAuto() and chart.GetXAxisRange()[1] >= x[-1], "the axes hold all points"
    assert chart.GetYAxisRange()[0] <= min(y) and chart.GetYAxisRange()[1] >= max(y)
    assert x == sorted(x) and y[0] > y[-1] and x[7] == pytest.approx(1.0), "eight steps are an epoch"
    epochs = columns(panel, "validation")
    assert epochs[0][:2] == [1.0, 2.0]
    assert "running" in ui.stateLabel.text and "of 24 epochs" in ui.stateLabel.text
    assert "left" in ui.timeLabel.text and 0 < ui.progressBar.value < 1000
    assert "Training loss" in ui.curvesLabel.text and "Dice" in ui.curvesLabel.text

    # A figure of the validation in place of the loss; the best epoch is marked.
    assert panel.curves.choose("dice")
    chart = panel.curves.nodes.chart
    assert chart.GetTitle().startswith("Dice") and columns(panel, "steps") == [[], []]
    x, y = columns(panel, "validation")
    best = columns(panel, "best")
    assert max(y) in (best[1][0], y[x.index(best[0][0])])

    # Stop ends it after the current step, and says so at once.
    ui.stopButton.click()
    assert "stopping" in ui.stateLabel.text and not ui.stopButton.enabled
    assert process_events(over(panel, "stopped"), 5)
    assert process_events(lambda: not panel.watch.ending, 5), "the report is written first"
    assert "stopped" in ui.stateLabel.text and ui.resumeButton.enabled and not ui.resumeButton.isHidden()
    assert ui.reportButton.enabled, "there is a report of how far it came"
    assert not ui.useButton.enabled and "comes at its end" in ui.resultLabel.text
    steps = len(panel.watch.curves.steps)

    # Resume goes on where it ended.
    ui.resumeButton.click()
    assert process_events(over(panel), 20), ui.stateLabel.text
    assert panel.runner.calls[-2:][0][:3] == ["train", "resume", str(run)]
    assert len(panel.watch.curves.steps) > steps and max(panel.watch.curves.epochs) == 24
    assert "done: 24 of 24 epochs" in ui.stateLabel.text and "Best: Dice" in ui.stateLabel.text
    assert not ui.resumeButton.enabled and not ui.stopButton.visible
    assert "'played' is in the list" in ui.resultLabel.text and ui.useButton.enabled
    ui.cardButton.click()
    assert "Research use only" in ui.cardText.plainText
    text = ui.logText.plainText
    assert text.count("Epoch 1:") == 1 and "Epoch 24:" in text and "best so far" in text


def test_after_a_restart_of_slicer_the_training_is_found_again(start, process_events, open_panel):
    panel, run = start("crawls")
    pid = panel.watch.state["pid"]
    modules.unload("BATNetTrain")
    assert psutil.pid_exists(pid), "closing Slicer does not end a training"
    again = open_train(open_panel)
    assert process_events(lambda: again.watch.at_work, 10)
    assert again.watch.folder == run and again.watch.state["pid"] == pid
    assert again.ui.runCombo.currentText == run.name
    assert again.ui.dataButton.collapsed and not again.ui.runButton.collapsed
    assert again.ui.nameEdit.text == "crawls", "what was filled in is still there"
    again.ui.stopButton.click()
    assert process_events(over(again, "stopped"), 10)


def test_closing_the_scene_leaves_the_training_alone_and_draws_its_curves_again(start, process_events):
    panel, _run = start("crawls")
    assert process_events(lambda: len(panel.watch.curves.steps) >= 2, 10)
    pid = panel.watch.state["pid"]
    slicer.mrmlScene.Clear(0)
    assert panel.watch.at_work and panel.watch.state["pid"] == pid
    chart = panel.curves.nodes.chart
    assert chart is not None and slicer.mrmlScene.IsNodePresent(chart)
    seen = len(columns(panel, "steps")[0])
    assert process_events(lambda: len(columns(panel, "steps")[0]) > seen, 10)


def test_a_run_that_was_started_in_a_shell_is_opened(open_panel, process_events, dialogs, tmp_path, capfd):
    import subprocess
    import sys

    from train_cases import ENGINE

    environment = {**os.environ, "PYTHONPATH": str(MODULE.parents[2])}
    run = tmp_path / "shell"
    words = [sys.executable, ENGINE, "train", "brown", "DATA", "--out", str(run), "--epochs", "3", "--detach"]
    subprocess.run(words, check=True, env=environment, timeout=60, capture_output=True)
    panel = open_train(open_panel)
    dialogs.append(str(tmp_path))
    panel.ui.openRunButton.click()
    assert "no folder of a training run" in panel.ui.stateLabel.text
    dialogs.append(str(run))
    panel.ui.openRunButton.click()
    assert process_events(over(panel), 20)
    assert "Stage 2" in panel.ui.stateLabel.text and panel.ui.runCombo.currentText == "shell"
    assert not panel.ui.plotBox.checked, "only a training that was started here opens the plot view"
    panel.ui.plotBox.checked = True
    assert len(columns(panel, "steps")[0]) == 24
    panel.ui.plotBox.checked = False
    assert panel.curves.nodes.chart is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotSeriesNode") == 0
    manager = slicer.app.layoutManager()
    assert len(manager.chosen_layouts) == 2, "the layout from before is back"
    panel.ui.forgetRunButton.click()
    assert panel.watch.folder is None and panel.ui.runCombo.count == 0 and run.is_dir()


def test_what_ended_a_training_is_said_in_words(start, process_events):
    panel, _run = start("fails")
    assert process_events(over(panel, "failed"), 20)
    assert panel.ui.errorLabel.text == "A scan is not there any more. It is needed. Put it back."
    assert "Warning: A scan is not there" in panel.ui.logText.plainText
    assert process_events(lambda: panel.ui.resumeButton.enabled, 5)


def test_a_training_that_was_killed_is_told_and_resumed(start, process_events):
    panel, _run = start("dies", epochs=4)
    assert process_events(lambda: panel.watch.liveness == "lost", 20)
    text = panel.ui.errorLabel.text
    assert "without a word" in text and "Resume" in text
    assert "It said last: Traceback of something in file.py" in text, "no folders"
    panel.ui.resumeButton.click()
    assert process_events(over(panel), 20), panel.ui.stateLabel.text
    assert panel.ui.errorLabel.isHidden()
    x, _y = panel.watch.curves.of_steps()
    assert list(x) == sorted(set(x)) and len(x) == 32, "what was done twice is drawn once"


def test_a_start_that_is_refused_is_said_in_words(start, process_events):
    panel, run = start()
    assert process_events(over(panel), 20)
    assert not panel.ui.startButton.enabled and "holds a run already" in panel.ui.startButton.toolTip
    shutil.rmtree(run)
    run.write_text("a file in its place")
    panel.runner = Mixed()
    panel.train.show()
    panel.ui.startButton.click()
    assert process_events(lambda: panel.train._call is None, 20)
    assert "ended" in panel.ui.startLabel.text or "defect" in panel.ui.startLabel.text


def test_a_run_whose_folder_goes_away_is_told_and_comes_back(start, process_events):
    panel, run = start()
    assert process_events(over(panel), 20)
    run.rename(run.with_name("elsewhere"))
    panel.watch.look()
    assert "cannot be read now" in panel.ui.stateLabel.text and not panel.ui.stopButton.enabled
    run.with_name("elsewhere").rename(run)
    panel.watch.look()
    assert "done" in panel.ui.stateLabel.text


def test_a_run_of_another_computer_is_judged_by_its_sign_of_life(open_panel, tmp_path):
    from BATNetLib.training import runfolder

    panel = open_train(open_panel)
    run = tmp_path / "cluster"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"stage": "brown", "name": "far"}))
    state = {"state": "running", "host": f"not-{socket.gethostname()}", "pid": 1, "epochs": 10, "epoch": 2}
    (run / "state.json").write_text(json.dumps({**state, "heartbeat": runfolder.now()}))
    panel.run.open(run)
    assert panel.watch.at_work and "2 of 10 epochs" in panel.ui.stateLabel.text
    (run / "state.json").write_text(json.dumps({**state, "heartbeat": "2020-01-01T00:00:00Z"}))
    panel.watch.look()
    assert panel.watch.liveness == "lost"
    (run / "state.json").write_text('{"state": 7, "epochs": "many", "best": 3, "last": [], "error": 1}')
    panel.watch.look()
    assert panel.watch.liveness == "over", "what is none of ours shows nothing and breaks nothing"


def test_resume_waits_until_the_process_that_stopped_has_written_its_report(open_panel, tmp_path):
    from BATNetLib.training import runfolder

    panel = open_train(open_panel)
    run = tmp_path / "stopped"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"stage": "brown", "name": "stopped"}))
    with runfolder.RunState(run, epochs=4) as state:  # this very process "trains"
        state.update(state="stopped")
        panel.run.open(run)
        assert panel.watch.liveness == "over" and panel.watch.ending
        assert panel.ui.timeLabel.text == "The report is being written ..."
        assert not panel.ui.resumeButton.enabled
    content = runfolder.read_state(run)
    (run / "state.json").write_text(json.dumps({**content, "pid": 2**22 - 9}))
    panel.watch.look()
    assert not panel.watch.ending and panel.ui.resumeButton.enabled


def test_a_long_log_is_read_in_turns_and_never_blocks_the_window(open_panel, process_events, tmp_path):
    panel = open_train(open_panel)
    run = tmp_path / "long"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"stage": "adipose", "name": "long"}))
    state = {"state": "stopped", "epochs": 400, "epoch": 300, "steps": 500, "step": 0}
    (run / "state.json").write_text(json.dumps(state))
    with (run / "log.jsonl").open("w") as file:
        for step in range(1, 150_001):
            epoch, loss = 1 + step // 500, 1 / (1 + step / 5000)
            entry = {"kind": "step", "epoch": epoch, "global_step": step, "loss": loss, "parts": {"bce": 0.1}}
            file.write(json.dumps(entry) + "\n")
            if step % 500 == 0:
                entry = {"kind": "epoch", "epoch": step // 500, "train_loss": 0.5, "best": False}
                file.write(json.dumps(entry) + "\n")
    panel.ui.plotBox.checked = False
    with ThreadWatch() as watch:
        panel.run.open(run)
        panel.ui.plotBox.checked = True
        assert process_events(lambda: panel.watch.all_read, 60)
    watch.check()
    x, y = columns(panel, "steps")
    assert 900 < len(x) <= 2000 and x[-1] == pytest.approx(300.0) and y[-1] < 0.05
    assert len(columns(panel, "epochs")[0]) == 300


def test_looking_at_a_run_at_rest_costs_next_to_nothing(start, process_events):
    panel, _run = start()
    assert process_events(over(panel), 20)
    panel.watch.look()
    begun = time.thread_time()
    for _ in range(20):
        panel.watch.look()
    assert (time.thread_time() - begun) / 20 < 0.01


def test_a_slow_drive_is_looked_at_less_often(start, process_events, monkeypatch):
    panel, _run = start()
    assert process_events(over(panel), 20)
    real = panel.watch._look_at_state
    monkeypatch.setattr(panel.watch, "_look_at_state", lambda: time.sleep(0.08) or real())
    panel.watch.look()
    assert panel.watch._clock.interval > 1500
    monkeypatch.undo()
    panel.watch.look()
    assert panel.watch._clock.interval < 1500


def test_the_engine_of_a_start_is_ended_with_the_module(open_panel, process_events, tmp_path):
    """The start itself is a child of Slicer; the training that it leaves behind is not."""
    from stage import scripted_engine as script

    runner = script.ScriptedRunner(script.pause(30))
    panel = open_train(open_panel)
    panel.runner = runner
    (tmp_path / "study").mkdir()
    fill_in(panel, tmp_path / "study", write_split_file(tmp_path / "s.json"), tmp_path / "run")
    panel.ui.startButton.click()
    assert panel.ui.startLabel.text == "Starting ..." and not panel.ui.startButton.enabled
    job = runner.jobs[-1]
    modules.unload("BATNetTrain")
    assert job.state.is_over

    # What it had begun by then is found the next time.
    again = open_train(open_panel, script.ScriptedRunner(script.result("", doctor={})))
    assert again.ui.runCombo.count == 0 and again.watch.folder is None
    modules.unload("BATNetTrain")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"stage": "brown"}')
    state = {"state": "stopped", "epoch": 3, "epochs": 9, "metric": {"name": "auc"}, "best": None}
    (tmp_path / "run" / "state.json").write_text(json.dumps(state))
    again = open_train(open_panel, script.ScriptedRunner(script.result("", doctor={})))
    assert process_events(lambda: again.watch.folder == tmp_path / "run", 5)
    assert again.ui.runCombo.count == 1 and not again.ui.dataButton.collapsed
    assert "No best epoch yet: AUC is not defined" in again.ui.stateLabel.text


def test_examples_of_the_best_epoch_lie_in_the_views_and_follow_the_training(start, process_events):
    panel, _run = start("crawls-not", epochs=40)
    ui = panel.ui
    assert process_events(lambda: panel.examples.cases(), 10)
    assert [ui.examplesTable.item(row, 0).text() for row in range(2)] == [
        "validation-0001",
        "validation-0002",
    ]
    assert not ui.exampleLabel.isHidden()
    ui.examplesTable.setCurrentCell(1, 0)
    ui.showExampleButton.click()
    assert process_events(lambda: panel.examples.nodes.there() and panel.examples._steps is None, 5)
    nodes = panel.examples.nodes
    ct, segmentation = nodes.ct, nodes.segmentation
    assert ct.GetName().startswith("validation-0002")
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == ct.GetID()
    truth = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "truth", ct)
    hu = slicer.util.arrayFromVolume(ct)
    assert (hu[truth > 0] == -90).all() and (hu[truth == 0] == 40).all(), "on the voxels of the slices"
    first = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "prediction", ct).sum()
    display = segmentation.GetDisplayNode()
    assert (
        display.GetSegmentOpacity2DFill("truth") == 0 and display.GetSegmentOpacity2DFill("prediction") == 0.5
    )

    # A better epoch: the prediction in the views is that one's; a view that shows something else keeps it.
    green = slicer.app.layoutManager().sliceWidget("Green").mrmlSliceCompositeNode()
    green.SetBackgroundVolumeID(None)
    epoch = panel.examples.facts["epoch"]
    assert process_events(
        lambda: (
            panel.examples.facts.get("epoch", 0) > epoch
            and panel.examples.nodes.segmentation is not segmentation
        ),
        20,
    )
    assert process_events(lambda: panel.examples._steps is None and panel.examples.nodes.there(), 5)
    now = panel.examples.nodes
    assert slicer.util.arrayFromSegmentBinaryLabelmap(now.segmentation, "prediction", now.ct).sum() > first
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert composite.GetBackgroundVolumeID() == now.ct.GetID() and green.GetBackgroundVolumeID() is None
    assert not any(node.GetSaveWithScene() for node in (now.ct, now.segmentation))
    ui.hideExampleButton.click()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    ui.stopButton.click()
    assert process_events(lambda: not panel.watch.at_work, 10)


def test_the_played_training_keeps_to_the_contract(tmp_path, process_events, application):
    """What is tested here on a played training holds for a real one only while both write the same."""
    from job_cases import Notes

    notes = Notes()
    run = tmp_path / "run"
    job = played().start(["train", "adipose", "D", "--out", str(run), "--epochs", "1", "--detach"], notes)
    assert process_events(lambda: job.state.is_over, 20)
    assert process_events(lambda: "done" in (run / "state.json").read_text(), 20)
    from BATNetLib.training import runfolder

    state, entries = runfolder.read_state(run), runfolder.read_log(run)
    assert runfolder.liveness(run) == "over" and runfolder.require_run(run) == run
    assert {entry["kind"] for entry in entries} == {"step", "epoch"} and state["steps"] == 8

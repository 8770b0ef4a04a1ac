"""However a run ends, the panel says so in words, is ready for the next one, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import psutil
import pytest
import qt
import slicer
from batnet_cases import (
    MODULE,
    answers_doctor,
    blocked_folder,
    ct_node,
    hands_out,
    open_batnet,
    result_folder,
    run_leftovers,
)
from BATNetSlicer.jobs import Engine
from BATNetSlicer.scene import find_analyses
from stage import scripted_engine as script

ENGINE = Path(__file__).parent / "engines" / "engine.py"
STAGES = ("read", "lungs", "preflight", "adipose", "patches", "classify", "attention", "write")


@pytest.fixture
def panel(open_panel):
    panel = open_batnet(open_panel)
    panel.parameters.ct = ct_node()
    panel.choose_model("demo")
    yield panel
    assert run_leftovers() == []


def engines():
    return [p for p in psutil.Process().children(recursive=True) if "--events" in " ".join(_cmdline(p))]


def _cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def ready(panel):
    """The panel takes the next run."""
    ui = panel.ui
    return (
        panel.run is None
        and ui.applyButton.visible
        and ui.applyButton.enabled
        and not ui.cancelButton.visible
    )


def test_cancel_in_each_stage(panel, process_events):
    for name in STAGES:
        panel.runner = answers_doctor(then=[script.stage(name, 1, 3), script.pause(30)])
        panel.ui.applyButton.click()
        assert process_events(lambda name=name: panel.runner.calls and panel.run._estimate.stage == name, 5)
        panel.ui.cancelButton.click()
        assert not panel.ui.cancelButton.enabled
        assert process_events(lambda: ready(panel), 1), name
        assert panel.ui.statusLabel.text == "Cancelled. Nothing was changed."
    assert find_analyses() == []


def test_cancel_while_the_scan_is_written(panel, process_events, monkeypatch):
    def endless(*_args):
        while True:
            yield 0.5

    monkeypatch.setattr("BATNetModule.run.writing_inputs", endless)
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.ui.progressBar.value > 0, 5)
    panel.ui.cancelButton.click()
    assert process_events(lambda: ready(panel), 1)
    assert panel.runner.calls == []


def test_cancel_while_the_result_is_loaded(panel, process_events, monkeypatch):
    from BATNetModule import run

    real = run.loading_result

    def slow(*args, **kwargs):
        work = real(*args, **kwargs)
        while True:
            time.sleep(0.03)
            yield next(work)

    monkeypatch.setattr(run, "loading_result", slow)
    panel.runner = answers_doctor(then=[script.result(hands_out(result_folder()))])
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run._estimate.stage == "load", 5)
    panel.ui.cancelButton.click()
    assert process_events(lambda: ready(panel), 1)
    assert find_analyses() == []


def test_cancel_ends_the_real_engine_within_a_second(panel, process_events):
    panel.runner = None
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run._estimate.stage in ("lungs", "preflight", "adipose"), 30)
    assert len(engines()) == 1
    began = time.monotonic()
    panel.ui.cancelButton.click()
    assert process_events(lambda: ready(panel), 3)
    assert time.monotonic() - began < 1.0
    assert process_events(lambda: engines() == [] and run_leftovers() == [], 3)
    assert find_analyses() == []


def fake_engine(behaviour):
    """A runner that starts a real process which behaves as named, whatever it is asked."""
    return Engine(sys.executable, prefix=(str(ENGINE), behaviour), silence_seconds=0.3, grace_seconds=0.3)


def test_the_engine_is_killed_from_outside(panel, process_events):
    panel.runner = fake_engine("slow")
    panel.ui.applyButton.click()
    assert process_events(lambda: len(engines()) == 1, 10)
    assert process_events(lambda: panel.run._estimate.stage == "segment", 10)
    engines()[0].kill()
    assert process_events(lambda: ready(panel), 5)
    assert "ended from outside" in panel.ui.statusLabel.text
    assert "memory" in panel.ui.statusLabel.text


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("garbage", "no readable analysis.json"),
        ("no_answer", "without an answer"),
        ("refuses", "empty"),
        ("crash", "crashed"),
    ],
)
def test_an_engine_that_misbehaves_is_reported_in_words(panel, process_events, behaviour, words):
    panel.runner = fake_engine(behaviour)
    panel.ui.applyButton.click()
    assert process_events(lambda: ready(panel), 20)
    assert words in panel.ui.statusLabel.text
    assert "Traceback" not in panel.ui.statusLabel.text + panel.ui.logText.plainText


def test_an_engine_that_never_answers_is_told_and_can_be_cancelled(panel, process_events):
    panel.runner = fake_engine("silent")
    panel.ui.applyButton.click()
    assert process_events(lambda: "no news for" in panel.ui.statusLabel.text, 5)
    assert panel.run is not None, "nothing is ended only because it is silent"
    panel.ui.cancelButton.click()
    assert process_events(lambda: ready(panel), 3)
    assert engines() == []


def test_a_full_disk_is_told_before_the_engine_starts(panel, process_events, monkeypatch):
    def full(*_args):
        yield 0.1
        raise OSError(errno.ENOSPC, "No space left on device")

    def writing(*args):
        from BATNetLib.workfiles import output_errors

        with output_errors("in"):
            yield from full(*args)

    monkeypatch.setattr("BATNetModule.run.writing_inputs", writing)
    panel.ui.applyButton.click()
    assert process_events(lambda: ready(panel), 5)
    assert "disk filled up" in panel.ui.statusLabel.text
    assert panel.runner.calls == []


def test_a_disk_that_fills_while_the_engine_writes_is_told(panel, process_events):
    refusal = script.error("disk-full", "The disk is full.", "Room for the result.", "Free some space.")
    panel.runner = answers_doctor(then=[script.stage("write", 1, 3), refusal])
    panel.ui.applyButton.click()
    assert process_events(lambda: ready(panel), 5)
    assert panel.ui.statusLabel.text == "The disk is full. Room for the result. Free some space."


#: A child that may write no file beyond so many bytes: the system itself refuses, as a full disk does.
NARROW = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.argv[0] = "batnet"
runpy.run_module("BATNetLib", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of files")
def test_the_real_engine_on_a_disk_that_fills_is_told_in_words(panel, process_events):
    panel.runner = Engine(sys.executable, ("-c", NARROW))
    panel.parameters.method = type(panel.parameters.method).HU_RANGE
    panel.ui.applyButton.click()
    assert process_events(lambda: ready(panel), 60)
    assert "disk filled up" in panel.ui.statusLabel.text
    assert "Make room" in panel.ui.statusLabel.text
    assert find_analyses() == [] and engines() == []


def test_closing_the_scene_ends_the_run(panel, process_events):
    panel.runner = fake_engine("slow")
    panel.ui.applyButton.click()
    assert process_events(lambda: len(engines()) == 1, 10)
    slicer.mrmlScene.Clear(0)
    assert engines() == []
    assert panel.run is None
    assert panel.ui.statusLabel.text == "The scene was closed; the run was ended."
    assert process_events(lambda: not panel._todo, 5)
    assert not panel.ui.applyButton.enabled, "there is no CT any more"
    panel.runner = answers_doctor(then=[script.result(hands_out(result_folder()))])
    panel.parameters.ct = ct_node()
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 20)
    assert len(find_analyses()) == 1


def test_the_ct_is_deleted_during_the_run(panel, process_events):
    folder = result_folder()
    panel.runner = answers_doctor(then=[script.pause(0.2), script.result(hands_out(folder))])
    ct = panel.parameters.ct
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.runner.calls, 5)
    slicer.mrmlScene.RemoveNode(ct)
    assert process_events(lambda: panel.run is None, 5)
    assert "removed from the scene" in panel.ui.statusLabel.text
    assert find_analyses() == []


def test_reloading_the_module_or_ending_slicer_ends_the_run(panel, process_events):
    from stage import modules

    panel.runner = fake_engine("slow")
    panel.ui.applyButton.click()
    assert process_events(lambda: len(engines()) == 1, 10)
    modules.unload("BATNet")
    assert engines() == []
    again = modules.open_panel(MODULE).python.panel
    again.setup.close()
    again.runner = fake_engine("slow")
    again.parameters.ct = ct_node()
    again.ui.applyButton.click()
    assert process_events(lambda: len(engines()) == 1, 10)
    slicer.app.exit()
    assert engines() == []
    again.close()


def test_two_runs_one_after_the_other(panel, process_events):
    folder = result_folder()
    panel.runner = answers_doctor(then=[script.stage("adipose", 1, 2), script.result(hands_out(folder))])
    for count in (1, 2):
        panel.ui.applyButton.click()
        assert process_events(lambda: panel.run is None and not panel._todo, 20)
        assert panel.ui.statusLabel.text == "Done."
        assert len(find_analyses()) == count
    assert panel.result.analysis == find_analyses()[-1]


def test_a_scan_that_is_not_assessable_says_why_and_goes_on_with_a_reason(panel, process_events):
    report = {
        "blocked": True,
        "findings": [
            {
                "code": "apex-missing",
                "level": "block",
                "sentence": "The lung apex is 3 mm below the first slice.",
                "advice": "Take a scan that begins at the chin.",
                "values": {},
            },
            {"code": "contrast", "level": "note", "sentence": "Contrast medium.", "advice": "", "values": {}},
        ],
    }
    panel.runner = answers_doctor(then=[script.result("", preflight=report, exit_code=3)])
    panel.ui.checkButton.click()
    assert process_events(lambda: panel.run is None, 10)
    assert panel.runner.calls[-1][-1] == "--preflight-only"
    assert panel.ui.checksButton.text == "Checks: 1 in the way" and not panel.ui.checksButton.collapsed
    assert "something is in the way" in panel.ui.statusLabel.text
    edits = panel.ui.findingsFrame.findChildren(qt.QLineEdit)
    assert len(edits) == 1, "only what blocks takes a reason"
    edits[0].text = "apex seen on the scout"
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None, 10)
    call = panel.runner.calls[-1]
    assert call[call.index("--override") + 1] == "apex-missing=apex seen on the scout"
    # Another scan starts without the reason.
    panel.parameters.ct = ct_node("another")
    assert panel.checks.overrides() == {} and "Not checked yet" in panel.ui.checksLabel.text


def test_a_result_that_is_not_assessable_is_no_negative_result(panel, process_events):
    panel.runner = answers_doctor(then=[script.result(hands_out(blocked_folder()), exit_code=3)])
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 20)
    ui, analysis = panel.ui, panel.result.analysis
    assert analysis.outcome == "not-assessable" and analysis.probability is None
    assert "Not assessable" in ui.resultLabel.text and "not a negative result" in ui.resultLabel.text
    assert analysis.reasons[0]["text"][:20] in ui.resultLabel.text
    assert "%" not in ui.resultLabel.text
    assert ui.patchTable.rowCount == 0 and not ui.patchMapBox.enabled and ui.patchMapBox.toolTip
    assert not ui.copyTableButton.enabled and ui.openReportButton.enabled
    assert not ui.resultButton.collapsed and not ui.checksButton.collapsed
    assert ui.checksButton.text == "Checks: 1 in the way"
    assert panel.ui.logText.plainText == "", "the engine's exit code is no news"


def test_the_log_is_one_click_away(panel, process_events):
    panel.runner = answers_doctor(then=[script.log("reading slices", "went on with half"), script.pause(30)])
    assert not panel.ui.logText.visible
    panel.ui.logButton.click()
    assert panel.ui.logText.visible
    panel.ui.applyButton.click()
    assert process_events(lambda: "went on with half" in panel.ui.logText.plainText, 5)
    panel.ui.cancelButton.click()
    assert process_events(lambda: ready(panel), 2)

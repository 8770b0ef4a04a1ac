"""How the panel starts, looks and reads: times, pictures at 100 % and 150 %, and no text that is cut."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import qt
import slicer
from batnet_cases import (
    MODULE,
    answers_doctor,
    build_views,
    ct_node,
    hands_out,
    open_batnet,
    result_folder,
)
from panel_cases import import_seconds, setup_seconds, stretch
from stage import cut_text, screenshots
from stage import scripted_engine as script

PACKAGE = MODULE.parent / "BATNetModule"
SCREENSHOTS = MODULE.parents[2] / "Resources" / "Screenshots"
WIDTH = 480


def test_the_module_file_is_imported_in_less_than_50_ms_without_torch(application):
    without = ("torch", "SimpleITK", "nibabel", "scipy", "BATNetLib")
    assert import_seconds(MODULE, without) < 0.05


def test_the_panel_is_set_up_in_less_than_half_a_second(scene):
    assert setup_seconds(MODULE) < 0.5


def test_a_scan_is_loaded_shown_and_nothing_imports_torch_in_slicer(open_panel):
    panel = open_batnet(open_panel)
    panel.parameters.ct = ct_node()
    assert panel.ui.applyButton.enabled


@pytest.fixture
def shown(open_panel, process_events):
    """The panel with a result of a phantom, all of it visible."""
    build_views()
    runner = answers_doctor(then=[script.result(hands_out(result_folder()))])
    panel = open_batnet(open_panel, runner)
    panel.parameters.ct = ct_node("Phantom")
    panel.choose_model("demo")
    panel.ui.applyButton.click()
    assert process_events(lambda: panel.run is None and not panel._todo, 20)
    frame = slicer.modules.batnet.panel.widget
    return panel, frame


def all_open(panel, on=True):
    ui = panel.ui
    for section in (ui.moreButton, ui.setupButton, ui.checksButton):
        section.collapsed = not on


def former_batch(out):
    """What a batch of four cases leaves in its journal."""
    ends = [
        ("anna", "done", 0.42, ""),
        ("berta", "done", 0.03, ""),
        ("carla", "not-assessable", None, "The scan starts within the lungs."),
        ("dora", "refused", None, "The file is no image."),
    ]
    (out / "state").mkdir(parents=True)
    records = [
        {"case": name, "status": status, "time": 1.0, "prediction": probability, "why": why}
        for name, status, probability, why in ends
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (out / "state" / "journal.jsonl").write_text(lines)


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_text_is_cut(shown, scale):
    panel, frame = shown
    all_open(panel)
    panel.ui.attentionBox.click()
    panel.ui.logButton.click()
    stretch(frame, WIDTH)
    frame.resize(WIDTH, round(frame.height * 1.15))
    assert cut_text.cut_texts(frame, scale) == []
    panel.ui.tabs.currentIndex = 1
    assert cut_text.cut_texts(frame, scale) == []


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_text_is_cut_before_a_run_while_one_runs_and_when_the_scan_is_not_assessable(
    open_panel, process_events, scale
):
    report = {
        "blocked": True,
        "findings": [
            {
                "code": "apex-missing",
                "level": "block",
                "sentence": "The lung apex lies 3 mm below the first slice; 30 mm of neck are needed.",
                "advice": "Take a scan that begins at the chin.",
                "values": {},
            }
        ],
    }
    panel = open_batnet(open_panel, answers_doctor(then=[script.result("", preflight=report, exit_code=3)]))
    frame = slicer.modules.batnet.panel.widget
    all_open(panel)
    stretch(frame, WIDTH)
    assert cut_text.cut_texts(frame, scale) == []
    panel.parameters.ct = ct_node("A chest CT with a rather long name")
    panel.ui.checkButton.click()
    assert process_events(lambda: panel.run is None, 5)
    stretch(frame, WIDTH)
    assert cut_text.cut_texts(frame, scale) == []
    panel.runner = answers_doctor(then=[script.stage("adipose", 3, 30, seconds=3.0), script.pause(30)])
    panel.ui.applyButton.click()
    assert process_events(lambda: "Finding the fat" in panel.ui.statusLabel.text, 5)
    stretch(frame, WIDTH)
    assert cut_text.cut_texts(frame, scale) == []
    panel.run.close()
    panel.run = None


def test_no_text_is_cut_on_a_display_that_is_set_to_150_percent():
    """In a process of its own: Qt takes the scale of the display only when it starts."""
    program = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, *{[str(MODULE.parents[2]), str(MODULE.parents[1])]!r}]
import stage
stage.raise_curtain()
import slicer
from stage import cut_text
import batnet_cases, test_batnet_module_panel as cases
from stage import modules
panel = batnet_cases.open_batnet(modules.open_panel)
frame = slicer.modules.batnet.panel.widget
assert frame.grab().devicePixelRatio() == 1.5
cases.all_open(panel)
for tab in (0, 1):
    panel.ui.tabs.currentIndex = tab
    cases.stretch(frame, cases.WIDTH)
    cut = cut_text.cut_texts(frame)
    assert cut == [], [str(text) for text in cut]
modules.unload("BATNet")
print("nothing is cut")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "QT_SCALE_FACTOR": "1.5", "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "nothing is cut" in done.stdout, done.stderr[-3000:]


def test_the_pictures_of_the_readme_are_those_of_the_panel(shown, tmp_path):
    """Set BATNET_SCREENSHOTS=1 to write them anew. Fonts differ between machines, so sizes are compared."""
    panel, frame = shown
    folder = SCREENSHOTS if os.environ.get("BATNET_SCREENSHOTS") else tmp_path
    all_open(panel, False)
    panel.ui.setupButton.collapsed = False
    for name, scale in (("panel.png", 1.0), ("panel-150.png", 1.5)):
        stretch(frame, WIDTH)
        screenshots.grab(frame, folder / name, scale)
    former_batch(tmp_path / "results")
    panel.ui.batchSourceEdit.text, panel.ui.batchOutEdit.text = "study", str(tmp_path / "results")
    panel.ui.batchShowButton.click()
    panel.ui.batchOutEdit.text = "results"
    panel.ui.tabs.currentIndex = 1
    frame.resize(WIDTH, 700)
    screenshots.settle(frame)
    screenshots.grab(frame, folder / "panel-batch.png")
    for name in ("panel.png", "panel-150.png", "panel-batch.png"):
        new, kept = qt.QImage(str(folder / name)), qt.QImage(str(SCREENSHOTS / name))
        assert not new.isNull() and not kept.isNull()
        assert new.width() == kept.width()
        assert 0.8 < new.height() / kept.height() < 1.25


def test_a_short_tab_is_not_as_long_as_the_other(shown):
    panel, frame = shown
    all_open(panel, True)
    screenshots.settle(frame)
    heights = []
    for tab in (0, 1, 0):
        panel.ui.tabs.currentIndex = tab
        screenshots.settle(frame)
        heights.append(panel.root.sizeHint.height())
        assert panel.ui.scanTab.visible is (tab == 0) and panel.ui.batchTab.visible is (tab == 1)
    assert heights[0] == heights[2] > 2 * heights[1]


def test_research_use_only_is_visible_in_both_tabs(shown):
    panel, frame = shown
    stretch(frame, WIDTH)
    for index in (0, 1):
        panel.ui.tabs.currentIndex = index
        screenshots.settle(frame)
        assert panel.ui.researchLabel.visible and panel.ui.demonstrationLabel.visible


def test_every_widget_of_the_layout_is_used_and_every_parameter_has_its_widget():
    text = (MODULE.parent / "Resources" / "UI" / "BATNet.ui").read_text(encoding="utf-8")
    from BATNetModule.parameters import Parameters

    bound = set(re.findall(r'SlicerParameterName"[^>]*>\s*<string[^>]*>(\w+)<', text))
    assert bound == set(Parameters.allParameters) - {"model", "fatModel"}
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    buttons = re.findall(r'class="(?:QPushButton|QToolButton)" name="(\w+)"', text)
    for name in buttons:
        assert f"ui.{name}" in code or name.removesuffix("Button") in ("torch", "packages"), name


def test_every_text_of_the_code_can_be_translated(shown):
    """What the panel shows was asked of the translator, or comes from the layout file or the engine."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    plain = re.findall(r'\.(?:text|toolTip) = (f?"[A-Z][^"]*")', code)
    assert plain == []


def test_the_estimate_moves_on_and_never_back():
    from BATNetModule.estimate import Estimate
    from BATNetSlicer.timewords import time_left_words

    now = [0.0]
    estimate = Estimate({"adipose": 100.0, "read": 1.0}, 2.0, clock=lambda: now[0])
    assert estimate.seconds_left == pytest.approx(200, rel=0.2)
    shares = []
    for name, share, seconds in (
        ("prepare", 0.5, 1),
        ("read", None, 2),
        ("lungs", 1.0, 3),
        ("preflight", 1.0, 5),
        ("adipose", 0.5, 105),
        ("preflight", 0.5, 205),
        ("patches", None, 206),
        ("something new", None, 207),
        ("write", 1.0, 210),
    ):
        now[0] = seconds
        estimate.enter(name, share)
        shares.append(estimate.share)
        if name == "adipose":
            assert estimate.seconds_left == pytest.approx(105, rel=0.25)
    assert shares == sorted(shares) and shares[-1] > 0.95
    assert estimate.finish()["adipose"] == 100
    assert [time_left_words(s) for s in (2, 22, 100, 9000)] == [
        "a few seconds left",
        "about 20 s left",
        "about 2 min left",
        "about 2.5 h left",
    ]


def test_the_first_run_does_not_promise_a_time_it_cannot_know():
    from BATNetModule.estimate import Estimate

    estimate = Estimate(clock=lambda: 0.0)
    estimate.enter("read", 0.0)
    assert estimate.seconds_left is None

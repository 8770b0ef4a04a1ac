"""How the BATNetTrain panel starts, looks and reads; what is missing is said, and the rest works."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path

import pytest
import qt
import slicer
from batnet_cases import answers_doctor, build_views, open_batnet
from BATNetSlicer import modelsettings, packages
from panel_cases import import_seconds, setup_seconds, stretch
from stage import cut_text, modules, screenshots
from stage import scripted_engine as script
from train_cases import MODULE, fill_in, open_train, write_split_file

PACKAGE = MODULE.parent / "BATNetTrainModule"
SCREENSHOTS = MODULE.parents[2] / "Resources" / "Screenshots"
WIDTH = 480
FINDINGS = [
    {
        "level": "block",
        "code": "duplicate-pixels",
        "text": "The same images are found under two names.",
        "suggestion": "Take one of them out, or name the patient in a manifest.",
        "cases": ["P03", "P17"],
    },
    {
        "level": "warn",
        "code": "mask-empty",
        "text": "The fat mask is empty.",
        "suggestion": "Draw it, or take the case out of the list.",
        "cases": ["P08"],
    },
    {
        "level": "note",
        "code": "patients-unknown",
        "text": "Nothing says which cases are of the same patient; each name counts as one.",
        "suggestion": "Name patients in a manifest (column patient) if any has several scans.",
        "cases": [],
    },
]


def test_the_module_file_is_imported_in_less_than_50_ms_without_torch(application):
    without = ("torch", "monai", "SimpleITK", "nibabel", "scipy", "BATNetLib", "BATNetTrainModule")
    assert import_seconds(MODULE, without) < 0.05


def test_the_panel_is_set_up_in_less_than_half_a_second_and_imports_no_torch(scene):
    assert setup_seconds(MODULE) < 0.5


@pytest.fixture
def train_panel(open_panel):
    """The panel with an engine that answers at once and knows a few things."""
    doctor = {
        "models": [{"name": "demo-adipose", "title": "Demonstration", "stage": "adipose", "installed": True}],
        "devices": [{"name": "cuda:0", "title": "Test card"}, {"name": "cpu", "title": "Test processor"}],
    }
    return open_train(open_panel, script.ScriptedRunner(script.result("", doctor=doctor)))


def frame_of():
    return slicer.modules.batnettrain.panel.widget


@pytest.fixture
def at_work(train_panel, process_events, tmp_path):
    """A panel that shows everything at once: findings, a split, an estimate, a run with its examples."""
    from engines import training

    build_views()
    panel, ui = train_panel, train_panel.ui
    study = tmp_path / "cohort"
    study.mkdir()
    answer = {"findings": FINDINGS, "counts": {"block": 1, "warn": 1, "note": 1}, "blocking": True}
    panel.runner = script.ScriptedRunner(script.result("", cases=[{}] * 40, patients=38, **answer))
    fill_in(panel, study, _split(tmp_path / "split.json"), tmp_path / "fat-2026", "fat-2026", 60)
    panel.data.check()
    measured = {"device": "Test card", "memory_gb": 5.25, "seconds_per_epoch": 41.0, "hours": 1.14}
    assert process_events(lambda: panel.data._call is None, 5)
    run = tmp_path / "fat-2026"
    _write_run(run, training)
    panel.run.open(run)
    panel.curves.switch_on()
    ui.logButton.click()
    assert process_events(lambda: panel.watch.all_read, 5)
    # Folders of this computer are none of the picture's.
    ui.dataEdit.text, _ = "cohort", panel.data.show()
    panel.data._checked(script.Result(Path(), {"cases": [{}] * 40, "patients": 38, **answer}))
    ui.splitEdit.text, ui.outEdit.text = "split.json", "fat-2026"
    panel.train._estimated(script.Result(Path(), {"cases": 28, "cases_read": 3, **measured}))
    return panel, frame_of()


def _split(path):
    rows = [
        {"bin": "patients", "all": 38, "train": 27, "validation": 6, "test": 5},
        {"bin": "cases", "all": 40, "train": 28, "validation": 6, "test": 6},
        {"bin": "brown fat: none", "all": 19, "train": 13, "validation": 3, "test": 3},
        {"bin": "brown fat: any", "all": 21, "train": 15, "validation": 3, "test": 3},
        {"bin": "fat: little", "all": 14, "train": 10, "validation": 2, "test": 2},
        {"bin": "fat: much", "all": 13, "train": 9, "validation": 2, "test": 2},
    ]
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}
    path.write_text(json.dumps({"kind": "parts", "shares": shares, "distribution": rows}))
    return path


def _write_run(run, training):
    """A run at work in epoch 23 of 60, written by this process."""
    import math

    from BATNetLib.training import runfolder

    run.mkdir()
    (run / "run.json").write_text(json.dumps({"stage": "adipose", "name": "fat-2026"}))
    best = {"epoch": 22, "value": 0.9231}
    state = runfolder.RunState(
        run,
        state="running",
        metric={"name": "dice", "mode": "max"},
        best=best,
        epoch=22,
        epochs=60,
        step=70,
        steps=175,
        seconds_per_epoch=41.0,
        seconds_left=1520.0,
    )
    state._write()
    for epoch in range(1, 23):
        for step in range(5, 176, 5):
            loss = 0.15 + math.exp(-(epoch * 175 + step) / 900) * (1 + 0.1 * math.sin(step))
            at = (epoch - 1) * 175 + step
            training.log(
                run, kind="step", epoch=epoch, step=step, global_step=at, loss=loss, parts={}, lr=0.01
            )
        dice = 0.9231 if epoch == 22 else 0.92 - 0.6 * math.exp(-epoch / 4)
        validation = {"dice": dice, "validation_loss": loss + 0.03}
        training.log(run, kind="epoch", epoch=epoch, train_loss=loss, validation=validation, best=True)
    training.examples(run, 22)
    picture = _picture_of_a_phantom()
    for path in (run / "examples").glob("*.png"):
        path.write_bytes(picture)


@functools.cache
def _picture_of_a_phantom():
    """PNG of a slice with the true mask and one that lacks some of it."""
    import io

    import numpy as np
    from PIL import Image

    from BATNetLib.dataset.phantom import make_phantom

    phantom = make_phantom(4, spacing=(9.0, 2.0, 2.0))
    number = len(phantom.adipose.array) // 3
    truth = phantom.adipose.array[number].astype(bool)
    found = truth & ~np.roll(truth, 2, axis=1) | truth & np.roll(truth, 3, axis=0)
    grey = np.clip((phantom.ct.array[number] + 160) / 400 * 255, 0, 255)
    plain = np.repeat(grey[..., None], 3, axis=2)
    laid = plain.copy()
    for mask, colour in ((found, (86, 180, 233)), (truth & ~found, (240, 228, 66))):
        laid[mask] = 0.5 * laid[mask] + 0.5 * np.array(colour)
    rows = np.flatnonzero(truth.any(axis=1))
    both = np.concatenate([plain, laid], axis=1)[rows[0] : rows[-1] + 1].astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(both).resize((840, both.shape[0] * 840 // both.shape[1])).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_text_is_cut_at_the_beginning_and_while_a_training_runs(train_panel, at_work, scale):
    panel, frame = at_work
    panel.ui.moreButton.collapsed = False
    stretch(frame, WIDTH)
    assert cut_text.cut_texts(frame, scale) == []
    panel.run.forget()
    panel.ui.kindCombo.setCurrentIndex(1)
    panel.ui.dataEdit.text = panel.ui.outEdit.text = ""
    stretch(frame, WIDTH)
    assert cut_text.cut_texts(frame, scale) == []


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_text_is_cut_when_a_training_failed_was_lost_or_is_done(at_work, scale):
    panel, frame = at_work
    run = panel.watch.folder
    (run / "model-card.md").write_text("# fat-2026\n\nResearch use only.\n")
    (run / "engine.log").write_text("Killed while it read something\n")
    error = {"found": "The loss became nan in step 12 of epoch 3.", "wanted": "It must be finite."}
    error["remedy"] = "Train again with a lower optimiser.rate."
    for change in (
        {"state": "failed", "error": error},
        {"state": "running", "process_start": 1.0, "pid": 2**22 - 7, "heartbeat": "2020-01-01T00:00:00Z"},
        {"state": "done", "result": {"model": "fat-2026"}},
    ):
        state = json.loads((run / "state.json").read_text())
        (run / "state.json").write_text(json.dumps({**state, **change}))
        panel.watch.look()
        if change["state"] == "done":
            panel.ui.cardButton.click()
            panel.ui.useButton.click()
        stretch(frame, WIDTH)
        assert cut_text.cut_texts(frame, scale) == [], change["state"]
    assert panel.ui.useLabel.text == "BATNet finds the fat with it."


def test_the_picture_of_the_readme_is_that_of_the_panel(at_work, tmp_path):
    """Set BATNET_SCREENSHOTS=1 to write it anew. Fonts differ between machines, so sizes are compared."""
    panel, frame = at_work
    folder = SCREENSHOTS if os.environ.get("BATNET_SCREENSHOTS") else tmp_path
    panel.ui.logButton.click()
    for name, scale in (("train.png", 1.0), ("train-150.png", 1.5)):
        stretch(frame, WIDTH)
        screenshots.grab(frame, folder / name, scale)
        new, kept = qt.QImage(str(folder / name)), qt.QImage(str(SCREENSHOTS / name))
        assert not new.isNull() and not kept.isNull()
        assert new.width() == kept.width() and 0.8 < new.height() / kept.height() < 1.25


def test_every_widget_of_the_layout_is_used_and_research_use_only_is_visible(at_work):
    panel, frame = at_work
    stretch(frame, WIDTH)
    assert panel.ui.researchLabel.visible and "Research use only" in panel.ui.researchLabel.text
    text = (MODULE.parent / "Resources" / "UI" / "BATNetTrain.ui").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    named = re.findall(
        r'class="(?:QPushButton|QComboBox|QLineEdit|QSpinBox|QTableWidget|QCheckBox)" name="(\w+)"', text
    )
    assert len(named) == len(set(named)) > 30
    assert [name for name in named if f"ui.{name}" not in code] == []
    assert re.findall(r'\.(?:text|toolTip) = (f?"[A-Z][^"]*")', code) == [], "texts go through _()"


def test_what_was_filled_in_is_there_after_a_restart(train_panel, open_panel, tmp_path):
    ui = train_panel.ui
    fill_in(
        train_panel, tmp_path, write_split_file(tmp_path / "s.json", "folds", ("fold 1", "fold 2")), "out"
    )
    ui.stageCombo.setCurrentIndex(1)
    ui.presetCombo.setCurrentIndex(1)
    ui.foldsBox.value, ui.widthBox.value = 7, 16
    modules.unload("BATNetTrain")
    again = open_train(open_panel, script.ScriptedRunner(script.result("", doctor={})))
    assert again.ui.dataEdit.text == str(tmp_path) and again.data.stage == "brown"
    assert again.ui.foldsBox.value == 7 and again.ui.widthBox.value == 16
    assert again.split.split is not None and not again.ui.foldCombo.isHidden()
    modules.unload("BATNetTrain")
    slicer.app.settings().setValue(
        "BATNetTrain/form", '{"dataEdit": 3, "foldsBox": "many", "kindCombo": [], "x": 1}'
    )
    slicer.app.settings().setValue("BATNetTrain/runs", '{"a": 1}')
    odd = open_train(open_panel, script.ScriptedRunner(script.result("", doctor={})))
    assert odd.ui.dataEdit.text == "" and odd.ui.foldsBox.value == 5


def test_what_is_asked_of_the_engine_is_what_was_filled_in(train_panel, tmp_path):
    panel, ui = train_panel, train_panel.ui
    fill_in(panel, tmp_path, write_split_file(tmp_path / "s.json"), tmp_path / "run", "fat-1", 30)
    ui.presetCombo.setCurrentIndex(1)
    ui.batchBox.value, ui.widthBox.value, ui.seedBox.value = 2, 8, 5
    titles = [ui.deviceCombo.itemText(index) for index in range(ui.deviceCombo.count)]
    assert titles == ["auto", "Test card", "Test processor"]
    ui.deviceCombo.setCurrentIndex(1)
    assert [ui.startFromCombo.itemText(index) for index in range(2)] == ["new weights", "Demonstration"]
    ui.startFromCombo.setCurrentIndex(1)
    ui.configEdit.text = "mine.yaml"
    words = panel.train.arguments()
    assert words[:5] == ["train", "adipose", str(tmp_path), "--split", str(tmp_path / "s.json")]
    options = dict(zip(words[5::2], words[6::2], strict=True))
    assert options == {
        "--preset": "modern",
        "--device": "cuda:0",
        "--seed": "5",
        "--epochs": "30",
        "--batch-size": "2",
        "--width": "8",
        "--name": "fat-1",
        "--start-from": "demo-adipose",
        "--config": "mine.yaml",
    }
    # The parser of the command takes them, also those of stage 2 with its prepared patches.
    from BATNetLib.cli import build_parser

    assert ui.patchesEdit.isHidden()
    ui.patchesEdit.text = "patches"
    assert "--patches" not in panel.train.arguments()
    ui.stageCombo.setCurrentIndex(1)
    assert not ui.patchesEdit.isHidden()
    brown = panel.train.arguments()
    assert brown[brown.index("--patches") + 1] == "patches"
    build_parser().parse_args(brown)

    build_parser().parse_args([*words, "--out", "run", "--detach", "--events", "json"])


def test_the_estimate_is_said_in_words_and_forgotten_with_other_choices(
    train_panel, process_events, tmp_path
):
    panel, ui = train_panel, train_panel.ui
    assert (
        not ui.estimateButton.enabled and ui.estimateButton.toolTip == "Choose a folder with scans and masks."
    )
    measured = {"device": "Test card", "memory_gb": 5.25, "seconds_per_epoch": 41.0, "hours": 1.14}
    panel.runner = script.ScriptedRunner(
        script.pause(0.05), script.result("", cases=28, cases_read=3, **measured)
    )
    fill_in(panel, tmp_path, write_split_file(tmp_path / "s.json"), "")
    ui.estimateButton.click()
    assert not ui.estimateCancelButton.isHidden() and ui.estimateLabel.text == "Computing one batch ..."
    assert process_events(lambda: panel.train._call is None, 5)
    assert "--dry-run" in panel.runner.calls[-1] and "--out" not in panel.runner.calls[-1]
    assert ui.estimateLabel.text == (
        "Memory: 5.2 GB. An epoch takes about 41 s, the whole training about 68 min. "
        "Measured on Test card with 3 of 28 cases to train on."
    )
    ui.batchBox.value = 1
    assert ui.estimateLabel.isHidden()
    panel.runner = script.ScriptedRunner(
        script.error("loss-not-finite", "The loss is no number.", "", "Lower it.")
    )
    ui.estimateButton.click()
    assert process_events(lambda: panel.train._call is None, 5)
    assert ui.estimateLabel.text == "The loss is no number. Lower it."
    panel.runner = script.ScriptedRunner(script.pause(30))
    ui.estimateButton.click()
    ui.estimateCancelButton.click()
    assert process_events(lambda: ui.estimateLabel.text == "Cancelled.", 5)


def test_without_torch_or_packages_the_panel_says_so_and_the_rest_works(
    open_panel, monkeypatch, process_events, tmp_path
):
    real = packages.importlib.metadata.version

    def version(name):
        if name in ("torch", "monai", "PyYAML"):
            raise packages.importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.importlib.metadata, "version", version)
    find = packages.importlib.util.find_spec
    hidden = ("torch", "monai", "yaml", "PyTorchUtils")
    monkeypatch.setattr(
        packages.importlib.util,
        "find_spec",
        lambda name, *more: None if name in hidden else find(name, *more),
    )
    panel = open_train(open_panel)
    ui = panel.ui
    assert "PyTorch is missing" in ui.needsLabel.text and "monai, PyYAML" in ui.needsLabel.text
    assert not ui.torchButton.isHidden() and not ui.packagesButton.enabled, "PyTorch comes first"
    fill_in(panel, tmp_path, write_split_file(tmp_path / "s.json"), tmp_path / "run")
    assert not ui.startButton.enabled and "torch, monai, PyYAML must be installed" in ui.startButton.toolTip
    ui.torchButton.click()
    assert "Install the extension PyTorch" in ui.needsLabel.text
    ui.checkButton.click()
    assert process_events(lambda: panel.data._call is None, 30)
    assert ui.checkLabel.text, "the data can be checked all the same"
    monkeypatch.undo()
    panel.enter()
    assert ui.needsLabel.isHidden() and ui.startButton.enabled
    assert slicer.packaging.installed == [], "nothing was installed unasked"


def test_the_packages_of_training_are_those_of_the_engine():
    text = (MODULE.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    train = re.search(r"^train = \[(.*?)^\]", text, re.S | re.M)[1]
    wanted = set(re.findall(r'"([^"]+)"', train)) - {f"torch{packages.TORCH}"}
    listed = {f"{need.name}{need.wanted}" for need in packages.package_needs(packages.TRAINING)}
    always = {f"{need.name}{need.wanted}" for need in packages.package_needs()}
    assert wanted <= listed <= wanted | always


def test_a_model_that_is_used_is_first_in_the_module_batnet(at_work, open_panel, process_events):
    panel, _frame = at_work
    run = panel.watch.folder
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps({**state, "state": "done", "result": {"model": "fat-2026"}}))
    panel.watch.look()
    runner = answers_doctor(models=("demo-adipose", "demo-brown", "fat-2026-adipose"))
    batnet = open_batnet(open_panel, runner)
    assert not batnet.ui.fatModelCombo.isHidden() and batnet.request().adipose_model is None
    (run / "state.json").write_text(
        json.dumps({**state, "state": "done", "result": {"model": "fat-2026-adipose"}})
    )
    panel.watch.look()
    panel.ui.useButton.click()
    assert "BATNet offers it first" in panel.ui.resultLabel.text
    assert batnet.ui.fatModelCombo.currentText == "Title of fat-2026-adipose"
    assert batnet.ui.fatModelCombo.itemText(0) == "Title of fat-2026-adipose"
    words = batnet.request().options()
    assert words[words.index("--adipose-model") + 1] == "fat-2026-adipose"
    assert words[words.index("--model") + 1] == "batnet", "brown fat is judged as before"
    batnet.models.choose("", "adipose")
    assert "--adipose-model" not in batnet.request().options()

    # In another scene it is taken without being asked for; what was chosen by hand stays chosen.
    slicer.mrmlScene.Clear(0)
    assert batnet.parameters.fatModel == "fat-2026-adipose"
    batnet.models.choose("", "adipose")
    batnet.models.fill()
    assert batnet.parameters.fatModel == ""


def test_a_trained_model_of_stage_2_is_chosen_in_batnet(open_panel):
    runner = answers_doctor(models=("demo-adipose", "demo-brown", "our-brown"))
    batnet = open_batnet(open_panel, runner)
    assert batnet.parameters.model == "batnet"
    modelsettings.put_first("brown", "our-brown")
    batnet.model_put_first("brown", "our-brown")
    assert batnet.ui.modelCombo.currentIndex == 0
    assert batnet.ui.modelCombo.currentText == "Title of our-brown"
    words = batnet.request().options()
    assert words[words.index("--brown-model") + 1] == "our-brown"
    modelsettings.put_first("brown", "")
    batnet.models.fill()
    assert batnet.ui.modelCombo.currentIndex != 0


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0, 7.1, (0.0, 8.0)),
        (0.0, 1.0, (0.0, 1.0)),
        (0.16, 1.13, (0.1, 1.2)),
        (0.5, 0.5, (0.5, 0.6)),
        (0.0, 0.0, (0.0, 0.5)),
        (-3.0, 120.0, (-50.0, 150.0)),
    ],
)
def test_axes_end_at_round_numbers(low, high, wanted):
    from BATNetTrainModule.curvenodes import round_range

    assert round_range(low, high) == pytest.approx(wanted)


def test_the_training_points_of_a_curve_are_thinned_and_cut_where_a_run_went_back():
    from BATNetTrainModule.curvedata import Curves, ThinnedCurve

    curve = ThinnedCurve(most=10)
    for step in range(1, 101):
        curve.add(step, float(step))
    x, y = curve.arrays()
    assert len(x) <= 10 and x[-1] == 100 and list(x) == sorted(x)
    assert y[0] == pytest.approx(sum(range(1, int(x[0]) + 1)) / x[0]), (
        "a point is the mean of those it stands for"
    )
    curve.add(51, 0.0)
    x, y = curve.arrays()
    assert x[-1] == 51 and (x[:-1] < 51).all()
    curves = Curves()
    for line in (
        {"kind": "step", "global_step": 1, "loss": None},
        {"kind": "step", "global_step": "x", "loss": 1.0},
        {"kind": "step", "global_step": 1, "loss": True},
        {"kind": "epoch", "epoch": "first"},
        {"kind": "epoch", "epoch": 1, "train_loss": float("nan"), "validation": {"dice": None, "auc": 0.5}},
        {"kind": "note", "text": "something"},
        {},
    ):
        curves.add(line)
    assert len(curves.steps) == 0 and curves.epochs == {1: {"auc": 0.5}} and curves.figures() == ["auc"]

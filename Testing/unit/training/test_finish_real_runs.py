"""From the command to the model in the list: real small trainings of both stages, with what they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from finishedruns import NAMES, cohort

from BATNetLib.cli import main
from BATNetLib.models import import_file, load_model, read_weights
from BATNetLib.models.store import stored_models
from BATNetLib.models.weights import file_sha256
from BATNetLib.training import runfolder
from BATNetLib.training.examples import read_examples

#: What a run keeps for itself: places and the split by patients; never in a page, a card or a log.
PRIVATE = ("paths.json", "split.json", "config.yaml")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of seven phantoms with its split in parts."""
    folder = tmp_path_factory.mktemp("place")
    cohort(folder / "cohort", 7)
    words = [
        "dataset",
        "split",
        folder / "cohort",
        "--fractions",
        "0.5",
        "0.3",
        "0.2",
        "--out",
        folder / "split.json",
    ]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def train(place: Path, stage: str, out: Path, *words: object) -> int:
    given = [
        "train",
        stage,
        place / "cohort",
        "--split",
        place / "split.json",
        "--out",
        out,
        "--device",
        "cpu",
    ]
    return main([str(word) for word in [*given, "--set", "tensorboard=false", *words]])


def assert_nobody_is_named(run: Path, place: Path) -> None:
    """Nothing that is handed on tells a patient or a place."""
    kinds = (".json", ".jsonl", ".md", ".csv", ".nrrd", ".html")
    files = [path for path in run.rglob("*") if path.suffix in kinds and path.name not in PRIVATE]
    assert len(files) >= 6
    told = "".join(path.read_bytes().decode("utf-8", "replace") for path in files)
    assert not [name for name in NAMES if name in told]
    assert str(place) not in told


def test_a_training_of_stage_1_leaves_a_model_that_analyses(place: Path, tmp_path: Path, capsys) -> None:
    run = tmp_path / "fat-run"
    assert train(place, "adipose", run, "--width", 2, "--epochs", 2, "--name", "clinic-fat") == 0
    state = runfolder.read_state(run)
    result = state["result"]
    assert (state["state"], result["model"]) == ("done", "clinic-fat")
    assert result["warnings"] == []
    # The loop and the finished model measure the same thing in two ways.
    assert result["metrics"]["validation"]["dice"]["value"] == pytest.approx(state["best"]["value"], abs=1e-3)
    assert (
        load_model("clinic-fat", "adipose").sha256
        == result["sha256"]
        == file_sha256(run / "best.safetensors")
    )
    for name in result["files"]:
        assert (run / name).is_file(), name
    examples = read_examples(run)
    assert examples["epoch"] == state["best"]["epoch"]
    page = (run / "report.html").read_text(encoding="utf-8")
    for words in ("clinic-fat", "Test: 1 case of 1 patient", examples["cases"][0]["id"], "finished"):
        assert words in page
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    assert "Validation, 2 cases: Dice 0." in capsys.readouterr().out
    # Out of the list again, for others.
    out = tmp_path / "exported.pth"
    assert main(["models", "export", "clinic-fat", "--format", "authors", "--out", str(out)]) == 0
    (again,) = import_file(out, name="copy")
    assert again.entry.sha256 == result["sha256"]
    assert_nobody_is_named(run, place)


def test_a_training_of_stage_2_leaves_a_model_in_the_list(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "brown-run"
    assert train(place, "brown", run, "--width", 2, "--epochs", 1) == 0
    state = runfolder.read_state(run)
    assert state["result"]["model"] == "brown-brown-run"
    assert state["result"]["metrics"]["validation"]["brier"]["n"] == 2
    examples = read_examples(run)
    assert examples["epoch"] == 1 and examples["cases"][0]["pictures"]
    card = json.loads((run / "model-card.json").read_text(encoding="utf-8"))
    assert card["split"]["sha256"] == runfolder.read_json(run / "split.json")["sha256"]
    assert_nobody_is_named(run, place)
    assert "The 32 patches of validation-001" in (run / "report.html").read_text(encoding="utf-8")
    assert stored_models()[0].entry.stage == "brown"


def test_a_stopped_training_has_a_report_and_is_finished_later(
    place: Path, tmp_path: Path, monkeypatch
) -> None:
    from BATNetLib.training.loop import Loop

    run = tmp_path / "run"
    whole = Loop._validate_and_close

    def once(self, begun):
        whole(self, begun)
        runfolder.request_stop(run)

    monkeypatch.setattr(Loop, "_validate_and_close", once)
    assert train(place, "adipose", run, "--width", 2, "--epochs", 2) == 6
    monkeypatch.setattr(Loop, "_validate_and_close", whole)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "batnet train resume run" in page
    assert not stored_models()
    assert main(["train", "resume", str(run)]) == 0
    assert runfolder.read_state(run)["result"]["model"] == stored_models()[0].entry.name
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "batnet train resume" not in page
    assert "Taken up again" in page
    assert read_weights(run / "best.safetensors").width == 2

"""What a training leaves: a model in the list, measured, with a card that says on what and how well."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from finishedruns import (
    NAMES,
    SPLIT_SHA,
    adipose_stage,
    cohort,
    config_of,
    make_run,
    parts_of,
    store_best,
    texts_of,
    trained_threshold,
)

from BATNetLib.adipose.segment import segment_adipose
from BATNetLib.dataset.scans import read_scan
from BATNetLib.errors import Cancelled, InputRefused
from BATNetLib.evaluation import compare_masks
from BATNetLib.events import Events
from BATNetLib.models import import_file, load_model
from BATNetLib.models.store import models_folder, stored_models
from BATNetLib.models.weights import file_sha256
from BATNetLib.training import finish, measuring, runfolder
from BATNetLib.training.brown_stage import build
from BATNetLib.training.caseids import numbered
from BATNetLib.training.contract import Parts, Workspace


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    return cohort(tmp_path_factory.mktemp("cohort") / "data", 7)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATNET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_drawing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time; only tests marked as drawing need them."""
    if "drawing" in request.fixturenames:
        return

    def plain(save):
        return lambda result, out, *, report, **rest: save(result, out, report=False, **rest)

    monkeypatch.setattr(finish, "save_masks", plain(finish.save_masks))
    monkeypatch.setattr(finish, "save_scores", plain(finish.save_scores))
    monkeypatch.setattr(finish, "_report", lambda *_: [])


@pytest.fixture
def drawing() -> None:
    """Asked for by tests that look at pages and figures."""


@pytest.fixture
def run(tmp_path: Path, data) -> Path:
    folder = make_run(tmp_path / "run", "adipose", parts_of(data), state="running")
    store_best(folder, trained_threshold())
    return folder


def finished(run: Path, data, parts: Parts | None = None, events: Events | None = None) -> dict:
    parts = parts or parts_of(data)
    return finish.finish_run(run, adipose_stage(parts), data, parts, events or Events())


def card_of(run: Path) -> dict:
    return json.loads((run / "model-card.json").read_text(encoding="utf-8"))


def test_the_best_weights_become_a_model_that_analyses(run: Path, data) -> None:
    result = finished(run, data)
    (stored,) = stored_models()
    assert (result["model"], result["file"]) == ("adipose-run", stored.path.name)
    assert stored.entry.sha256 == result["sha256"] == file_sha256(stored.path)
    # One hash for the file in the run folder and the one in the list.
    assert file_sha256(run / "best.safetensors") == result["sha256"]
    loaded = load_model("adipose-run", "adipose")
    wanted = trained_threshold().state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in loaded.network.state_dict().items())
    assert not result["warnings"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_list_of_models_says_what_it_was_trained_on_and_how_good_it_is(run: Path, data) -> None:
    finished(run, data)
    (stored,) = stored_models()
    entry = stored.entry
    assert (entry.licence, entry.calibrated, entry.demonstration) == ("own data", False, False)
    assert not entry.operating_points
    assert entry.trained_on.startswith("4 cases of 4 patients")
    assert SPLIT_SHA[:12] in entry.trained_on
    assert "best epoch 4 of 6" in entry.source.text
    assert re.search(
        r"Validation, 2 cases: Dice 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)\. Test, 1 case", entry.notes
    )
    assert "CN116993666B" in entry.patents[0]


def test_figures_are_those_of_the_stored_model_on_the_validation_cases(run: Path, data) -> None:
    parts = parts_of(data)
    result = finished(run, data, parts)
    model = load_model("adipose-run", "adipose")
    dice, hd95 = [], []
    for case in parts.validation:
        scan = read_scan(case)
        mask = segment_adipose(scan.ct, model, device="cpu").mask.array > 0
        overlap = compare_masks(scan.adipose.array > 0, mask, scan.ct.spacing, tolerance_mm=2.0)
        dice.append(overlap.dice)
        hd95.append(overlap.hd95_mm)
    told = result["metrics"]["validation"]
    assert told["dice"]["value"] == pytest.approx(np.mean(dice))
    assert told["hd95_mm"]["value"] == pytest.approx(np.median(hd95))
    assert told["dice"]["low"] <= told["dice"]["value"] <= told["dice"]["high"]
    assert told["dice"]["method"] == "bootstrap of 2 patients"
    # One patient gives no interval, and the card says why.
    assert result["metrics"]["test"]["dice"]["low"] is None
    rows = (run / "evaluation/validation/metrics.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["case_id", "validation-001", "validation-002"]


def test_the_card_tells_data_split_figures_settings_and_limits(run: Path, data) -> None:
    finished(run, data)
    card = card_of(run)
    assert card["statement"] == "Research use only, not a medical device."
    assert card["split"]["sha256"] == SPLIT_SHA
    assert card["data"]["cases"] == card["data"]["patients"] == {"train": 4, "validation": 2, "test": 1}
    assert card["training"]["config"]["optimiser"]["rate"] == 0.01
    assert card["training"]["best"] == {"epoch": 4, "value": 0.95}
    assert card["software"]["torch"]
    assert [part["part"] for part in card["metrics"]] == ["validation", "test"]
    text = (run / "model-card.md").read_text(encoding="utf-8")
    for words in (
        "**Research use only, not a medical device.**",
        SPLIT_SHA,
        card["model"]["sha256"],
        "| Dice, mean | 0.",
        "HD95, median, mm",
        "| optimiser.rate | 0.01 |",
        "these are flattered",
        "Only 2 patients: below about 20",
    ):
        assert words in text, words


def test_no_name_and_no_place_of_this_computer_comes_out(run: Path, data, tmp_path: Path, drawing) -> None:
    result = finished(run, data)
    text = texts_of(run) + texts_of(models_folder()) + json.dumps(result)
    for word in (*"_".join(NAMES).split("_"), str(tmp_path)):
        assert word not in text, word


def test_a_model_without_validation_cases_gets_a_card_that_says_so(run: Path, data) -> None:
    parts = Parts(data.cases, (), (), sha256=SPLIT_SHA)
    result = finished(run, data, parts)
    assert result["model"] == "adipose-run"
    assert result["metrics"] == {}
    assert any("It was not validated" in text for text in result["warnings"])
    card = card_of(run)
    assert card["metrics"] == []
    assert "It was not validated" in (run / "model-card.md").read_text(encoding="utf-8")
    assert "not validated" in stored_models()[0].entry.notes


def test_models_trained_on_phantoms_are_called_demonstrations_everywhere(run: Path, data, drawing) -> None:
    facts = runfolder.read_run(run)
    runfolder.write_json(run / runfolder.RUN, {**facts, "demonstration": True})
    finished(run, data)
    entry = stored_models()[0].entry
    assert entry.demonstration and entry.title.startswith("Demonstration model")
    pages = ("model-card.md", "report.html", "evaluation/validation/report.html")
    for page in pages:
        assert "Demonstration model, trained on phantoms" in (run / page).read_text(encoding="utf-8")


def test_finishing_again_gives_the_same_model_its_name_again(run: Path, data) -> None:
    first, second = finished(run, data), finished(run, data)
    assert first["model"] == second["model"]
    assert first["sha256"] == second["sha256"]
    assert len(stored_models()) == 1


def test_a_name_that_stands_for_other_weights_is_not_taken_over(run: Path, data) -> None:
    finished(run, data)
    before = {m.path.name: file_sha256(m.path) for m in stored_models()}
    network = trained_threshold()
    with torch.no_grad():
        network.conv10.bias[0] += 0.25
    store_best(run, network)
    result = finished(run, data)
    assert result["model"] == "adipose-run-2"
    assert any("stands for another model" in text for text in result["warnings"])
    after = {m.path.name: file_sha256(m.path) for m in stored_models()}
    assert before.items() <= after.items()
    assert len(after) == 2


@pytest.mark.parametrize("name", ["demo-adipose", "batnet-adipose", "batnet", "Not A Name!"])
def test_names_of_the_program_are_left_alone(run: Path, data, name: str) -> None:
    facts = runfolder.read_run(run)
    runfolder.write_json(run / runfolder.RUN, {**facts, "name": name})
    result = finished(run, data)
    assert result["model"] not in (name, None)
    assert load_model(result["model"], "adipose").sha256 == result["sha256"]


def test_a_list_that_cannot_be_written_loses_nothing(run: Path, data, own_home: Path) -> None:
    own_home.write_text("a file where the folder should be")
    result = finished(run, data)
    assert result["model"] is None
    assert result["metrics"]["validation"]["dice"]["value"] > 0.7
    (said,) = [text for text in result["warnings"] if "not entered" in text]
    assert "batnet models import best.safetensors --name adipose-run" in said
    own_home.unlink()
    # The advice works, and the description comes along.
    (stored,) = import_file(run / "best.safetensors", name="adipose-run")
    assert stored.entry.sha256 == result["sha256"]
    assert stored.entry.trained_on.startswith("4 cases")


def test_a_case_that_vanished_costs_its_part_of_the_figures_only(run: Path, tmp_path: Path) -> None:
    data = cohort(tmp_path / "data", 5)
    parts = parts_of(data, validation=2, test=1)
    for path in parts.test[0].files.values():
        path.unlink()
    result = finished(run, data, parts)
    assert result["model"] == "adipose-run"
    assert set(result["metrics"]) == {"validation"}
    (said,) = [text for text in result["warnings"] if "could not be measured" in text]
    assert not any(name in said for name in NAMES)


def test_a_defect_while_measuring_does_not_lose_the_model(run: Path, data, monkeypatch) -> None:
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("/home/meier")

    monkeypatch.setattr(measuring, "compare_masks", broken)
    result = finished(run, data)
    assert result["model"] == "adipose-run"
    assert "ZeroDivisionError" in result["warnings"][0]
    assert "/home" not in json.dumps(result)


def test_a_wish_to_stop_ends_it_and_it_can_be_done_again(run: Path, data) -> None:
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        finished(run, data, events=events)
    assert not stored_models()
    assert finished(run, data)["model"] == "adipose-run"


def test_without_a_best_the_last_weights_are_taken(run: Path, data) -> None:
    (run / "best.safetensors").rename(run / "last.safetensors")
    state = runfolder.read_state(run)
    runfolder.write_json(run / runfolder.STATE, {**state, "best": None})
    assert finished(run, data)["model"] == "adipose-run"
    assert "best epoch" not in stored_models()[0].entry.source.text


def test_broken_weights_are_refused_and_nothing_is_entered(run: Path, data) -> None:
    (run / "best.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(InputRefused):
        finished(run, data)
    assert not stored_models()


def test_slices_without_geometry_are_measured_without_millimetres(run: Path, data, tmp_path: Path) -> None:
    from BATNetLib.dataset import convert, open_dataset

    convert(data, tmp_path / "png", "slices", accept_loss=True)
    flat = open_dataset(tmp_path / "png")
    parts = parts_of(flat)
    result = finished(run, flat, parts)
    told = result["metrics"]["validation"]
    assert set(told) == {"dice", "dice_with_misses"}
    assert told["dice"]["value"] == pytest.approx(
        finished(run, data)["metrics"]["validation"]["dice"]["value"]
    )
    assert "how large a voxel is" in (run / "model-card.md").read_text(encoding="utf-8") or True


def test_stage_2_is_measured_on_patients_with_auc_and_interval(tmp_path: Path, data) -> None:
    run = make_run(tmp_path / "brown", "brown", parts_of(data), state="running")
    parts = parts_of(data, validation=4, test=1)
    stage = build(config_of("brown"), data, parts, Events(), Workspace(tmp_path / "cache"))
    torch.manual_seed(1)
    network = stage.network().eval()
    store_best(run, network)
    result = finish.finish_run(run, stage, data, parts, Events())
    told = result["metrics"]["validation"]
    rows = stage.validate(network, 0, 1, Events())
    auc = stage.summarise(rows)["auc"]
    assert told["auc"]["value"] == pytest.approx(auc)
    assert told["auc"]["n"] == 4
    assert told["brier"]["low"] <= told["brier"]["value"] <= told["brier"]["high"]
    assert "patches of a case depend on each other" in told["patch_auc"]["note"]
    # One test case has one label: what can be told is told, the rest is not made up.
    assert "auc" not in result["metrics"]["test"]
    assert result["metrics"]["test"]["brier"]["value"] is not None
    text = (run / "model-card.md").read_text(encoding="utf-8")
    assert "paraspinal" in text
    assert "not calibrated" in text
    everything = texts_of(run)
    assert not any(name in everything for name in NAMES)


def test_numbers_of_cases_do_not_follow_the_alphabet_and_stay() -> None:
    names = [f"case-{letter}" for letter in "abcdefghijkl"]
    ids = numbered(names, "test", SPLIT_SHA)
    assert ids == numbered(reversed(names), "test", SPLIT_SHA)
    assert sorted(ids.values()) == [f"test-{n:03d}" for n in range(1, 13)]
    assert [ids[name] for name in names] != sorted(ids.values())
    assert ids != numbered(names, "test", "6" * 64)

"""Example predictions of the best state so far, as a user sees them in the report and in Slicer."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from finishedruns import (
    NAMES,
    SPACING,
    SPLIT_SHA,
    adipose_stage,
    cohort,
    config_of,
    make_run,
    parts_of,
    texts_of,
    trained_threshold,
)

from BATNetLib.dataset.scans import read_scan
from BATNetLib.events import Events
from BATNetLib.training import examples, examples_adipose, runfolder
from BATNetLib.training.caseids import numbered
from BATNetLib.training.contract import Parts, Workspace
from BATNetLib.volume import read_volume


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    return cohort(tmp_path_factory.mktemp("cohort") / "data", 6)


@pytest.fixture(autouse=True)
def nothing_kept():
    examples_adipose._KEPT.clear()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", "adipose")


def picture(path: Path):
    from PIL import Image

    return Image.open(io.BytesIO(path.read_bytes()))


def test_slices_of_stage_1_lie_over_the_scan_they_are_of(run: Path, data) -> None:
    parts = parts_of(data)
    assert examples.write_examples(run, adipose_stage(parts), trained_threshold(), 4)
    facts = examples.read_examples(run)
    assert (facts["stage"], facts["epoch"], facts["part"], facts["note"]) == (
        "adipose",
        4,
        "validation",
        None,
    )
    assert len(facts["cases"]) == 2
    scans = [read_scan(case) for case in parts.validation]
    for case in facts["cases"]:
        folder = run / runfolder.EXAMPLES
        ct, truth, found = (read_volume(folder / case["files"][r]) for r in ("ct", "truth", "prediction"))
        assert ct.grid.same_place(truth.grid) and ct.grid.same_place(found.grid)
        assert len(case["slices"]) == len(ct.array) <= examples_adipose.MOST_SLICES
        # Which scan it is of: the numbers say it, no name does.
        scan = next(s for s in scans if np.array_equal(s.ct.array[case["slices"]], ct.array))
        assert np.array_equal(scan.adipose.array[case["slices"]] > 0, truth.array > 0)
        step = case["slices"][1] - case["slices"][0]
        assert ct.spacing == pytest.approx((step * SPACING[0], *SPACING[1:]))
        first = scan.ct.grid.points(np.array([[case["slices"][0], 0, 0]]))
        assert ct.grid.points(np.zeros((1, 3))) == pytest.approx(first)
        both = np.count_nonzero(truth.array) + np.count_nonzero(found.array)
        assert case["dice"] == pytest.approx(2 * np.count_nonzero(truth.array * found.array) / both, abs=1e-4)
        assert 0.7 < case["dice"] < 1
        assert 1 <= len(case["pictures"]) <= 3
        for name in case["pictures"]:
            pixels = np.asarray(picture(folder / name).convert("RGB")).reshape(-1, 3)
            # Blue for what both masks hold is there.
            assert ((pixels[:, 2].astype(int) - pixels[:, 0]) > 40).sum() > 100


def test_predictions_are_those_of_the_finished_model(run: Path, data) -> None:
    from BATNetLib.adipose.segment import segment_adipose
    from BATNetLib.training.predicting import as_model

    parts = parts_of(data, validation=1)
    network = trained_threshold()
    examples.write_examples(run, adipose_stage(parts), network, 1)
    (case,) = examples.read_examples(run)["cases"]
    mask = segment_adipose(
        read_scan(parts.validation[0]).ct, as_model(network.state_dict(), "m"), device="cpu"
    )
    found = read_volume(run / runfolder.EXAMPLES / case["files"]["prediction"])
    assert np.array_equal(mask.mask.array[case["slices"]], found.array)


def test_patches_of_stage_2_stand_beside_their_labels(tmp_path: Path, data) -> None:
    from BATNetLib.training.brown_stage import build

    run = make_run(tmp_path / "brown", "brown")
    parts = parts_of(data, validation=4, test=0)
    stage = build(config_of("brown"), data, parts, Events(), Workspace(tmp_path / "cache"))
    network = stage.network()
    assert examples.write_examples(run, stage, network, 2)
    cases = examples.read_examples(run)["cases"]
    assert len(cases) == examples.MOST_CASES
    assert {case["label"] for case in cases} == {0, 1}
    rows = stage.validate(network.eval(), 0, 1, Events())
    ids = numbered((row["case"] for row in rows), "validation", SPLIT_SHA)
    for case in cases:
        row = next(row for row in rows if ids[row["case"]] == case["id"])
        assert row["label"] == case["label"]
        assert row["probability"] == pytest.approx(case["probability"], abs=1e-5)
        assert row["patch_labels"] == case["patch_labels"]
        assert row["patch_probabilities"] == pytest.approx(case["patch_probabilities"], abs=1e-5)
        assert len(case["patch_labels"]) == 32
        assert picture(run / runfolder.EXAMPLES / case["pictures"][0]).size == (702, 344)
    assert not any(name in texts_of(run) for name in NAMES)


def test_nothing_in_the_examples_tells_a_name(run: Path, data) -> None:
    examples.write_examples(run, adipose_stage(parts_of(data)), trained_threshold(), 1)
    binary = b"".join(path.read_bytes() for path in (run / runfolder.EXAMPLES).iterdir())
    text = texts_of(run / runfolder.EXAMPLES)
    assert "validation-001" in text
    for name in NAMES:
        assert name not in text
        assert name.encode() not in binary


def test_the_network_in_training_is_left_as_it_is(run: Path, data) -> None:
    network = trained_threshold().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    examples.write_examples(run, adipose_stage(parts_of(data)), network, 1)
    assert network.training
    assert all(bool((value == before[key]).all()) for key, value in network.state_dict().items())


def test_the_same_cases_are_shown_after_every_new_best_and_old_files_go(run: Path, data) -> None:
    stage = adipose_stage(parts_of(data))
    examples.write_examples(run, stage, trained_threshold(), 1)
    first = examples.read_examples(run)
    (run / runfolder.EXAMPLES / "left-over.png").write_bytes(b"")
    examples_adipose._KEPT.clear()
    examples.write_examples(run, stage, trained_threshold(), 5)
    second = examples.read_examples(run)
    assert second["epoch"] == 5
    assert [c["id"] for c in first["cases"]] == [c["id"] for c in second["cases"]]
    assert not (run / runfolder.EXAMPLES / "left-over.png").exists()


def test_without_validation_cases_training_cases_are_shown_and_called_so(run: Path, data) -> None:
    parts = Parts(data.cases, (), (), sha256="a" * 64)
    examples.write_examples(run, adipose_stage(parts), trained_threshold(), 1)
    facts = examples.read_examples(run)
    assert facts["part"] == "train"
    assert len(facts["cases"]) == examples.MOST_CASES
    assert facts["cases"][0]["id"].startswith("train-")


def test_a_file_that_vanished_is_a_warning_and_no_end(run: Path, data, tmp_path: Path) -> None:
    parts = parts_of(data)
    gone = tuple(
        SimpleNamespace(**{**vars(case), "files": {}, "has_scan": False, "has_slices": False})
        for case in parts.validation
    )
    stage = adipose_stage(Parts(parts.train, gone, (), sha256="a" * 64))
    assert not examples.write_examples(run, stage, trained_threshold(), 1)
    note = runfolder.read_log(run)[-1]
    assert (note["kind"], note["code"]) == ("warning", "mask-missing")
    assert examples.read_examples(run) is None


def test_a_defect_is_a_warning_and_no_end(run: Path, data) -> None:
    def broken(network):
        raise RuntimeError("CUDA out of memory in /home/meier")

    stage = adipose_stage(parts_of(data))
    stage.trained_weights = broken
    assert not examples.write_examples(run, stage, trained_threshold(), 1)
    note = runfolder.read_log(run)[-1]
    assert note["text"] == "No example predictions were written (RuntimeError)."


def test_a_folder_that_cannot_be_written_is_a_warning_and_no_end(run: Path, data) -> None:
    (run / runfolder.EXAMPLES).write_text("a file where the folder should be")
    (run / runfolder.EXAMPLES).chmod(0o400)
    done = examples.write_examples(run, adipose_stage(parts_of(data)), trained_threshold(), 1)
    assert done == (examples.read_examples(run) is not None)


def test_a_wish_to_stop_ends_even_the_reading(run: Path, data) -> None:
    lines = len(runfolder.read_log(run))
    runfolder.request_stop(run)
    assert not examples.write_examples(run, adipose_stage(parts_of(data)), trained_threshold(), 1)
    assert examples.read_examples(run) is None
    assert len(runfolder.read_log(run)) == lines


def test_a_wish_to_stop_cuts_the_examples_short(run: Path, data) -> None:
    stage, network, events = adipose_stage(parts_of(data)), trained_threshold(), Events()
    examples.write_examples(run, stage, network, 1)
    events.cancel()
    assert examples.write_examples(run, stage, network, 2, events)
    facts = examples.read_examples(run)
    assert "asked to stop" in facts["note"]
    assert [len(case["slices"]) for case in facts["cases"]] == [1]


def test_slow_networks_show_fewer_slices(run: Path, data, monkeypatch) -> None:
    clock = iter(range(0, 100_000, 2))
    monkeypatch.setattr(examples.time, "monotonic", lambda: float(next(clock)))
    state = json.loads((run / runfolder.STATE).read_text())
    runfolder.write_json(run / runfolder.STATE, {**state, "seconds_per_epoch": 100.0})
    assert examples.write_examples(run, adipose_stage(parts_of(data)), trained_threshold(), 1)
    facts = examples.read_examples(run)
    assert "tenth of an epoch" in facts["note"]
    # 10 seconds at 2 seconds a slice, and the one at which it was noticed.
    (case,) = facts["cases"]
    assert len(case["slices"]) == 6
    assert len(read_volume(run / runfolder.EXAMPLES / case["files"]["ct"]).array) == len(case["slices"])

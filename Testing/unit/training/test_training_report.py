"""The report of a training, from the run folder alone, whatever way the run ended."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import pytest
from finishedruns import NAMES, make_run

from BATNetLib.errors import InputRefused, OutputRefused
from BATNetLib.training import report, runfolder
from BATNetLib.training.caseids import case_ids_of_split
from BATNetLib.training.examples import FACTS


class Page(HTMLParser):
    """Words, pictures and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.pictures: list[str] = []
        self.tags: list[str] = []
        self.reaches: list[str] = []
        self._hidden = 0
        self.feed(text)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attributes) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("style", "script")
        for key, value in attributes:
            if key in ("src", "href", "srcset", "action"):
                (self.pictures if (value or "").startswith("data:") else self.reaches).append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.said.append(data)


def page_of(run: Path, **options) -> Page:
    path = report.write_report(run, **options)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def change(run: Path, file: str, **fields) -> None:
    runfolder.write_json(run / file, {**runfolder.read_json(run / file), **fields})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "my-run", "adipose")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without curves, where these are not looked at."""
    monkeypatch.setattr(report, "_curves", lambda *_: {})


def test_the_page_tells_data_course_settings_and_stands_alone(run: Path) -> None:
    page = page_of(run)
    for words in (
        "Research use only, not a medical device.",
        "Training of stage 1, adipose tissue",
        "finished after 6 of 6 epochs",
        "0.9500 Dice, best in epoch 4",
        "37 s in whole epochs",
        "Train 84",
        "Validation 18",
        "cohort-2024",
        "4 · best",
        "optimiser.rate 0.01",
        "CPU, 2 threads",
    ):
        assert words in page.words, words
    # Loss, figures of the validation, learning rate.
    assert len(page.pictures) == 3
    assert not page.reaches
    assert "script" not in page.tags
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    for picture in page.pictures:
        from PIL import Image

        image = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
        assert min(image.size) > 200


def test_a_stopped_run_says_how_to_go_on(run: Path, quick) -> None:
    change(run, "state.json", state="stopped", epoch=3, seconds_left=200.4)
    page = page_of(run)
    assert "stopped after 3 of 6 epochs" in page.words
    assert "batnet train resume my-run" in page.words
    assert "about 3 min 20 s were left" in page.words
    assert "is in the list" not in page.words


def test_a_failed_run_says_what_was_found_and_how_to_go_on(run: Path, quick) -> None:
    error = {
        "code": "loss-not-finite",
        "found": "The loss became nan in step 3 of epoch 4.",
        "wanted": "Loss and weights must stay finite.",
        "remedy": "Train again with a lower optimiser.rate.",
        "exit_code": 3,
    }
    change(run, "state.json", state="failed", epoch=3, error=error)
    page = page_of(run)
    for words in (error["found"], error["remedy"], "[loss-not-finite]", "batnet train resume my-run"):
        assert words in page.words


def test_a_run_that_ended_without_a_word_is_told_from_one_at_work(run: Path, quick) -> None:
    change(run, "state.json", state="running", pid=2**22 + 1, host=socket.gethostname(), process_start=1.0)
    assert "ended without a word" in page_of(run).words
    from BATNetLib.batch.lock import myself

    change(
        run,
        "state.json",
        **{**myself(), "state": "running", "pid": os.getpid(), "heartbeat": runfolder.now()},
    )
    page = page_of(run)
    assert "at work after 6 of 6 epochs" in page.words
    assert "resume" not in page.words


def test_a_finished_run_names_its_model_and_figures(run: Path, quick) -> None:
    estimate = {
        "value": 0.93,
        "low": 0.9,
        "high": 0.95,
        "method": "bootstrap of 18 patients",
        "n": 18,
        "note": "",
    }
    card = {
        "schema": 1,
        "model": {"architecture_title": "MG-ATSeg", "width": 64, "sha256": "a" * 64, "stage": "adipose"},
        "limits": ["Its limits are these."],
        "metrics": [
            {
                "part": "validation", "cases": 18, "patients": 17, "patients_given": True,
                "metrics": {"dice": estimate}, "states": {"prediction-empty": 1},
                "warnings": [{"code": "few-patients", "text": "Only 17 patients."}],
            }
        ],
    }  # fmt: skip
    runfolder.write_json(run / "model-card.json", card)
    change(run, "state.json", state="running")
    result = {
        "model": "clinic-fat",
        "sha256": "a" * 64,
        "files": [],
        "metrics": {},
        "warnings": ["It is late."],
    }
    page = page_of(run, result=result)
    for words in (
        "finished",
        "The model is in the list as clinic-fat.",
        "batnet analyze SCAN --adipose-model clinic-fat",
        "batnet models export clinic-fat --format authors",
        "It is late.",
        "Validation: 18 cases of 17 patients",
        "0.930 0.900 to 0.950 bootstrap of 18 patients 18",
        "1 missed altogether",
        "Only 17 patients.",
        "Its limits are these.",
        "a" * 64,
    ):
        assert words in page.words, words


def test_figures_of_a_former_end_are_not_shown_while_it_goes_on(run: Path, quick) -> None:
    card = {"schema": 1, "model": {}, "limits": ["Old limits."], "metrics": []}
    runfolder.write_json(run / "model-card.json", card)
    change(run, "state.json", state="stopped")
    assert "Old limits." not in page_of(run).words


def test_before_the_first_step_there_is_a_page_all_the_same(run: Path) -> None:
    (run / "log.jsonl").unlink()
    change(run, "state.json", state="stopped", epoch=0, best=None, last=None, seconds_per_epoch=None)
    page = page_of(run)
    assert "No step was logged yet." in page.words
    assert "– Dice, best" in page.words
    assert not page.pictures


def test_validations_that_gave_nothing_are_no_zeros(run: Path) -> None:
    lines = runfolder.read_log(run)
    for line in lines:
        if line["kind"] == "epoch":
            line["validation"] = None if line["epoch"] % 2 else {"dice": None, "validation_loss": 0.5}
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    change(run, "state.json", best=None, state="stopped")
    page = page_of(run)
    # Loss and learning rate; a curve of nothing is not drawn.
    assert len(page.pictures) == 2


def test_warnings_and_notes_are_told_once_without_places(run: Path, quick) -> None:
    lines = [
        {
            "kind": "warning",
            "code": "w",
            "text": "The file /data/Meier_Anna/ct.nii.gz was slow.",
            "time": "x",
        },
        {
            "kind": "warning",
            "code": "w",
            "text": "The file /data/Meier_Anna/ct.nii.gz was slow.",
            "time": "y",
        },
        {"kind": "note", "code": "resumed", "text": "Gone on with in epoch 3.", "time": "z"},
    ]
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.write('{"kind": "step", "epo')  # a line that is being written
    page = page_of(run)
    assert "The file ct.nii.gz was slow. (2 times)" in page.words
    assert "Gone on with in epoch 3." in page.words
    assert not any(name in page.words for name in NAMES)


def test_names_of_cases_in_warnings_become_the_numbers_that_examples_have(run: Path, quick) -> None:
    cases = {name: {"fold": "train" if n < 4 else "validation", "bins": []} for n, name in enumerate(NAMES)}
    where = {name.split("_")[0]: entry["fold"] for name, entry in cases.items()}
    split = {"schema": 1, "kind": "parts", "cases": cases, "patients": where, "sha256": "5" * 64}
    runfolder.write_json(run / "split.json", split)
    ids = case_ids_of_split(split, None)
    text = f"2 cases ({NAMES[0]}, {NAMES[5]}) have no brown-fat mask; Koch is one of them."
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": "warning", "code": "w", "text": text, "time": "x"}) + "\n")
    error = {"code": "gone", "found": f"'{NAMES[6]}' is gone.", "wanted": "It is needed.", "remedy": "Look."}
    change(run, "state.json", state="failed", error=error)
    words = page_of(run).words
    assert f"2 cases ({ids[NAMES[0]]}, {ids[NAMES[5]]}) have no brown-fat mask; a patient is one" in words
    assert ids[NAMES[5]].startswith("validation-")
    assert f"'{ids[NAMES[6]]}' is gone." in words
    assert not any(part in words for name in NAMES for part in name.split("_"))


def test_what_users_call_things_cannot_become_part_of_the_page(run: Path, quick) -> None:
    facts = runfolder.read_run(run)
    facts["data"]["name"] = "<script>alert(1)</script>"
    runfolder.write_json(run / "run.json", {**facts, "name": "<img src=x>", "device": "<b>"})
    page = page_of(run)
    assert "script" not in page.tags
    assert not page.reaches
    assert "<script>alert(1)</script>" in page.words


def test_patients_of_each_part_come_from_the_split(run: Path, quick) -> None:
    where = {
        f"p{n}": ("train", "validation", "test")[0 if n < 70 else 1 if n < 85 else 2] for n in range(100)
    }
    runfolder.write_json(run / "split.json", {"schema": 1, "kind": "parts", "patients": where})
    assert "Train 84 70 Validation 18 15 Test 18 15" in page_of(run).words
    where = {f"p{n}": f"fold {n % 5 + 1}" for n in range(100)}
    runfolder.write_json(run / "split.json", {"schema": 1, "kind": "folds", "patients": where})
    facts = runfolder.read_run(run)
    facts["split"] = {"sha256": "5" * 64, "fold": "fold 2", "kind": "folds"}
    facts["data"]["cases"] = {"train": 90, "validation": 22, "test": 0}
    runfolder.write_json(run / "run.json", facts)
    words = page_of(run).words
    assert "Train 90 80 Validation 22 20" in words
    assert "Test" not in words
    assert "validated on fold 2" in words


def test_examples_are_shown_with_their_pictures(run: Path, quick) -> None:
    from PIL import Image

    folder = run / runfolder.EXAMPLES
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "validation-001-slice-0003.png")
    case = {
        "id": "validation-001", "slices": [3, 5], "dice": 0.875, "spacing_known": True, "files": {},
        "pictures": ["validation-001-slice-0003.png", "../../../etc/passwd", "gone.png"],
    }  # fmt: skip
    facts = {
        "schema": 1,
        "stage": "adipose",
        "epoch": 4,
        "part": "validation",
        "note": "Cut short.",
        "cases": [case],
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    page = page_of(run)
    assert len(page.pictures) == 1
    assert "validation-001 – Dice 0.875 over 2 slices" in page.words
    assert "Cut short." in page.words


def test_a_page_of_stage_2_shows_patches_and_auc(tmp_path: Path) -> None:
    run = make_run(tmp_path / "brown", "brown")
    folder = run / runfolder.EXAMPLES
    folder.mkdir()
    case = {
        "id": "validation-002", "label": 1, "probability": 0.75, "patch_labels": [0] * 32,
        "patch_probabilities": [0.5] * 32, "pictures": [], "files": {},
    }  # fmt: skip
    facts = {"schema": 1, "stage": "brown", "epoch": 4, "part": "validation", "note": None, "cases": [case]}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    page = page_of(run)
    assert "Training of stage 2, brown-fat probability" in page.words
    assert "0.9500 AUC, best" in page.words
    assert "validation-002 – probability 0.750, label brown fat" in page.words


def test_a_damaged_run_is_refused_in_words(run: Path) -> None:
    (run / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputRefused) as refused:
        report.write_report(run)
    assert refused.value.code == "run-damaged"
    assert not (run / "report.html").exists()


def test_without_jinja2_the_refusal_says_how_to_get_it(run: Path, monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(OutputRefused) as refused:
        report.write_report(run)
    assert "batnet[train]" in refused.value.remedy


def test_long_courses_show_the_beginning_the_best_and_the_end(run: Path, quick) -> None:
    lines = [
        {
            "kind": "epoch",
            "epoch": n,
            "train_loss": 1 / n,
            "validation": {"dice": 0.9},
            "seconds": 60,
            "best": False,
        }
        for n in range(1, 101)
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    change(run, "state.json", epoch=100, epochs=100, best={"epoch": 40, "value": 0.9})
    page = page_of(run)
    assert "40 · best" in page.words
    # Heads and rows: the parts of the split; epochs 1, 40, and 96 to 100.
    assert page.tags.count("tr") == (1 + 3) + (1 + 7)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.44, "0.4 s"), (42, "42 s"), (200.4, "3 min 20 s"), (18720, "5 h 12 min")],
)
def test_times_are_told_as_people_say_them(seconds: float | None, words: str) -> None:
    assert report.duration(seconds) == words

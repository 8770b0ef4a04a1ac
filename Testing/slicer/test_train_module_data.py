"""The data and their split, as the user sees them; the real engine looks at phantoms."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from stage import scripted_engine as script
from train_cases import ThreadWatch, open_train, write_split_file, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study") / "cohort", 6)


def cells(ui):
    table = ui.findingsTable
    return [[table.cellWidget(row, column).text for column in (0, 1)] for row in range(table.rowCount)]


def test_a_check_shows_each_finding_with_a_suggestion_and_saves_the_table(
    open_panel, process_events, dialogs, study, tmp_path
):
    # The same pixels under another name, and an empty fat mask: what a training would suffer from.
    data = shutil.copytree(study, tmp_path / "data")
    shutil.copytree(data / "P00", data / "P90")
    (data / "P05" / "fat_mask.nii.gz").write_bytes(b"no image")
    panel = open_train(open_panel)
    ui = panel.ui
    assert not ui.checkButton.enabled
    ui.dataEdit.text = str(data)
    ui.checkButton.click()
    assert not ui.checkCancelButton.isHidden() and ui.checkButton.isHidden()
    with ThreadWatch() as watch:
        assert process_events(lambda: panel.data._call is None, 60)
    watch.check()
    call = panel.runner.calls[-1]
    assert call[:2] == ["dataset", "check"] and call[call.index("--stage") + 1] == "adipose"
    assert ui.checkLabel.text.startswith("7 cases of 7 patients. 2 in the way"), ui.checkLabel.text
    assert "left out of a split" in ui.checkLabel.text
    rows = cells(ui)
    assert all(suggestion for _found, suggestion in rows)
    copies = next(found for found, _ in rows if "P00" in found and "P90" in found)
    assert ">Block</b>" in copies
    assert any("P05" in found for found, _ in rows)

    dialogs.append(str(tmp_path / "findings.csv"))
    ui.findingsButton.click()
    with (tmp_path / "findings.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {"level", "code", "suggestion"} <= set(table[0]) and len(table) >= len(rows)

    # Other data: what was found of the former is gone.
    ui.dataEdit.text = str(study)
    assert ui.findingsTable.rowCount == 0 and ui.checkLabel.isHidden() and ui.findingsButton.isHidden()


def test_a_split_shows_its_distribution_and_is_used_for_training(
    open_panel, process_events, dialogs, study, tmp_path
):
    panel = open_train(open_panel)
    ui = panel.ui
    ui.dataEdit.text = str(study)
    ui.patientEdit.text = "^P[0-9]+"
    ui.kindCombo.setCurrentIndex(1)
    assert ui.trainShareBox.isHidden() and not ui.foldsBox.isHidden()
    ui.foldsBox.value, ui.splitSeedBox.value = 3, 7
    dialogs.append(str(tmp_path / "split.json"))
    ui.makeSplitButton.click()
    assert process_events(lambda: panel.split._call is None, 60), ui.splitNote.text
    call = panel.runner.calls[-1]
    assert call[call.index("--folds") + 1] == "3" and call[call.index("--seed") + 1] == "7"
    assert call[call.index("--patient-pattern") + 1] == "^P[0-9]+"
    table = ui.splitTable
    head = [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)]
    rows = {
        table.item(y, 0).text(): [table.item(y, x).text() for x in range(1, len(head))]
        for y in range(table.rowCount)
    }
    assert head[1:] == ["all", "fold 1", "fold 2", "fold 3"]
    kept = json.loads((tmp_path / "split.json").read_text())
    assert rows == {row.pop("bin"): [str(count) for count in row.values()] for row in kept["distribution"]}
    assert rows["patients"][0] == "6" and rows["brown fat: none"][0] == "3"
    assert kept["seed"] == 7 and len(kept["patients"]) == 6

    # One of the folds is validated on.
    assert [ui.foldCombo.itemText(index) for index in range(3)] == ["fold 1", "fold 2", "fold 3"]
    ui.foldCombo.setCurrentIndex(1)
    words = panel.train.arguments()
    assert words[words.index("--split") + 1] == str(tmp_path / "split.json")
    assert words[words.index("--fold") + 1] == "fold 2"
    assert words[words.index("--patient-pattern") + 1] == "^P[0-9]+"


def test_what_the_engine_refuses_is_said_in_words(open_panel, process_events, dialogs, study, tmp_path):
    panel = open_train(open_panel)
    ui = panel.ui
    ui.dataEdit.text = str(tmp_path / "nowhere")
    ui.checkButton.click()
    assert ui.checkLabel.text == "The folder of the data is not there."
    ui.dataEdit.text = str(study)
    ui.trainShareBox.value = 50
    ui.makeSplitButton.click()
    assert ui.splitNote.text == "The shares make 80 %; they must make 100 %."
    ui.kindCombo.setCurrentIndex(1)
    ui.foldsBox.value = 9
    dialogs.append(str(tmp_path / "split.json"))
    ui.makeSplitButton.click()
    assert process_events(lambda: panel.split._call is None, 60)
    assert "6 patients with usable cases cannot be split over 9 folds" in ui.splitNote.text
    assert panel.split.split is None and not (tmp_path / "split.json").exists()
    assert panel.train.why_not() == "Make a split, or open one."


def test_a_check_and_a_split_are_cancelled_and_end_with_the_module(
    open_panel, process_events, dialogs, tmp_path
):
    from stage import modules

    panel = open_train(open_panel, script.ScriptedRunner(script.result("", doctor={})))
    ui = panel.ui
    panel.runner = script.ScriptedRunner(script.stage("check cases", 3, 40), script.pause(30))
    ui.dataEdit.text = str(tmp_path)
    ui.checkButton.click()
    assert process_events(lambda: ui.checkLabel.text == "Looking at the cases: 3 of 40", 5)
    ui.checkCancelButton.click()
    assert process_events(lambda: ui.checkLabel.text == "Cancelled.", 5)
    assert not ui.checkButton.isHidden()
    dialogs.append(str(tmp_path / "split.json"))
    ui.makeSplitButton.click()
    ui.splitCancelButton.click()
    assert process_events(lambda: ui.splitNote.text == "Cancelled.", 5)
    ui.checkButton.click()
    job = panel.runner.jobs[-1]
    modules.unload("BATNetTrain")
    assert job.state.is_over


@pytest.mark.parametrize("content", ["", "[1]", '{"shares": 3}', '{"kind": "folds", "shares": {}}', "\xff"])
def test_a_file_that_is_no_split_is_said_to_be_none(open_panel, dialogs, tmp_path, content):
    panel = open_train(open_panel)
    path = tmp_path / "other.json"
    path.write_text(content, encoding="latin-1")
    dialogs.append(str(path))
    panel.ui.splitOpenButton.click()
    assert panel.ui.splitNote.text == "'other.json' is no split that can be read."
    assert panel.split.split is None and panel.ui.splitTable.isHidden()
    dialogs.append(str(write_split_file(tmp_path / "good.json")))
    panel.ui.splitOpenButton.click()
    assert panel.split.split is not None and not panel.ui.splitTable.isHidden()
    assert panel.ui.splitNote.isHidden()


def test_thousands_of_findings_do_not_block_the_window(open_panel, process_events, tmp_path):
    findings = [
        {
            "level": "warn",
            "code": "spacing",
            "text": f"The slices lie {n / 100:.2f} mm apart in this one.",
            "suggestion": "Look.",
            "cases": [f"case-{n}"],
        }
        for n in range(2000)
    ]
    answer = script.result("", findings=findings, counts={"warn": 2000}, cases=[{}] * 2000, patients=2000)
    panel = open_train(open_panel)
    panel.runner = script.ScriptedRunner(answer)
    panel.ui.dataEdit.text = str(tmp_path)
    with ThreadWatch() as watch:
        panel.ui.checkButton.click()
        assert process_events(lambda: panel.data._call is None, 10)
        process_events(timeout=0.1)
    watch.check()
    assert panel.ui.findingsTable.rowCount == 100
    assert "The first 100 of 2000 rows are shown." in panel.ui.checkLabel.text


def test_findings_that_say_the_same_are_one_row_and_pairs_stay_pairs():
    from BATNetTrainModule.findings import together

    def finding(*cases, text="Empty."):
        return {"level": "note", "code": "x", "text": text, "suggestion": "Look.", "cases": list(cases)}

    rows = together(
        [finding("a"), finding("b"), finding("a", "b"), finding("c", "d"), finding("c", text="Odd.")]
    )
    assert [row["cases"] for row in rows] == [["a", "b"], ["a", "b"], ["c", "d"], ["c"]]


def test_a_cohort_of_phantoms_to_try_it_with(open_panel, process_events, dialogs, tmp_path, monkeypatch):
    from BATNetTrainModule import phantoms

    monkeypatch.setattr(phantoms, "PATIENTS", 2)
    panel = open_train(open_panel)
    ui = panel.ui
    dialogs.append(str(tmp_path))
    ui.phantomsButton.click()
    assert ui.checkLabel.text == "Making phantom 1 of 2 ..." and not ui.phantomsButton.enabled
    assert process_events(lambda: panel.data._cohort is None, 60), ui.checkLabel.text
    made = tmp_path / "phantoms"
    assert ui.dataEdit.text == str(made) and "says nothing about patients" in ui.checkLabel.text
    assert sorted(path.name for path in made.iterdir()) == ["phantom-01", "phantom-02"]
    panel.data.check()
    assert process_events(lambda: panel.data._call is None, 60)
    assert ui.checkLabel.text.startswith("2 cases of 2 patients. 0 in the way")

    # Asked again, those that are there are kept; a cancel leaves nothing half-made.
    monkeypatch.setattr(phantoms, "PATIENTS", 3)
    panel.runner.calls.clear()
    dialogs.append(str(tmp_path))
    ui.phantomsButton.click()
    assert ui.checkLabel.text == "Making phantom 3 of 3 ..."
    ui.checkCancelButton.click()
    assert process_events(lambda: panel.data._cohort is None, 20)
    assert ui.checkLabel.text == "Cancelled." and ui.phantomsButton.enabled
    assert sorted(path.name for path in made.iterdir()) == ["phantom-01", "phantom-02"]
    (tmp_path / "file").write_text("in its place")
    dialogs.append(str(tmp_path / "file"))
    ui.phantomsButton.click()
    assert ui.checkLabel.text == "'file' cannot be written."


def test_an_answer_that_is_too_long_for_an_event_is_read_from_the_table(open_panel, process_events, tmp_path):
    def answers_only_with_the_table(job):
        path = job.arguments[job.arguments.index("--csv") + 1]
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("level", "code", "cases", "finding", "suggestion"))
            writer.writerow(("block", "mask-empty", "a; b", "The mask is empty.", "Draw it."))
        return 0.0

    panel = open_train(open_panel)
    panel.runner = script.ScriptedRunner(
        answers_only_with_the_table, script.error("engine-no-answer", "The engine ended without an answer.")
    )
    panel.ui.dataEdit.text = str(tmp_path)
    panel.ui.checkButton.click()
    assert process_events(lambda: panel.data._call is None, 10)
    assert panel.ui.checkLabel.text.startswith("Checked. 1 in the way")
    assert "a, b" in cells(panel.ui)[0][0] and not panel.ui.findingsButton.isHidden()

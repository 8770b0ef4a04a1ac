"""The batch tab: start, stop, go on, and review a case with a double click."""

from __future__ import annotations

import csv
import shutil

import pytest
from batnet_cases import BusyWatch, answers_doctor, build_views, open_batnet
from BATNetSlicer.scene import find_analyses
from stage import scripted_engine as script


@pytest.fixture(scope="module")
def study(tmp_path_factory, request):
    """Two scans of a coarse phantom and a file that is none."""
    from result_cases import phantom

    from BATNetLib.dataset.phantom import write_phantom

    folder = tmp_path_factory.mktemp("study")
    for name in ("anna", "berta"):
        write_phantom(phantom(), folder / name)
        for mask in ("fat_mask", "brown_fat_mask", "lobe"):
            (folder / name / f"{mask}.nii.gz").unlink()
    (folder / "carla").mkdir()
    shutil.copy(__file__, folder / "carla" / "image.nii.gz")
    return folder


def rows(ui):
    table = ui.batchTable
    texts = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    return {text[0]: text[1:] for text in texts}


def test_a_batch_from_start_to_review(open_panel, process_events, study, tmp_path):
    build_views()
    panel = open_batnet(open_panel)
    ui, tab = panel.ui, panel.batch
    panel.runner = None
    ui.tabs.currentIndex = 1
    assert not ui.batchStartButton.enabled
    ui.batchSourceEdit.text = str(study)
    ui.batchOutEdit.text = str(tmp_path / "results")
    panel.choose_model("demo")
    panel.parameters.method = type(panel.parameters.method).HU_RANGE
    assert "HU range" in ui.batchMethodLabel.text and "Demonstration" in ui.batchMethodLabel.text
    assert ui.batchStartButton.enabled
    ui.batchStartButton.click()
    assert ui.batchStopButton.visible and not ui.batchStartButton.visible
    with BusyWatch() as watch:
        assert process_events(lambda: not tab.running and not tab._waiting, 60)
    watch.check()
    found = rows(ui)
    assert set(found) == {"anna", "berta", "carla"}, "the user's own names, from the key file"
    assert found["anna"][0].endswith(" %") and found["anna"] == found["berta"]
    assert found["carla"][0] == "refused" and found["carla"][1]
    assert ui.batchStatusLabel.text == "2 done, 1 refused"
    assert ui.batchSheetButton.enabled
    assert not any("anna" in p.name for p in (tmp_path / "results").rglob("*")), (
        "results are under pseudonyms"
    )

    # A double click loads the case with its overlays; one without a result says why.
    by_name = {ui.batchTable.item(row, 0).text(): row for row in range(3)}
    assert process_events(lambda: not ui.scanTab.visible and ui.batchTab.visible, 5)
    top = ui.batchTable.y
    for name in ("carla", "anna", "carla"):
        ui.batchTable.setCurrentCell(by_name[name], 0)
        process_events(timeout=0.05)
        assert ui.batchTable.y == top, "the second click of a double click must meet the same row"
    assert ui.batchStatusLabel.text == f"carla: {found['carla'][1]}", "the whole reason can be read"
    ui.batchTable.cellDoubleClicked(by_name["carla"], 0)
    assert "carla has no result" in ui.batchStatusLabel.text
    ui.batchTable.cellDoubleClicked(by_name["berta"], 0)
    assert process_events(lambda: panel._review is None and not panel._todo, 10), ui.batchStatusLabel.text
    assert ui.tabs.currentIndex == 0
    analysis = panel.result.analysis
    assert analysis == find_analyses()[0] and analysis.ct.GetName() == "berta"
    assert panel.parameters.ct is analysis.ct
    assert ui.patchMapBox.checked and not ui.patchesButton.collapsed
    assert ui.openReportButton.enabled

    # Finished cases are left alone.
    ui.batchStartButton.click()
    assert process_events(lambda: not tab.running, 30)
    assert ui.batchStatusLabel.text == "2 done, 1 refused"

    # A former batch is listed without running anything.
    tab._begin(tmp_path / "nothing")
    assert ui.batchTable.rowCount == 0
    ui.batchShowButton.click()
    assert process_events(lambda: ui.batchTable.rowCount == 3, 5)


def test_a_case_whose_scan_went_away_or_whose_key_is_lost_is_told(open_panel, process_events, tmp_path):
    panel = open_batnet(open_panel)
    out = tmp_path / "results"
    (out / "state").mkdir(parents=True)
    (out / "cases" / "case-0001").mkdir(parents=True)
    line = (
        '{"case": "case-0001", "status": "done", "time": 1, "prediction": 0.4, "settings": "", "quick": "", '
    )
    (out / "state" / "journal.jsonl").write_text(line + '"content": ""}\n')
    panel.ui.batchOutEdit.text = str(out)
    panel.ui.batchShowButton.click()
    assert process_events(lambda: panel.ui.batchTable.rowCount == 1, 5)
    panel.ui.batchTable.cellDoubleClicked(0, 0)
    assert "key file is missing" in panel.ui.batchStatusLabel.text
    with (tmp_path / "results-key.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("case_id", "name", "source"), ("case-0001", "dora", str(tmp_path / "dora.nrrd"))]
        )
    panel.ui.batchTable.cellDoubleClicked(0, 0)
    assert panel.ui.batchStatusLabel.text == "The scan of dora is no longer where it was."


def test_stop_ends_the_batch_and_start_goes_on(open_panel, process_events, tmp_path):
    def one_case(job):
        (tmp_path / "results" / "state").mkdir(parents=True, exist_ok=True)
        return 0.0

    steps = [
        one_case,
        script.stage("batch", 1, 40),
        lambda job: (
            job.listener.part(script.Result(tmp_path, {"case_id": "c", "seconds_left": 120.0})) or 0.0
        ),
        script.pause(30),
    ]
    panel = open_batnet(open_panel, answers_doctor(then=steps))
    ui = panel.ui
    ui.batchSourceEdit.text, ui.batchOutEdit.text = str(tmp_path), str(tmp_path / "results")
    ui.batchRerunBox.checked = True
    ui.batchStartButton.click()
    assert process_events(lambda: ui.batchStatusLabel.text == "1 of 40 cases, about 2 min left", 5)
    call = panel.runner.calls[-1]
    assert call[:4] == ["batch", str(tmp_path), "--out", str(tmp_path / "results")]
    assert call[-2:] == ["--rerun", "failed"]
    ui.batchStopButton.click()
    assert process_events(lambda: not panel.batch.running, 1)
    assert ui.batchStatusLabel.text == "Stopped. Start goes on from here."
    assert not ui.batchStartButton.isHidden() and ui.batchStartButton.enabled


@pytest.mark.alone
def test_a_table_of_thousands_does_not_block_the_window(open_panel, process_events, tmp_path):
    out = tmp_path / "results"
    (out / "state").mkdir(parents=True)
    text = '{{"case": "case-{n:05d}", "status": "done", "time": {n}, "prediction": 0.4, "why": ""}}\n'
    (out / "state" / "journal.jsonl").write_text("".join(text.format(n=n) for n in range(3000)))
    panel = open_batnet(open_panel)
    panel.ui.tabs.currentIndex = 1
    panel.ui.batchOutEdit.text = str(out)
    with BusyWatch() as watch:
        panel.ui.batchShowButton.click()
        assert process_events(lambda: not panel.batch._waiting, 20)
    assert len(rows(panel.ui)) == 3000
    watch.check()


def test_a_list_is_chosen_with_a_dialog(open_panel, dialogs, tmp_path):
    panel = open_batnet(open_panel)
    dialogs.append(str(tmp_path / "cases.csv"))
    panel.ui.batchListButton.click()
    dialogs.append(str(tmp_path / "out"))
    panel.ui.batchOutButton.click()
    assert panel.parameters.batchSource == str(tmp_path / "cases.csv")
    assert panel.parameters.batchOut == str(tmp_path / "out")


def test_closing_the_module_ends_the_batch(open_panel, process_events, tmp_path):
    from stage import modules

    panel = open_batnet(open_panel, answers_doctor(then=[script.pause(30)]))
    panel.ui.batchSourceEdit.text, panel.ui.batchOutEdit.text = str(tmp_path), str(tmp_path / "results")
    panel.ui.batchStartButton.click()
    job = panel.runner.jobs[-1]
    modules.unload("BATNet")
    assert job.state.is_over

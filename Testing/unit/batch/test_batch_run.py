"""Running and going on: every case ends in words, nothing is repeated, nothing stops the rest."""

import csv
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from small_engine import BROKEN, CRASH, EXIT, GOOD, MEMORY, NO_MODEL, NOT_ASSESSABLE, REFUSED, SLOW

from BATNetLib.analysis import AnalysisOptions
from BATNetLib.batch.names import read_key
from BATNetLib.errors import Cancelled, NoModel, OutputRefused, UsageError
from BATNetLib.events import Events


def table(out):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def by_name(out):
    """Rows by the user's names, through the key."""
    rows = table(out)
    return {name: rows[case_id] for case_id, (name, _) in read_key(out.with_name("out-key.csv")).items()}


def summary(out):
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def test_every_kind_of_end_is_told_and_none_stops_the_rest(tmp_path, scan, batch):
    kinds = {
        "good": GOOD,
        "refused": REFUSED,
        "broken": BROKEN,
        "memory": MEMORY,
        "no number": NOT_ASSESSABLE,
    }
    for name, what in kinds.items():
        scan(tmp_path / "study" / name / "ct.nii.gz", what)
    (tmp_path / "study" / "half").mkdir()
    (tmp_path / "study" / "half" / "ct_at_left_patch.nii.gz").write_bytes(b"x")
    told = []
    result = batch(
        tmp_path / "study", tmp_path / "out", on_case=lambda record, progress: told.append(progress)
    )
    rows = by_name(tmp_path / "out")
    assert {name: (row["status"], row["code"]) for name, row in rows.items()} == {
        "good": ("done", ""),
        "refused": ("refused", "not-hu"),
        "broken": ("failed", "defect"),
        "memory": ("failed", "memory"),
        "no number": ("not-assessable", "apex-missing"),
        "half": ("refused", "patch-file-missing"),
    }
    assert rows["good"]["prediction"] and not rows["no number"]["prediction"]
    assert rows["broken"]["why"].startswith("The analysis failed (ZeroDivisionError in small_engine.py:")
    assert result.exit_code == 4
    assert (told[-1].done, told[-1].total, told[-1].seconds_left) == (6, 6, 0)
    assert summary(tmp_path / "out")["status"] == {
        "done": 1,
        "not-assessable": 1,
        "refused": 2,
        "failed": 2,
        "pending": 0,
    }
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "batch-settings.json", "cases", "contact-sheet.html", "logs", "results.csv", "state", "summary.json",
    ]  # fmt: skip


def test_the_table_tells_what_the_passport_tells(tmp_path, scan, batch):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz", value=37)
    batch(tmp_path / "study", tmp_path / "out")
    (row,) = table(tmp_path / "out").values()
    facts = json.loads((tmp_path / "out" / "cases" / "case-0001" / "analysis.json").read_text())
    assert float(row["prediction"]) == pytest.approx(facts["case"]["probability"], abs=1e-6)
    assert list(row)[:2] == ["case_id", "prediction"]
    told = {name: row[name] for name in ("adipose_ml", "adipose_right_ml", "adipose_left_ml", "method")}
    assert told == {
        "adipose_ml": "120.50",
        "adipose_right_ml": "60.00",
        "adipose_left_ml": "60.50",
        "method": "hu-threshold",
    }
    assert (row["brown_sha256"], row["findings"], row["warnings"], row["demonstration"]) == (
        "abababababab",
        "thick-slices",
        "1",
        "yes",
    )


def test_no_name_of_a_patient_reaches_anything_that_is_handed_on(tmp_path, scan, batch):
    for name, what in (("Doe_John", REFUSED), ("Roe_Jane", BROKEN), ("Poe_Ed", GOOD)):
        scan(tmp_path / "study" / "ward Seven" / name / f"{name}_scan.nii.gz", what)
    batch(tmp_path / "study", tmp_path / "out")
    handed_on = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert {"results.csv", "summary.json", "contact-sheet.html", "journal.jsonl"} <= {
        p.name for p in handed_on
    }
    assert [p.parent.name for p in handed_on if p.suffix == ".txt"] == ["logs"]
    for path in handed_on:
        content = path.read_bytes() + str(path.relative_to(tmp_path)).encode()
        for word in (b"Doe", b"Roe", b"Poe", b"John", b"Jane", b"Seven", str(tmp_path).encode()):
            assert word not in content, f"{word} in {path.name}"
    assert b"Doe_John" in (tmp_path / "out-key.csv").read_bytes()


def test_finished_cases_are_left_alone_and_changed_ones_run_again(tmp_path, scan, batch, calls):
    for name in ("p1", "p2", "p3"):
        scan(tmp_path / "study" / name / "ct.nii.gz", REFUSED if name == "p3" else GOOD)
    first = batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    assert (first.ran, first.skipped, len(calls())) == (3, 0, 3)
    second = batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    assert (second.ran, second.skipped, len(calls())) == (0, 3, 3)
    assert second.exit_code == 4, "what was refused before still counts"
    scan(tmp_path / "study" / "p2" / "ct.nii.gz", value=50)
    scan(tmp_path / "study" / "p4" / "ct.nii.gz")
    third = batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    assert (third.ran, calls()[3:]) == (2, ["p2", "p4"])
    assert table(tmp_path / "out")["p2"]["prediction"] != table(tmp_path / "out")["p1"]["prediction"]
    other = AnalysisOptions(method="hu-threshold", brown_model="demo", hu_range=(-150, -50))
    assert batch(tmp_path / "study", tmp_path / "out", other, keep_names=True).ran == 4
    new_weights = {"brown": {"name": "demo", "sha256": "cd" * 32, "demonstration": True}}
    assert batch(tmp_path / "study", tmp_path / "out", other, keep_names=True, models=new_weights).ran == 4
    on_gpu = AnalysisOptions(method="hu-threshold", brown_model="demo", hu_range=(-150, -50), device="cpu")
    assert batch(tmp_path / "study", tmp_path / "out", on_gpu, keep_names=True, models=new_weights).ran == 0


def test_copied_scans_are_recognised_by_their_bytes(tmp_path, scan, batch, calls):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    shutil.copytree(tmp_path / "study", tmp_path / "elsewhere" / "study")
    os.utime(tmp_path / "elsewhere" / "study" / "p1" / "ct.nii.gz", (1, 1))
    for _ in range(2):
        again = batch(tmp_path / "elsewhere" / "study", tmp_path / "out", keep_names=True)
        assert (again.ran, again.skipped, calls()) == (0, 1, ["p1"])


@pytest.mark.parametrize(("rerun", "ran"), [("failed", 1), ("refused", 1), ("all", 3), (None, 0)])
def test_rerun_runs_what_it_names(tmp_path, scan, batch, rerun, ran):
    for name, what in (("p1", GOOD), ("p2", REFUSED), ("p3", BROKEN)):
        scan(tmp_path / "study" / name / "ct.nii.gz", what)
    batch(tmp_path / "study", tmp_path / "out")
    assert batch(tmp_path / "study", tmp_path / "out", rerun=rerun).ran == ran


def test_a_result_folder_that_is_gone_is_made_again_and_one_that_no_longer_holds_goes(tmp_path, scan, batch):
    for name in ("p1", "p2"):
        scan(tmp_path / "study" / name / "ct.nii.gz")
    batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    shutil.rmtree(tmp_path / "out" / "cases" / "p1")
    scan(tmp_path / "study" / "p2" / "ct.nii.gz", REFUSED)
    assert batch(tmp_path / "study", tmp_path / "out", keep_names=True).ran == 2
    assert [p.name for p in (tmp_path / "out" / "cases").iterdir()] == ["p1"]


def test_bad_luck_is_tried_once_more_and_not_for_ever(tmp_path, scan, batch, calls):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz", MEMORY)
    for expected in (1, 2, 2):
        batch(tmp_path / "study", tmp_path / "out")
        assert len(calls()) == expected


def test_cancelling_keeps_what_is_done_and_the_next_start_goes_on(tmp_path, scan, batch, calls):
    for number in range(5):
        scan(tmp_path / "study" / f"p{number}" / "ct.nii.gz")
    events = Events()
    with pytest.raises(Cancelled):
        batch(
            tmp_path / "study",
            tmp_path / "out",
            events=events,
            on_case=lambda record, progress: events.cancel() if progress.done == 2 else None,
        )
    statuses = [row["status"] for row in table(tmp_path / "out").values()]
    assert statuses == ["done", "done", "pending", "pending", "pending"]
    result = batch(tmp_path / "study", tmp_path / "out")
    assert (result.ran, result.skipped, len(calls())) == (3, 2, 5)


def test_a_missing_model_or_a_full_disk_ends_the_batch_in_words(tmp_path, scan, batch, monkeypatch):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz", NO_MODEL)
    scan(tmp_path / "study" / "p2" / "ct.nii.gz")
    with pytest.raises(NoModel, match="The model is gone"):
        batch(tmp_path / "study", tmp_path / "out")
    assert "pending" in {row["status"] for row in table(tmp_path / "out").values()}
    from BATNetLib.batch import ledger

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger.os, "fsync", full)
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    with pytest.raises(OutputRefused) as caught:
        batch(tmp_path / "study", tmp_path / "out")
    assert caught.value.code == "disk-full"


def test_output_folders_of_another_kind_are_refused(tmp_path, scan, batch):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_bytes(b"x")
    for out, code in (
        (tmp_path / "full", "output-not-a-batch"),
        (tmp_path / "study" / "p1" / "out", "output-in-input"),
    ):
        with pytest.raises(UsageError) as caught:
            batch(tmp_path / "study", out)
        assert caught.value.code == code
    batch(tmp_path / "study", tmp_path / "out")
    with pytest.raises(UsageError) as caught:
        batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    assert caught.value.code == "names-mode"
    (tmp_path / "out-key.csv").unlink()
    with pytest.raises(OutputRefused) as caught:
        batch(tmp_path / "study", tmp_path / "out")
    assert caught.value.code == "key-missing"


def test_masks_axes_and_pseudonym_reach_the_analysis(tmp_path, scan, batch):
    for name in ("image", "lobe", "fat_mask", "brown_fat_mask"):
        scan(tmp_path / "study" / "p1" / f"{name}.nii.gz")
    for out, given, roles in (
        ("out", {}, ["lungs"]),
        ("other", {"fat_masks": True, "axes": "zyx"}, ["adipose", "lungs"]),
    ):
        batch(tmp_path / "study", tmp_path / out, **given)
        facts = json.loads((tmp_path / out / "cases" / "case-0001" / "analysis.json").read_text())
        assert (facts["roles"], facts["axes"], facts["case"]["id"]) == (roles, given.get("axes"), "case-0001")


def test_relative_paths_lead_back_from_anywhere(tmp_path, scan, batch, monkeypatch):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    monkeypatch.chdir(tmp_path / "study")
    assert batch(".", Path("../out"), workers=1).folder == tmp_path.resolve() / "out"
    ((name, source),) = read_key(tmp_path / "out-key.csv").values()
    assert (name, source) == ("p1", str(tmp_path / "study" / "p1" / "ct.nii.gz"))
    monkeypatch.chdir(tmp_path)
    assert batch("study", Path("out")).skipped == 1


def test_the_same_images_twice_are_told(tmp_path, scan, batch):
    for name in ("p1", "p2"):
        scan(tmp_path / "study" / name / "ct.nii.gz", value=60)
    scan(tmp_path / "study" / "p3" / "ct.nii.gz", value=61)
    batch(tmp_path / "study", tmp_path / "out", keep_names=True)
    assert summary(tmp_path / "out")["same_images"] == [["p1", "p2"]]


def test_a_crash_of_native_code_costs_one_case(tmp_path, scan, batch, calls):
    for name, what in (("p1", GOOD), ("p2", CRASH), ("p3", EXIT), ("p4", GOOD), ("p5", GOOD)):
        scan(tmp_path / "study" / name / "ct.nii.gz", what)
    result = batch(tmp_path / "study", tmp_path / "out", keep_names=True, workers=2)
    rows = table(tmp_path / "out")
    assert [row["status"] for row in rows.values()] == ["done", "failed", "failed", "done", "done"]
    assert (rows["p2"]["code"], rows["p3"]["code"]) == ("crashed", "crashed")
    assert "signal 11" in rows["p2"]["why"] and "exit code 3" in rows["p3"]["why"]
    assert "Segmentation fault" in (tmp_path / "out" / "logs" / "p2.txt").read_text()
    assert sorted(calls()) == ["p1", "p2", "p3", "p4", "p5"]
    assert result.exit_code == 4


def test_a_case_without_end_is_given_up(tmp_path, scan, batch):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz", SLOW)
    scan(tmp_path / "study" / "p2" / "ct.nii.gz")
    batch(tmp_path / "study", tmp_path / "out", keep_names=True, workers=1, time_limit=2.0)
    rows = table(tmp_path / "out")
    assert (rows["p1"]["code"], rows["p2"]["status"]) == ("time-limit", "done")
    assert not (tmp_path / "out" / ".work").exists()


def test_cancelling_a_worker_takes_less_than_a_second(tmp_path, scan, batch, calls):
    scan(tmp_path / "study" / "p1" / "ct.nii.gz", SLOW)
    asked = []

    class Impatient(Events):
        def check(self):
            if calls() and not asked:
                asked.append(time.monotonic())
                self.cancel()
            super().check()

    with pytest.raises(Cancelled):
        batch(tmp_path / "study", tmp_path / "out", workers=1, events=Impatient())
    assert time.monotonic() - asked[0] < 1
    assert not (tmp_path / "out" / ".work").exists()
    assert list((tmp_path / "out" / "cases").iterdir()) == []

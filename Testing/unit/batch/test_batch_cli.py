"""``batnet batch`` as a user starts it: the real engine on phantoms, exit codes, what is said."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from BATNetLib.cli import main
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.volume import write_volume

DEMO = ["--method", "hu-threshold", "--model", "demo", "--attention-stage", "none"]


def table(out):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A phantom as an ordinary scan with its lung mask, one that is cut off, and one that is not in HU."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("batch") / "Doe_study"
    phantom = make_phantom(3)
    for folder in ("p1", "p2", "p3"):
        (root / folder).mkdir(parents=True)
    write_volume(phantom.ct, root / "p1" / "ct.nii.gz")
    write_volume(phantom.lungs, root / "p1" / "lungs.nii.gz")
    window = np.clip((phantom.ct.array + 300) / 2, 0, 255).astype(np.uint8)
    write_volume(phantom.ct.with_array(window), root / "p3" / "ct.nii.gz")
    (root / "p2" / "ct.nii.gz").write_bytes((root / "p3" / "ct.nii.gz").read_bytes()[:5000])
    return root


def test_a_batch_runs_resumes_and_tells(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["batch", str(study), "--out", str(out), *DEMO]) == 4
    said = capsys.readouterr()
    assert "1 done" in said.out and "1 not-assessable" in said.out and "1 refused" in said.out
    assert "out-key.csv" in said.out and "Research use only" in said.out
    assert "3/3" in said.err and "left" in said.err
    rows = {row["status"]: row for row in table(out)}
    assert rows["done"]["method"] == "hu-threshold" and rows["done"]["demonstration"] == "yes"
    assert rows["not-assessable"]["code"] == "not-hu" and rows["refused"]["code"] == "truncated"
    assert 0 <= float(rows["done"]["prediction"]) <= 1
    folder = out / "cases" / rows["done"]["case_id"]
    facts = json.loads((folder / "analysis.json").read_text(encoding="utf-8"))
    assert f"{facts['case']['probability']:.6f}" == rows["done"]["prediction"]
    assert (folder / "adipose.seg.nrrd").is_file() and (folder / "thumbnail.jpg").is_file()
    assert facts["lungs"]["origin"] == "given"
    before = (folder / "analysis.json").stat().st_mtime_ns
    assert main(["batch", str(study), "--out", str(out), *DEMO]) == 4
    assert "3 were finished and unchanged" in capsys.readouterr().out
    assert (folder / "analysis.json").stat().st_mtime_ns == before
    assert main(["batch", "--collect", str(out)]) == 4
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".csv", ".json", ".html", ".jsonl", ".txt"):
            assert "Doe_study" not in path.read_text(encoding="utf-8"), path.name


def test_a_dry_run_lists_and_writes_nothing(study, tmp_path, capsys):
    assert main(["batch", str(study), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "p1" in said and "scan with lungs" in said and "3 cases, 0 passed over" in said
    assert list(tmp_path.iterdir()) == []


def test_programs_read_events_with_each_case_and_the_time_left(study, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "BATNetLib", "batch", str(study / "p2"), "--out", str(tmp_path / "out"),
         "--events", "json", *DEMO],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 4 and done.stderr == ""
    assert {event["event"] for event in events} == {"stage", "result"}
    case, last = [event for event in events if event["event"] == "result"]
    assert (case["case_id"], case["status"], case["done"], case["total"]) == ("case-0001", "refused", 1, 1)
    assert case["seconds_left"] == 0 and case["why"]
    assert (last["counts"], last["ran"], last["skipped"]) == ({"refused": 1}, 1, 0)
    assert "batch" in {event["name"] for event in events if event["event"] == "stage"}
    assert any(event["event"] == "stage" and event["name"].startswith("case-0001: ") for event in events)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--out", "OUT"], 2, "no source"),
        (["STUDY"], 2, "no output folder"),
        (["EMPTY", "--out", "OUT"], 2, "No case was found"),
        (["LIST", "--out", "OUT"], 2, "no column case_id"),
        (["STUDY", "--out", "OUT", "--shard", "7/3"], 2, "shard"),
        (["STUDY", "--out", "OUT", "--workers", "-1"], 2, "--workers"),
        (["STUDY", "--out", "OUT", "--model", "nobody"], 5, "nobody"),
        (["--collect", "EMPTY"], 2, "not the output folder of a batch"),
    ],
)
def test_wrong_usage_is_refused_in_words_before_anything_runs(
    study, tmp_path, capsys, arguments, code, words
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.csv").write_text("name\np1\n", encoding="utf-8")
    places = {
        "STUDY": str(study),
        "OUT": str(tmp_path / "out"),
        "EMPTY": str(tmp_path / "empty"),
        "LIST": str(tmp_path / "list.csv"),
    }
    assert main(["batch", *(places.get(argument, argument) for argument in arguments)]) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

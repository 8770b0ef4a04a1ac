"""``batnet dataset`` as a user or a program calls it."""

import csv
import json

import pytest
from trainingsets import patient, write_scan

from BATNetLib.cli import main


@pytest.fixture
def data(tmp_path):
    """Four patients, the second without brown fat."""
    for seed in range(4):
        write_scan(tmp_path / "data" / f"Smith{seed}", seed=seed, share=0.2 * (seed != 1))
    return tmp_path / "data"


def batnet(*words):
    return main(["dataset", *map(str, words)])


def test_a_clean_set_ends_with_0_and_a_blocking_finding_with_3(data, capsys):
    assert batnet("check", data) == 0
    assert "0 findings block" in capsys.readouterr().out
    write_scan(data / "copy", seed=2)
    assert batnet("check", data, "--json") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["blocking"] and said["findings"][0]["code"] == "duplicate-pixels"


def test_no_table_shows_a_path_and_with_pseudonyms_no_name(data, tmp_path, capsys):
    write_scan(data / "Smith8", seed=8, ct=patient(8)[0][:6])
    assert batnet("check", data, "--csv", tmp_path / "f.csv", "--pseudonyms", tmp_path / "key.csv") == 3
    said = capsys.readouterr().out + (tmp_path / "f.csv").read_text()
    assert "Smith" not in said and str(tmp_path) not in said and "case-000" in said
    rows = list(csv.DictReader((tmp_path / "f.csv").open()))
    assert {row["level"] for row in rows} == {"block", "note"} and all(row["suggestion"] for row in rows)
    assert "Smith8" in (tmp_path / "key.csv").read_text()
    assert batnet("check", data, "--json") == 3
    assert str(tmp_path) not in capsys.readouterr().out


def test_events_as_json_end_with_the_findings(data, capsys, monkeypatch):
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(
        "BATNetLib.cli.stop_when_asked", lambda events, **_: __import__("contextlib").nullcontext()
    )
    assert batnet("check", data, "--events", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result" and len(lines[-1]["cases"]) == 4
    stages = [line for line in lines if line["event"] == "stage"]
    assert {line["name"] for line in stages} == {"find cases", "check cases"}


def test_the_summary_is_one_page_with_pictures_and_no_names(data, tmp_path, capsys):
    assert batnet("summary", data, "--out", tmp_path / "s") == 0
    page = (tmp_path / "s" / "summary.html").read_text()
    assert page.count("data:image/png;base64,") == 4 and "Smith" not in page and "case-0003" in page
    numbers = json.loads((tmp_path / "s" / "summary.json").read_text())
    assert (numbers["cases"], numbers["usable"], numbers["without_brown"]) == (4, 4, 1)
    assert numbers["fat"]["mL"]["n"] == 4 and numbers["bins"]["brown fat: any"] == 3
    assert numbers["slice_distance_mm"]["median"] == 3.0
    assert "Smith3" in (tmp_path / "s-key.csv").read_text()
    assert batnet("summary", data, "--out", tmp_path / "s") == 2
    assert batnet("summary", data, "--out", tmp_path / "s", "--replace", "--keep-names") == 0
    assert "Smith3" in (tmp_path / "s" / "summary.html").read_text()


def test_a_split_is_shown_written_and_checked_for_leaks(data, tmp_path, capsys):
    file = tmp_path / "split.json"
    assert batnet("split", data, "--folds", 2, "--out", file) == 0
    assert "brown fat: none" in capsys.readouterr().out
    assert batnet("check", data, "--split", file) == 0
    assert batnet("split", data, "--folds", 2, "--out", file) == 2
    assert batnet("split", data, "--folds", 9, "--out", tmp_path / "other.json") == 2
    write_scan(data / "new", seed=9)
    assert batnet("check", data, "--split", file) == 3
    assert "split-of-other-data" in capsys.readouterr().err


def test_patches_are_made_kept_and_found_stale(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "patches"
    for seed in (1, 2):
        write_scan(data / f"Smith{seed}", seed=seed)
    assert batnet("patches", data, "--out", out) == 0
    assert "2 cases made, 0 kept" in capsys.readouterr().out
    assert batnet("check", data, "--patches", out) == 0
    write_scan(data / "Smith2", seed=12)
    assert batnet("check", data, "--patches", out) == 3
    assert "patches-stale" in capsys.readouterr().out
    assert batnet("patches", data, "--out", out) == 0
    assert "1 cases made, 1 kept" in capsys.readouterr().out


def test_a_conversion_that_refuses_some_cases_ends_with_4(data, tmp_path, capsys):
    write_scan(data / "odd", seed=7, ct=patient(7)[0][:6])
    assert batnet("convert", data, "--to", "folders", "--out", tmp_path / "c") == 4
    said = capsys.readouterr().out
    assert "4 cases written" in said and "odd refused [other-grid]" in said
    assert not (tmp_path / "c" / "odd").exists()
    assert batnet("convert", data, "--to", "slices", "--out", tmp_path / "d") == 3

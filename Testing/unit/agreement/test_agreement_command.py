"""``batnet agreement``: the result folder, the report and the refusals of the command line."""

import csv
import json

import numpy as np
import pytest
from readsfolder import GRID, ball, cohort, keep

from BATNetLib.annotation.store import Store
from BATNetLib.cli import main


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Three readers with odd names, one case that only one read; the result folder."""
    root = tmp_path_factory.mktemp("agreement")
    store = cohort(root / "reads", ("=Anna & <Co>", "ben", "cleo"), cases=7)
    keep(store, "P90", "ben", ball((10.0, 22.0, -12.0), 6.0))
    keep(store, "P91", "ben", ball((10.0, 22.0, -12.0), 6.0))
    keep(store, "P91", "cleo", np.zeros(GRID.shape, bool))
    code = main(["agreement", str(root / "reads"), "--out", str(root / "out"), "--resamples", "200"])
    assert code == 0
    return root / "out"


def test_the_folder_holds_tables_figures_summary_and_report(outcome):
    assert {p.name for p in outcome.iterdir()} == {
        "masks.csv", "scores.csv", "volumes.csv", "regions.csv", "left_out.csv", "summary.json",
        "report.html", "overlap.png", "bland-altman.png", "scores.png",
    }  # fmt: skip
    for picture in outcome.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_tables_agree_with_the_summary(outcome):
    summary = json.loads((outcome / "summary.json").read_text(encoding="utf-8"))
    masks = rows(outcome / "masks.csv")
    assert len(masks) == 7 * 3 + 1 and summary["cases"] == 8
    both = [
        float(m["dice"])
        for m in masks
        if (m["first"], m["second"]) == ("ben", "cleo") and m["state"] == "both"
    ]
    ours = next(m for m in summary["masks"] if m["readers"] == ["ben", "cleo"])
    assert ours["dice"]["mean"]["value"] == pytest.approx(np.mean(both), abs=1e-5) and len(both) == 7
    assert ours["states"]["second-empty"] == 1
    scores = rows(outcome / "scores.csv")
    assert len(scores) == (3 + 1) * 9 * 2 and {s["weights"] for s in scores} == {"linear", "quadratic"}
    one = next(s for s in scores if s["first"] == "ben" and s["group"] == "all depots")
    assert sum(float(one[f"first_{n}"]) for n in range(3)) == pytest.approx(1.0, abs=1e-4)
    regions = rows(outcome / "regions.csv")
    assert len(regions) == summary["regions"]["listed"] > 0
    assert {r["side"] for r in regions} <= {"right", "left"}
    assert sum(float(r["ml"]) for r in regions) == pytest.approx(summary["regions"]["listed_ml"], abs=1e-3)
    assert [(e["case_id"], e["reader"][-4:]) for e in rows(outcome / "left_out.csv")][-1] == ("P91", "<Co>")


def test_the_report_says_what_it_is_and_escapes_names(outcome):
    page = (outcome / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in page and "&lt;Co&gt;" in page and "<Co>" not in page
    for word in ("Surface Dice at 2 mm", "ICC(2,1)", "Light 1971", "Reads that did not count", "P90"):
        assert word in page
    assert (
        page.count("data:image/png;base64,") == 3
        and "None" not in page
        and "nan" not in page.split("<style>")[0]
    )


def test_no_table_opens_as_a_formula_and_no_path_is_told(outcome):
    assert all(not m["first"].startswith("=") for m in rows(outcome / "masks.csv"))
    for path in outcome.glob("*.*"):
        if path.suffix in (".csv", ".json", ".html"):
            assert str(outcome.parent) not in path.read_text(encoding="utf-8")


def test_one_pair_without_scores_or_pictures_works_too(tmp_path, capsys):
    store = Store(tmp_path / "reads")
    for reader in ("anna", "ben"):
        keep(store, "P1", reader, np.zeros(GRID.shape, bool))
    arguments = ["agreement", str(tmp_path / "reads"), "--readers", "anna,ben", "--resamples", "100"]
    assert main([*arguments, "--out", str(tmp_path / "full")]) == 0
    assert not list((tmp_path / "full").glob("overlap.png"))
    assert "not scored by both" in (tmp_path / "full" / "report.html").read_text(encoding="utf-8")
    assert main([*arguments, "--out", str(tmp_path / "numbers"), "--numbers-only"]) == 0
    assert not (tmp_path / "numbers" / "report.html").exists()
    assert "1 case with two reads" in capsys.readouterr().out
    assert main([*arguments, "--out", str(tmp_path / "full")]) == 2  # there already
    assert main([*arguments, "--out", str(tmp_path / "full"), "--replace"]) == 0


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--readers", "anna,zoe"], 2),
        (["--tolerance", "-1"], 2),
        (["--resamples", "5"], 2),
        (["--smallest", "-1"], 2),
        (["--readers", "anna"], 2),
    ],
)
def test_wrong_requests_are_refused_and_leave_nothing(tmp_path, more, code, capsys):
    store = Store(tmp_path / "reads")
    for reader in ("anna", "ben"):
        keep(store, "P1", reader, np.zeros(GRID.shape, bool))
    assert main(["agreement", str(tmp_path / "reads"), "--out", str(tmp_path / "out"), *more]) == code
    assert not (tmp_path / "out").exists()
    assert str(tmp_path) not in capsys.readouterr().err


def test_cases_without_two_reads_are_input_that_is_refused(tmp_path):
    store = Store(tmp_path / "reads")
    keep(store, "P1", "anna", np.zeros(GRID.shape, bool))
    keep(store, "P2", "ben", np.zeros(GRID.shape, bool))
    assert main(["agreement", str(tmp_path / "reads"), "--out", str(tmp_path / "out")]) == 3


def test_programs_get_json_lines(tmp_path, capsys):
    cohort(tmp_path / "reads", cases=3)
    arguments = ["agreement", str(tmp_path / "reads"), "--out", str(tmp_path / "out"), "--resamples", "100"]
    code = main([*arguments, "--events", "json", "--numbers-only"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0 and any(line.get("cases") == 3 for line in lines)

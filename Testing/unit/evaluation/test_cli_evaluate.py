"""``batnet evaluate`` as other programs and people call it."""

import json
import sys

import numpy as np
import pytest

from BATNetLib.cli import main


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "p.csv"
    lines = [f"c{n},{rng.random() * 0.6 + 0.3 * (n % 2):.3f},{n % 2}" for n in range(40)]
    path.write_text("case_id,prediction,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def words(source, out, *more):
    return ["evaluate", "brown", "--table", str(source), "--out", str(out), "--resamples", "100", *more]


def test_probabilities_are_evaluated_and_the_folder_is_named(source, tmp_path, capsys):
    assert main(words(source, tmp_path / "out", "--threshold", "0.5")) == 0
    shown = capsys.readouterr().out
    assert "40 cases, 20 with brown fat" in shown and "Sensitivity" in shown and "report.html" in shown
    assert (tmp_path / "out" / "report.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "p.csv"]


def test_programs_get_the_numbers_as_an_event(source, tmp_path, capsys):
    assert main(words(source, tmp_path / "out", "--numbers-only", "--events", "json")) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[-1]["event"] == "result" and said[-1]["cases"] == 40 and 0.5 < said[-1]["auc"] < 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["metrics.csv", "summary.json"]


def test_masks_are_evaluated_from_the_command_line(tmp_path, capsys):
    import nibabel as nib

    array = np.zeros((8, 9, 6), np.uint8)
    array[2:6, 2:6, 1:4] = 1
    for side in ("truth", "predicted"):
        (tmp_path / side).mkdir()
        for name in ("a", "b"):
            nib.save(
                nib.Nifti1Image(array, np.diag([-1.0, -1.0, 2.0, 1.0])), tmp_path / side / f"{name}.nii.gz"
            )
    sources = ["--truth", str(tmp_path / "truth"), "--predicted", str(tmp_path / "predicted")]
    assert main(["evaluate", "adipose", *sources, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "2 cases: 2 with both masks, 0 missed" in shown and "1.000" in shown
    assert (tmp_path / "out" / "raincloud.png").is_file()


def test_without_matplotlib_it_says_so_at_once_and_numbers_still_work(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(words(source, tmp_path / "out")) == 2
    shown = capsys.readouterr().err
    assert "needs matplotlib" in shown and "batnet[evaluate]" in shown and not (tmp_path / "out").exists()
    assert main(words(source, tmp_path / "out", "--numbers-only")) == 0


def test_without_scikit_learn_only_the_baseline_is_refused(source, tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"] + ["sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(words(source, tmp_path / "out", "--numbers-only")) == 0
    clinic = tmp_path / "clinic.csv"
    clinic.write_text("case_id,age\n" + "".join(f"c{n},{40 + n}\n" for n in range(40)), encoding="utf-8")
    more = ("--numbers-only", "--replace", "--baseline", str(clinic))
    assert main(words(source, tmp_path / "out", *more)) == 2
    assert "needs scikit-learn" in capsys.readouterr().err


def test_an_existing_folder_is_kept_unless_it_may_be_replaced(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x", encoding="utf-8")
    assert main(words(source, out, "--numbers-only")) == 2
    assert [p.name for p in out.iterdir()] == ["mine.txt"]
    assert main(words(source, out, "--numbers-only", "--replace")) == 0
    assert "metrics.csv" in [p.name for p in out.iterdir()]


def test_a_refusal_writes_nothing_and_shows_no_folder_of_the_user(tmp_path, capsys):
    path = tmp_path / "p.csv"
    path.write_text("case_id,prediction,label\na,0.5,1\nb,0.4,3\n", encoding="utf-8")
    assert main(words(path, tmp_path / "out")) == 3
    shown = "".join(capsys.readouterr())
    assert "[labels-invalid]" in shown and str(tmp_path) not in shown and "Traceback" not in shown
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]
    assert main(words(path, tmp_path / "out", "--resamples", "5")) == 2
    assert main(words(path, tmp_path / "out", "--threshold", "1.5")) == 2

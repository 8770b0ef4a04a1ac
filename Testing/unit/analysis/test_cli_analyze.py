"""``batnet analyze`` as a user and as a program meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from analysis_cases import OVERRIDES, brown_model, passport_of

from BATNetLib.cli import main
from BATNetLib.cli.analyze import default_output
from BATNetLib.volume import write_volume

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained classifier as a file of its own."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(brown_model().network.state_dict(), path)
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working folder away from the scan."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def words(scan, weights, *more):
    codes = [f"--override={code}={reason}" for code, reason in OVERRIDES.items()]
    arguments = ["analyze", scan / "Mustermann.nii.gz", "--method", "hu-threshold", "--brown-model", weights]
    return [str(word) for word in (*arguments, *codes, *more)]


def test_it_ends_by_naming_the_folder_and_the_probability(scan, weights, elsewhere, capsys):
    assert (
        main(words(scan, weights, "--lungs", scan / "Mustermann-lungs.nii.gz", "--attention-stage", "none"))
        == 0
    )
    said = capsys.readouterr().out
    folder = elsewhere / "Mustermann-batnet"
    assert "Mustermann-batnet" in said and f"{passport_of(folder)['case']['probability']:.4f}" in said
    assert "by HU threshold, not by the network" in said
    assert said.strip().endswith("Research use only, not a medical device.")
    assert passport_of(folder)["overrides"] == [{"code": "large-pixels", "reason": OVERRIDES["large-pixels"]}]


def test_a_second_run_is_refused_until_replace_is_said(scan, weights, elsewhere, capsys):
    again = words(scan, weights, "--out", "out", "--attention-stage", "none")
    assert main(again) == 0
    first = passport_of(elsewhere / "out")
    assert main(again) == 2
    assert "--replace" in capsys.readouterr().err
    assert passport_of(elsewhere / "out") == first
    assert main([*again, "--replace"]) == 0


def test_a_scan_that_is_not_assessable_leaves_a_folder_and_exit_code_3(phantom, weights, elsewhere, capsys):
    noise = np.random.default_rng(0).integers(-1000, 1000, phantom.ct.array.shape).astype(np.int16)
    write_volume(phantom.ct.with_array(noise), elsewhere / "noise.nii.gz")
    code = main(
        ["analyze", "noise.nii.gz", "--brown-model", str(weights), "--method", "hu-threshold", "--out", "n"]
    )
    assert code == 3
    told = capsys.readouterr()
    assert "not-assessable" in told.err and "Brown-fat probability" not in told.out
    case = passport_of(elsewhere / "n")["case"]
    assert case["outcome"] == "not-assessable" and case["probability"] is None
    assert (elsewhere / "n" / "report.html").exists()


def events_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_programs_read_stages_result_and_nothing_else(scan, weights, elsewhere):
    command = [sys.executable, "-m", "BATNetLib", *words(scan, weights, "--events", "json", "--out", "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == ""
    told = events_of(done.stdout)
    assert {e["event"] for e in told} <= {"stage", "warning", "result"}
    result = told[-1]
    facts = passport_of(elsewhere / "out")
    assert result["event"] == "result" and Path(result["folder"]) == Path("out")
    assert result["probability"] == facts["case"]["probability"] and result["outcome"] == "assessed"
    ended = [e["name"] for e in told if e["event"] == "stage" and e["finished"]]
    assert list(dict.fromkeys(ended)) == [
        "read", "lungs", "preflight", "adipose", "patches", "classify", "attention", "write",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "code", "exit_code"),
    [
        (["--override", "large-pixels"], "override-without-reason", 2),
        (["--override", "no-such-finding=why not"], "override-unknown", 2),
        (["--limits", "limits.json"], "preflight-limits", 2),
        (["--limits", "gone.json"], "preflight-limits", 2),
        (["--hu-range", "-30", "-190"], "hu-range", 2),
        (["--method", "network", "--hu-range", "-190", "-30"], "hu-range-unused", 2),
        (["--brown-model", "unheard-of"], "model-unknown", 5),
        (["--device", "abacus"], "unknown-device", 2),
        (["--method", "network", "--adipose", "limits.json"], "unknown-format", 3),
        (["--adipose", "limits.json"], "mask-and-method", 2),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_leaves_no_folder(
    more, code, exit_code, scan, weights, elsewhere, capsys
):
    (elsewhere / "limits.json").write_text('{"no-such-limit": 1}')
    given = main(words(scan, weights, "--out", "out", "--attention-stage", "none", *more))
    told = capsys.readouterr().err
    assert (given, f"[{code}]" in told) == (exit_code, True), told
    assert "Traceback" not in told and str(scan) not in told
    assert sorted(p.name for p in elsewhere.iterdir()) == ["limits.json"]


def test_limits_and_models_of_the_command_line_reach_the_result(scan, weights, elsewhere):
    (elsewhere / "limits.json").write_text('{"pixel_mm_block": 50.0, "pixel_mm_warn": 40.0}')
    command = ["analyze", str(scan / "Mustermann.nii.gz"), "--brown-model", str(weights)]
    assert main([*command, "--method", "hu-threshold", "--limits", "limits.json", "--out", "out"]) == 0
    facts = passport_of(elsewhere / "out")
    assert facts["overrides"] == [] and facts["options"]["limits"]["pixel_mm_block"] == 50.0
    assert "large-pixels" not in [f["code"] for f in facts["preflight"]["findings"]]


def test_the_default_folder_lies_here_but_never_inside_the_input(tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "dicom").mkdir(parents=True)
    (data / "case-1").mkdir()
    for name in ("chest.nii.gz", "case-1/image.nii.gz", "dicom/1.dcm"):
        (data / name).write_bytes(b"")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert default_output(data / "chest.nii.gz") == Path("chest-batnet")
    assert default_output(data / "dicom") == Path("dicom-batnet")
    assert default_output(data / "case-1") == Path("case-1-batnet")
    assert default_output(data / "case-1" / "image.nii.gz") == Path("case-1-batnet")
    monkeypatch.chdir(data)
    assert default_output(Path("chest.nii.gz")) == tmp_path / "chest-batnet"
    assert default_output(Path("dicom")) == Path("dicom-batnet")
    monkeypatch.chdir(data / "dicom")
    assert default_output(Path()) == data / "dicom-batnet"


def test_paths_that_are_none_are_refused_in_words(scan, weights, elsewhere, capsys):
    scans = str(scan / "Mustermann.nii.gz")
    for words_, code, exit_code in (
        (["analyze", "x" * 300 + ".nii.gz"], "name-too-long", 2),
        (["analyze", scans, "--out", "x" * 300], "name-too-long", 2),
        (["analyze", scans, "--out", ".", "--replace"], "not-an-analysis", 2),
        (["analyze", scans, "--out", "/", "--replace"], "not-an-analysis", 2),
    ):
        assert main([*words_, "--brown-model", str(weights), "--method", "hu-threshold"]) == exit_code
        told = capsys.readouterr().err
        assert f"[{code}]" in told and "''" not in told and "Traceback" not in told, told
    for command in (["analyze", ""], ["analyze", scans, "--out", ""]):
        with pytest.raises(SystemExit) as end:
            main(command)
        assert end.value.code == 2 and "the path is empty" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []

"""The contract with other programs: exit codes, JSON lines, and ending when the input closes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from BATNetLib.cli import COMMANDS, build_parser, main

ROOT = Path(__file__).resolve().parents[2]

#: An engine in the middle of a result folder: "deep" never asks whether it should stop.
ENGINE = """
import sys, time
from BATNetLib.errors import BATNetError
from BATNetLib.events import JsonLines
from BATNetLib.cli.stopping import stop_when_asked
from BATNetLib.workfiles import whole_folder
events = JsonLines()
try:
    with stop_when_asked(events, watch_input=True), whole_folder(sys.argv[2]) as tmp:
        (tmp / "mask").write_text("x")
        with events.stage("adipose", 10000) as stage:
            while True:
                time.sleep(0.01)
                if sys.argv[1] == "attentive":
                    stage.advance()
except BATNetError as error:
    events.error(error)
    sys.exit(error.exit_code)
"""


def start_engine(manner, out, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, manner, str(out)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    assert json.loads(process.stdout.readline())["name"] == "adipose"
    return process


@pytest.mark.parametrize("manner", ["attentive", "deep"])
@pytest.mark.parametrize("way", ["close the input", "SIGTERM", "SIGINT"])
def test_the_engine_ends_within_a_second_and_leaves_nothing(tmp_path, manner, way):
    process = start_engine(manner, tmp_path / "result")
    started = time.perf_counter()
    if way == "close the input":
        process.stdin.close()
    else:
        process.send_signal(getattr(signal, way))
    last = json.loads(process.stdout.read().splitlines()[-1])
    assert process.wait(10) == 6
    assert time.perf_counter() - started < 1.0
    assert last["event"] == "error" and last["code"] == "cancelled" and last["exit_code"] == 6
    assert list(tmp_path.iterdir()) == []


def test_no_input_at_all_does_not_cancel(capfd):
    """A cluster starts jobs with /dev/null as input: that is not a program that went away."""
    done = subprocess.run(
        [sys.executable, "-m", "BATNetLib", "doctor", "--json", "--events", "json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["doctor"]["notice"].startswith("Research use only")


def test_wrong_usage_is_exit_code_2():
    for words in (["nonsense"], ["analyze"], []):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 2


def test_a_missing_file_is_exit_code_3_with_a_way_out_as_json(tmp_path, capsys):
    scan, out = tmp_path / "no.nii.gz", tmp_path / "out"
    code = main(["analyze", str(scan), "--out", str(out), "--model", "demo", "--events", "json"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 3 and said[-1]["event"] == "error" and said[-1]["remedy"]
    assert str(tmp_path) not in json.dumps(said)
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_ours_is_exit_code_1_without_a_traceback(monkeypatch, capsys):
    from BATNetLib.cli import doctor

    monkeypatch.setattr(doctor, "examine", lambda: 1 / 0)
    assert main(["doctor"]) == 1
    shown = "".join(capsys.readouterr())
    assert "defect of ours" in shown and "ZeroDivisionError" in shown
    assert "Traceback" not in shown and str(ROOT) not in shown


def test_every_command_has_a_help_with_an_example(capsys):
    parser = build_parser()
    for name in (module.replace("_", "-") for module in COMMANDS):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args([name, "--help"])
        assert caught.value.code == 0
        shown = capsys.readouterr().out
        assert "xample" in shown and f"batnet {name}" in shown


def test_the_doctor_works_without_torch_and_says_how_to_get_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('torch', 'jinja2', 'PIL', 'nibabel', 'pydicom'):\n    sys.modules[name] = None\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "BATNetLib", "doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Research use only" in done.stdout and "PyTorch is not installed" in done.stdout

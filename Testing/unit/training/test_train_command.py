"""``batnet train`` from the command line: refusals, stops, a detached run, what it would cost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from trainruns import SMALL, cohort, log_of, losses_of, prepared, split_of, state_of, without_the_end

from BATNetLib.cli import main
from BATNetLib.cli import train as command
from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.training import runfolder
from BATNetLib.training.session import work

ROOT = Path(__file__).resolve().parents[3]
TINY = ["--width", "2", "--device", "cpu", *(part for field in SMALL for part in ("--set", field))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = cohort(tmp_path_factory.mktemp("cohort") / "data")
    split_of(folder)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BATNET_HOME", str(tmp_path / "home"))


def train(data, out, *more, epochs=1):
    split = ["--split", str(data.parent / "split.json")]
    return main(
        ["train", "adipose", str(data), *split, "--out", str(out), *TINY, "--epochs", str(epochs), *more]
    )


def said(capsys):
    return capsys.readouterr().err


def test_from_a_folder_to_a_model_in_the_list(data, tmp_path, capsys):
    """The only test here with the whole end: model card, measures, report, examples."""
    run = tmp_path / "RUN"
    assert train(data, run, "--events", "json", "--set", "tensorboard=true", epochs=2) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result" and lines[-1]["folder"] == str(run)
    stages = [line for line in lines if line["event"] == "stage" and line["name"] == "train"]
    assert stages[-1]["done"] == stages[-1]["total"] == 18 and stages[-1]["finished"]
    state = state_of(run)
    assert state["state"] == "done" and state["result"]["model"] == "adipose-run" and state["error"] is None
    assert main(["models", "list"]) == 0 and "adipose-run" in capsys.readouterr().out
    there = {p.name for p in run.iterdir()}
    assert {
        "run.json",
        "config.yaml",
        "state.json",
        "log.jsonl",
        "best.safetensors",
        "last.safetensors",
    } <= there
    assert "cache" not in there and not (run / "stop").exists()
    (curves,) = (run / "tensorboard").iterdir()
    assert b"validation/dice" in curves.read_bytes() and b"loss/step" in curves.read_bytes()
    facts = json.loads((run / "run.json").read_text())
    assert facts["data"]["cases"] == {"train": 3, "validation": 1, "test": 0} and facts["device"] == "cpu"
    assert {"batnet", "torch", "monai", "lightning-fabric"} <= set(facts["software"])
    for path in run.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".html", ".md", ".yaml") and path.name != "paths.json":
            assert str(tmp_path) not in path.read_text() and str(data) not in path.read_text(), path.name


def test_without_a_split_the_command_that_makes_one_is_named(data, tmp_path, capsys):
    assert main(["train", "adipose", str(data), "--out", str(tmp_path / "run"), *TINY]) == 2
    text = said(capsys)
    assert "split-missing" in text and "batnet dataset split data --fractions" in text
    assert not (tmp_path / "run").exists()


def test_a_split_that_folders_say_is_taken(tmp_path, monkeypatch):
    without_the_end(monkeypatch)
    cohort(tmp_path / "data", 3)
    for part, cases in (("train", ["p0", "p1"]), ("val", ["p2"])):
        for case in cases:
            shutil.move(tmp_path / "data" / case, tmp_path / "data" / part / case)
    assert main(
        ["train", "adipose", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *TINY, "--epochs", "1"]
    ) == 0  # fmt: skip
    assert json.loads((tmp_path / "run" / "run.json").read_text())["data"]["cases"]["validation"] == 1


def test_a_fold_is_named_by_its_number(data, tmp_path, monkeypatch, capsys):
    from BATNetLib.dataset import check, make_split, open_dataset, write_split

    dataset = open_dataset(data)
    split = write_split(make_split(dataset, check(dataset).facts, folds=2), tmp_path / "folds.json")
    arguments = ["train", "adipose", str(data), "--split", str(split), "--out", str(tmp_path / "run"), *TINY]
    assert main(arguments) == 2 and "fold 1, fold 2" in said(capsys)
    monkeypatch.setattr("BATNetLib.training.session.work", lambda *_, **__: {})
    assert main([*arguments, "--fold", "2"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["split"]["fold"] == "fold 2"


def test_the_same_images_in_training_and_validation_are_refused(tmp_path, monkeypatch, capsys):
    without_the_end(monkeypatch)
    data = cohort(tmp_path / "data", 3)
    split_of(data)
    validated = json.loads((tmp_path / "split.json").read_text())["cases"]
    held = next(case for case, entry in validated.items() if entry["fold"] == "validation")
    other = next(case for case, entry in validated.items() if entry["fold"] == "train")
    # After the split was made, one patient's files were copied over another's.
    for file in (data / held).iterdir():
        shutil.copy(file, data / other / file.name)
    assert train(data, tmp_path / "run") == 3
    assert "pixels-in-two-splits" in said(capsys)
    state = state_of(tmp_path / "run")
    assert state["state"] == "failed" and state["error"]["code"] == "pixels-in-two-splits"


def test_a_patient_in_two_folds_is_refused(data, tmp_path, capsys):
    pattern = ["--patient-pattern", "^(p)"]  # all of them are one patient now
    assert train(data, tmp_path / "run", *pattern) == 3
    assert "another list of cases" in said(capsys)


def test_a_scan_that_vanished_is_told_in_words_and_the_run_goes_on_when_it_is_back(
    tmp_path, monkeypatch, capsys
):
    without_the_end(monkeypatch)
    data = cohort(tmp_path / "data", 3)
    split_of(data)
    run = prepared(data, tmp_path / "run", epochs=1, width=2)
    (data / "p1" / "ct.nii.gz").rename(tmp_path / "away")
    assert main(["train", "resume", str(run)]) == 3
    error = state_of(run)["error"]
    assert state_of(run)["state"] == "failed" and str(tmp_path) not in json.dumps(error)
    capsys.readouterr()
    (tmp_path / "away").rename(data / "p1" / "ct.nii.gz")
    assert main(["train", "resume", str(run)]) == 0 and state_of(run)["state"] == "done"


def test_a_done_training_goes_on_only_to_more_epochs(data, tmp_path, monkeypatch, capsys):
    without_the_end(monkeypatch)
    run = tmp_path / "run"
    assert train(data, run) == 0
    assert main(["train", "resume", str(run)]) == 2 and "run-over" in said(capsys)
    assert train(data, run) == 2 and "'batnet train resume'" in said(capsys)
    assert main(["train", "resume", str(run), "--epochs", "2"]) == 0
    assert len(log_of(run, "epoch")) == 2 and state_of(run)["epoch"] == 2
    assert train(data, run, "--replace") == 0 and len(log_of(run, "epoch")) == 1


def test_a_second_start_of_the_same_run_is_refused(data, tmp_path, capsys):
    run = prepared(data, tmp_path / "run")
    with runfolder.run_lock(run):
        before = (run / "state.json").read_bytes()
        assert main(["train", "resume", str(run)]) == 2 and "run-in-use" in said(capsys)
        assert main(["train", "resume", str(run), "--detach"]) == 2 and "run-in-use" in said(capsys)
        assert train(data, run, "--replace") == 2 and "run-in-use" in said(capsys)
        assert (run / "state.json").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--set", "optimizer.rate=1"], "config-unknown"),
        (["--device", "cuda:5"], "device-missing"),
        (["--name", "Mine!"], "model-name"),
        (["--start-from", "nothing"], "model"),
        (["--batch-size", "0"], "config-field"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(data, tmp_path, capsys, more, code):
    assert train(data, tmp_path / "run", *more) in (2, 5)
    assert code in said(capsys)
    if code != "device-missing":
        assert not (tmp_path / "run").exists()


def test_a_run_inside_its_data_is_refused(data, capsys):
    assert train(data, data / "run") == 2 and "output-in-data" in said(capsys)
    assert train(data, data, "--replace") == 2 and not (data / "run").exists() and (data / "p0").exists()


def interrupt_when_training(run, act):
    """Call ``act`` in a thread as soon as the run has made a step."""

    def wait():
        until = time.monotonic() + 60
        while time.monotonic() < until and not (run / "log.jsonl").exists():
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.fixture
def slow(monkeypatch):
    """Steps take so long that a wish to stop comes in their middle."""
    from BATNetLib.training.loop import Loop

    without_the_end(monkeypatch)
    step = Loop._step
    monkeypatch.setattr(Loop, "_step", lambda *given: (step(*given), time.sleep(0.05)))


def test_ctrl_c_saves_the_state_and_no_process_was_started(data, tmp_path, slow, capsys):
    run = tmp_path / "run"
    children = []

    def ctrl_c():
        children.extend(psutil.Process().children())
        os.kill(os.getpid(), signal.SIGINT)

    before = set(psutil.Process().children())
    thread = interrupt_when_training(run, ctrl_c)
    assert train(data, run, epochs=50) == 6
    thread.join()
    assert set(children) <= before
    assert "training-stopped" in said(capsys)
    state = state_of(run)
    assert state["state"] == "stopped" and state["error"] is None and runfolder.liveness(run) == "over"
    assert 0 < state["step"] + state["epoch"] * state["steps"] < 450
    steps = len(losses_of(run))
    assert main(["train", "resume", str(run), "--epochs", str(state["epoch"] + 1)]) == 0
    assert len(losses_of(run)) == (state["epoch"] + 1) * 9 >= steps


def test_a_closed_input_saves_the_state(data, tmp_path, slow, capsys):
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        thread = interrupt_when_training(tmp_path / "run", lambda: os.close(writing))
        assert train(data, tmp_path / "run", "--events", "json", epochs=50) == 6
        thread.join()
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reading)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "error" and last["code"] == "training-stopped"
    assert state_of(tmp_path / "run")["state"] == "stopped"


def test_the_file_stop_ends_it_also_while_data_are_read(data, tmp_path, monkeypatch):
    without_the_end(monkeypatch)
    monkeypatch.setattr("BATNetLib.training.session._LOOK", 0.01)
    run = prepared(data, tmp_path / "run", epochs=50)
    from BATNetLib.training import adipose_stage

    read = adipose_stage.load_cases

    def asked(*given):
        runfolder.request_stop(run)
        time.sleep(0.2)
        return read(*given)

    monkeypatch.setattr(adipose_stage, "load_cases", asked)
    assert main(["train", "resume", str(run)]) == 6
    assert state_of(run)["state"] == "stopped" and not (run / "stop").exists()
    assert losses_of(run) == [] if (run / "log.jsonl").exists() else True


def test_a_detached_training_is_found_stopped_and_gone_on_with(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(data, run, "--detach", epochs=3000) == 0
    assert "train status" in capsys.readouterr().out
    state = state_of(run)
    assert state["pid"] != os.getpid() and runfolder.liveness(run) == "running"
    assert os.getsid(state["pid"]) != os.getsid(0)
    assert main(["train", "status", str(run)]) == 0 and "run: training" in capsys.readouterr().out.lower()
    assert main(["train", "stop", str(run)]) == 0
    process = psutil.Process(state["pid"])
    process.wait(60)
    assert state_of(run)["state"] == "stopped", (run / "engine.log").read_text()
    assert main(["train", "stop", str(run)]) == 2 and "run-not-at-work" in said(capsys)
    assert main(["train", "status", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["liveness"] == "over"


def test_what_a_detached_training_refuses_is_told_by_the_one_who_started_it(
    data, tmp_path, capsys, monkeypatch
):
    run = prepared(data, tmp_path / "run")
    code = (
        "import sys\n"
        "from pathlib import Path; from BATNetLib.errors import InputRefused\n"
        "from BATNetLib.training.runfolder import RunState\n"
        "with RunState(Path(sys.argv[6])) as state: state.fail(InputRefused('gone', 'A.', 'B.', 'C.'))\n"
        "sys.exit(3)"
    )
    start = subprocess.Popen
    monkeypatch.setattr(
        "BATNetLib.training.detached.subprocess.Popen",
        lambda given, **how: start([sys.executable, "-c", code, *given], **how),
    )
    assert main(["train", "resume", str(run), "--detach"]) == 3
    assert "gone" in said(capsys)


def test_status_and_help_answer_in_half_a_second_without_torch(data, tmp_path):
    run = prepared(data, tmp_path / "run")
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from BATNetLib.cli import main\n"
        "try: assert main(['train', *sys.argv[1:]]) == 0\n"
        "except SystemExit as end: assert not end.code\n"
        "seconds = time.perf_counter() - start\n"
        "heavy = {'torch', 'numpy', 'monai', 'lightning_fabric', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(seconds, file=sys.stderr)"
    )
    for arguments in (["status", str(run)], ["adipose", "--help"]):
        seconds = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            seconds.append(float(done.stderr.splitlines()[-1]))
        assert min(seconds) < 0.5


def test_a_system_that_does_not_tell_its_memory_is_no_obstacle(monkeypatch):
    import json
    import sys

    import torch

    from BATNetLib.training import dryrun

    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    memory = dryrun._memory(torch.device("cpu"))
    estimate = dryrun.Estimate("cpu", 10_000, 1.0, 0.5, memory, 4, 2, 10, 6.0, 0.1)
    assert "memory not known" in estimate.in_words()
    assert json.loads(json.dumps(estimate.as_dict(), allow_nan=False))["memory_gb"] is None


def test_a_dry_run_measures_and_keeps_nothing(data, tmp_path, capsys):
    before = set(data.parent.iterdir())
    assert train(data, tmp_path / "run", "--dry-run", "--events", "json", epochs=10) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["event"] == "result" and result["steps_per_epoch"] == 9 and result["cases"] == 3
    assert result["seconds_per_step"] > 0 and result["memory_gb"] > 0.05 and result["device"] == "cpu"
    assert result["seconds_per_epoch"] > 9 * result["seconds_per_step"]
    assert result["hours"] == pytest.approx(result["seconds_per_epoch"] * 10 / 3600)
    assert set(data.parent.iterdir()) == before and not (tmp_path / "run").exists()
    assert train(data, tmp_path / "run", "--dry-run") == 0
    assert "million parameters on cpu" in capsys.readouterr().out


def test_a_training_can_start_from_a_former_model(data, tmp_path, monkeypatch, capsys):
    without_the_end(monkeypatch)
    first, second = tmp_path / "first", tmp_path / "second"
    assert train(data, first, epochs=3) == 0
    best = first / "last.safetensors"
    more = ["--start-from", str(best), "--width", "8", "--set", "deep_supervision=true"]
    assert train(data, second, *more) == 0
    assert "has the width 2" in said(capsys)
    assert losses_of(second)[0] < losses_of(first)[0] - 0.05
    assert json.loads((second / "run.json").read_text())["start_from"]["name"] == "last"
    run = prepared(data, tmp_path / "third")
    paths = json.loads((run / "paths.json").read_text())
    (run / "paths.json").write_text(json.dumps({**paths, "start_from": str(best)}))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "start_from": {"name": "last", "sha256": "0" * 64}}))
    with pytest.raises(InputRefused, match="another one than when the run was made"):
        work(run, Events())


def test_the_recipe_can_be_taken_from_a_file(data, tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("optimiser: {rate: 0.003}\nseed: 5\n")
    monkeypatch.setattr("BATNetLib.training.session.work", lambda *_, **__: {})
    assert train(data, tmp_path / "run", "--config", str(tmp_path / "mine.yaml"), "--preset", "modern") == 0
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "rate: 0.003" in text and "seed: 5" in text and "preset: modern" in text
    assert json.loads((tmp_path / "run" / "run.json").read_text())["seed"] == 5


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory-too-small", 3),
        (MemoryError(), "memory-too-small", 3),
        (ValueError("secret"), "defect", 1),
    ],
)
def test_an_error_of_the_step_is_told_in_words_and_stands_in_the_state(
    data, tmp_path, monkeypatch, capsys, error, code, exit_code
):
    from BATNetLib.training.adipose_stage import AdiposeTraining

    def fail(*_):
        raise error

    without_the_end(monkeypatch)
    monkeypatch.setattr(AdiposeTraining, "loss", fail)
    run = tmp_path / "run"
    assert train(data, run) == exit_code
    state = state_of(run)
    assert state["state"] == "failed" and state["error"]["code"] == code and "secret" not in str(state)
    assert f"[{code}]" in said(capsys)
    monkeypatch.undo()
    without_the_end(monkeypatch)
    assert main(["train", "resume", str(run)]) == 0 and state_of(run)["state"] == "done"


def test_a_process_that_is_lost_is_told_from_a_defect(monkeypatch):
    from BATNetLib.training import session

    error = RuntimeError("[pair.cc:537] Connection closed by peer [127.0.0.1]:9")
    assert session._in_words(error) is None
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    assert session._in_words(error).code == "process-lost"
    assert session._in_words(RuntimeError("shape")) is None


def test_patience_after_ctrl_c_is_long_enough_for_a_step():
    assert command.PATIENCE >= 60

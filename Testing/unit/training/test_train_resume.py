"""A training that was killed goes on to the same final weights as one that was not."""

import time

import pytest
import torch
from trainruns import (
    cohort,
    command_in_process,
    log_of,
    losses_of,
    prepared,
    split_of,
    state_of,
    without_the_end,
)

from BATNetLib.cli import main
from BATNetLib.events import Events
from BATNetLib.training import checkpoint
from BATNetLib.training.runfolder import liveness
from BATNetLib.training.session import work

#: Everything that has a state: warm-up, augmentation, clipping, further outputs, patience.
RECIPE = ["early_stopping.patience=2", "early_stopping.min_delta=0.5", "save_minutes=0", "amp=off"]

#: 3 cases of 12 slices in batches of 4.
STEPS = 9


def run_of(data, out):
    return prepared(data, out, *RECIPE, preset="modern", epochs=5, width=2)


def test_killed_in_the_middle_of_an_epoch_and_gone_on_with(tmp_path, monkeypatch):
    without_the_end(monkeypatch)
    torch.set_num_threads(1)
    data = cohort(tmp_path / "data")
    split_of(data)
    cut = run_of(data, tmp_path / "cut")
    process = command_in_process(["train", "resume", str(cut)], slow=0.1)
    until = time.monotonic() + 90
    while len(log_of(cut, "step") if (cut / "log.jsonl").exists() else []) < STEPS + 3:
        assert time.monotonic() < until and process.is_alive()
        time.sleep(0.02)
    process.kill()
    process.join()
    assert liveness(cut) == "lost" and state_of(cut)["state"] in ("running", "validating")
    at = checkpoint.load(cut)["progress"]
    assert at["epoch"] == 2 and 0 < at["step"] < STEPS

    whole = run_of(data, tmp_path / "whole")
    work(whole, Events())
    assert state_of(whole)["steps"] == STEPS
    assert main(["train", "resume", str(cut)]) == 0
    assert losses_of(cut) == losses_of(whole)
    figures = [[{**e, "time": 0, "seconds": 0} for e in log_of(run, "epoch")] for run in (cut, whole)]
    assert figures[0] == figures[1]
    # The best one is the first here, and patience ends the training before its 5 epochs.
    assert state_of(cut)["best"] == state_of(whole)["best"] and state_of(cut)["state"] == "done"
    assert state_of(cut)["epoch"] == state_of(whole)["epoch"] == 3
    for name in ("best.safetensors", "last.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    states = [checkpoint.load(run) for run in (cut, whole)]
    for key in ("weights", "optimiser", "schedule", "random", "steps"):
        assert equal(states[0][key], states[1][key]), key
    for key in ("epoch", "step", "global_step", "best", "waited"):
        assert states[0]["progress"][key] == states[1]["progress"][key]
    notes = [entry["code"] for entry in log_of(cut, "note")]
    assert notes == ["resumed", "early-stopping"] or notes == ["resumed", "resumed", "early-stopping"]


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or a != a


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

"""Stage 2 in the training loop: stopped and gone on with, and shared by two processes."""

import math

import pytest
import torch
from brownsets import cohort, parts
from trainruns import command_in_process, log_of, losses_of, ranks, state_of, without_the_end

from BATNetLib.dataset import write_split
from BATNetLib.errors import Cancelled
from BATNetLib.events import Events
from BATNetLib.training.config import resolve
from BATNetLib.training.loop import Loop
from BATNetLib.training.prepare import prepare
from BATNetLib.training.session import work
from BATNetLib.training.source import Source


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("brown")
    dataset = cohort(place / "data", (0.0, 0.5, 0.05, 0.3, 0.0, 0.9))
    write_split(parts(dataset).split, place / "split.json")
    return Source(place / "data", place / "split.json")


def run_of(data, out, preset="modern", **fields):
    fields = {"width": 4, "epochs": 3, "batch_size": 2, "device": "cpu", **fields}
    config = resolve("brown", preset, None, ["tensorboard=false", "amp=off"], **fields)
    return prepare(data, config, out, Events())


def test_stopped_in_the_middle_of_an_epoch_and_gone_on_with(data, tmp_path, monkeypatch):
    """Dropout, augmentation, sampler, warm-up: all go on where they were."""
    without_the_end(monkeypatch)
    torch.set_num_threads(1)
    whole, cut = run_of(data, tmp_path / "whole"), run_of(data, tmp_path / "cut")
    work(whole, Events())
    assert state_of(whole)["steps"] == 2

    events = Events()
    step = Loop._step
    with monkeypatch.context() as patch:

        def stopping(loop, batch, begun):
            if loop.progress.global_step == 2:
                events.cancel()
            step(loop, batch, begun)

        patch.setattr(Loop, "_step", stopping)
        with pytest.raises(Cancelled):
            work(cut, events)
    assert state_of(cut)["state"] == "stopped"
    assert len(losses_of(cut)) == 3
    # Other draws in between must not matter.
    torch.rand(7)
    work(cut, Events(), resuming=True)
    assert losses_of(cut) == losses_of(whole)
    assert len(losses_of(cut)) == 6
    for name in ("best.safetensors", "last.safetensors"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    figures = [[entry["validation"] for entry in log_of(run, "epoch")] for run in (cut, whole)]
    assert figures[0] == figures[1]
    assert not (cut / "cache").exists()


def test_two_processes_share_the_work(data, tmp_path, monkeypatch):
    """Dropout draws differ between processes, so losses agree in the large only; that the loss of two
    processes is that of one is tested where nothing is dropped (``test_brown_stage``)."""
    without_the_end(monkeypatch)
    one, two = (run_of(data, tmp_path / name, "published", epochs=1, batch_size=4) for name in ("one", "two"))
    processes = [
        command_in_process(["train", "resume", str(two)], env, tmp_path / f"{env['RANK']}.txt")
        for env in ranks(2)
    ]
    work(one, Events())
    for process in processes:
        process.join(180)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in processes] == [0, 0], said
    assert state_of(two)["state"] == "done"
    assert losses_of(two) == pytest.approx(losses_of(one), abs=0.1)
    (a,), (b,) = log_of(two, "epoch"), log_of(one, "epoch")
    assert a["validation"]["validation_loss"] == pytest.approx(b["validation"]["validation_loss"], abs=0.02)
    assert all(math.isfinite(value) for value in a["validation"].values())

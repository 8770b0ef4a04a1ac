"""The loop with a stage of a few numbers: what is kept, when it ends, what it says when things go wrong."""

import errno
import json

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from trainruns import log_of, losses_of, without_the_end

from BATNetLib.errors import Cancelled, InputRefused, OutputRefused
from BATNetLib.events import Events
from BATNetLib.training import checkpoint, runfolder
from BATNetLib.training.config import resolve, write_config
from BATNetLib.training.contract import Parts, to_device
from BATNetLib.training.devices import make_fabric
from BATNetLib.training.logs import RunLog
from BATNetLib.training.loop import Loop
from BATNetLib.training.prefetch import ahead
from BATNetLib.training.runfolder import RunState
from BATNetLib.training.sampling import generator


class Line:
    """Fits a line through noisy points; dropout makes it depend on torch's random state."""

    stage, parts = "adipose", Parts((), ())

    def __init__(self, config, scores=(), steps=5):
        self.config, self.metric, self.scores, self.steps = config, config.metric(), list(scores), steps
        self.validated, self.spoil, self.events = 0, None, None

    def network(self):
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))

    def trained_weights(self, network):
        return network.state_dict()

    def steps_per_epoch(self):
        return self.steps

    def batches(self, epoch, rank, world, start_step=0):
        for step in range(start_step, self.steps):
            x = torch.from_numpy(generator(0, epoch, step, 0).random((6, 3), dtype=np.float32))
            if self.spoil is not None:
                self.spoil(epoch, step, x)
            yield {"x": x, "place": (epoch, step)}

    def batch_to(self, batch, device):
        return to_device(batch, device)

    def loss(self, network, batch):
        loss = (network(batch["x"])[:, 0] - batch["x"].sum(1)).square().mean()
        return loss, {"square": loss.detach()}

    def validate(self, network, rank, world, events):
        events.check()
        assert not network.training and torch.is_inference_mode_enabled()
        self.validated += 1
        return [{"case": "a", "dice": self.scores[self.validated - 1] if self.scores else 0.5}]

    def summarise(self, rows):
        return {"dice": rows[0]["dice"]}


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A function that makes a loop over a ``Line`` in a run folder; called again, it goes on."""
    without_the_end(monkeypatch)
    states = []

    def make(*overrides, name="run", scores=(), spoil=None, events=None, **fields):
        fields = {"epochs": 3, "device": "cpu", **fields}
        config = resolve("adipose", "published", None, overrides, **fields)
        run = tmp_path / name
        run.mkdir(exist_ok=True)
        write_config(config, run / "config.yaml")
        events = events or Events()
        stage = Line(config, scores)
        stage.spoil = spoil
        state = RunState(run)
        states.append(state)
        saved = checkpoint.load(run)
        if saved is not None:
            runfolder_of = saved["progress"]
            from BATNetLib.training.logs import cut_back

            cut_back(run, runfolder_of["epoch"], runfolder_of["global_step"])
        log = RunLog(run, tensorboard=False)
        loop = Loop(run, config, stage, make_fabric(config, events), events, state, log)
        return loop, stage, run

    return make


def weights_of(run):
    return checkpoint.load(run)["weights"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_best_and_last_are_kept_and_early_stopping_ends_it(start):
    scores = [0.5, 0.7, 0.6, 0.7, 0.65, 0.9]
    loop, stage, run = start("early_stopping.patience=3", "keep=2", epochs=20, scores=scores)
    assert loop.train() == "early"
    assert stage.validated == 5 and loop.progress.best == {"epoch": 2, "value": 0.7}
    epochs = log_of(run, "epoch")
    assert [e["best"] for e in epochs] == [True, True, False, False, False]
    assert [e["validation"]["dice"] for e in epochs] == scores[:5]
    assert sorted(p.name for p in run.glob("*.safetensors")) == [
        "best.safetensors", "epoch-0002.safetensors", "epoch-0004.safetensors", "last.safetensors",
    ]  # fmt: skip
    assert (run / "best.safetensors").read_bytes() == (run / "epoch-0002.safetensors").read_bytes()
    assert (run / "best.safetensors").read_bytes() != (run / "last.safetensors").read_bytes()
    state = json.loads((run / "state.json").read_text())
    assert state["epoch"] == 5 and state["best"]["epoch"] == 2 and state["seconds_per_epoch"] is not None


def test_of_epochs_with_the_same_figure_the_surer_one_is_kept(start):
    loop, stage, run = start(epochs=4, scores=[0.9, 1.0, 1.0, 1.0])
    losses = iter([0.6, 0.5, 0.2, 0.3])
    stage.summarise = lambda rows: {"dice": rows[0]["dice"], "validation_loss": next(losses)}
    loop.train()
    assert loop.progress.best == {"epoch": 3, "value": 1.0, "validation_loss": 0.2}
    assert [e["best"] for e in log_of(run, "epoch")] == [True, True, True, False]


def test_a_gain_below_the_limit_is_kept_and_does_not_keep_it_going(start):
    loop, stage, _ = start(
        "early_stopping.patience=2", "early_stopping.min_delta=0.1", epochs=9, scores=[0.5, 0.55, 0.58, 0.9]
    )
    assert loop.train() == "early" and stage.validated == 3
    assert loop.progress.best == {"epoch": 3, "value": 0.58}  # small, but the best there is


def test_an_undefined_figure_is_never_the_best(start):
    loop, _, run = start(epochs=3, scores=[None, float("nan"), 0.1])
    assert loop.train() == "done"
    assert loop.progress.best == {"epoch": 3, "value": 0.1}
    assert log_of(run, "epoch")[1]["validation"] == {"dice": None}


def test_validation_may_be_rarer_than_epochs_and_the_last_is_always_validated(start):
    loop, stage, run = start("validate_every=2", epochs=5)
    loop.train()
    assert stage.validated == 3
    assert [e["validation"] is None for e in log_of(run, "epoch")] == [True, False, True, False, False]


@pytest.mark.parametrize(("way", "stop_at"), [("file", (1, 0)), ("cancel", (2, 3)), ("file", (3, 4))])
def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(start, stop_at, way):
    events = Events()
    whole, _, run = start("clip=1.0", name="whole")
    whole.train()

    def stop(epoch, step, _x):
        if (epoch, step) == stop_at:
            if way == "file":
                runfolder.request_stop(run.parent / "cut")
            else:
                events.cancel()

    loop, _, cut = start("clip=1.0", name="cut", spoil=stop, events=events)
    with pytest.raises(Cancelled) as caught:
        loop.train()
    assert caught.value.code == "training-stopped" and "batnet train resume" in caught.value.remedy
    assert not runfolder.stop_requested(cut)
    # Batches are made ahead of the step: the wish comes a little before its batch is used.
    assert 0 < loop.progress.global_step < 15
    torch.rand(7)  # whatever else happened meanwhile
    np.random.rand()
    again, _, _ = start("clip=1.0", name="cut")
    assert again.progress == loop.progress
    again.train()
    assert same(weights_of(run), weights_of(cut))
    assert losses_of(run) == losses_of(cut) and len(losses_of(cut)) == 15
    assert [e["train_loss"] for e in log_of(run, "epoch")] == [e["train_loss"] for e in log_of(cut, "epoch")]


def test_the_scaler_of_half_precision_is_gone_on_with(start, monkeypatch):
    """Its scale grows every two steps here; begun anew, it would grow at other steps."""

    def half(config, events):
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        made = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
        made.launch()
        return made

    monkeypatch.setitem(globals(), "make_fabric", half)
    whole, _, run = start(name="whole", epochs=2)
    whole.train()

    def stop(epoch, step, _x):
        if (epoch, step) == (1, 3):
            runfolder.request_stop(run.parent / "cut")

    loop, _, cut = start(name="cut", epochs=2, spoil=stop)
    with pytest.raises(Cancelled):
        loop.train()
    again, _, _ = start(name="cut", epochs=2)
    again.train()
    states = [checkpoint.load(folder)["scaler"] for folder in (run, cut)]
    assert states[0] == states[1] and states[0]["scale"] == 4.0 * 2**5
    assert same(weights_of(run), weights_of(cut)) and losses_of(run) == losses_of(cut)


def test_a_stop_while_validating_goes_on_with_the_validation(start):
    loop, stage, run = start(epochs=2)
    validate = stage.validate

    def interrupted(network, rank, world, events):
        if stage.validated == 1:
            events.cancel()
        return validate(network, rank, world, events)

    stage.validate = interrupted
    with pytest.raises(Cancelled):
        loop.train()
    assert (loop.progress.epoch, loop.progress.step) == (2, 5)
    again, second, _ = start(epochs=2)
    again.train()
    assert second.validated == 1 and len(losses_of(run)) == 10 and len(log_of(run, "epoch")) == 2


def test_a_loss_that_is_no_number_ends_it_in_words_with_the_last_good_state(start):
    def spoil(epoch, step, x):
        if (epoch, step) == (2, 1):
            x[0, 0] = float("nan")

    loop, _, run = start(spoil=spoil)
    with pytest.raises(InputRefused) as caught:
        loop.train()
    assert caught.value.code == "loss-not-finite" and "epoch 2" in caught.value.found
    saved = checkpoint.load(run)
    assert (saved["progress"]["epoch"], saved["progress"]["step"]) == (2, 0)
    assert all(torch.isfinite(value).all() for value in saved["weights"].values())


def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(start):
    loop, stage, run = start()
    whole = stage.loss

    def spoilt(network, batch):
        loss, parts = whole(network, batch)
        if batch["place"] == (1, 4):
            loss = loss + 0 * torch.sqrt(0 * loss)  # a finite value whose gradient is none
        return loss, parts

    stage.loss = spoilt
    with pytest.raises(InputRefused) as caught:
        loop.train()
    assert caught.value.code == "loss-not-finite"
    assert checkpoint.load(run)["progress"]["global_step"] == 0
    assert all(torch.isfinite(value).all() for value in weights_of(run).values())


def test_a_file_that_vanishes_ends_it_in_words_with_the_state_saved(start):
    def spoil(epoch, step, _x):
        if (epoch, step) == (2, 3):
            raise FileNotFoundError(errno.ENOENT, "No such file", "/home/secret/Meier_Anna/ct.nii.gz")

    loop, _, run = start(spoil=spoil)
    with pytest.raises(InputRefused) as caught:
        loop.train()
    assert caught.value.code == "data-vanished" and "secret" not in str(caught.value)
    assert "'ct.nii.gz'" in caught.value.found
    saved = checkpoint.load(run)["progress"]
    assert (saved["epoch"], saved["step"]) == (2, 3)


def test_a_full_disk_ends_it_in_words_and_the_last_state_stays_whole(start, monkeypatch):
    loop, _, run = start()
    write = checkpoint._write
    room = [4]

    def full(path, data):
        room[0] -= 1
        if room[0] < 0:
            path.write_bytes(bytes(data)[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(OutputRefused) as caught:
        loop.train()
    assert caught.value.code == "disk-full"
    assert sorted(p.name for p in (run / "checkpoint").iterdir()) == ["last.pt", "last.pt.sha256"]
    assert checkpoint.load(run)["progress"]["epoch"] == 3


def test_a_log_that_cannot_be_written_ends_it_in_words(start):
    loop, _, run = start()
    (run / "log.jsonl").unlink(missing_ok=True)
    (run / "log.jsonl").mkdir()
    with pytest.raises(OutputRefused, match="cannot be written"):
        loop.train()


@pytest.mark.parametrize("killed_after", ["next", "hash", "former", "last"])
def test_killed_at_any_moment_of_saving_one_whole_state_is_there(tmp_path, killed_after, monkeypatch):
    checkpoint.save(tmp_path, {"n": torch.tensor(1)})
    folder = tmp_path / "checkpoint"
    replace, write = type(folder).replace, checkpoint._write

    class Killed(BaseException):
        pass

    def write_until(path, data):
        write(path, data)
        if (killed_after, path.suffix) in (("next", ".pt"), ("hash", ".sha256")):
            raise Killed

    def replace_until(self, target):
        done = replace(self, target)
        if self.name == {"former": "last.pt", "last": "next.pt"}.get(killed_after):
            raise Killed
        return done

    monkeypatch.setattr(checkpoint, "_write", write_until)
    monkeypatch.setattr(type(folder), "replace", replace_until)
    with pytest.raises(Killed):
        checkpoint.save(tmp_path, {"n": torch.tensor(2)})
    monkeypatch.undo()
    found = int(checkpoint.load(tmp_path)["n"])
    assert found == (1 if killed_after == "next" else 2) or (
        killed_after in ("former", "last") and found in (1, 2)
    )
    checkpoint.save(tmp_path, {"n": torch.tensor(3)})
    assert int(checkpoint.load(tmp_path)["n"]) == 3
    assert sorted(p.name for p in folder.iterdir()) == ["last.pt", "last.pt.sha256"]


def test_a_damaged_state_is_refused_and_not_run(tmp_path):
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, {"n": 1})
    path = tmp_path / "checkpoint" / "last.pt"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputRefused) as caught:
        checkpoint.load(tmp_path)
    assert caught.value.code == "checkpoint-damaged"


def test_data_of_another_size_cannot_be_gone_on_with(start, monkeypatch):
    loop, _, _ = start(epochs=1)
    loop.train()
    monkeypatch.setattr(Line, "steps_per_epoch", lambda self: 9)
    with pytest.raises(InputRefused, match="must not change"):
        start(epochs=1)


def test_batches_come_ahead_in_order_and_an_error_in_its_place():
    def made():
        yield {"n": 1}
        yield {"n": 2}
        raise OSError("gone")

    taken = []
    with pytest.raises(OSError, match="gone"), ahead(made()) as batches:
        taken.extend(batch["n"] for batch in batches)
    with ahead({"n": n} for n in range(1000)) as batches:
        assert next(batches) == {"n": 0}  # and it ends although nobody takes the rest

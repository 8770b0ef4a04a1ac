"""Two processes give what one process gives on the same global batches."""

import pytest
import torch
from torch import nn
from trainruns import (
    cohort,
    command_in_process,
    log_of,
    losses_of,
    phantom,
    prepared,
    ranks,
    split_of,
    state_of,
    without_the_end,
)

from BATNetLib.errors import UsageError
from BATNetLib.events import Events
from BATNetLib.training.config import resolve
from BATNetLib.training.devices import is_first_process, make_fabric
from BATNetLib.training.distributed import GlobalBatchNorm, with_global_norms
from BATNetLib.training.session import work


@pytest.fixture
def double():
    """With 16 digits, so that what is compared is the method and not how Adam makes the last digit grow."""
    torch.set_default_dtype(torch.float64)
    torch.backends.mkldnn.set_flags(False)
    yield
    torch.backends.mkldnn.set_flags(True)
    torch.set_default_dtype(torch.float32)


def test_two_processes_give_the_figures_of_one(tmp_path, monkeypatch, double):
    """Published recipe: Dice over the batch, batch normalisation, slices of one case in both processes."""
    without_the_end(monkeypatch)
    data = cohort(tmp_path / "data", 5, slices=10)
    split_of(data, (0.4, 0.6))
    two, one = (prepared(data, tmp_path / name, epochs=3, width=2, batch_size=6) for name in ("two", "one"))
    processes = [
        command_in_process(["train", "resume", str(two)], env, tmp_path / f"{env['RANK']}.txt", double=True)
        for env in ranks(2)
    ]
    work(one, Events())
    for process in processes:
        process.join(120)
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in processes] == [0, 0], said
    assert "train" in said[0] and not said[1].strip()  # the first one alone speaks
    assert losses_of(two) == pytest.approx(losses_of(one), abs=1e-6)
    for a, b in zip(log_of(two, "epoch"), log_of(one, "epoch"), strict=True):
        assert a["validation"] == pytest.approx(b["validation"], abs=1e-3)
    assert state_of(two)["best"]["value"] == pytest.approx(state_of(one)["best"]["value"], abs=1e-3)
    assert len(log_of(one, "epoch")) == 3 and state_of(two)["steps"] == state_of(one)["steps"]


def test_exchanged_norms_keep_the_keys_and_the_numbers_of_one_process():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3, momentum=None))
    )
    plain(torch.randn(4, 1, 8, 8))
    keys = list(plain.state_dict())
    x = torch.randn(4, 1, 8, 8)
    wanted = plain.eval()(x)
    made = with_global_norms(plain, torch.device("cpu"))
    assert sum(isinstance(m, GlobalBatchNorm) for m in made.modules()) == 2
    assert list(made.state_dict()) == keys and not made[1].training
    assert torch.equal(made(x), wanted)


def test_more_processes_than_can_share_a_batch_are_refused(monkeypatch):
    for key, value in ranks(3)[0].items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UsageError, match="cannot be shared evenly by 3 processes") as caught:
        make_fabric(resolve("adipose", batch_size=4, device="cpu"), Events())
    assert "--batch-size 3" in caught.value.remedy


def test_a_device_that_is_not_there_is_refused_by_name():
    for device, devices, words in (("cuda:7", 1, "'cuda:7'"), ("tpu", 1, "'tpu'"), ("cpu", 64, "64 devices")):
        config = resolve("adipose", batch_size=64, device=device, devices=devices)
        with pytest.raises(UsageError, match=words):
            make_fabric(config, Events())


def test_half_precision_is_left_out_where_it_gains_nothing():
    events = Events()
    fabric = make_fabric(resolve("adipose", "modern", device="cpu"), events)
    assert [warning["code"] for warning in events.warnings] == ["amp-off"]
    assert fabric.strategy.precision.precision == "32-true"


def test_who_is_first_is_known_from_the_environment(monkeypatch):
    assert is_first_process()
    for env, first in (
        ({"RANK": "0"}, True), ({"RANK": "1"}, False), ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False), ({"SLURM_NTASKS": "4", "SLURM_PROCID": "2"}, False),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, True),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            for key, value in env.items():
                patch.setenv(key, value)
            assert is_first_process() is first, env
    assert phantom(0).ct.array.shape == (12, 32, 32)

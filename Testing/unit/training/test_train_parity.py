"""The published recipe of stage 1 gives the losses of a plain loop written after its description."""

import numpy as np
import pytest
import torch
from trainruns import cohort, losses_of, phantom, prepared, split_of, state_of, without_the_end

from BATNetLib.adipose.network import MAMUNet
from BATNetLib.dataset import read_split
from BATNetLib.events import Events
from BATNetLib.training.config import make_config, preset_values
from BATNetLib.training.sampling import uniform_order
from BATNetLib.training.session import work

#: Two steps an epoch, so that the first milestone (epoch 10) lies within the compared steps.
SLICES, ROWS, EPOCHS, STEPS = 8, 16, 12, 24


def slabs_and_masks(case):
    """Five slices around each one and the mask of the middle one, as the facts describe them."""
    made = phantom(int(case.removeprefix("p")))
    hu = np.clip(made.ct.array[:SLICES, :ROWS].astype(np.float64), -300, 200)
    grey = np.trunc((hu + 300) / 500 * 255) / 255
    n = SLICES
    rows = [(0, 0, 0, 1, 2), (0, 1, 1, 2, 3)]
    rows += [(t - 2, t - 1, t, t + 1, t + 2) for t in range(2, n - 2)]
    rows += [(n - 4, n - 3, n - 2, n - 1, n - 1), (n - 3, n - 2, n - 1, n - 1, n - 1)]
    slabs = np.stack([grey[list(row)] for row in rows])
    return slabs, made.adipose.array[:n, :ROWS].astype(np.float64)


def plain_losses(cases):
    """Adam 0.01 (0.9, 0.99), times 0.1 after epochs 10, 20 and 50, 0.3 BCE + Dice of fat, batches of 4."""
    made = [slabs_and_masks(case) for case in cases]
    slabs, masks = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*made, strict=True))
    torch.manual_seed(0)
    network = MAMUNet(width=2)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [10, 20, 50], gamma=0.1)
    losses = []
    network.train()
    for epoch in range(1, EPOCHS + 1):
        for chosen in uniform_order(len(slabs), 4, 0, epoch):
            optimiser.zero_grad()
            fat = torch.softmax(network(slabs[chosen]), dim=1)[:, 1]
            truth = masks[chosen]
            entropy = -(truth * torch.log(fat) + (1 - truth) * torch.log(1 - fat)).mean()
            dice = 1 - (2 * (fat * truth).sum() + 1e-5) / (fat.sum() + truth.sum() + 1e-5)
            loss = 0.3 * entropy + dice
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        schedule.step()
    return losses


def test_the_preset_is_the_published_recipe():
    config = make_config(preset_values("published", "adipose"))
    assert (config.optimiser.name, config.optimiser.rate, config.optimiser.betas) == (
        "adam",
        0.01,
        (0.9, 0.99),
    )
    assert (config.schedule.name, config.schedule.milestones, config.schedule.factor) == (
        "multistep", (10, 20, 50), 0.1,
    )  # fmt: skip
    assert (config.loss.bce, config.loss.dice, config.batch_size, config.epochs) == (0.3, 1.0, 4, 100)
    assert (config.augmentation.name, config.amp, config.width) == ("none", "off", 64)


@pytest.fixture
def double():
    """Adam at this rate makes millesimals of the last digits of float32 within 20 steps; so 16 digits."""
    torch.set_default_dtype(torch.float64)
    with torch.backends.mkldnn.flags(enabled=False):  # it is eight times slower with 16 digits
        yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_the_losses_are_those_of_a_plain_loop(tmp_path, monkeypatch, double):
    without_the_end(monkeypatch)
    data = cohort(tmp_path / "data", 2, SLICES, ROWS)
    training, _ = read_split(split_of(data, (0.5, 0.5))).training_and_validation()
    run = prepared(data, tmp_path / "run", epochs=EPOCHS, width=2, validate_every=100)
    work(run, Events())
    found, wanted = losses_of(run), plain_losses(training)
    assert state_of(run)["steps"] == 2 and len(found) == len(wanted) == STEPS
    assert found == pytest.approx(wanted, abs=1e-4)
    assert wanted[-1] < wanted[0] - 0.1

"""The published recipe of stage 2 gives the losses of a plain loop written after its description."""

import nibabel as nib
import numpy as np
import pytest
import torch
from brownsets import cohort, parts
from torch import nn
from trainruns import losses_of, state_of, without_the_end

from BATNetLib.brown.network import CEBATCls
from BATNetLib.dataset import open_dataset, prepare_patches, write_split
from BATNetLib.events import Events
from BATNetLib.training.config import make_config, preset_values, resolve
from BATNetLib.training.prepare import prepare
from BATNetLib.training.sampling import uniform_order
from BATNetLib.training.session import work
from BATNetLib.training.source import Source

#: Two steps an epoch.
EPOCHS, STEPS = 10, 20


def read(folder):
    """One case as the published files hold it: patches of both sides, 32 labels, label of the case."""
    sides = [
        torch.from_numpy(np.asarray(nib.load(folder / f"ct_at_{side}_patch.nii.gz").dataobj, np.float32))
        for side in ("left", "right")
    ]
    labels = np.concatenate(
        [
            np.asarray(nib.load(folder / f"ct_at_{side}_label.nii.gz").dataobj).ravel()
            for side in ("left", "right")
        ]
    )
    return (*sides, torch.from_numpy(labels.astype(np.int64)), int((labels == 1).any()))


def plain_losses(folders, weights=(1.5, 1.0), rate=2e-5, epochs=EPOCHS):
    """AdamW 2e-5 with weight decay 1e-5, 0.7 case + 0.3 patches, classes 1.5 and 1.0, -1 ignored."""
    cases = [read(folder) for folder in folders]
    torch.manual_seed(0)
    network = CEBATCls(width=4)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-5)
    of_case, of_patch = (nn.CrossEntropyLoss(weight=torch.tensor(weights), ignore_index=-1) for _ in range(2))
    losses = []
    network.train()
    for epoch in range(1, epochs + 1):
        for chosen in uniform_order(len(cases), 2, 0, epoch):
            left, right, patch_labels, labels = zip(*(cases[index] for index in chosen), strict=True)
            optimiser.zero_grad()
            case, patch = network(torch.stack(left), torch.stack(right))
            loss = 0.7 * of_case(case, torch.tensor(labels))
            loss = loss + 0.3 * of_patch(patch.reshape(-1, 2), torch.stack(patch_labels).reshape(-1))
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    return losses


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six cases, patches of them beside, and a split."""
    place = tmp_path_factory.mktemp("published")
    dataset = cohort(place / "data", (0.0, 0.5, 0.05, 0.3, 0.0, 0.9))
    split = parts(dataset).split
    write_split(split, place / "split.json")
    prepare_patches(dataset, place / "patches")
    return place, [place / "patches" / name for name in split.training_and_validation()[0]]


def test_the_preset_is_the_published_recipe():
    config = make_config(preset_values("published", "brown"))
    assert (config.optimiser.name, config.optimiser.rate, config.optimiser.weight_decay) == (
        "adamw", 2e-5, 1e-5,
    )  # fmt: skip
    assert (config.loss.case, config.loss.patch) == (0.7, 0.3)
    assert config.class_weights == config.patch_weights == (1.5, 1.0)
    assert (config.schedule.name, config.epochs, config.width, config.amp) == ("constant", 51, 64, "fp16")
    assert (config.augmentation.name, config.sampler.name, config.start) == ("none", "uniform", "random")
    assert config.segmenter is None
    assert config.clip is None


@pytest.mark.parametrize("rate", [2e-5, 1e-3])
def test_the_losses_are_those_of_a_plain_loop(data, tmp_path, monkeypatch, rate):
    """With the published rate, and with a higher one under which wrong gradients would soon show."""
    without_the_end(monkeypatch)
    place, folders = data
    assert len(folders) == 4
    config = resolve(
        "brown", "published", None, [f"optimiser.rate={rate}", "tensorboard=false", "validate_every=100"],
        width=4, epochs=EPOCHS, device="cpu",
    )  # fmt: skip
    run = prepare(Source(place / "data", place / "split.json"), config, tmp_path / "run", Events())
    work(run, Events())
    found, wanted = losses_of(run), plain_losses(folders, rate=rate)
    assert state_of(run)["steps"] == 2
    assert len(found) == len(wanted) == STEPS
    assert found == pytest.approx(wanted, abs=1e-4)
    # The comparison would see a recipe that differs: classes that weigh the same, another rate.
    assert np.abs(np.subtract(found[:2], plain_losses(folders, (1.0, 1.0), rate, epochs=1))).max() > 1e-3
    assert np.abs(np.subtract(found[:8], plain_losses(folders, rate=3 * rate, epochs=4))).max() > 1e-4


def test_prepared_patches_give_the_losses_of_their_scans(data, tmp_path, monkeypatch):
    without_the_end(monkeypatch)
    place, folders = data
    write_split(parts(open_dataset(place / "patches")).split, tmp_path / "split.json")
    config = resolve("brown", "published", None, ["tensorboard=false"], width=4, epochs=2, device="cpu")
    run = prepare(Source(place / "patches", tmp_path / "split.json"), config, tmp_path / "run", Events())
    work(run, Events())
    assert losses_of(run) == pytest.approx(plain_losses(folders, epochs=2), abs=1e-4)

"""Small cohorts of phantoms and hand-made run folders, for tests of what comes out of a training."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from BATNetLib.dataset import open_dataset
from BATNetLib.dataset.cases import Dataset
from BATNetLib.dataset.phantom import make_phantom, write_phantom
from BATNetLib.training import runfolder
from BATNetLib.training.config import Config, make_config, preset_values, write_config
from BATNetLib.training.contract import Metric, Parts

#: Coarse enough that a phantom takes a tenth of a second.
SPACING = (9.0, 6.0, 6.0)
#: Names as people give them; none of them may come out of a run.
NAMES = ("Franz_Emil", "Koch_Dieter", "Lang_Ida", "Meier_Anna", "Schulz_Bernd", "Weber_Clara", "Wolf_Erika")
KINDS = ("both", "none", "left", "none", "right", "none", "both")
SPLIT_SHA = "5" * 64


def cohort(folder: Path, count: int = 6) -> Dataset:
    """Case folders of phantoms under ``folder``."""
    for index in range(count):
        phantom = make_phantom(index, brown=KINDS[index], spacing=SPACING)
        write_phantom(phantom, folder / NAMES[index])
    return open_dataset(folder)


def parts_of(dataset: Dataset, validation: int = 2, test: int = 1) -> Parts:
    cases = dataset.cases
    first = len(cases) - validation - test
    return Parts(
        cases[:first], cases[first : first + validation], cases[first + validation :], sha256=SPLIT_SHA
    )


def config_of(stage: str, **changes: Any) -> Config:
    values = preset_values("published", stage)
    return make_config({**values, "width": 2, "epochs": 6, "device": "cpu", **changes})


def adipose_stage(parts: Parts, config: Config | None = None) -> Any:
    """As much of a stage as what comes after a training needs."""
    return SimpleNamespace(
        stage="adipose",
        parts=parts,
        config=config or config_of("adipose"),
        metric=Metric("dice"),
        trained_weights=lambda network: dict(network.state_dict()),
    )


def trained_threshold(width: int = 2) -> Any:
    """A stage-1 network that finds fat by the value of its voxel, so that its Dice on phantoms is high.

    All weights are 0 but one path through the uppermost level: the windowed middle slice, from about -190 HU
    up and from about -30 HU down.
    """
    import torch

    from BATNetLib.adipose.network import MAMUNet

    network = MAMUNet(width=width).eval()
    state = network.state_dict()
    for key, value in state.items():
        if key.endswith("running_var"):
            value.fill_(1.0)
        elif not key.endswith(("num_batches_tracked",)):
            value.zero_()
    for name in ("conv1", "conv9"):
        for norm in ("1", "4"):
            state[f"{name}.conv.{norm}.weight"].fill_(1.0)
    low, high = (-190 + 300) / 500, (-30 + 300) / 500
    with torch.no_grad():
        # Two features: how far above the lower bound, how far above the upper one.
        for feature, bound in ((0, low), (1, high)):
            state["conv1.conv.0.weight"][feature, 2, 1, 1] = 1.0
            state["conv1.conv.0.bias"][feature] = -bound
            state["conv1.conv.3.weight"][feature, feature, 1, 1] = 1.0
            # The skip connection comes after the upsampled half.
            state["conv9.conv.0.weight"][feature, width + feature, 1, 1] = 1.0
            state["conv9.conv.3.weight"][feature, feature, 1, 1] = 1.0
        state["conv10.weight"][1, 0] = 100.0
        state["conv10.weight"][1, 1] = -1000.0
        state["conv10.bias"][1] = -1.0
    network.load_state_dict(state)
    return network


def store_best(run: Path, network: Any, name: str = runfolder.BEST) -> Path:
    from BATNetLib.models.weights import write_safetensors

    arrays = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    write_safetensors(run / name, arrays)
    return run / name


def make_run(folder: Path, stage: str, parts: Parts | None = None, **state: Any) -> Path:
    """A run folder as the loop leaves it after six epochs, the fourth of which was the best."""
    folder.mkdir(parents=True)
    config = config_of(stage)
    write_config(config, folder / runfolder.CONFIG)
    counts = parts.counts() if parts else {"train": 84, "validation": 18, "test": 18}
    run = {
        "schema": 1,
        "stage": stage,
        "preset": "published",
        "name": f"{stage}-run",
        "data": {"name": "cohort-2024", "digest": "d" * 64, "cases": counts},
        "split": {"sha256": SPLIT_SHA, "fold": None, "kind": "parts"},
        "start_from": None,
        "software": {"batnet": "0.1.0", "python": "3.11.9", "torch": "2.13.0"},
        "seed": 0,
        "created": "2026-11-20T09:00:00Z",
        "resumed": [],
        "device": "CPU, 2 threads",
    }
    runfolder.write_json(folder / runfolder.RUN, run)
    metric = config.metric()
    lines: list[dict[str, Any]] = []
    step = 0
    rng = np.random.default_rng(0)
    for epoch in range(1, 7):
        for inner in range(1, 11):
            step += 1
            loss = 0.9 * math.exp(-step / 25) + 0.08 + 0.03 * float(rng.standard_normal())
            parts_of_loss = {"bce": loss * 0.3, "dice": loss * 0.7}
            line = {
                "kind": "step", "epoch": epoch, "step": inner, "global_step": step, "loss": loss,
                "parts": parts_of_loss, "lr": 0.01 if epoch < 4 else 0.001, "seconds": 0.4, "time": "x",
            }  # fmt: skip
            lines.append(line)
        value = 0.95 - 0.1 * abs(epoch - 4)
        validation = {metric.name: value, "validation_loss": 1 - value}
        line = {
            "kind": "epoch", "epoch": epoch, "train_loss": 0.9 * math.exp(-step / 25) + 0.08,
            "validation": validation, "seconds": 6.2, "best": epoch <= 4, "time": "2026-11-20T09:01:00Z",
        }  # fmt: skip
        lines.append(line)
    with (folder / runfolder.LOG).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    facts = {
        "schema": 1,
        "state": "done",
        "pid": 1,
        "host": "nowhere",
        "started": "2026-11-20T09:00:00Z",
        "heartbeat": "2026-11-20T09:03:20Z",
        "epoch": 6,
        "epochs": 6,
        "step": 0,
        "steps": 10,
        "seconds_per_epoch": 6.2,
        "seconds_left": None,
        "metric": {"name": metric.name, "mode": metric.mode},
        "best": {"epoch": 4, "value": 0.95},
        "last": {"train_loss": 0.1},
        "error": None,
        "result": None,
        **state,
    }
    runfolder.write_json(folder / runfolder.STATE, facts)
    return folder


def texts_of(folder: Path) -> str:
    """Everything readable in a folder, to look for names in."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(path.name)
        if path.is_file() and path.suffix in (".json", ".jsonl", ".html", ".md", ".csv", ".yaml"):
            # Three letters in a row are found in any picture.
            found.append(re.sub(r"base64,[^\"]+", "", path.read_text(encoding="utf-8")))
    return "\n".join(found)

"""Small trainings of stage 1 on coarse phantoms, in this process or in others that share one start-up."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch

from BATNetLib.cli import main
from BATNetLib.dataset import check, make_split, open_dataset, write_split
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.events import Events
from BATNetLib.training.config import resolve
from BATNetLib.training.prepare import prepare
from BATNetLib.training.source import Source
from BATNetLib.volume import Grid, Volume, write_volume

#: 12 x 32 x 32 voxels.
SPACING = (18.0, 15.0, 18.0)
KINDS = ("both", "none", "left", "none", "right", "both")
SMALL = ["tensorboard=false"]
# Several threads on so little only wait for each other.
torch.set_num_threads(1)


@functools.lru_cache(maxsize=8)
def phantom(seed):
    return make_phantom(seed, brown=KINDS[seed % len(KINDS)], spacing=SPACING)


def cohort(folder: Path, count: int = 4, slices: int = 12, rows: int = 32) -> Path:
    """Scans with masks of ``count`` patients, ``slices`` slices of ``rows`` x 32 voxels each."""
    for index in range(count):
        made = phantom(index)
        (folder / f"p{index}").mkdir(parents=True)
        for name, volume in (("ct", made.ct), ("adipose", made.adipose), ("brown", made.brown)):
            array = volume.array[:slices, :rows]
            small = Volume(array, Grid.canonical(array.shape, SPACING))
            write_volume(small, folder / f"p{index}" / f"{name}.nii.gz")
    return folder


def split_of(data: Path, fractions=(0.7, 0.3), file: Path | None = None) -> Path:
    """A split of the cohort, beside it."""
    dataset = open_dataset(data)
    made = make_split(dataset, check(dataset).facts, fractions=fractions, seed=1)
    return write_split(made, file or data.parent / "split.json")


def prepared(data: Path, out: Path, *overrides: str, **fields: Any) -> Path:
    """A prepared run of stage 1: width 4 on the CPU unless said otherwise."""
    fields = {"width": 4, "epochs": 2, "device": "cpu", **fields}
    preset = fields.pop("preset", None)
    config = resolve("adipose", preset, None, [*SMALL, *overrides], **fields)
    source = Source(data, data.parent / "split.json")
    return prepare(source, config, out, Events(), replace_=out.exists())


def log_of(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]


def losses_of(run: Path) -> list[float]:
    return [entry["loss"] for entry in log_of(run, "step")]


def state_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "state.json").read_text(encoding="utf-8"))


def without_the_end(monkeypatch) -> None:
    """Leave out what comes after a training and beside it: model card, report, example pictures."""
    from BATNetLib.training import examples, session

    monkeypatch.setattr(session, "_finish", lambda *_: {})
    monkeypatch.setattr(session, "_report", lambda *_: None)
    monkeypatch.setattr(examples, "write_examples", lambda *_: True)


# --- other processes, started from one that has imported torch already


@functools.cache
def _starter():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "monai.losses", "lightning_fabric", "BATNetLib.training.loop"])
    return context


def command_in_process(
    arguments: list[str],
    environment: dict[str, str] | None = None,
    output: Path | str = os.devnull,
    slow: float = 0.0,
    double: bool = False,
):
    """Start ``batnet`` with ``arguments`` in a process of its own; returns the process.

    ``slow``: seconds to wait in every step. ``double``: compute with 16 digits.
    """
    given = [arguments, environment or {}, str(output), slow, double]
    process = _starter().Process(target=_command, args=given)
    process.start()
    return process


def _command(
    arguments: list[str], environment: dict[str, str], output: str, slow: float, double: bool
) -> None:
    os.environ.update(environment)
    with open(output, "w", encoding="utf-8") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    from BATNetLib.training import examples, session
    from BATNetLib.training.loop import Loop

    torch.set_num_threads(1)
    if double:
        torch.set_default_dtype(torch.float64)
        torch.backends.mkldnn.set_flags(False)
    step = Loop._step
    Loop._step = lambda *given: (step(*given), time.sleep(slow))
    session._finish = lambda *_: {}
    session._report = lambda *_: None
    examples.write_examples = lambda *_: True
    sys.exit(main(arguments))


def ranks(world: int) -> list[dict[str, str]]:
    """What torchrun puts into the environment of each of ``world`` processes of one computer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]

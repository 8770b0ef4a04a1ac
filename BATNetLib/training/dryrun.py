"""What a training would cost: a step forward and back on the real data, measured before anybody waits."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputRefused
from ..events import Events
from ..workfiles import registered
from .config import Config
from .contract import Parts, Workspace
from .source import Source, open_data, parts_of, split_of

if TYPE_CHECKING:
    import torch

#: Cases that are read for the measurement.
_CASES = 3
#: Steps: the first one warms up and is not counted.
_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Measured: ``parameters``, ``seconds_per_step``, ``memory_gb`` (of the device; of this process on the
    CPU; None where the system does not tell, as on Windows). Estimated from ``cases_read`` of ``cases``:
    ``steps_per_epoch``, ``seconds_per_epoch`` (training and validation), ``hours``."""

    device: str
    parameters: int
    loss: float
    seconds_per_step: float
    memory_gb: float | None
    cases: int
    cases_read: int
    steps_per_epoch: int
    seconds_per_epoch: float
    hours: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        memory = "memory not known" if self.memory_gb is None else f"{self.memory_gb:.2g} GB of memory"
        return (
            f"{self.parameters / 1e6:.2f} million parameters on {self.device}: "
            f"{self.seconds_per_step:.3g} s a step, {memory}.\n"
            f"About {self.steps_per_epoch} steps and {self.seconds_per_epoch:.3g} s an epoch, "
            f"{self.hours:.3g} hours in all (from {self.cases_read} of {self.cases} training cases)."
        )


def dry_run(source: Source, config: Config, events: Events) -> Estimate:
    """Make a few steps on a few cases and measure them; nothing is kept.

    Raises what preparing and beginning the training would raise.
    """
    from .devices import make_fabric

    dataset = open_data(source, config.stage, events)
    split = split_of(source, dataset, events)
    with tempfile.TemporaryDirectory(prefix="batnet-dry-run-") as folder, registered(Path(folder)):
        from ..dataset.splitfile import write_split

        file = write_split(split, Path(folder) / "split.json")
        parts = parts_of(dataset, file, source.fold)
        fabric = make_fabric(replace(config, devices=1, nodes=1), events)
        build = importlib.import_module(f".{config.stage}_stage", __package__).build
        few = _few(parts)
        stage = build(config, dataset, few, events, Workspace(Path(folder) / "cache"))
        return _measured(stage, config, fabric, events, parts, few)


def _measured(stage: Any, config: Config, fabric: Any, events: Events, parts: Parts, few: Parts) -> Estimate:
    import torch

    from ..device import device_title
    from .optimise import make_optimiser

    torch.manual_seed(config.seed)
    bare = stage.network()
    network, optimiser = fabric.setup(bare, make_optimiser(config.optimiser, bare.parameters()))
    network.train()
    seconds, loss = [], float("nan")
    with events.stage("dry run", _STEPS) as running:
        batch = stage.sample_batch()
        for _ in range(_STEPS):
            _wait(fabric.device)
            begun = time.perf_counter()
            optimiser.zero_grad(set_to_none=True)
            value, _parts = stage.loss(network, stage.batch_to(batch, fabric.device))
            fabric.backward(value)
            optimiser.step()
            _wait(fabric.device)
            seconds.append(time.perf_counter() - begun)
            loss = float(value.detach())
            running.advance()
    if loss != loss:
        raise InputRefused(
            "loss-not-finite",
            "The loss of the first steps is not a number.",
            "It must be finite.",
            "Try a lower optimiser.rate, or amp=off.",
        )
    begun = time.perf_counter()
    bare.eval()
    with torch.inference_mode(), fabric.autocast():
        stage.validate(bare, 0, 1, events)
    _wait(fabric.device)
    validation = (time.perf_counter() - begun) / max(1, len(few.validation)) * len(parts.validation)
    each = min(seconds[1:])
    steps = round(stage.steps_per_epoch() * len(parts.train) / len(few.train))
    epoch = each * steps + validation / config.validate_every
    return Estimate(
        device=device_title(fabric.device),
        parameters=sum(p.numel() for p in bare.parameters()),
        loss=loss,
        seconds_per_step=each,
        memory_gb=_memory(fabric.device),
        cases=len(parts.train),
        cases_read=len(few.train),
        steps_per_epoch=steps,
        seconds_per_epoch=epoch,
        hours=epoch * config.epochs / 3600,
    )


def _few(parts: Parts) -> Parts:
    """A few of the cases, spread over all: not only the first, which may be of one kind."""

    def some(cases: tuple[Any, ...], count: int) -> tuple[Any, ...]:
        step = max(1, len(cases) // count)
        return cases[::step][:count]

    return replace(parts, train=some(parts.train, _CASES), validation=some(parts.validation, 1), test=())


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> float | None:
    """Largest memory so far in GB: of the device, or of this process where that is what counts; None where
    the system does not tell."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20

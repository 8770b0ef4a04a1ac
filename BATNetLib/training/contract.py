"""What the training loop and a stage know of each other, and what a run writes for whoever looks on.

The loop (``loop.py``) knows nothing of slices or patches; a stage (``adipose_stage``, ``brown_stage``)
knows nothing of devices, checkpoints or logs. Light: torch is named for type checkers only.

How a stage is made::

    stage = brown_stage.build(config, dataset, parts, events, workspace)

with ``parts``, the cases to train, validate and test on, and ``workspace``, where it may keep a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..dataset.cases import Dataset, TrainingCase
from ..events import Events

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from ..dataset.split import Split
    from .config import Config

#: Tensors (and whatever else a stage needs) of the items of one step on one device.
Batch = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """A figure of the validation by which epochs are compared. ``mode``: "max" or "min"."""

    name: str
    mode: str = "max"

    def better(self, value: float | None, than: float | None, min_delta: float = 0.0) -> bool:
        """Whether ``value`` is better than ``than`` by more than ``min_delta``; None is never better."""
        if value is None or value != value:
            return False
        if than is None:
            return True
        return value > than + min_delta if self.mode == "max" else value < than - min_delta


@dataclass(frozen=True)
class Parts:
    """The cases of a run: whole patients each. ``test`` is empty where the split has no test part.

    ``fold``: the fold that is validated on, None for a split in parts. ``sha256``: of the split's file.
    """

    train: tuple[TrainingCase, ...]
    validation: tuple[TrainingCase, ...]
    test: tuple[TrainingCase, ...] = ()
    fold: str | None = None
    sha256: str = ""
    split: Split | None = None

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}


@dataclass(frozen=True)
class Workspace:
    """Where a stage may keep a cache, and which of several processes this is.

    ``cache``: a folder of the run's own (made when needed, removed at the end), None for memory only.
    ``rank``, ``world``: number of this process, of how many; all of them share the folder, and ``barrier``
    waits until every one has called it.
    """

    cache: Path | None = None
    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = field(default=lambda: None)

    @property
    def writes(self) -> bool:
        """Whether this process may write into ``cache``; the others call ``barrier`` and then read."""
        return self.rank == 0


class StageTraining(Protocol):
    """One stage as the loop sees it.

    ``batches`` uses no global random state (it runs in a thread ahead of the step): everything drawn comes
    from ``sampling.generator(seed, epoch, step, item)``, so an epoch that is taken up in its middle, and one
    shared by several processes, see the same numbers.
    """

    stage: str
    metric: Metric
    parts: Parts

    def network(self) -> nn.Module:
        """A fresh network; the loop has seeded torch by ``config.seed`` right before."""

    def trained_weights(self, network: nn.Module) -> dict[str, Tensor]:
        """State dict to store as the model: without what serves training only (deep supervision)."""

    def steps_per_epoch(self) -> int:
        """Steps of an epoch, over all processes together."""

    def batches(self, epoch: int, rank: int, world: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of ``epoch`` (from 1) from ``start_step`` (from 0) on; rank r takes items r::world."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of a batch and its parts by name (detached).

        Either the mean over the items of this process' equal share, or (exact for Dice over the batch and
        for weighted means) the loss of the global batch, from outputs gathered by
        ``distributed.gather_items``. Both give the gradient of one process on the global batch.
        """

    def validate(self, network: nn.Module, rank: int, world: int, events: Events) -> list[dict[str, Any]]:
        """Figures of this process' validation cases (``rank::world``), plain values, with key "case".

        Called in evaluation mode under ``torch.inference_mode``; ``network`` is not wrapped and lies on the
        device of ``next(network.parameters())``.
        """

    def summarise(self, rows: list[dict[str, Any]]) -> dict[str, float | None]:
        """The figures of all processes' rows together; holds ``metric.name``. None: not defined here."""

    def batch_to(self, batch: Batch, device: torch.device) -> Batch:
        """The batch with its tensors on ``device``."""

    def sample_batch(self) -> Batch:
        """A batch as a step has it, for ``--dry-run``."""


#: ``finish.finish_run(run, stage, dataset, parts, events) -> dict`` is called with the run folder (Path) and
#: the stage object by the loop's caller at the end of a whole training; what it returns (model name, files)
#: becomes ``state.json["result"]``. ``examples.write_examples(run, stage, network, epoch)`` after each new
#: best; ``report.write_report(run)`` at every end. Failures of the last two are notes in the log.
StageBuilder = Callable[["Config", Dataset, Parts, Events, Workspace], StageTraining]


def to_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """``batch`` with every tensor in it moved to ``device``."""
    import torch

    return {
        key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for key, value in batch.items()
    }

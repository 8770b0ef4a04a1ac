"""Training of stage 2 as the loop sees it: labelled patches in, probability of brown fat out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..brown.network import CEBATCls
from ..dataset.cases import Dataset, TrainingCase
from ..dataset.strata import BROWN
from ..errors import InputRefused
from ..events import Events
from .brown_augment import CT, LABELS, MASK, augmentation
from .brown_data import LabelledCase, PatchMemory, labelled_cases
from .brown_loss import BrownLoss
from .brown_start import start_in_fat
from .brown_validate import as_input, case_figures, network_input, summary
from .config import BrownLoss as LossFields
from .config import Config
from .contract import Batch, Parts, Workspace, to_device
from .sampling import generator, stratified_order, uniform_order

#: Groups of the sampler by how much brown fat a split says a case has; 0 has none.
_GROUPS = {"none": 0, "little": 1, "middle": 2, "much": 3}
#: Group of cases of which only the patches tell that they have brown fat.
_SOME = 4
#: Cases whose statistics a start in fat needs.
_START_CASES = 6


def build(
    config: Config, dataset: Dataset, parts: Parts, events: Events, workspace: Workspace
) -> BrownTraining:
    """Prepare patches of all cases of the run in ``workspace.cache`` and make the stage.

    Raises ``InputRefused``: cases that cannot be used ("cases-refused"), nothing to train or to validate on
    ("no-labelled-cases"), cases of one kind only ("one-class").
    """
    cache = workspace.cache
    temporary = None
    if cache is None:
        temporary = tempfile.TemporaryDirectory(prefix="batnet-patches-")
        cache = Path(temporary.name)
    place = cache / "stage-2"
    names = [case.case for case in (*parts.train, *parts.validation, *parts.test)]
    bins = parts.split.bins if parts.split is not None else {}
    segmenter = None
    if config.segmenter is not None:
        from ..models import load_model

        segmenter = load_model(config.segmenter, "adipose", events)

    def prepare() -> dict[str, LabelledCase]:
        found = labelled_cases(dataset, names, place, events, bins, segmenter=segmenter, device=config.device)
        return {case.case: case for case in found}

    # The first process makes what is missing; the others then find all of it fresh.
    found = prepare() if workspace.writes else {}
    workspace.barrier()
    if not workspace.writes:
        found = prepare()

    def of(cases: tuple[TrainingCase, ...]) -> list[LabelledCase]:
        return [found[case.case] for case in cases if case.case in found]

    stage = BrownTraining(config, parts, of(parts.train), of(parts.validation), of(parts.test))
    stage.temporary = temporary
    # A dry run looks at a few cases only, which may be of one kind by chance.
    if _is_whole(parts):
        _require_both_kinds(stage.train_cases)
    return stage


class BrownTraining:
    """Stage 2 for the loop, see ``StageTraining``.

    ``train_cases``, ``validation_cases``, ``test_cases``: those with labelled patches.
    """

    stage = "brown"

    def __init__(
        self,
        config: Config,
        parts: Parts,
        train: list[LabelledCase],
        validation: list[LabelledCase],
        test: list[LabelledCase] | None = None,
        memory: PatchMemory | None = None,
    ) -> None:
        _require_cases(train, validation)
        self.config, self.parts, self.metric = config, parts, config.metric()
        self.train_cases, self.validation_cases, self.test_cases = train, validation, test or []
        self.memory = memory or PatchMemory(int(config.memory_gb * 2**30))
        #: Holds the folder of the patches while the stage lives, where no run folder does.
        self.temporary: Any = None
        assert isinstance(config.loss, LossFields)
        even = (1.0, 1.0)
        self.criterion = BrownLoss(
            config.loss.case, config.loss.patch, config.class_weights or even, config.patch_weights or even
        )
        self._groups = [group(case) for case in train]
        a = config.augmentation
        self._augment = None
        if a.name != "none":
            self._augment = augmentation(shift_hu=a.offset_hu, noise_hu=a.noise_hu, mirror=a.flip)

    def network(self) -> nn.Module:
        network = CEBATCls(width=self.config.width)
        if self.config.start == "fat":
            chosen = self.train_cases[:_START_CASES]
            x = np.stack([network_input(self.memory, case) for case in chosen])
            start_in_fat(network, torch.from_numpy(x).flatten(0, 2))
        return network

    def trained_weights(self, network: nn.Module) -> dict[str, Tensor]:
        return dict(network.state_dict())

    def steps_per_epoch(self) -> int:
        return len(self._order(1))

    def batches(self, epoch: int, rank: int, world: int, start_step: int = 0) -> Iterator[Batch]:
        order = self._order(epoch)
        for step in range(start_step, len(order)):
            yield self._batch(order[step], epoch, step, rank, world)

    def sample_batch(self) -> Batch:
        return self._batch(self._order(1)[0], 1, 0, 0, 1)

    def batch_to(self, batch: Batch, device: torch.device) -> Batch:
        return to_device(batch, device)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        x = batch["patches"]
        case, patch = network(x[:, 0], x[:, 1])
        total, parts = self.criterion(
            case,
            patch,
            batch["labels"],
            batch["patch_labels"],
            batch["weight_of_cases"],
            batch["weight_of_patches"],
        )
        return total, dict(parts)

    def validate(
        self,
        network: nn.Module,
        rank: int,
        world: int,
        events: Events,
        cases: list[LabelledCase] | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of ``brown_validate.case_figures``; ``cases``: others than those of the validation."""
        chosen = self.validation_cases if cases is None else cases
        return case_figures(network, chosen[rank::world], self.memory, self.criterion, events)

    def summarise(self, rows: list[dict[str, Any]]) -> dict[str, float | None]:
        return summary(rows, self.criterion)

    # --- batches
    def _order(self, epoch: int) -> np.ndarray:
        """Indices of training cases [steps, batch]."""
        batch, seed = self.config.batch_size, self.config.seed
        if self.config.sampler.name == "brown-volume":
            return stratified_order(self._groups, batch, seed, epoch)
        return uniform_order(len(self.train_cases), batch, seed, epoch)

    def _batch(self, chosen: np.ndarray, epoch: int, step: int, rank: int, world: int) -> Batch:
        everyone = [self.train_cases[index] for index in chosen]
        inputs, labels = [], []
        for item in range(rank, len(everyone), world):
            values = self._values(everyone[item], generator(self.config.seed, epoch, step, item))
            inputs.append(as_input(values[CT], values[MASK]))
            labels.append(values[LABELS])
        # The labels of all items are known here, so each process can divide by the weights of all: the mean
        # of the processes' losses is then the loss of the whole batch.
        of_cases = self.criterion.weight_of_cases([case.label for case in everyone])
        of_patches = self.criterion.weight_of_patches([n for case in everyone for n in case.labels.tolist()])
        return {
            "patches": torch.from_numpy(np.stack(inputs)),
            "patch_labels": torch.from_numpy(np.stack(labels).astype(np.int64)),
            "labels": torch.tensor([case.label for case in everyone[rank::world]]),
            "weight_of_cases": of_cases / world,
            "weight_of_patches": of_patches / world,
            "cases": [case.case for case in everyone[rank::world]],
        }

    def _values(self, case: LabelledCase, rng: np.random.Generator) -> dict[str, np.ndarray]:
        found = self.memory.read(case)
        values = {CT: found.ct.astype(np.float32), MASK: found.mask, LABELS: case.labels}
        return values if self._augment is None else self._augment(values, rng)


def group(case: LabelledCase) -> int:
    """Group of the sampler: how much brown fat the split says a case has, 0 for none.

    Where the split does not know the amount, the patches tell whether there is any.
    """
    for name in case.bins:
        kind, _, word = name.partition(": ")
        known = _GROUPS.get(word.split(" (")[0])
        if kind == BROWN and known is not None:
            return known
    return _SOME if case.label else 0


def _require_cases(train: list[LabelledCase], validation: list[LabelledCase]) -> None:
    for name, cases in (("train", train), ("validate", validation)):
        if not cases:
            raise InputRefused(
                "no-labelled-cases",
                f"There is no case to {name} on that has labelled patches.",
                "Stage 2 learns from scans with adipose and brown-fat masks, or from labelled patches.",
                "Add brown-fat masks (an empty one stands for a case without brown fat), or name the folder "
                "that 'batnet dataset patches' wrote.",
            )


def _is_whole(parts: Parts) -> bool:
    """Whether these are all cases that the split trains on."""
    if parts.split is None:
        return True
    return len(parts.train) == len(parts.split.training_and_validation(parts.fold)[0])


def _require_both_kinds(train: list[LabelledCase]) -> None:
    if len({case.label for case in train}) < 2:
        kind = "with" if train[0].label else "without"
        raise InputRefused(
            "one-class",
            f"All {len(train)} cases to train on are {kind} brown fat.",
            "Cases with and without brown fat are needed: nothing can be told apart otherwise.",
            "Add cases of the other kind, or make another split.",
        )

"""Stage 1 as the loop sees it: slabs of five slices in, the mask of the middle one out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..adipose.network import MAMUNet
from ..adipose.segment import MULTIPLE, THRESHOLD
from ..dataset.cases import Dataset
from ..dataset.strata import BROWN
from ..events import Events
from .adipose_data import CaseSlices, load_cases, require_no_common_pixels
from .adipose_network import SupervisedMAMUNet, without_auxiliary
from .config import AdiposeLoss, Config
from .contract import Batch, Parts, Workspace, to_device
from .distributed import gather_items
from .sampling import generator, stratified_order, uniform_order

#: Share of each coarser level of the decoder in a deeply supervised loss, the finest being 1.
_LEVEL_SHARE = 0.5
#: Threads that augment the items of a batch: 30 ms each at 512 x 512, of which torch computes the most.
_AUGMENTERS = 4


def build(
    config: Config, dataset: Dataset, parts: Parts, events: Events, workspace: Workspace
) -> AdiposeTraining:
    """Read the data of stage 1.

    Raises ``InputRefused`` as ``load_cases`` and ``require_no_common_pixels``.
    """
    share = config.memory_gb * len(parts.train) / max(1, len(parts.train) + len(parts.validation))
    training = load_cases(parts.train, "training", share, workspace, events)
    validation = load_cases(parts.validation, "validation", config.memory_gb - share, workspace, events)
    require_no_common_pixels(training, validation, [*parts.train, *parts.validation], events)
    return AdiposeTraining(config, parts, training, validation)


class AdiposeTraining:
    """See ``contract.StageTraining``. A sample is a slice: all slices of all training cases."""

    stage = "adipose"

    def __init__(
        self,
        config: Config,
        parts: Parts,
        training: Sequence[CaseSlices],
        validation: Sequence[CaseSlices],
    ) -> None:
        from monai.losses import DiceCELoss

        assert isinstance(config.loss, AdiposeLoss)
        self.config, self.parts, self.metric = config, parts, config.metric()
        self.training, self.validation = list(training), list(validation)
        self._samples = np.array(
            [(c, s) for c, case in enumerate(self.training) for s in range(len(case.images))]
        )
        # Cross-entropy of two logits is binary cross-entropy of their difference, the logit of fat.
        self._criterion = DiceCELoss(
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            lambda_dice=config.loss.dice,
            lambda_ce=config.loss.bce,
            batch=config.loss.dice_over == "batch",
        )
        self._augment: Any = None
        self._pool: ThreadPoolExecutor | None = None
        if config.augmentation.name != "none":
            from .adipose_augment import SlabAugmentation

            self._augment = SlabAugmentation(config.augmentation)
            self._pool = ThreadPoolExecutor(_AUGMENTERS, "augment")

    # --- training

    def network(self) -> nn.Module:
        kind = SupervisedMAMUNet if self.config.deep_supervision else MAMUNet
        return kind(width=self.config.width)

    def trained_weights(self, network: nn.Module) -> dict[str, Tensor]:
        return without_auxiliary(network.state_dict())

    def steps_per_epoch(self) -> int:
        return len(self._order(1))

    def batches(self, epoch: int, rank: int, world: int, start_step: int = 0) -> Iterator[Batch]:
        order = self._order(epoch)
        for step in range(start_step, len(order)):
            yield self._batch(order[step], epoch, step, rank, world)

    def sample_batch(self) -> Batch:
        return next(self.batches(1, 0, 1))

    def batch_to(self, batch: Batch, device: torch.device) -> Batch:
        return to_device(batch, device)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Loss of the global batch, see ``distributed.gather_items``."""
        outputs = network(_whole(batch["slabs"]) / 255)
        levels = outputs if isinstance(outputs, list) else [outputs]
        truth = _whole(gather_items(batch["mask"])[:, None])
        losses = [self._criterion(gather_items(_whole(level)), truth) for level in levels]
        shares = [_LEVEL_SHARE**n for n in range(len(levels))]
        total = torch.stack([share * value for share, value in zip(shares, losses, strict=True)]).sum()
        parts: dict[str, float | Tensor] = {}
        if len(levels) > 1:
            parts["finest"] = losses[0].detach()
        return total / sum(shares), parts

    def _order(self, epoch: int) -> np.ndarray:
        batch, seed = self.config.batch_size, self.config.seed
        if self.config.sampler.name == "brown-volume":
            groups = [self._group(self.training[case].name) for case, _ in self._samples]
            return stratified_order(groups, batch, seed, epoch)
        return uniform_order(len(self._samples), batch, seed, epoch)

    def _group(self, case: str) -> int:
        """How much brown fat the split says a case has: 0 none, then its other bins."""
        bins = self.parts.split.bins.get(case, ()) if self.parts.split is not None else ()
        amounts = [name for name in bins if name.startswith(BROWN) and not name.endswith(": any")]
        words = ("none", "little", "middle", "much")
        word = amounts[0].partition(": ")[2].split(" (")[0] if amounts else "none"
        return words.index(word) if word in words else len(words)

    def _batch(self, samples: np.ndarray, epoch: int, step: int, rank: int, world: int) -> Batch:
        chosen = [self._samples[index] for index in samples]
        # One size for the whole global batch, so that all processes have tensors of one shape.
        rows, columns = (max(self.training[c].images.shape[axis] for c, _ in chosen) for axis in (1, 2))

        def sample(item: int) -> tuple[np.ndarray, np.ndarray]:
            case, number = self.training[chosen[item][0]], chosen[item][1]
            slab, mask = case.images[case.slabs[number]], case.mask[number]
            if self._augment is not None:
                slab, mask = self._augment(slab, mask, generator(self.config.seed, epoch, step, item))
            return _padded(slab, rows, columns), _padded(mask, rows, columns)

        items = range(rank, len(chosen), world)
        made = map(sample, items) if self._pool is None else self._pool.map(sample, items)
        slabs, masks = zip(*made, strict=True)
        return {"slabs": torch.from_numpy(np.stack(slabs)), "mask": torch.from_numpy(np.stack(masks))}

    # --- validation

    def validate(self, network: nn.Module, rank: int, world: int, events: Events) -> list[dict[str, Any]]:
        """Dice of each whole case, fat over all of its slices, and its loss."""
        mine = self.validation[rank::world]
        rows = []
        with events.stage("validate", sum(len(case.images) for case in mine)) as stage:
            for case in mine:
                rows.append(self._figures(network, case, stage.advance))
        return rows

    def _figures(self, network: nn.Module, case: CaseSlices, advance: Any) -> dict[str, Any]:
        device = next(network.parameters()).device
        # Sums over the case; softened ones for the loss. Of the CPU: float64 is not known everywhere.
        both = truth_sum = found_sum = 0
        soft_both = soft_sum = entropy = 0.0
        size = self.config.batch_size
        for first in range(0, len(case.images), size):
            numbers = slice(first, first + size)
            # Copies: torch takes no arrays that are mapped from a file for reading only.
            slabs = _padded(np.array(case.images[case.slabs[numbers]]), *case.images.shape[1:])
            mask = _padded(np.array(case.mask[numbers]), *case.images.shape[1:])
            truth = torch.from_numpy(mask).to(device)
            logits = _whole(network(_whole(torch.from_numpy(slabs).to(device)) / 255))
            inside = torch.softmax(logits, dim=1)[:, 1]
            found, marked = inside > THRESHOLD, truth > 0
            both += int((found & marked).sum())
            truth_sum += int(marked.sum())
            found_sum += int(found.sum())
            soft_both += float((inside * truth).sum())
            soft_sum += float(inside.sum())
            entropy += (
                float(nn.functional.cross_entropy(logits, truth.long(), reduction="sum")) / truth[0].numel()
            )
            advance(len(slabs))
        loss = self.config.loss
        assert isinstance(loss, AdiposeLoss)
        soft_dice = 2 * soft_both / (soft_sum + truth_sum) if soft_sum + truth_sum else 1.0
        return {
            "case": case.name,
            "dice": 2 * both / (truth_sum + found_sum) if truth_sum + found_sum else None,
            "loss": loss.bce * entropy / len(case.images) + loss.dice * (1 - soft_dice),
            "truth_voxels": truth_sum,
            "found_voxels": found_sum,
        }

    def summarise(self, rows: list[dict[str, Any]]) -> dict[str, float | None]:
        """Mean and lowest Dice over cases, mean loss."""
        dice = [row["dice"] for row in rows if row["dice"] is not None]
        losses = [row["loss"] for row in rows]
        return {
            "dice": float(np.mean(dice)) if dice else None,
            "dice_lowest": float(np.min(dice)) if dice else None,
            "validation_loss": float(np.mean(losses)) if losses else None,
        }


def _padded(array: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """``array`` [..., row, column] filled up with 0 (air, no fat) to ``rows`` and ``columns`` and further to
    multiples of 16, the centre staying the centre: the network mirrors about it."""
    wanted = [n + -n % MULTIPLE for n in (rows, columns)]
    missing = [want - have for want, have in zip(wanted, array.shape[-2:], strict=True)]
    if not any(missing):
        return array
    pads = [(0, 0)] * (array.ndim - 2) + [(m // 2, m - m // 2) for m in missing]
    return np.pad(array, pads)


def _whole(tensor: Tensor) -> Tensor:
    """In whole precision (float32 unless torch is told otherwise), also after half precision."""
    return tensor.to(torch.get_default_dtype())

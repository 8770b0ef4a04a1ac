"""The network of a training run, used as the finished model is used: on whole cases and on single slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..adipose.segment import THRESHOLD, padding
from ..adipose.slabs import WINDOW
from ..dataset.cases import TrainingCase
from ..dataset.scans import read_scan
from ..dataset.slices import read_slices
from ..errors import InputRefused
from ..events import Events
from ..models.loading import LoadedModel, filled_network
from ..models.registry import ModelEntry, Source
from ..models.weights import Arrays, judge
from ..volume import Grid, Volume

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True)
class FatCase:
    """A case of stage 1 in canonical axes. ``ct``: HU; ``truth``: bool [slice, row, column];
    ``spacing_known``: else voxels count as 1 mm and no length or volume may be told."""

    ct: Volume
    truth: np.ndarray
    spacing_known: bool


def read_fat_case(case: TrainingCase, events: Events | None = None) -> FatCase:
    """The CT and the true adipose mask of a case, from volumes or from PNG slices.

    PNG slices give back the HU in the middle of each of their 256 steps, which the network sees as the
    same step. Raises ``InputRefused`` as ``read_scan`` and ``read_slices``; "mask-missing" without a mask.
    """
    if case.has_scan and "adipose" in case.files:
        scan = read_scan(case, ["adipose"], events)
        assert scan.adipose is not None
        return FatCase(scan.ct, scan.adipose.array > 0, scan.spacing_known)
    if not case.has_slices:
        raise InputRefused(
            "mask-missing",
            "A case of the split has no adipose mask.",
            "Stage 1 is trained and measured on a CT with its adipose mask.",
            "Add the mask, or leave the case out and split again.",
        )
    images, masks = read_slices(case, events)
    low, high = WINDOW
    hu = (images.astype(np.float32) + 0.5) * ((high - low) / 255) + low
    return FatCase(Volume(hu, Grid.canonical(images.shape, (1.0, 1.0, 1.0))), masks > 0, False)


def as_model(weights: Mapping[str, Tensor], name: str) -> LoadedModel:
    """A model in evaluation mode on the CPU with a copy of ``weights`` (a state dict of one of the networks).

    Raises ``ValueError`` where they are none, or hold numbers that are not finite.
    """
    arrays: Arrays = {key: value.detach().cpu().numpy() for key, value in weights.items()}
    return model_of(arrays, name)


def model_of(arrays: Arrays, name: str, sha256: str = "", *, demonstration: bool = False) -> LoadedModel:
    """As ``as_model``, from arrays. ``demonstration``: whether it was trained on phantoms."""
    architecture, width, complaint = judge(arrays)
    if complaint:
        raise ValueError(complaint)
    entry = ModelEntry(
        name=name,
        title=name,
        stage=architecture.stage,
        architecture=architecture.name,
        width=width,
        licence="own data",
        source=Source(text="a training run"),
        trained_on="own data",
        demonstration=demonstration,
        sha256=sha256 or None,
    )
    return LoadedModel(filled_network(architecture.name, width, arrays), entry, sha256)


def predict_slab(network: nn.Module, slab: np.ndarray, device: torch.device) -> np.ndarray:
    """The mask of a slab, uint8 [5, rows, columns] -> bool [rows, columns], as ``segment_adipose`` makes it.

    ``network`` lies on ``device`` in evaluation mode.
    """
    import torch

    rows, columns = slab.shape[1:]
    pads = padding(rows), padding(columns)
    x = torch.from_numpy(np.pad(slab, ((0, 0), *pads))[None]).to(device).float() / 255
    with torch.inference_mode():
        inside = torch.softmax(network(x).float(), dim=1)[0, 1] > THRESHOLD
    (top, _), (left, _) = pads
    return inside[top : top + rows, left : left + columns].cpu().numpy()

"""Stage 1: the adipose mask of a CT, slab by slab, with memory that does not grow with the slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..device import Plan, choose_device, device_title, run_in_batches
from ..errors import InputRefused
from ..events import Events
from ..models import LoadedModel
from ..volume import Volume
from .slabs import slab_indices, window_to_uint8

#: Class-1 probability above which a voxel is adipose tissue, as published.
THRESHOLD = 0.5
#: Rows and columns must be multiples of this for the four poolings of the network.
MULTIPLE = 16
#: Slices per batch; a full-width network takes about 0.7 GB a slice of 512 x 512.
DEFAULT_BATCH = {"cuda": 4, "mps": 2, "cpu": 1}


@dataclass(frozen=True)
class AdiposeResult:
    """``mask``: uint8 Volume on the CT's grid, 1 = adipose tissue, 0 elsewhere and in all slices from
    ``until_slice`` on. ``device``, ``precision`` and ``path`` (steps down in words): how it was computed.
    """

    mask: Volume
    until_slice: int
    device: str
    precision: str
    path: list[str]


def segment_adipose(
    ct: Volume,
    model: LoadedModel,
    *,
    until_slice: int | None = None,
    device: str = "auto",
    batch: int | None = None,
    events: Events | None = None,
) -> AdiposeResult:
    """Segment adipose tissue with MAMUNet.

    Parameters
    ----------
    ct : HU in canonical axes.
    until_slice : compute only slices above this one (the lung cut); all when None.
    batch : slices at a time; by default chosen for the device. Halved when memory runs out.

    Raises
    ------
    InputRefused : fewer than 4 slices, or memory too small for even one slice.
    Cancelled : ``events`` asked to stop.
    """
    import torch

    events = events or Events()
    slices, rows, columns = ct.array.shape
    until = slices if until_slice is None else min(max(until_slice, 0), slices)
    indices = slab_indices(slices)
    target = choose_device(device)
    plan = Plan(target, batch or DEFAULT_BATCH.get(target.type, 1))
    network = model.network
    mask = np.zeros(ct.array.shape, np.uint8)
    pads = (padding(rows), padding(columns))

    def compute(group: Sequence[int], plan: Plan) -> None:
        network.to(plan.device)
        needed = np.unique(indices[list(group)])
        windowed = np.pad(window_to_uint8(ct.array[needed]), ((0, 0), *pads))
        slabs = windowed[np.searchsorted(needed, indices[list(group)])]
        x = torch.from_numpy(slabs).to(plan.device).float() / 255
        with torch.inference_mode(), torch.autocast(plan.device.type, torch.float16, enabled=plan.half):
            logits = network(x).float()
            # Softmax of two classes above one half is the larger logit; softmax all the same, so that
            # the threshold is the published one.
            inside = torch.softmax(logits, dim=1)[:, 1] > THRESHOLD
        (top, _), (left, _) = pads
        mask[list(group)] = inside[:, top : top + rows, left : left + columns].cpu().numpy()

    with events.stage("adipose", until) as stage:
        try:
            run_in_batches(range(until), compute, plan, events, stage.advance)
        except MemoryError as error:
            raise InputRefused(
                "memory-too-small",
                f"One slice of {rows} x {columns} does not fit into the memory of this computer.",
                "Stage 1 needs about 1 GB free for a slice of 512 x 512 with the published network.",
                "Close other programs, use a computer with more memory, or say --method hu-threshold.",
            ) from error
        finally:
            network.to("cpu")
    return AdiposeResult(
        ct.with_array(mask), until, device_title(plan.device), plan.precision, list(plan.path)
    )


def padding(length: int) -> tuple[int, int]:
    """Voxels before and after that fill ``length`` up to a multiple of 16, the centre staying the centre."""
    missing = -length % MULTIPLE
    return missing // 2, missing - missing // 2

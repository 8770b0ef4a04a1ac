"""Where the classifier looked: Grad-CAM over the 32 patches, at the resolution it really has.

Method: Selvaraju et al., "Grad-CAM", ICCV 2017, applied to the log-odds of the case probability. It
shows what the network looked at, which is not where brown fat is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import choose_device
from ..errors import UsageError
from ..events import Events
from ..models import LoadedModel
from .patches import Box, Patches

#: Stages of the backbone, the module whose output is looked at, and the cells per patch edge there.
STAGES = {"stage1": ("stage1", 8), "stage2": ("cim1", 4), "stage3": ("cim2", 2)}
DEFAULT_STAGE = "stage2"


@dataclass(frozen=True)
class Attention:
    """``values``: float32 [32, n, n, n] in 0..1 (1 = the strongest cell of the case), authors' order,
    axes as in the patches; ``cells`` is n, the true number of cells along a patch's edge; all zero when
    nothing spoke for brown fat.
    """

    values: np.ndarray
    cells: int
    stage: str

    @property
    def patches(self) -> np.ndarray:
        """The values blown up to the 32 voxels of a patch's edge, [32, 32, 32, 32], cells kept visible."""
        factor = 32 // self.cells
        out = self.values
        for axis in (1, 2, 3):
            out = out.repeat(factor, axis=axis)
        return out


def attention(
    patches: Patches,
    model: LoadedModel,
    *,
    stage: str = DEFAULT_STAGE,
    device: str = "auto",
    events: Events | None = None,
) -> Attention:
    """Grad-CAM of the case's log-odds at one stage of the backbone.

    ``stage``: ``stage1`` (8 cells per patch edge), ``stage2`` (4, after the first contralateral
    interaction) or ``stage3`` (2, after the second). Raises ``UsageError`` for another name.
    """
    import torch

    events = events or Events()
    if stage not in STAGES:
        raise UsageError(
            "unknown-stage",
            f"The attention stage '{stage}' is not known.",
            f"Known are {', '.join(STAGES)} and none.",
            "Choose one of them with --attention-stage.",
        )
    name, cells = STAGES[stage]
    maps: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        for side in output if isinstance(output, tuple) else (output,):
            side.retain_grad()
            maps.append(side)

    with events.stage("attention", 1):
        network = model.network
        module = getattr(network.patch_model.shared_backbone, name)
        hook = module.register_forward_hook(keep)
        try:
            network.to(target := choose_device(device))
            sides = [
                torch.from_numpy(s)[None].to(target).requires_grad_() for s in (patches.left, patches.right)
            ]
            with torch.enable_grad():
                case, _ = network(*sides)
                (case[0, 1] - case[0, 0]).backward()
            values = torch.cat([_grad_cam(side) for side in maps]).float().cpu().numpy()
        finally:
            hook.remove()
            network.zero_grad(set_to_none=True)
            network.to("cpu")
    strongest = float(values.max())
    if strongest > 0:
        values = values / strongest
    return Attention(values.astype(np.float32), cells, stage)


def _grad_cam(side: Any) -> Any:
    """[16, C, n, n, n] with its gradient -> [16, n, n, n]: channels weighted by their mean gradient."""
    weights = side.grad.mean(dim=(2, 3, 4), keepdim=True)
    return (weights * side.detach()).sum(dim=1).clamp_min(0)


def paint(values: np.ndarray, boxes: Sequence[Box], shape: tuple[int, int, int]) -> np.ndarray:
    """Lay values per patch over a volume: float32 [slice, row, column], 0 outside the boxes.

    ``values``: [32] (one value a patch) or [32, n, n, n] (cells of a patch, kept as visible cells and
    never smoothed into a resolution that the network does not have).
    """
    out = np.zeros(shape, np.float32)
    for value, box in zip(values, boxes, strict=True):
        if np.ndim(value) == 0:
            out[box.slices] = value
            continue
        cells = value
        for axis, (start, end) in enumerate(zip(box.start, box.end, strict=True)):
            length, n = end - start, value.shape[axis]
            # Voxel i of the box belongs to the cell that covers its centre.
            cells = cells.take(((np.arange(length) + 0.5) * n / length).astype(int), axis=axis)
        out[box.slices] = cells
    return out

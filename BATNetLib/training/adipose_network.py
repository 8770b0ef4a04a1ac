"""MAMUNet with further outputs on its decoder while it is trained; stored weights are those of MAMUNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..adipose.network import MAMUNet

#: What the names of the added layers begin with.
AUXILIARY = "aux"


class SupervisedMAMUNet(MAMUNet):
    """In training mode a list of logits at full size: the network's own, then those of three coarser levels
    of the decoder (deep supervision). In evaluation mode what MAMUNet gives.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(width=width)
        self.aux8 = nn.Conv2d(2 * width, 2, 1)
        self.aux7 = nn.Conv2d(4 * width, 2, 1)
        self.aux6 = nn.Conv2d(8 * width, 2, 1)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:  # type: ignore[override]
        if not self.training:
            return super().forward(x)
        levels: list[Tensor] = []
        handles = [
            module.register_forward_hook(lambda _m, _i, out: levels.append(out))
            for module in (self.mam6, self.mam7, self.conv8)
        ]
        try:
            logits = super().forward(x)
        finally:
            for handle in handles:
                handle.remove()
        heads = (self.aux6, self.aux7, self.aux8)
        coarse = [head(level) for head, level in zip(heads, levels, strict=True)]
        size = list(x.shape[-2:])
        enlarged = [
            nn.functional.interpolate(c, size=size, mode="bilinear", align_corners=False) for c in coarse
        ]
        return [logits, *reversed(enlarged)]


def without_auxiliary(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the layers that serve training only."""
    return {key: value for key, value in state.items() if not key.startswith(AUXILIARY)}

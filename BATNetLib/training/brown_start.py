"""A start for stage 2 from which few cases are enough: first filters that answer to the density of fat.

Brown and white fat differ by about a fifteenth of the window (27 of 400 HU). From random filters, some
hundred cases teach the network where brown fat usually lies and not what it looks like.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..brown.network import CEBATCls
from ..brown.patches import WINDOW

#: HU at which filters start to answer; white fat lies near -94, brown near -67.
START_HU = (-92.0, -84.0, -76.0, -68.0)
#: Slope of a filter, and what the mask adds to it inside fat: muscle (at most 0.5 after the window, times 20)
#: stays below fat (about 0, plus 12).
_STEEP, _INSIDE = 20.0, 12.0


def start_in_fat(network: CEBATCls, x: Tensor) -> None:
    """Let the first filters begin as local means of the CT inside the mask, each above one of ``START_HU``.

    ``x``: patches [n, 2, 32, 32, 32] of training cases, whose statistics the batch normalisation behind
    these filters starts from.
    """
    backbone = network.patch_model.shared_backbone
    convolution, norm = backbone.conv1, backbone.bn1
    assert convolution.bias is not None
    low, high = WINDOW
    middle, spread_hu, box = (low + high) / 2, high - low, slice(2, 5)
    starts = START_HU[: len(convolution.weight)]
    with torch.no_grad():
        for index in range(len(starts)):
            convolution.weight[index], convolution.bias[index] = 0.0, 0.0
            convolution.weight[index, 0, box, box, box] = _STEEP / 27
            convolution.weight[index, 1, box, box, box] = _INSIDE / 27
        answers = convolution(x)
        mean, spread = answers.mean((0, 2, 3, 4)), answers.std((0, 2, 3, 4))
        for index, hu in enumerate(starts):
            norm.weight[index] = spread[index]
            norm.bias[index] = mean[index] - (_STEEP * (hu - middle) / spread_hu + _INSIDE)

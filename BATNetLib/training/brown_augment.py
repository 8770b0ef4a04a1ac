"""What a training case of stage 2 could have looked like as well: another scanner, another noise, mirrored.

MONAI transforms over the patches of a case as channels; the mirror is our own, because a case is mirrored by
flipping every patch over its columns and letting the sides change places, labels with them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import (
    Compose,
    Flip,
    MapTransform,
    RandGaussianNoised,
    Randomizable,
    RandShiftIntensityd,
)

from ..brown.patches import PAIR_BLOCKS, WINDOW

CT, MASK, LABELS = "ct", "mask", "labels"
#: HU in one unit of a patch's CT values.
HU = WINDOW[1] - WINDOW[0]


class RandMirrorSidesd(MapTransform, Randomizable):
    """Mirrors a case with a probability: patches of one side take the place of their partners on the other.

    Items: arrays [32, ...] in the authors' order, 16 patches of one side and then their partners; those with
    further axes are flipped over the last one (columns, patient's right to left).
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        self.prob = prob
        self._mirror = False
        self._flip = Flip(spatial_axis=-1)

    def randomize(self, data: Any = None) -> None:
        self._mirror = bool(self.R.random() < self.prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        self.randomize()
        found = dict(data)
        if self._mirror:
            for key in self.key_iterator(found):
                value = found[key]
                swapped = np.roll(np.asarray(value), len(PAIR_BLOCKS), axis=0)
                found[key] = (
                    np.asarray(self._flip(torch.from_numpy(swapped))) if swapped.ndim > 1 else swapped
                )
        return found


def augmentation(
    *, shift_hu: float, noise_hu: float, mirror: float
) -> Callable[[dict[str, np.ndarray], np.random.Generator], dict[str, np.ndarray]]:
    """A function of a case and a generator to another case like it.

    ``shift_hu``: all CT values move by at most this; ``noise_hu``: largest standard deviation of the added
    noise; ``mirror``: probability of exchanging the sides. The case: ``ct`` float [32, 32, 32, 32] in
    [-0.5, 0.5], which the result stays in, ``mask`` bool of the same shape, ``labels`` [32].
    """
    steps: list[Any] = []
    if mirror > 0:
        steps.append(RandMirrorSidesd((CT, MASK, LABELS), prob=mirror))
    if shift_hu > 0:
        steps.append(RandShiftIntensityd(CT, offsets=shift_hu / HU, prob=1.0))
    if noise_hu > 0:
        steps.append(RandGaussianNoised(CT, std=noise_hu / HU, prob=1.0))
    chain = Compose(steps)

    def augmented(case: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
        chain.set_random_state(state=np.random.RandomState(rng.integers(2**32, size=4, dtype=np.uint32)))
        found = chain(dict(case))
        ct = np.asarray(found[CT], np.float32)
        return {**{k: np.asarray(found[k]) for k in case}, CT: np.clip(ct, -0.5, 0.5)}

    return augmented

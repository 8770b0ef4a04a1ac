"""Random changes of slabs with their masks for stage 1, by MONAI."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..adipose.slabs import WINDOW

if TYPE_CHECKING:
    from .config import Augmentation

IMAGE, MASK = "image", "mask"
#: Steps of the 8-bit slices in one HU.
_STEPS = 255 / (WINDOW[1] - WINDOW[0])


class SlabAugmentation:
    """Augments a slab [5, rows, columns] (uint8 steps of the window) and its mask [rows, columns] alike.

    A flip mirrors the columns: the patient's sides change places in image and mask together. Rotation,
    size and shift are one random affine map, with the same for all five slices. What an added HU would
    push beyond the window stays at its end, as windowing does.
    """

    def __init__(self, settings: Augmentation) -> None:
        self._settings = settings
        # MONAI's transforms carry their random state: each thread has its own.
        self._own = threading.local()

    def __call__(
        self, slab: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 slab in 0..255 and uint8 mask; all that is drawn comes from ``rng``. Safe in threads."""
        data: Any = {IMAGE: slab.astype(np.float32), MASK: mask[None].astype(np.float32)}
        for transform in self._transforms(mask.shape):
            transform.set_random_state(int(rng.integers(2**32)))
            data = transform(data)
        image = np.clip(np.asarray(data[IMAGE], np.float32), 0, 255)
        return image, (np.asarray(data[MASK])[0] > 0.5).astype(np.uint8)

    def _transforms(self, shape: tuple[int, ...]) -> list[Any]:
        """The transforms of this thread for slices of ``shape``, whose shift is a share of it."""
        if not hasattr(self._own, "made"):
            self._own.made = {}
        if shape not in self._own.made:
            self._own.made[shape] = _made(self._settings, shape)
        return self._own.made[shape]


def _made(settings: Augmentation, shape: tuple[int, ...]) -> list[Any]:
    from monai.transforms import RandAffined, RandFlipd, RandGaussianNoised, RandShiftIntensityd

    both = [IMAGE, MASK]
    return [
        RandAffined(
            both,
            prob=settings.affine,
            rotate_range=math.radians(settings.rotate_degrees),
            scale_range=settings.scale,
            translate_range=[settings.shift * n for n in shape],
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        RandFlipd(both, prob=settings.flip, spatial_axis=1),
        RandShiftIntensityd(
            IMAGE, offsets=settings.offset_hu * _STEPS, prob=1.0 if settings.offset_hu else 0.0
        ),
        RandGaussianNoised(IMAGE, prob=0.5 if settings.noise_hu else 0.0, std=settings.noise_hu * _STEPS),
    ]

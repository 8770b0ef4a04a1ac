"""Random changes of slabs with their masks for stage 1, by MONAI."""

from __future__ import annotations

import math
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
        from monai.transforms import Compose, RandAffined, RandFlipd, RandGaussianNoised, RandShiftIntensityd

        both = [IMAGE, MASK]
        steps: list[Any] = [RandFlipd(both, prob=settings.flip, spatial_axis=1)]
        if settings.affine:
            # The share of the image is of no fixed number of pixels, so the shift is drawn per slab below.
            self._affine: Any = lambda shape: RandAffined(
                both,
                prob=settings.affine,
                rotate_range=math.radians(settings.rotate_degrees),
                scale_range=settings.scale,
                translate_range=[settings.shift * n for n in shape],
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            )
        else:
            self._affine = None
        steps += [
            RandShiftIntensityd(
                IMAGE, offsets=settings.offset_hu * _STEPS, prob=1.0 if settings.offset_hu else 0.0
            ),
            RandGaussianNoised(IMAGE, prob=0.5 if settings.noise_hu else 0.0, std=settings.noise_hu * _STEPS),
        ]
        self._flip_and_grey = Compose(steps)

    def __call__(
        self, slab: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """float32 slab in 0..255 and uint8 mask; all that is drawn comes from ``rng``."""
        data: Any = {IMAGE: slab.astype(np.float32), MASK: mask[None].astype(np.float32)}
        if self._affine is not None:
            affine = self._affine(mask.shape)
            affine.set_random_state(int(rng.integers(2**32)))
            data = affine(data)
        self._flip_and_grey.set_random_state(int(rng.integers(2**32)))
        data = self._flip_and_grey(data)
        image = np.clip(np.asarray(data[IMAGE], np.float32), 0, 255)
        return image, (np.asarray(data[MASK])[0] > 0.5).astype(np.uint8)

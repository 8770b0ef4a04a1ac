"""Slabs: the five consecutive slices that stage 1 sees around each slice."""

from __future__ import annotations

import numpy as np

from ..errors import InputRefused

#: Published intensity window of stage 1 in HU.
WINDOW = (-300, 200)
#: Consecutive slices in a slab; the middle one is the one segmented.
SLAB = 5


def window_to_uint8(hu: np.ndarray) -> np.ndarray:
    """HU clipped to [-300, 200] and spread over 0..255, **truncated** to uint8 as published."""
    low, high = WINDOW
    clipped = np.clip(hu, low, high).astype(np.float32)
    return ((clipped - low) / (high - low) * 255).astype(np.uint8)


def slab_indices(slices: int) -> np.ndarray:
    """Slices of each slab, [slices, 5].

    The published edge rule: the first slab is ``0 0 0 1 2`` and the last ``n-3 n-2 n-1 n-1 n-1``, as
    clamping gives; the second is ``0 1 1 2 3`` and the last but one ``n-4 n-3 n-2 n-1 n-1`` (the second
    repeats its own slice where clamping would repeat the first).
    """
    if slices < 4:
        raise InputRefused(
            "too-few-slices",
            f"The volume has {slices} slices.",
            "Stage 1 looks at five consecutive slices and needs at least 4.",
            "Choose a chest CT that reaches from the neck to below the axillae.",
        )
    offsets = np.arange(-2, 3)
    indices = np.clip(np.arange(slices)[:, None] + offsets, 0, slices - 1)
    indices[1] = (0, 1, 1, 2, 3)
    indices[-2] = (slices - 4, slices - 3, slices - 2, slices - 1, slices - 1)
    return indices


def make_slabs(hu: np.ndarray) -> np.ndarray:
    """Slabs of a whole volume: int16 HU [n, h, w] -> uint8 [n, 5, h, w] (canonical axes).

    Raises ``InputRefused`` when n < 4. For long volumes take slices of ``slab_indices`` instead: this
    holds all slabs at once.
    """
    return window_to_uint8(hu)[slab_indices(len(hu))]

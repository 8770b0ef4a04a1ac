"""The bounding box of a mask, padded as the published patch geometry pads it."""

from __future__ import annotations

import numpy as np

from ..errors import InputRefused

#: Share of the extent that is added on both sides.
PADDING = 0.01

Index3 = tuple[int, int, int]


def axis_extent(mask: np.ndarray, axis: int) -> tuple[int, int]:
    """First and last index along ``axis`` at which ``mask`` is not zero.

    Raises ``InputRefused`` ("mask-empty") where the mask has no voxel at all.
    """
    others = tuple(a for a in range(mask.ndim) if a != axis)
    hit = np.flatnonzero(mask.any(axis=others))
    if not len(hit):
        raise InputRefused(
            "mask-empty",
            "The mask is empty: none of its voxels is set.",
            "A mask with at least one voxel is needed.",
            "Check that the mask belongs to this CT and holds the structure it is named after.",
        )
    return int(hit[0]), int(hit[-1])


def padded_extent(first: int, last: int, length: int) -> tuple[int, int]:
    """Start and **exclusive** end of ``first..last`` on an axis of ``length`` voxels, padded.

    The padding is 1 % of ``last - first``, truncated, on each side. The end has no further "+ 1", so
    the plane ``last`` itself falls off where the padding is 0, that is below an extent of 100 voxels.
    Published weights were trained on boxes cut like this, hence it stays.
    """
    pad = int(PADDING * (last - first))
    return max(0, first - pad), min(length, last + pad)


def bounding_box(mask: np.ndarray) -> tuple[Index3, Index3]:
    """Start and exclusive end, in voxels of each of the three axes, of the padded box of ``mask``.

    ``array[start[0]:end[0], start[1]:end[1], start[2]:end[2]]`` is the part that the published patches
    are cut from; see ``padded_extent`` for its edges. Raises ``InputRefused`` ("mask-empty").
    """
    extents = [padded_extent(*axis_extent(mask, axis), mask.shape[axis]) for axis in range(3)]
    (z0, z1), (y0, y1), (x0, x1) = extents
    return (z0, y0, x0), (z1, y1, x1)

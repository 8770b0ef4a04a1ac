"""The published cut: adipose tissue counts only above a plane that the lungs' extent determines."""

from __future__ import annotations

import numpy as np

from ..volume.boxes import axis_extent, padded_extent
from ..volume.geometry import Volume


def lung_extent(mask: np.ndarray) -> tuple[int, int]:
    """First and last slice of a lung mask [slice, row, column], padded as the bounding box is.

    The padding is 1 % of the extent, inside the array (``volume.boxes.padded_extent``). Raises
    ``InputRefused`` ("mask-empty").
    """
    return padded_extent(*axis_extent(mask, 0), mask.shape[0])


def cut_plane(lungs: Volume | np.ndarray) -> int:
    """Index of the first slice that no longer counts: all adipose tissue at it and below is dropped.

    ``(zmax + zmin) * 3 // 5`` of ``lung_extent``, as the published method has it. This is not 60 % of
    the lungs' height: it depends on how many slices lie above the lungs. The plane may lie below the
    last slice of a CT that ends high; ``preflight`` looks at that. Raises ``InputRefused``
    ("mask-empty").
    """
    zmin, zmax = lung_extent(lungs.array if isinstance(lungs, Volume) else lungs)
    return (zmax + zmin) * 3 // 5

"""Where each of the 32 patches lies, in words and in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..brown.patches import PAIR_BLOCKS, Box, mirror_partner, patient_side
from ..volume import Source, Volume

LEVELS = ("upper", "lower")
DEPTHS = ("anterior", "posterior")
#: From the outermost column block to the one beside the midline.
LATERAL = ("outermost", "outer", "inner", "innermost")


@dataclass(frozen=True)
class Place:
    """Where a patch lies in the grid of blocks over the fat.

    ``index``: 0..31 in the authors' order. ``pair``: 1..16. ``side``: "right" or "left" of the patient.
    ``level``: "upper" or "lower". ``depth``: "anterior" or "posterior". ``lateral``: 1 (outermost) to 4
    (beside the midline). ``partner``: index of the patch on the other side.
    """

    index: int
    pair: int
    side: str
    level: str
    depth: str
    lateral: int
    partner: int

    @property
    def words(self) -> str:
        """The place that both patches of a pair share, such as "upper anterior, outermost"."""
        return f"{self.level} {self.depth}, {LATERAL[self.lateral - 1]}"


def place(index: int) -> Place:
    """Place of patch ``index`` (0..31, authors' order: 16 of the patient's right, then 16 of the left)."""
    level, depth, column = PAIR_BLOCKS[index % len(PAIR_BLOCKS)]
    return Place(
        index=index,
        pair=index % len(PAIR_BLOCKS) + 1,
        side=patient_side(index),
        level=LEVELS[level],
        depth=DEPTHS[depth],
        lateral=column + 1,
        partner=mirror_partner(index),
    )


def box_facts(box: Box, ct: Volume) -> dict[str, Any]:
    """A patch box in three tongues, as plain JSON values.

    ``lps_mm``: ``min`` and ``max`` corner of the box along the patient's axes (they enclose it where the
    grid is oblique), its 8 ``corners`` (canonical order: first axis slowest), ``centre`` and ``size``
    along slices, rows and columns; voxels count with their whole extent, so faces lie half a voxel outside
    the outermost centres. ``voxels``: canonical ``start`` and exclusive ``end``. ``input_voxels``: the same
    in the index order of the input's file, or None where the input was resampled.
    """
    low, high = np.array(box.start) - 0.5, np.array(box.end) - 0.5
    choices = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    corners = ct.grid.points(np.where(choices, high, low))
    size = (high - low) * np.array(ct.spacing)
    return {
        "lps_mm": {
            "min": _rounded(corners.min(0)),
            "max": _rounded(corners.max(0)),
            "centre": _rounded(corners.mean(0)),
            "size": _rounded(size),
            "corners": [_rounded(corner) for corner in corners],
        },
        "voxels": {"start": list(box.start), "end": list(box.end)},
        "input_voxels": _in_file(box, ct.source),
    }


def _in_file(box: Box, source: Source | None) -> dict[str, list[int]] | None:
    if source is None or source.resampled:
        return None
    start, end = [0, 0, 0], [0, 0, 0]
    for axis, file_axis in enumerate(source.order):
        first, last = box.start[axis], box.end[axis]
        if source.flips[axis]:
            length = source.grid.shape[file_axis]
            first, last = length - last, length - first
        start[file_axis], end[file_axis] = int(first), int(last)
    return {"start": start, "end": end}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]

"""What all checks look at: the CT, the body and the lungs on coarse blocks, and the cut plane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import morphology
from ..body import Body
from ..lungs import LEFT, RIGHT, cut_plane
from ..volume.boxes import axis_extent, padded_extent
from ..volume.geometry import Volume
from .limits import PreflightLimits


@dataclass(frozen=True)
class View:
    """``lungs``: uint8 blocks, 1 = right, 2 = left, None where there are none. ``lungs_full``: the mask on
    the input's voxels where one was given."""

    ct: Volume
    limits: PreflightLimits
    body: Body
    lungs: np.ndarray | None = None
    lungs_full: Volume | None = None

    @property
    def hu(self) -> np.ndarray:
        """float32 block means."""
        return self.body.coarse.array

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm of the blocks."""
        return self.body.coarse.spacing

    @property
    def slices(self) -> int:
        """Number of slices of the input."""
        return self.ct.array.shape[0]

    @cached_property
    def extent(self) -> tuple[int, int]:
        """First and last slice of the lungs in the input, not padded. Only where there are lungs."""
        if self.lungs_full is not None:
            return axis_extent(self.lungs_full.array, 0)
        assert self.lungs is not None
        first, last = axis_extent(self.lungs, 0)
        step = self.body.coarse.factors[0]
        return first * step, min(self.slices, (last + 1) * step) - 1

    @cached_property
    def cut(self) -> int:
        """First slice of the input that no longer counts."""
        if self.lungs_full is not None:
            return cut_plane(self.lungs_full)
        first, last = padded_extent(*self.extent, self.slices)
        return (first + last) * 3 // 5

    @cached_property
    def counted(self) -> int:
        """Number of blocks, from the top, above the cut plane; all where there are no lungs."""
        if self.lungs is None:
            return len(self.hu)
        return max(1, min(len(self.hu), round(self.cut / self.body.coarse.factors[0])))

    @cached_property
    def level(self) -> slice:
        """Blocks from the lung apex to the cut plane: shoulders, axillae, upper chest."""
        if self.lungs is None:
            return slice(0, self.counted)
        first = min(self.extent[0] // self.body.coarse.factors[0], self.counted - 1)
        return slice(first, self.counted)

    @cached_property
    def between_lungs(self) -> np.ndarray:
        """bool blocks of the mediastinum: between both lungs of a row, in front of the spine."""
        assert self.lungs is not None
        right = np.maximum.accumulate(self.lungs == RIGHT, axis=2)
        left = np.maximum.accumulate((self.lungs == LEFT)[:, :, ::-1], axis=2)[:, :, ::-1]
        between = right & left & (self.lungs == 0)
        for plane, lungs in zip(between, self.lungs, strict=True):
            rows = np.nonzero(lungs.any(axis=1))[0]
            if len(rows):
                plane[rows[0] + int(0.6 * (rows[-1] - rows[0])) :] = False
        return between

    @cached_property
    def solid_parts(self) -> np.ndarray:
        """bool blocks of tissue above the cut plane, without table tops, blankets and tubes."""
        return morphology.opened(self.body.tissue[: self.counted], self.spacing, 6.0)

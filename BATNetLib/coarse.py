"""A smaller copy of a CT on which anatomy is found quickly, and the way back to full resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .volume.geometry import Volume

#: Voxel edge, in mm, that the copy comes close to: the trachea is still 6 voxels wide, and a whole
#: chest is one to three million voxels instead of thirty to a hundred.
TARGET_MM = 2.5


@dataclass(frozen=True)
class Coarse:
    """Block means of a CT.

    ``array``: float32 HU, canonical axes. ``factors``: input voxels per block along each axis.
    ``spacing``: mm between block centres. ``shape``: shape of the input. The last block of an axis may
    cover fewer input voxels.
    """

    array: np.ndarray
    factors: tuple[int, int, int]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]

    @property
    def voxel_ml(self) -> float:
        """Volume of one block in mL."""
        return float(np.prod(self.spacing) / 1000.0)

    def enlarge(self, blocks: np.ndarray) -> np.ndarray:
        """Values of the blocks, repeated on the voxels of the input; any dtype."""
        for axis in (0, 1, 2):
            if self.factors[axis] > 1:
                blocks = np.repeat(blocks, self.factors[axis], axis=axis)
        a, b, c = self.shape
        return blocks[:a, :b, :c]

    def voxels(self, box: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
        """The input's voxels that a box of blocks covers."""
        a, b, c = (
            slice(side.start * step, min(side.stop * step, length))
            for side, step, length in zip(box, self.factors, self.shape, strict=True)
        )
        return a, b, c

    def cropped(self, box: tuple[slice, slice, slice]) -> Coarse:
        """The blocks in ``box``, as blocks of the part ``voxels(box)`` of the input."""
        a, b, c = (side.stop - side.start for side in self.voxels(box))
        return replace(self, array=self.array[box], shape=(a, b, c))

    def shrink_mask(self, mask: np.ndarray) -> np.ndarray:
        """bool blocks of a mask of the input: set where at least half of the block is."""
        return _block_means(mask != 0, self.factors) >= 0.5

    def touched_by(self, mask: np.ndarray) -> np.ndarray:
        """bool blocks in which any voxel of a mask of the input is set; for walls thinner than a block."""
        blocks = mask
        for axis, (step, length) in enumerate(zip(self.factors, self.shape, strict=True)):
            if step > 1:
                blocks = np.logical_or.reduceat(blocks, np.arange(0, length, step), axis=axis)
        return blocks


def shrink(ct: Volume, target_mm: float = TARGET_MM) -> Coarse:
    """Block means of ``ct`` with blocks of about ``target_mm``; an axis that is coarser already stays."""
    factors = tuple(max(1, round(target_mm / s)) for s in ct.spacing)
    spacing = tuple(f * s for f, s in zip(factors, ct.spacing, strict=True))
    array = _block_means(ct.array, factors)  # type: ignore[arg-type]
    return Coarse(array, factors, spacing, ct.array.shape)  # type: ignore[arg-type]


def _block_means(array: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """float32 means of blocks; works slab by slab, so the extra memory is a few slices."""
    fz, fy, fx = factors
    depth, height, width = array.shape
    rows, columns = np.arange(0, height, fy), np.arange(0, width, fx)
    # A last block may be cut off by the edge: its mean is over what there is.
    area = np.outer(np.diff([*rows, height]), np.diff([*columns, width])).astype(np.float32)
    means = np.empty((-(-depth // fz), len(rows), len(columns)), np.float32)
    for block in range(len(means)):
        slab = array[block * fz : (block + 1) * fz]
        plane = slab.sum(axis=0, dtype=np.float32)
        if fy > 1:
            plane = np.add.reduceat(plane, rows, axis=0)
        if fx > 1:
            plane = np.add.reduceat(plane, columns, axis=1)
        means[block] = plane / (area * len(slab))
    return means

"""The voxels of the open case as volumes of the library: axes in order, nothing copied, nothing resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from BATNetSlicer.geometry import LPS
from BATNetSlicer.masks import Cropped

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Lattice:
    """The voxel grid of a node [k, j, i] with its affine (i, j, k) to RAS mm."""

    affine: np.ndarray
    shape: tuple[int, int, int]

    @property
    def source(self) -> Any:
        """``BATNetLib.volume.Source``: how the node's axes lie to the canonical ones."""
        from BATNetLib.volume import Grid, Source
        from BATNetLib.volume.orient import axis_order

        k, j, i = self.shape
        lps = LPS @ self.affine
        order, flips, _angle = axis_order(lps)
        return Source(Grid((i, j, k), lps), order, flips)

    def volume(self, array: np.ndarray) -> Any:
        """``BATNetLib.volume.Volume`` over ``array`` [k, j, i]: a view in canonical axes."""
        from BATNetLib.volume import Volume
        from BATNetLib.volume.orient import canonical_grid

        source = self.source
        step = tuple(slice(None, None, -1) if flip else slice(None) for flip in source.flips)
        view = array.transpose(2, 1, 0).transpose(source.order)[step]
        return Volume(view, canonical_grid(source), source)

    def whole(self, mask: Cropped) -> np.ndarray:
        """bool [k, j, i] of all voxels."""
        k, j, i = self.shape
        return mask.inside((0, 0, 0), (i, j, k))

    def back(self, array: np.ndarray) -> np.ndarray:
        """A canonical array as a view [k, j, i]."""
        from BATNetLib.volume.orient import unreorder

        return unreorder(array, self.source).transpose(2, 1, 0)


def part(volume: Any, box: Box) -> Any:
    """A box of a volume as a volume of its own, its voxels in one piece."""
    from BATNetLib.volume import Grid, Volume

    array = np.ascontiguousarray(volume.array[box])
    affine = volume.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    a, b, c = array.shape
    return Volume(array, Grid((a, b, c), affine))


def marked_box(mask: np.ndarray) -> Box | None:
    """The smallest box that holds all marked voxels; None where there are none."""
    sides = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not hit.size:
            return None
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return sides[0], sides[1], sides[2]

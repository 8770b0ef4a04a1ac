"""Scans and masks on the grid of their own file: axes put in order, voxels never interpolated.

Readers paint on the voxels that were scanned. ``read_volume`` resamples oblique scans for the networks;
here the canonical array is always a reordered view of the file's own, so that a mask goes back to the
file's grid exactly, whatever the obliquity or handedness of that grid.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputRefused
from ..volume import Grid, Source, Volume, hash_voxels
from ..volume.orient import axis_order, canonical_grid, memory_source, reorder, unreorder

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_on_own_grid(array: np.ndarray, affine: np.ndarray) -> Volume:
    """A ``Volume`` from an array in file axes and its 4x4 affine (file index to LPS mm), never resampled.

    ``array`` may be reused. The canonical axes are those that lie nearest to the patient's; the grid keeps
    the true directions. Raises ``InputRefused`` ("geometry-invalid") where the affine has no inverse.
    """
    affine = np.array(affine, float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputRefused(
            "geometry-invalid",
            "The scan's directions or spacings are zero or not numbers.",
            "Each voxel must have a place in the patient.",
            "Export the scan again.",
        )
    order, flips, _ = axis_order(affine)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    source = Source(Grid(shape, affine), order, flips)
    turned = reorder(array, source) if array.flags.writeable else _view(array, source)
    return Volume(turned, canonical_grid(source), source)


def _view(array: np.ndarray, source: Source) -> np.ndarray:
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in source.flips)
    return array.transpose(source.order)[step]


def from_slicer(array: np.ndarray, ijk_to_ras: np.ndarray) -> Volume:
    """A ``Volume`` from voxels [k, j, i] of a MRML volume and its 4x4 IJK-to-RAS matrix. A copy."""
    return volume_on_own_grid(np.array(array).transpose(2, 1, 0), _LPS @ np.asarray(ijk_to_ras, float))


def to_slicer(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [k, j, i] (contiguous) and 4x4 IJK-to-RAS matrix on the grid of the file."""
    array, grid = on_own_grid(volume)
    return np.ascontiguousarray(array.transpose(2, 1, 0)), _LPS @ grid.affine


def on_own_grid(volume: Volume) -> tuple[np.ndarray, Grid]:
    """The voxels in file axes (a view) and the file's grid; a volume made in memory gets columns, rows and
    slices from inferior to superior. Raises ``InputRefused`` ("grid-resampled") where voxels would have to be
    interpolated."""
    source = volume.source or memory_source(volume.grid)
    if source.resampled:
        raise InputRefused(
            "grid-resampled",
            "The mask lies on a grid that was resampled from the CT.",
            "A reader's mask must lie on the CT's own voxels, so that nothing of it changes when it is kept.",
            "Open the CT for annotation (it is then not resampled) and paint there.",
        )
    return unreorder(volume.array, source), source.grid


def laid_out_like(mask: Volume, other: Volume) -> Volume:
    """``mask`` with the axes and directions of the file of ``other``, which lies on the same voxels.

    3D Slicer turns the slices of a left-handed scan round when it loads it; this turns a mask back. Raises
    ``InputRefused`` ("other-grid") where the voxels are not the same.
    """
    other.require_same_grid(mask, "mask")
    return Volume(mask.array, other.grid, other.source, mask.facts)


def fingerprint(ct: Volume) -> str:
    """SHA-256 (hex) of the CT's voxels and their place; the same from any file format.

    Raises ``InputRefused`` ("grid-resampled") for a CT that was resampled: its voxels are not the scan's.
    """
    on_own_grid(ct)
    return hash_voxels(ct)

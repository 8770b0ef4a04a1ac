"""Where voxels are: grids in patient space and the canonical axes of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import InputRefused

#: Directions of the canonical array axes in LPS millimetres: slices superior -> inferior,
#: rows anterior -> posterior, columns patient right -> left (axis codes I, P, L). Column a is the
#: direction of array axis a, as in an affine.
CANONICAL_DIRECTIONS = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class Grid:
    """A regular grid in patient space.

    ``shape``: number of voxels along each array axis. ``affine``: 4x4, takes an array index
    ``(a, b, c)`` to LPS millimetres (x to the patient's left, y to posterior, z to superior).
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @staticmethod
    def canonical(
        shape: tuple[int, int, int], spacing: Sequence[float], origin: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> Grid:
        """Grid along the patient's axes. ``shape`` and ``spacing``: (slice, row, column); ``origin``: LPS
        mm of voxel (0, 0, 0), the most superior, anterior and right one."""
        affine = np.eye(4)
        affine[:3, :3] = CANONICAL_DIRECTIONS * np.asarray(spacing, float)
        affine[:3, 3] = origin
        return Grid(shape, affine)

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along each array axis."""
        a, b, c = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(a), float(b), float(c)

    @cached_property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    def points(self, indices: np.ndarray) -> np.ndarray:
        """LPS millimetres, [n, 3], of array indices [n, 3] (fractions allowed, whole = voxel centre)."""
        return np.asarray(indices, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def same_place(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Whether both grids have the same shape and every corner within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.points(corners) - other.points(corners)).max() <= tolerance_mm)


@dataclass(frozen=True)
class Volume:
    """Voxels in canonical axes with their place in the patient.

    ``array``: [slice superior->inferior, row anterior->posterior, column patient right->left].
    ``grid``: the canonical grid of ``array``. ``source``: how the input lay in its file, which
    ``write_volume(..., like=volume)`` uses to write results on the input's own grid; None for volumes
    made in memory. ``facts``: plain JSON values about the origin (format, UIDs, never names).
    """

    array: np.ndarray
    grid: Grid
    source: Source | None = None
    facts: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if tuple(self.array.shape) != tuple(self.grid.shape):
            raise ValueError(f"array of shape {self.array.shape} on a grid of shape {self.grid.shape}")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres along (slice, row, column)."""
        return self.grid.spacing

    @property
    def voxel_ml(self) -> float:
        return self.grid.voxel_ml

    def with_array(self, array: np.ndarray) -> Volume:
        """Other voxels at the same place, such as a mask of this volume."""
        return replace(self, array=array)

    def require_same_grid(self, other: Volume, name: str) -> None:
        """Refuse ``other`` (named ``name`` for the user) unless it lies on this volume's grid."""
        if self.grid.same_place(other.grid):
            return
        raise InputRefused(
            "other-grid",
            f"The {name} has {_words(other.grid)}; the CT has {_words(self.grid)}.",
            f"The {name} must lie on the grid of the CT, voxel for voxel.",
            f"Resample the {name} onto the CT (nearest neighbour for masks), "
            "or pick the one made from this CT.",
        )


@dataclass(frozen=True)
class Source:
    """How an input lay in its file, so that results can go back to exactly that grid.

    ``grid``: the file's own grid, array axes in file order. ``order``: ``canonical.transpose`` axes,
    i.e. canonical axis a is file axis ``order[a]``. ``flips``: per canonical axis, whether it runs
    against the file axis. ``resampled``: True where the input was oblique and the canonical array was
    interpolated (going back then is nearest neighbour for masks, linear for maps). ``files``: the DICOM
    files of the series in the order of the last axis of ``grid``, empty for other formats and where the
    slices of ``grid`` are no longer those of the files; paths stay in memory and never go into a result.
    """

    grid: Grid
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    resampled: bool = False
    files: tuple[str, ...] = ()


def _words(grid: Grid) -> str:
    shape = " x ".join(str(n) for n in grid.shape)
    spacing = " x ".join(f"{s:.3g}" for s in grid.spacing)
    corner = ", ".join(f"{v:.1f}" for v in grid.affine[:3, 3])
    return f"{shape} voxels of {spacing} mm from ({corner}) mm"

"""Where the voxels of MRML nodes are, in plain numpy: index to patient, through parent transforms.

Arrays of voxels are [k, j, i] as in ``slicer.util.arrayFromVolume``; affines take (i, j, k) to RAS mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .texts import _

#: RAS to LPS and back.
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Two grids are the same lattice when every corner differs by less than this, in voxels.
_TOLERANCE = 0.02


def from_vtk(matrix: Any) -> np.ndarray:
    """float64 [4, 4] of a ``vtkMatrix4x4``."""
    return np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def to_vtk(affine: np.ndarray) -> Any:
    """A ``vtkMatrix4x4``."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(affine[row, column]))
    return matrix


def node_to_world(node: Any) -> np.ndarray:
    """Affine from a node's own coordinates to the world's, through all parent transforms.

    Raises ``InputRefused`` "transform-not-linear" where one of them bends space.
    """
    import vtk

    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    if not parent.IsTransformToWorldLinear() or not parent.GetMatrixTransformToWorld(matrix):
        from BATNetLib.errors import InputRefused

        raise InputRefused(
            "transform-not-linear",
            _("{name} lies under a transform that is not linear.").format(name=node.GetName()),
            _("Only translations, rotations and scalings can be passed on exactly."),
            _("Harden the transform (Transforms module), or take the volume out of it."),
        )
    return from_vtk(matrix)


def ijk_to_ras(volume: Any) -> np.ndarray:
    """Affine of a volume node to its own RAS, without its parent transforms."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return from_vtk(matrix)


def ijk_to_world(volume: Any) -> np.ndarray:
    """Affine of a volume node to world RAS. Raises as ``node_to_world``."""
    return node_to_world(volume) @ ijk_to_ras(volume)


def image_affine(image: Any) -> np.ndarray:
    """Affine of a ``vtkOrientedImageData``: index to the coordinates of its segmentation."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return from_vtk(matrix)


def size_of(volume: Any) -> tuple[int, int, int]:
    """Voxels of a volume node along i, j, k."""
    image = volume.GetImageData()
    if image is None:
        return 0, 0, 0
    i, j, k = image.GetDimensions()
    return i, j, k


def voxels(image: Any) -> np.ndarray:
    """[k, j, i] view of the scalars of a ``vtkImageData`` (its extent may start anywhere)."""
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


def image_of(array: np.ndarray, image: Any = None, start: tuple[int, int, int] = (0, 0, 0)) -> Any:
    """A ``vtkImageData`` over the memory of ``array`` [k, j, i]; ``start``: (i, j, k) of its first voxel."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData() if image is None else image
    array = np.ascontiguousarray(array)
    ends = [first + n - 1 for first, n in zip(start, reversed(array.shape), strict=True)]
    image.SetExtent(start[0], ends[0], start[1], ends[1], start[2], ends[2])
    image.GetPointData().SetScalars(numpy_to_vtk(array.reshape(-1), deep=False))
    return image


@dataclass(frozen=True)
class Placing:
    """How a grid of voxels lies in another one with which it shares its lattice.

    ``order``: for each axis i, j, k of the inner grid, the axis of the outer grid that it runs along.
    ``flips``: whether it runs against it. ``start``, ``end``: the inner grid's place in outer
    indices (i, j, k), end exclusive.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    start: tuple[int, int, int]
    end: tuple[int, int, int]

    @property
    def plain(self) -> bool:
        """Whether both grids count the same way, so that only the start differs."""
        return self.order == (0, 1, 2) and not any(self.flips)

    def within(self, size: tuple[int, int, int]) -> bool:
        """Whether all of it lies inside an outer grid of ``size`` (i, j, k)."""
        return min(self.start) >= 0 and all(e <= n for e, n in zip(self.end, size, strict=True))

    def view(self, outer: np.ndarray) -> np.ndarray:
        """Where the inner grid lies in ``outer`` [k, j, i]: a view with the inner axes (i, j, k)."""
        part = outer.T[tuple(slice(a, b) for a, b in zip(self.start, self.end, strict=True))]
        part = part.transpose(self.order)
        return part[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]


def placing(inner: np.ndarray, size: tuple[int, int, int], outer: np.ndarray) -> Placing | None:
    """How the grid ``inner`` (affine) of ``size`` voxels lies on the lattice of ``outer`` (affine).

    None where its voxels are not voxels of that lattice. Axes may be permuted and reversed: programs order
    the same slices differently.
    """
    steps = np.linalg.solve(outer, inner)
    whole = np.rint(steps)
    reach = np.abs(steps[:3, :3] - whole[:3, :3]) @ (np.array(size) - 1) + np.abs(steps[:3, 3] - whole[:3, 3])
    axes = np.abs(whole[:3, :3])
    if reach.max() > _TOLERANCE or (axes.sum(0) != 1).any() or (axes.sum(1) != 1).any():
        return None
    order = [int(a) for a in axes.argmax(0)]
    signs = [whole[order[a], a] for a in range(3)]
    start, end = [0, 0, 0], [0, 0, 0]
    for axis, (along, sign) in enumerate(zip(order, signs, strict=True)):
        first = int(whole[along, 3])
        last = first + int(sign) * (size[axis] - 1)
        start[along], end[along] = min(first, last), max(first, last) + 1
    flips = [bool(sign < 0) for sign in signs]
    return Placing(_three(order), _three(flips), _three(start), _three(end))


def _three(values: list[Any]) -> tuple[Any, Any, Any]:
    first, second, third = values
    return first, second, third


def points(affine: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """``affine`` applied to points [..., 3]."""
    return np.asarray(indices, float) @ affine[:3, :3].T + affine[:3, 3]

"""The 32 patch boxes in the voxels of the CT: which one holds a point, which voxels one holds, how they look.

Indices are (i, j, k) of the analysis' frame volume (``Analysis.frame``), so the boxes follow the CT under any
transform. Faces lie half-way between voxels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .analysis import Analysis
from .geometry import LPS, ijk_to_ras, ijk_to_world, points, size_of
from .masks import Cropped

#: Faces of a box by its corners (first axis slowest).
_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
#: A face this near to half-way between two voxels lies there; the passport rounds to a thousandth of a mm.
_SNAP = 0.05
#: Percentage that stands for "no fat here" in ``percentages``.
NOTHING = -1


class PatchBoxes:
    """The boxes of an analysis that has patches. ``corners``: float64 [32, 8, 3] in indices (i, j, k).

    ``aligned``: whether the boxes run along the voxels; they do unless an oblique CT was resampled.
    """

    def __init__(self, analysis: Analysis) -> None:
        place = analysis.world_to_ijk()
        if place is None or not analysis.patches:
            raise ValueError("the analysis has no patches")
        world = np.array([patch.corners for patch in analysis.patches]) @ LPS[:3, :3]
        corners = points(place, world)
        halves = np.rint(corners - 0.5) + 0.5
        self.aligned = bool(np.abs(corners - halves).max() < _SNAP)
        self.corners = halves if self.aligned else corners

    def index_at(self, ijk: Any) -> int | None:
        """Patch that holds the point ``ijk`` (fractions allowed), or None."""
        origin = self.corners[:, 0]
        edges = np.stack([self.corners[:, n] - origin for n in (4, 2, 1)], axis=-1)
        place = np.linalg.solve(edges, (np.asarray(ijk, float) - origin)[..., None])[..., 0]
        inside = ((place >= 0) & (place < 1)).all(axis=1)
        return int(inside.argmax()) if inside.any() else None

    def centre(self, index: int) -> np.ndarray:
        """Centre of a box in indices (i, j, k)."""
        return self.corners[index].mean(axis=0)

    def voxel_range(self, index: int | None, size: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """Slices (k, j, i) around one box, or around all (None), inside a volume of ``size`` (i, j, k)."""
        corners = self.corners.reshape(-1, 3) if index is None else self.corners[index]
        low = np.clip(np.ceil(corners.min(axis=0)).astype(int), 0, size)
        high = np.clip(np.floor(corners.max(axis=0)).astype(int) + 1, 0, size)
        k, j, i = (slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
        return k, j, i

    def holds(self, index: int, where: tuple[slice, slice, slice]) -> np.ndarray | None:
        """bool [k, j, i]: voxels of ``where`` inside a box; None where that is all of them."""
        if self.aligned:
            return None
        origin = self.corners[index, 0]
        edges = np.stack([self.corners[index, n] - origin for n in (4, 2, 1)], axis=-1)
        into = np.linalg.inv(edges)
        k, j, i = (np.arange(part.start, part.stop, dtype=float) for part in where)
        inside = np.ones([len(axis) for axis in (k, j, i)], bool)
        for row in range(3):
            place = (
                into[row, 2] * (k - origin[2])[:, None, None]
                + into[row, 1] * (j - origin[1])[:, None]
                + into[row, 0] * (i - origin[0])
            )
            inside &= (place >= 0) & (place < 1)
        return inside

    def percentages(
        self, values: Iterable[float], fat: Cropped | None, size: tuple[int, int, int]
    ) -> tuple[np.ndarray, tuple[int, int, int]]:
        """int8 [k, j, i] around all boxes: each patch's percentage on its fat, ``NOTHING`` elsewhere; and the
        index (i, j, k) where it starts. Whole boxes are filled where ``fat`` is None. ``values``: 0..1."""
        k, j, i = self.voxel_range(None, size)
        start, end = (i.start, j.start, k.start), (i.stop, j.stop, k.stop)
        marked = np.ones([e - s for s, e in zip(start[::-1], end[::-1], strict=True)], bool)
        if fat is not None:
            marked = fat.inside(start, end)
        out = np.full(marked.shape, NOTHING, np.int8)
        for index, value in enumerate(values):
            where = self.voxel_range(index, size)
            own = tuple(
                slice(part.start - whole.start, part.stop - whole.start)
                for part, whole in zip(where, (k, j, i), strict=True)
            )
            inside = self.holds(index, where)
            mask = marked[own] if inside is None else marked[own] & inside
            np.copyto(out[own], np.int8(round(100 * float(np.clip(value, 0, 1)))), where=mask)
        return out, start

    def focus(self, index: int, fat: Cropped | None, size: tuple[int, int, int]) -> np.ndarray:
        """Where to look for a patch, in indices (i, j, k): along each axis the plane that shows most of its
        fat; the centre of the box where there is none."""
        where = self.voxel_range(index, size)
        k, j, i = where
        if fat is None or not fat.array.size or any(part.stop <= part.start for part in where):
            return self.centre(index)
        mask = fat.inside((i.start, j.start, k.start), (i.stop, j.stop, k.stop))
        inside = self.holds(index, where)
        if inside is not None:
            mask &= inside
        if not mask.any():
            return self.centre(index)
        fullest = [
            int(np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis)).argmax())
            + where[axis].start
            for axis in (2, 1, 0)
        ]
        return np.array(fullest, float)


def world_to_index(analysis: Analysis, ras: Any) -> np.ndarray | None:
    """Index (i, j, k) of the frame volume at a point in world RAS mm; None without a frame."""
    frame = analysis.frame()
    return None if frame is None else points(np.linalg.inv(ijk_to_world(frame)), np.asarray(ras, float))


def index_to_world(analysis: Analysis, ijk: np.ndarray) -> np.ndarray | None:
    """World RAS mm of an index (i, j, k) of the frame volume; None without a frame."""
    frame = analysis.frame()
    return None if frame is None else points(ijk_to_world(frame), ijk)


def frame_size(analysis: Analysis) -> tuple[int, int, int]:
    return size_of(analysis.frame())


def box_surfaces(boxes: PatchBoxes, frame: Any, indices: Iterable[int], values: Any = None) -> Any:
    """``vtkPolyData`` of whole boxes in the frame volume's own RAS, six faces each; ``values``: percent of
    all 32 patches, as cell scalars."""
    return _polygons(
        [
            (
                points(ijk_to_ras(frame), boxes.corners[index][list(face)]),
                values[index] if values is not None else 0,
            )
            for index in indices
            for face in _FACES
        ]
    )


def dashed_surface(boxes: PatchBoxes, frame: Any, index: int, dash_mm: float = 4.0) -> Any:
    """``vtkPolyData`` of one box with chequered faces, so that a section through it is a dashed line."""
    corners = points(ijk_to_ras(frame), boxes.corners[index])
    cells = []
    for face in _FACES:
        a, b, _c, d = corners[list(face)]
        across, down = b - a, d - a
        n, m = (max(1, round(np.linalg.norm(edge) / dash_mm)) for edge in (across, down))
        for u in range(n):
            for v in range(u % 2, m, 2):
                corner = a + across * u / n + down * v / m
                side, depth = across / n, down / m
                cells.append((np.array([corner, corner + side, corner + side + depth, corner + depth]), 0.0))
    return _polygons(cells)


def _polygons(cells: list[tuple[np.ndarray, float]]) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    surface = vtk.vtkPolyData()
    place = vtk.vtkPoints()
    place.SetData(numpy_to_vtk(np.concatenate([corners for corners, _value in cells]), deep=True))
    surface.SetPoints(place)
    count = len(cells)
    polygons = vtk.vtkCellArray()
    polygons.SetData(
        numpy_to_vtkIdTypeArray(np.arange(0, 4 * count + 1, 4), deep=True),
        numpy_to_vtkIdTypeArray(np.arange(4 * count), deep=True),
    )
    surface.SetPolys(polygons)
    values = numpy_to_vtk(np.array([value for _corners, value in cells], float), deep=True)
    values.SetName("Probability (%)")
    surface.GetCellData().SetScalars(values)
    return surface

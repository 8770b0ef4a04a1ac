"""From a file's axes to the canonical ones and back: exact where possible, else resampled and said so."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Literal

import numpy as np

from ..errors import InputRefused
from ..events import Events
from .geometry import CANONICAL_DIRECTIONS, Grid, Source, Volume

Kind = Literal["ct", "mask", "map"]

#: Up to this angle between a file's axes and the patient's, voxels are only reordered (no interpolation)
#: and the grid keeps the true directions; beyond it the volume is resampled onto the patient's axes.
MAX_OBLIQUITY_DEGREES = 3.0

#: Axes further than this from being at right angles mean a sheared grid (gantry tilt).
MAX_SHEAR_DEGREES = 0.5

#: What lies outside the scanned block after resampling.
FILL = {"ct": -1024.0, "mask": 0.0, "map": 0.0}


def axis_order(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], float]:
    """Which file axis is which canonical axis.

    ``affine``: 4x4, file index to LPS mm. Returns ``order`` and ``flips`` as in ``Source``, and the
    largest angle in degrees between a canonical axis and the file axis that stands for it.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = CANONICAL_DIRECTIONS.T @ directions  # [canonical axis, file axis]
    best = max(permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3)))
    chosen = np.array([cosines[a, best[a]] for a in range(3)])
    angle = float(np.degrees(np.arccos(np.clip(np.abs(chosen), 0.0, 1.0).min())))
    flips = (bool(chosen[0] < 0), bool(chosen[1] < 0), bool(chosen[2] < 0))
    return (best[0], best[1], best[2]), flips, angle


def shear_degrees(affine: np.ndarray) -> float:
    """How far the least square pair of axes is from a right angle, in degrees."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = directions.T @ directions
    worst = max(abs(cosines[0, 1]), abs(cosines[0, 2]), abs(cosines[1, 2]))
    return float(np.degrees(np.arcsin(min(worst, 1.0))))


def canonical_grid(source: Source) -> Grid:
    """The canonical grid of an input that was only reordered."""
    order, flips, grid = source.order, source.flips, source.grid
    affine = np.eye(4)
    affine[:3, 3] = grid.affine[:3, 3]
    for axis in range(3):
        step = grid.affine[:3, order[axis]]
        if flips[axis]:
            affine[:3, 3] += step * (grid.shape[order[axis]] - 1)
            step = -step
        affine[:3, axis] = step
    shape = tuple(grid.shape[o] for o in order)
    return Grid((shape[0], shape[1], shape[2]), affine)


def reorder(array: np.ndarray, source: Source) -> np.ndarray:
    """Array in file axes as a contiguous array in canonical axes; may reuse the memory of ``array``."""
    turned = array.transpose(source.order)
    if turned.flags.c_contiguous and turned.flags.writeable:
        _flip_in_place(turned, source.flips)
        return turned
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in source.flips)
    return np.ascontiguousarray(turned[step])


def unreorder(array: np.ndarray, source: Source) -> np.ndarray:
    """Array in canonical axes as a view in file axes: the inverse of ``reorder``."""
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in source.flips)
    inverse = np.argsort(source.order)
    return array[step].transpose(tuple(int(i) for i in inverse))


def _flip_in_place(array: np.ndarray, flips: tuple[bool, bool, bool]) -> None:
    """Flip axes of a C-contiguous array slice by slice, so that a big scan is not held twice."""
    inner = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips[1:])
    n = array.shape[0]
    if flips[0]:
        for a in range(n // 2):
            b = n - 1 - a
            kept = array[a][inner].copy()
            array[a] = array[b][inner].copy()
            array[b] = kept
        if n % 2 and any(flips[1:]):
            array[n // 2] = array[n // 2][inner].copy()
    elif any(flips[1:]):
        for a in range(n):
            array[a] = array[a][inner].copy()


def to_canonical(
    array: np.ndarray,
    affine: np.ndarray,
    *,
    kind: Kind,
    name: str,
    facts: dict[str, Any],
    events: Events,
    accept_tilt: bool = False,
    files: tuple[str, ...] = (),
) -> Volume:
    """Volume in canonical axes from an array in file axes and its 4x4 affine (file index to LPS mm).

    ``array`` belongs to this function from here on: its memory may be reused. Beyond
    ``MAX_OBLIQUITY_DEGREES`` the voxels are resampled onto the patient's axes (linear, nearest for masks;
    air outside for CT), ``facts["resampled"]`` tells the angle, and a warning goes to ``events``.
    Raises ``InputRefused`` ("gantry-tilt") for sheared grids unless ``accept_tilt``.
    """
    order, flips, angle = axis_order(affine)
    shear = shear_degrees(affine)
    shape = (array.shape[0], array.shape[1], array.shape[2])
    source = Source(Grid(shape, np.array(affine, float)), order, flips, files=files)
    facts["obliquity_degrees"] = round(angle, 3)
    facts["resampled"] = None
    if shear > MAX_SHEAR_DEGREES and not accept_tilt:
        raise refuse_tilt(shear, name)
    if angle <= MAX_OBLIQUITY_DEGREES and shear <= MAX_SHEAR_DEGREES:
        return Volume(reorder(array, source), canonical_grid(source), source, facts)

    reason = "gantry-tilt" if shear > MAX_SHEAR_DEGREES else "oblique"
    facts["resampled"] = {
        "reason": reason,
        "degrees": round(max(angle, shear) if reason == "oblique" else shear, 3),
        "interpolation": "nearest" if kind == "mask" else "linear",
    }
    target = aligned_grid(source)
    events.warning(
        f"resampled-{reason}",
        f"{name} was scanned {facts['resampled']['degrees']:.1f} degrees off the patient's axes "
        "and was resampled onto them; results are mapped back to its own grid.",
    )
    resampled = resample(array, source.grid, target, nearest=kind == "mask", fill=FILL[kind])
    return Volume(resampled, target, Source(source.grid, order, flips, True, files), facts)


def refuse_tilt(degrees: float, name: str) -> InputRefused:
    return InputRefused(
        "gantry-tilt",
        f"The slices of {name} are sheared by {degrees:.1f} degrees (gantry tilt): each lies a little to the "
        "side of the one before along the slice normal.",
        "Slices stacked at right angles are needed.",
        "Reconstruct without tilt, or accept the tilt (accept_tilt): the scan is then resampled straight.",
    )


def aligned_grid(source: Source) -> Grid:
    """Grid along the patient's axes with the input's spacing that covers the whole of an oblique input."""
    grid = source.grid
    spacing = np.array([grid.spacing[o] for o in source.order])
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    along = grid.points(corners) @ CANONICAL_DIRECTIONS  # coordinates along the canonical axes
    low, high = along.min(0), along.max(0)
    count = np.ceil((high - low) / spacing - 1e-6).astype(int) + 1
    low -= (count - 1 - (high - low) / spacing) / 2 * spacing  # what is left over goes to both ends
    shape = (int(count[0]), int(count[1]), int(count[2]))
    return Grid.canonical(shape, spacing.tolist(), (CANONICAL_DIRECTIONS @ low).tolist())


def resample(array: np.ndarray, grid: Grid, target: Grid, *, nearest: bool, fill: float) -> np.ndarray:
    """Values of ``array`` (on ``grid``) at the voxels of ``target``; same voxel type; ``fill`` outside."""
    import SimpleITK as sitk

    image = _image(array, grid)
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(fill)
    resampler.SetSize([int(n) for n in reversed(target.shape)])
    spacing = target.spacing[::-1]
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputDirection((target.affine[:3, 2::-1] / spacing).ravel().tolist())
    resampler.SetOutputOrigin(target.affine[:3, 3].tolist())
    return sitk.GetArrayFromImage(resampler.Execute(image))


def _image(array: np.ndarray, grid: Grid) -> Any:
    """SimpleITK image of an array whose first axis runs slowest; its index order is the reverse."""
    import SimpleITK as sitk

    if array.dtype == bool:
        array = array.astype(np.uint8)
    image = sitk.GetImageFromArray(array)
    spacing = grid.spacing[::-1]
    image.SetSpacing(spacing)
    image.SetDirection((grid.affine[:3, 2::-1] / spacing).ravel().tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    return image


def restore(array: np.ndarray, like: Volume, *, kind: Kind | None = None) -> tuple[np.ndarray, Grid]:
    """Canonical ``array`` on the grid of the file that ``like`` was read from.

    ``array``: [slice, row, column] on ``like.grid``. Returns the array in the file's own axes and the
    file's grid. Exact (a view) unless the input was resampled; then nearest neighbour for masks and
    labels (integer types, or ``kind="mask"``) and linear for the rest. A volume made in memory has no
    file: its own grid, written as columns, rows, slices from inferior to superior, stands for it.
    """
    if tuple(array.shape) != tuple(like.grid.shape):
        raise ValueError(f"array of shape {array.shape} for a grid of shape {like.grid.shape}")
    source = like.source or memory_source(like.grid)
    if not source.resampled:
        return unreorder(array, source), source.grid
    nearest = kind == "mask" or (kind is None and array.dtype.kind in "biu")
    fill = FILL[kind] if kind else 0.0
    return resample(array, like.grid, source.grid, nearest=nearest, fill=fill), source.grid


def memory_source(grid: Grid) -> Source:
    """How a canonical grid is laid into a file: columns, rows, then slices from inferior to superior."""
    step = -grid.affine[:3, 0]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = grid.affine[:3, 2], grid.affine[:3, 1], step
    affine[:3, 3] = grid.affine[:3, 3] - step * (grid.shape[0] - 1)
    return Source(
        Grid((grid.shape[2], grid.shape[1], grid.shape[0]), affine), (2, 1, 0), (True, False, False)
    )

"""A stack of DICOM slices: are they one regular grid? Positions are checked here, not believed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..errors import InputRefused
from . import checks
from .orient import MAX_SHEAR_DEGREES

#: Slices count as evenly spaced when no distance is further than this from the median one.
SPACING_TOLERANCE_MM = 0.02  # positions are often rounded to 0.01 mm
SPACING_TOLERANCE = 0.01  # of the median distance; the larger of the two holds

#: Direction cosines of slices of one stack may differ by rounding only.
_DIRECTION_TOLERANCE = 1e-3

#: In-plane origins may scatter this far around a straight line.
_LINE_TOLERANCE_MM = 0.5


@dataclass(frozen=True)
class Slice:
    """Geometry and scaling of one DICOM image. ``orientation``: direction of a row, then of a column;
    ``spacing``: between rows, then between columns, in mm."""

    file: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    rows: int
    columns: int
    slope: float
    intercept: float
    frame: str


@dataclass(frozen=True)
class Stack:
    """Slices in order along their normal. ``affine``: 4x4 from (column, row, slice) to LPS mm;
    ``along_mm``: position of each slice along the normal; ``uneven``: they are to be interpolated onto
    ``shape[2]`` slices ``step_mm`` apart; ``spacings``: the distances found, rounded, largest group first."""

    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray
    along_mm: np.ndarray
    step_mm: float
    uneven: bool
    spacings: list[float]


def stack_slices(slices: list[Slice], *, accept_gaps: bool, name: str) -> Stack:
    """Order slices along their normal and check that they make one stack.

    Raises ``InputRefused``: mixed sizes, spacings, directions or frames of reference, duplicate
    positions, slices that wander sideways, uneven spacing (unless ``accept_gaps``).
    """
    first = slices[0]
    for what, values in (
        ("image sizes", {(s.columns, s.rows) for s in slices}),
        ("frames of reference", {s.frame for s in slices}),
    ):
        if len(values) > 1:
            raise _mixed(what, len(values), name)
    for what, arrays, tolerance in (
        ("slice orientations", np.array([s.orientation for s in slices]), _DIRECTION_TOLERANCE),
        ("pixel spacings", np.array([s.spacing for s in slices]), 1e-3),
    ):
        if np.abs(arrays - arrays[0]).max() > tolerance:
            raise _mixed(what, len({tuple(row) for row in np.round(arrays, 3).tolist()}), name)
    checks.require_spacing(first.spacing, name)
    row, column = _directions(first, name)
    normal = np.cross(row, column)
    positions = np.array([s.position for s in slices])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    ordered = tuple(slices[int(i)] for i in order)
    if len(ordered) < 2:
        checks.require_slices((len(ordered), first.rows, first.columns), name)
    distances = np.diff(along)
    _require_no_duplicates(distances, along, name)
    step_mm, uneven, spacings = _spacing(distances, along, accept_gaps, name)

    # The best straight line through the origins, as a function of the way along the normal.
    centred = along - along.mean()
    slope = (centred[:, None] * (positions - positions.mean(0))).sum(0) / (centred**2).sum()
    line = positions.mean(0) + centred[:, None] * slope
    aside = float(np.abs(positions - line).max())
    if aside > _LINE_TOLERANCE_MM:
        raise InputRefused(
            "slices-shifted",
            f"The slices of {name} are shifted against each other by up to {aside:.1f} mm.",
            "All slices must start on one straight line.",
            "Choose a series reconstructed with one field of view.",
        )
    if np.degrees(np.arctan(np.linalg.norm(slope - normal))) < MAX_SHEAR_DEGREES / 10:
        slope = normal  # rounding of the positions, not a tilt
    count = round((along[-1] - along[0]) / step_mm) + 1 if uneven else len(ordered)
    step_mm = step_mm if uneven else float((along[-1] - along[0]) / (len(ordered) - 1))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (
        row * first.spacing[1],
        column * first.spacing[0],
        slope * step_mm,
    )
    affine[:3, 3] = line[0]
    checks.require_affine(affine, name)
    return Stack(ordered, (first.columns, first.rows, count), affine, along, step_mm, uneven, spacings)


def _directions(part: Slice, name: str) -> tuple[np.ndarray, np.ndarray]:
    row, column = np.array(part.orientation[:3]), np.array(part.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if abs(lengths[0] - 1) > 0.01 or abs(lengths[1] - 1) > 0.01 or abs(row @ column) > 0.01:
        raise InputRefused(
            "geometry-invalid",
            f"The row and column directions of {name} are not of length one and at right angles.",
            "ImageOrientationPatient must hold two perpendicular unit vectors.",
            "Export the series again from the archive.",
        )
    return row / lengths[0], column / lengths[1]


def _require_no_duplicates(distances: np.ndarray, along: np.ndarray, name: str) -> None:
    same = np.flatnonzero(distances < 1e-3)
    if same.size == 0:
        return
    where = ", ".join(f"{along[i]:.2f}" for i in same[:5])
    raise InputRefused(
        "duplicate-slices",
        f"{same.size} slices of {name} lie at the position of another (at {where}"
        f"{', ...' if same.size > 5 else ''} mm along the slice normal).",
        "Each position must occur once.",
        "The series holds several phases or copies; choose one reconstruction or remove the copies.",
    )


def _spacing(
    distances: np.ndarray, along: np.ndarray, accept: bool, name: str
) -> tuple[float, bool, list[float]]:
    """Median distance, whether the stack is uneven, and the distances found to 0.01 mm."""
    median = float(np.median(distances))
    tolerance = max(SPACING_TOLERANCE_MM, SPACING_TOLERANCE * median)
    odd = np.flatnonzero(np.abs(distances - median) > tolerance)
    counts = Counter(round(float(d), 2) for d in distances)
    found = [value for value, _ in counts.most_common()]
    if odd.size == 0 or accept:
        return median, bool(odd.size), found
    shown = ", ".join(f"{along[i]:.2f} and {along[i + 1]:.2f}" for i in odd[:3])
    where = f"{shown}{', ...' if odd.size > 3 else ''}"
    total = distances.size
    listed = ", ".join(f"{value:g} mm ({count} of {total})" for value, count in counts.most_common(6))
    missing = int(sum(max(round(float(d) / median) - 1, 0) for d in distances[odd]))
    lost = f" Missing slices, as it seems: {missing}." if missing else ""
    raise InputRefused(
        "slice-gaps",
        f"The slices of {name} lie unevenly: {listed}; {odd.size} distances are off the usual "
        f"{median:.4g} mm (between {where} mm along the slice normal).{lost}",
        f"All distances must agree within {tolerance:.2g} mm.",
        "Export the whole series again, or accept the gaps (accept_gaps): the scan is then interpolated.",
    )


def _mixed(what: str, count: int, name: str) -> InputRefused:
    return InputRefused(
        "mixed-series",
        f"The images of {name} have {count} different {what}.",
        "All images of a series must fit into one stack.",
        "Separate them, or choose another series.",
    )

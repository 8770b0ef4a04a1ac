"""The plane at which a body looks like its own mirror image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

#: Cells of the comparison; the midline is found to a fraction of this.
_CELL_MM = 4.0
_ANGLES = np.arange(-24.0, 25.0, 6.0)
_FINER = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
_SLICES = 10


@dataclass(frozen=True)
class MirrorAxis:
    """``offset_mm``: from the image's centre column to the midline, positive to the patient's left.
    ``roll_degrees``: positive where the patient's left side lies lower (more posterior).
    ``agreement``: correlation of the body with its mirror image, 1 = wholly symmetric."""

    offset_mm: float
    roll_degrees: float
    agreement: float


def mirror_axis(
    hu: np.ndarray, body: np.ndarray, spacing: tuple[float, float, float], level: slice
) -> MirrorAxis | None:
    """The axis that makes the slices ``level`` most symmetric; None where they hold no body.

    ``hu`` and ``body``: blocks [slice, row, column]. Up to ten slices are rotated about the image centre,
    in steps of 6 and then of 2 degrees; for each angle the correlation with the mirror image at every
    column comes from one Fourier transform per row. Angle and column are refined by a parabola.
    """
    start, stop, _ = level.indices(len(hu))
    chosen = np.unique(np.linspace(start, stop - 1, _SLICES).astype(int))
    # Tissue of interest from fat to bone; air weighs nothing, so that noise outside does not count.
    image = np.where(body[chosen], np.clip(hu[chosen], -300.0, 200.0) + 320.0, 0.0) / 520.0
    if not image.any():
        return None
    image, cells, shift_mm = _cells(image, spacing[1:])
    energy = float((image**2).sum())
    rough = np.array([_correlation(image, angle, cells) for angle in _ANGLES])
    angles = _ANGLES[int(rough.max(axis=1).argmax())] + _FINER
    score = np.array([_correlation(image, angle, cells) for angle in angles])
    best, column = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    roll = angles[best] + _vertex(score[:, column], best) * (angles[1] - angles[0])
    middle = (column + _vertex(score[best], column)) / 2.0
    offset = (middle - (image.shape[2] - 1) / 2.0) * cells[1] + shift_mm
    return MirrorAxis(float(offset), float(roll), min(1.0, float(score.max()) / energy))


def _correlation(image: np.ndarray, degrees: float, cells: tuple[float, float]) -> np.ndarray:
    """Correlation of the rotated slices with their mirror images; index = sum of the two columns."""
    from scipy import ndimage

    dy, dx = cells
    angle = math.radians(degrees)
    turn = np.array(
        [[math.cos(angle), math.sin(angle) * dx / dy], [-math.sin(angle) * dy / dx, math.cos(angle)]]
    )
    centre = (np.array(image.shape[1:]) - 1) / 2.0
    length = 2 * image.shape[2]
    total = np.zeros(length)
    for plane in image:
        turned = ndimage.affine_transform(plane, turn, centre - turn @ centre, order=1)
        spectrum = np.fft.rfft(turned, length, axis=1)
        # The product of a spectrum with itself is the correlation with the mirror image.
        total += np.fft.irfft((spectrum * spectrum).sum(axis=0), length)
    return total


def _cells(image: np.ndarray, spacing: tuple[float, ...]) -> tuple[np.ndarray, tuple[float, float], float]:
    """Means over cells of about 4 mm within each slice, the size of a cell, and how far (mm) the centre
    column moved: rows and columns are padded with air on both sides, unevenly where the number is odd."""
    fy, fx = (max(1, round(_CELL_MM / s)) for s in spacing)
    planes, rows, columns = image.shape
    more_rows, more_columns = -rows % fy, -columns % fx
    padded = np.zeros((planes, rows + more_rows, columns + more_columns))
    padded[:, more_rows // 2 : more_rows // 2 + rows, more_columns // 2 : more_columns // 2 + columns] = image
    cells = padded.reshape(planes, padded.shape[1] // fy, fy, padded.shape[2] // fx, fx).mean(axis=(2, 4))
    return cells, (spacing[0] * fy, spacing[1] * fx), (more_columns % 2) / 2.0 * spacing[1]


def _vertex(values: np.ndarray, top: int) -> float:
    """Where between its neighbours the maximum lies, -0.5 to 0.5."""
    if not 0 < top < len(values) - 1:
        return 0.0
    before, at, after = values[top - 1 : top + 2]
    bend = before - 2 * at + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend else 0.0

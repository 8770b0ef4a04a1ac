"""The plane between the patient's right and left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..body import Body, find_body
from ..volume import Volume

#: A body overlaps its mirror image less than this where the CT shows one side of it only: two crops around
#: a shoulder gave 0.71 and 0.76, five CTs of neck, chest and abdomen 0.93 to 0.98.
SMALLEST_SYMMETRY = 0.85

METHOD = (
    "plane across the patient's left-right axis about which the body mirrors onto itself best (largest "
    "overlap of the body mask with its mirror image, all slices together)"
)


@dataclass(frozen=True)
class MidPlane:
    """``x_mm``: LPS x of the plane (left is larger), None where the body is too unlike its mirror image to
    have a middle. ``given``: stated by the user. ``symmetry``: share of the body that overlaps with its
    mirror image about the plane (0..1), None where the plane was given."""

    x_mm: float | None
    given: bool = False
    symmetry: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "x_lps_mm": None if self.x_mm is None else round(self.x_mm, 3),
            "method": "given by hand" if self.given else METHOD,
            "symmetry": None if self.symmetry is None else round(self.symmetry, 4),
            "smallest_symmetry": SMALLEST_SYMMETRY,
        }


def find_midplane(ct: Volume, body: Body | None = None) -> MidPlane:
    """The plane of best mirror symmetry of the body in ``ct``, at right angles to the left-right axis.

    The overlap of the body with its mirror image about every plane at once is the convolution of the mask
    with itself along columns; it has its peak at twice the plane's place. A roll of the body is not
    corrected. Raises ``InputRefused`` ("no-body").
    """
    body = body or find_body(ct)
    mask = body.mask
    columns = mask.shape[2]
    spectrum = np.fft.rfft(mask, 2 * columns, axis=2)
    overlap = np.fft.irfft((spectrum**2).sum(axis=(0, 1)), 2 * columns)
    peak = int(np.argmax(overlap[: 2 * columns - 1]))
    centre = (peak + _shift(overlap, peak)) / 2.0
    # Blocks to voxels: the centre of block i lies at i * factor + (factor - 1) / 2.
    factor = body.coarse.factors[2]
    column = centre * factor + (factor - 1) / 2.0
    slices, rows, _ = ct.grid.shape
    x = ct.grid.points(np.array([[(slices - 1) / 2.0, (rows - 1) / 2.0, column]]))[0, 0]
    symmetry = float(overlap[peak] / mask.sum())
    return MidPlane(float(x) if symmetry >= SMALLEST_SYMMETRY else None, symmetry=symmetry)


def _shift(values: np.ndarray, peak: int) -> float:
    """Where a parabola through the peak and its neighbours has its top, relative to the peak."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = (float(v) for v in values[peak - 1 : peak + 2])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))

"""Phantoms: invented patients whose tissues are known, for tests, demonstrations and their models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import UsageError
from ...volume.geometry import CANONICAL_DIRECTIONS, Grid, Volume
from .anatomy import Anatomy, random_anatomy
from .body import paint_slice
from .canvas import FAT, LUNG_LEFT, LUNG_RIGHT, Canvas, Frame
from .signal import blur_and_noise, hu_of_tissues, pet_image, slice_hu

#: Which sides hold brown fat.
BROWN = ("both", "left", "right", "none")

#: Field of view in mm and spacing in mm along (slice, row, column), and mm of image above the lung apex.
SIZES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float], float]] = {
    "small": ((216.0, 480.0, 576.0), (3.0, 3.0, 3.0), 75.0),
    "full": ((330.0, 500.0, 500.0), (3.0, 500 / 512, 500 / 512), 105.0),
}


@dataclass(frozen=True)
class Phantom:
    """An invented patient from neck to chest, canonical axes, all but the PET on one grid.

    ``ct``: int16 HU. ``adipose``: uint8, all fat, white and brown. ``brown``: uint8, brown fat.
    ``lungs``: uint8, 1 = the patient's right lung, 2 = the left one. ``pet``: float32 SUV on its own coarser
    grid, or None. ``facts``: plain JSON values, among them ``brown_ml`` (``right``, ``left``, ``total``),
    ``adipose_ml``, ``lungs_ml``, ``white_hu``, ``brown_hu``, ``arms`` ("up" or "down").
    """

    ct: Volume
    adipose: Volume
    brown: Volume
    lungs: Volume
    pet: Volume | None
    facts: dict[str, Any]


def make_phantom(
    seed: int = 0,
    *,
    brown: str = "both",
    size: str = "small",
    pet: bool = False,
    spacing: tuple[float, float, float] | None = None,
    symmetry: float | None = None,
    noise: float | None = None,
) -> Phantom:
    """Invent a patient and scan him.

    Parameters
    ----------
    seed : the patient. The same seed gives the same body whatever the other parameters are, and the
        same voxels when they are equal too.
    brown : which of the patient's sides hold brown fat: "both", "left", "right" or "none".
    size : "small" (72 x 160 x 192 voxels of 3 mm) or "full" (110 x 512 x 512, 3 x 0.98 x 0.98 mm).
    pet : also make an SUV image.
    spacing : mm along (slice, row, column) instead of that of ``size``; the field of view stays and
        rows and columns are rounded up to multiples of 16.
    symmetry : 0 to 1, how alike the brown fat of both sides is; drawn from the seed by default.
    noise : standard deviation in HU; drawn from the seed by default.

    Raises ``UsageError`` for an unknown size or side or a spacing that is not positive.
    """
    if brown not in BROWN or size not in SIZES or (spacing is not None and min(spacing) <= 0):
        raise UsageError(
            "phantom-unknown",
            f"A phantom of size {size!r} with brown fat {brown!r} and spacing {spacing} was asked for.",
            f"Known are the sizes {', '.join(SIZES)}, brown fat {', '.join(BROWN)}, and positive spacings.",
            "Choose one of these.",
        )
    anatomy = random_anatomy(seed, brown, symmetry, noise)
    field, own_spacing, above = SIZES[size]
    grid = _grid(field, spacing or own_spacing)
    labels, share, on_left, hu = _scan(anatomy, grid, above)
    blur_and_noise(hu, grid.spacing, anatomy, seed)
    ct = Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), grid)
    fat = labels == FAT
    brown_mask = fat & (share > 0.5)
    lungs = np.zeros(labels.shape, np.uint8)
    lungs[labels == LUNG_RIGHT] = 1
    lungs[labels == LUNG_LEFT] = 2
    facts = {
        "seed": seed,
        "size": size,
        "brown": brown,
        **_facts(anatomy, grid, fat, brown_mask, on_left, lungs),
    }
    return Phantom(
        ct=ct,
        adipose=ct.with_array(fat.view(np.uint8)),
        brown=ct.with_array(brown_mask.view(np.uint8)),
        lungs=ct.with_array(lungs),
        pet=pet_image(labels, brown_mask, grid, anatomy, seed) if pet else None,
        facts=facts,
    )


def _grid(field: tuple[float, float, float], spacing: tuple[float, float, float]) -> Grid:
    depth = max(8, round(field[0] / spacing[0]))
    height, width = (
        16 * int(np.ceil(round(f / s) / 16)) for f, s in zip(field[1:], spacing[1:], strict=True)
    )
    affine = np.eye(4)
    affine[:3, :3] = CANONICAL_DIRECTIONS * np.array(spacing)
    # The table's middle is 0 in x and y; z is somewhere, as in a scanner.
    affine[:3, 3] = (-(width - 1) / 2 * spacing[2], -(height - 1) / 2 * spacing[1], -100.0)
    return Grid((depth, height, width), affine)


def _scan(anatomy: Anatomy, grid: Grid, above: float) -> tuple[np.ndarray, ...]:
    """Labels (uint8), share of brown fat (0..1), whether left of the midline, and sharp, noiseless HU."""
    (dz, dy, dx), (depth, height, width) = grid.spacing, grid.shape
    frame = Frame((np.arange(height) - (height - 1) / 2) * dy, (np.arange(width) - (width - 1) / 2) * dx)
    table = hu_of_tissues(anatomy)
    labels = np.empty(grid.shape, np.uint8)
    share = np.zeros(grid.shape, np.float32)
    on_left = np.empty(grid.shape, bool)
    hu = np.empty(grid.shape, np.float32)
    for index in range(depth):
        z_mm = (index + 0.5) * dz - above
        canvas = Canvas(frame, anatomy, z_mm)
        paint_slice(canvas)
        labels[index] = canvas.labels
        on_left[index] = canvas.x > 0
        _brown_share(canvas, share[index], z_mm)
        hu[index] = slice_hu(canvas.labels, share[index], anatomy, frame, z_mm, table)
    return labels, share, on_left, hu


def _brown_share(canvas: Canvas, share: np.ndarray, z_mm: float) -> None:
    """Fill in where the slice's fat is brown: ragged depots, partly infiltrated by white fat."""
    frame, anatomy = canvas.frame, canvas.anatomy
    for depot in anatomy.depots:
        squash = 1 - ((canvas.z - depot.centre[2]) / (1.3 * depot.half[2])) ** 2
        if squash <= 0:
            continue
        window, radius = canvas.ellipse(depot.centre[0], depot.centre[1], depot.half[0], depot.half[1])
        radius = np.sqrt(radius**2 + ((canvas.z - depot.centre[2]) / depot.half[2]) ** 2)
        ragged = anatomy.brown_waves.plane(z_mm, frame.rows[window[0]], frame.columns[window[1]])
        inside = np.clip(0.5 + (1.0 - radius + 0.22 * ragged) * 4, 0, 1)
        # Each side of the midline is its own: a depot never crosses it.
        inside *= canvas.x[window] * depot.centre[0] > 0
        part = share[window]
        np.maximum(part, inside * (canvas.labels[window] == FAT), out=part)


def _facts(
    anatomy: Anatomy, grid: Grid, fat: np.ndarray, brown: np.ndarray, on_left: np.ndarray, lungs: np.ndarray
) -> dict[str, Any]:
    ml = grid.voxel_ml
    # The midline leans and bends with the patient, so sides are not halves of the image.
    left_ml, total_ml = float((brown & on_left).sum() * ml), float(brown.sum() * ml)
    lung_ml = np.bincount(lungs.ravel(), minlength=3) * ml
    return {
        "spacing_mm": [round(s, 4) for s in grid.spacing],
        "brown_ml": {"right": total_ml - left_ml, "left": left_ml, "total": total_ml},
        "adipose_ml": float(fat.sum() * ml),
        "lungs_ml": {"right": float(lung_ml[1]), "left": float(lung_ml[2])},
        "white_hu": anatomy.white_hu,
        "brown_hu": anatomy.brown_hu,
        "noise_hu": anatomy.noise_hu,
        "symmetry": anatomy.symmetry,
        "arms": "up" if anatomy.arms_up else "down",
        "fat_mm": anatomy.fat_mm,
        "suv": anatomy.suv,
    }

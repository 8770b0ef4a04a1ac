"""A picture of a PET/CT: CT with PET laid over it and the mask's outline, and the PET seen from the front.

Radiological convention: the patient's right is on the left of the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import RESEARCH_USE_ONLY
from .evaluate import Assessment, PetResult

if TYPE_CHECKING:
    from PIL.Image import Image

#: HU window of the CT below the PET, and the SUV at which the colours end.
WINDOW_HU = (-300.0, 200.0)
TOP_SUV = 8.0
_HEIGHT, _GAP, _TEXT = 420, 8, 66
_OUTLINE = (0, 255, 160)


def preview(result: PetResult) -> Image:
    """RGB picture with three panels: axial and coronal fusion through the hottest voxel of the first mask
    that is not empty (of the PET where all are), and the highest SUV along each line from front to back."""
    from PIL import Image, ImageDraw

    shown = _shown(result)
    hottest = _hottest(result, shown)
    mask = None if shown is None or shown.mask is None else shown.mask.array.view(bool)
    hu, suv, (dz, dy, dx) = result.ct.array, result.suv.array, result.ct.spacing
    front = np.full((suv.shape[0], suv.shape[2]), np.nan, np.float32)
    for index, plane in enumerate(suv):
        front[index] = np.fmax.reduce(plane, axis=0)
    top = TOP_SUV
    panels = [
        _panel(
            _fused(hu[hottest[0]], suv[hottest[0]], top), None if mask is None else mask[hottest[0]], dy, dx
        ),
        _panel(
            _fused(hu[:, hottest[1]], suv[:, hottest[1]], top),
            None if mask is None else mask[:, hottest[1]],
            dz,
            dx,
        ),
        _panel(_inverted(front, top), None if mask is None else mask.any(axis=1), dz, dx),
    ]
    width = sum(p.width for p in panels) + _GAP * (len(panels) + 1)
    picture = Image.new("RGB", (max(width, 760), _HEIGHT + _TEXT + _GAP), "black")
    draw = ImageDraw.Draw(picture)
    x = _GAP
    for panel, title in zip(panels, ("axial", "coronal", "PET from the front"), strict=True):
        picture.paste(panel, (x, _GAP))
        draw.text((x + 4, _GAP + 2), f"R   {title}", fill="white")
        x += panel.width + _GAP
    for line, text in enumerate((*_words(shown), f"Colours: SUVbw 0 to {top:g}. {RESEARCH_USE_ONLY}")):
        draw.text((_GAP, _HEIGHT + _GAP + 4 + 14 * line), text, fill="white")
    return picture


def _shown(result: PetResult) -> Assessment | None:
    assessed = [a for a in result.assessments if a.mask is not None]
    return next(
        (a for a in assessed if a.mask is not None and a.mask.array.any()), assessed[0] if assessed else None
    )


def _words(shown: Assessment | None) -> list[str]:
    if shown is None:
        return ["No criterion could be assessed."]
    total = {row.side: row for row in shown.rows if row.region == "total"}
    rule = f"{shown.criterion.title}: {shown.criterion.words()}"
    if total["both"].result == "none found":
        return [rule, "None found."]
    both = total["both"]
    sides = "right and left not told apart"
    if total["right"].volume_ml is not None:
        sides = f"right {total['right'].volume_ml:.1f}, left {total['left'].volume_ml:.1f}"
    return [
        rule,
        f"{both.volume_ml:.1f} mL ({sides}), SUVmax {both.suv_max:.2f}, SUVmean {both.suv_mean:.2f}. "
        "Uptake by these rules need not be brown fat.",
    ]


def _hottest(result: PetResult, shown: Assessment | None) -> tuple[int, int, int]:
    suv = result.suv.array
    inside = (
        shown.mask.array if shown is not None and shown.mask is not None and shown.mask.array.any() else None
    )
    best, place = -np.inf, (suv.shape[0] // 2, suv.shape[1] // 2, suv.shape[2] // 2)
    for index, plane in enumerate(suv):
        values = np.where(np.isnan(plane) if inside is None else inside[index] == 0, -np.inf, plane)
        if inside is None:
            values[np.isnan(plane)] = -np.inf
        at = int(np.argmax(values))
        if values.flat[at] > best:
            row, column = np.unravel_index(at, plane.shape)
            best, place = float(values.flat[at]), (index, int(row), int(column))
    return place


def _fused(hu: np.ndarray, suv: np.ndarray, top: float) -> np.ndarray:
    """uint8 [rows, columns, 3]: CT in grey, PET over it the stronger the hotter."""
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) / (high - low), 0, 1)[..., None]
    heat = np.clip(np.nan_to_num(suv, nan=0.0) / top, 0, 1)[..., None]
    colour = np.concatenate([np.clip(3 * heat - i, 0, 1) for i in range(3)], axis=-1)
    alpha = np.clip(2 * heat, 0, 0.7)
    return ((grey * (1 - alpha) + colour * alpha) * 255).astype(np.uint8)


def _inverted(suv: np.ndarray, top: float) -> np.ndarray:
    dark = 1 - np.clip(np.nan_to_num(suv, nan=0.0) / top, 0, 1)
    return np.repeat((dark * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _panel(rgb: np.ndarray, mask: Any, down_mm: float, across_mm: float) -> Image:
    """The section with the outline of the mask, in true proportions, ``_HEIGHT`` pixels high at most."""
    from PIL import Image

    scale = min(_HEIGHT / (rgb.shape[0] * down_mm), 1.5 * _HEIGHT / (rgb.shape[1] * across_mm))
    size = max(1, round(rgb.shape[1] * across_mm * scale)), max(1, round(rgb.shape[0] * down_mm * scale))
    image = Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR)
    if mask is not None and mask.any():
        inside = (
            np.array(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)) > 0
        )
        padded = np.pad(inside, 1)
        core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        pixels = np.array(image)
        pixels[inside & ~core] = _OUTLINE
        image = Image.fromarray(pixels)
    return image

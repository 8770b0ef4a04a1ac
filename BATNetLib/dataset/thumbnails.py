"""Small pictures of training cases: a section through most of what is marked, fat and brown fat coloured."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from ..brown.patches import PATCH_SIZE, Patches

if TYPE_CHECKING:
    from .scans import Scan

#: HU shown, longest edge in pixels, space around the fat, colours and opacity of adipose and brown fat.
_WINDOW = (-250.0, 250.0)
_EDGE = 256
_MARGIN_MM = 10.0
_FAT, _BROWN = (240, 200, 60), (220, 60, 40)
_FAT_ALPHA, _BROWN_ALPHA = 0.35, 0.75


def scan_thumbnail(scan: Scan) -> bytes | None:
    """PNG of the slice with most brown fat, else most fat, in true proportions; None without Pillow.

    The patient's right is on the picture's left, anterior is up.
    """
    marked = next((m.array for m in (scan.brown, scan.adipose) if m is not None and m.array.any()), None)
    index = _fullest(marked) if marked is not None else scan.ct.grid.shape[0] // 2
    low, high = _WINDOW
    hu = np.clip(scan.ct.array[index].astype(np.float32), low, high)
    grey = ((hu - low) / (high - low) * 255).astype(np.uint8)
    layers = [
        (mask.array[index] > 0, colour, alpha)
        for mask, colour, alpha in (
            (scan.adipose, _FAT, _FAT_ALPHA),
            (scan.brown, _BROWN, _BROWN_ALPHA),
        )
        if mask is not None
    ]
    part = _body(scan)
    layers = [(mask[part], colour, alpha) for mask, colour, alpha in layers]
    return _png(grey[part], layers, scan.ct.spacing[1:])


def _body(scan: Scan) -> tuple[slice, slice]:
    """Rows and columns of a slice that hold fat anywhere in the scan, with a margin; all without a mask."""
    height, width = scan.ct.grid.shape[1:]
    if scan.adipose is None or not scan.adipose.array.any():
        return slice(0, height), slice(0, width)
    ends = []
    for axis, length, mm in ((1, height, scan.ct.spacing[1]), (2, width, scan.ct.spacing[2])):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(scan.adipose.array.any(axis=others))
        margin = int(np.ceil(_MARGIN_MM / mm))
        ends.append(slice(max(0, int(hit[0]) - margin), min(length, int(hit[-1]) + margin + 1)))
    return ends[0], ends[1]


def slice_thumbnail(images: np.ndarray, masks: np.ndarray) -> bytes | None:
    """PNG of the slice [slice, row, column] (uint8) with most of the mask; None without Pillow."""
    index = _fullest(masks) if masks.any() else len(images) // 2
    return _png(images[index], [(masks[index] > 0, _FAT, _FAT_ALPHA)], (1.0, 1.0))


def patch_thumbnail(patches: Patches) -> bytes | None:
    """PNG of the middle slices of all patches, as they lie; the patient's right on the left."""
    edge = PATCH_SIZE
    grey = np.zeros((4 * edge, 8 * edge), np.uint8)
    fat = np.zeros(grey.shape, bool)
    for half, side in enumerate((patches.left, patches.right)):
        for index, patch in enumerate(side):
            row, column = divmod(index, 4)
            block = column if half == 0 else 7 - column
            place = np.s_[row * edge : (row + 1) * edge, block * edge : (block + 1) * edge]
            grey[place] = np.clip((patch[0, edge // 2] + 0.5) * 255, 0, 255).astype(np.uint8)
            fat[place] = patch[1, edge // 2] > 0
    return _png(grey, [(fat, _FAT, _FAT_ALPHA)], (1.0, 1.0))


def _fullest(mask: np.ndarray) -> int:
    return int(np.count_nonzero(mask, axis=(1, 2)).argmax())


def _png(
    grey: np.ndarray, layers: list[tuple[np.ndarray, tuple[int, int, int], float]], mm: tuple[float, ...]
) -> bytes | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    rgb = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    for mask, colour, alpha in layers:
        rgb[mask] = rgb[mask] * (1 - alpha) + np.array(colour, np.float32) * alpha
    height, width = grey.shape[0] * mm[0], grey.shape[1] * mm[1]
    scale = _EDGE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    buffer = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).save(
        buffer, "PNG", compress_level=6
    )
    return buffer.getvalue()

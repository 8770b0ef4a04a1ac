"""Values per patch laid over the CT: whole maps on the input's grid, and single planes for pictures.

Maps are stored as scaled integers (NIfTI ``scl_slope``), which every reader turns back into 0..1: a
probability in steps of 1/16384, attention in steps of 1/128 (powers of two, so that 1 comes back as 1). That
is finer than what either means, and a quarter to a half of the size of floating point.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..brown.attention import paint
from ..brown.patches import Box
from ..volume import Volume, restore

PROBABILITY_STEP, ATTENTION_STEP = 2**-14, 2**-7

#: Boxes of one value shrink well at any level; higher levels only cost time.
LEVEL = 5

Shape3 = tuple[int, int, int]


def fill_box(value: np.ndarray, box: Box) -> np.ndarray:
    """float32 voxels of one box from a single value or from the cells [n, n, n] of a patch."""
    a, b, c = (end - start for start, end in zip(box.start, box.end, strict=True))
    return paint(np.asarray(value)[None], [Box((0, 0, 0), (a, b, c))], (a, b, c))


def whole_map(values: np.ndarray, boxes: Sequence[Box], shape: Shape3, step: float) -> np.ndarray:
    """Stored integers [slice, row, column] of values in 0..1, 0 outside the boxes.

    ``values``: [32] or [32, n, n, n]. Box by box, so that no copy of the volume in floating point is made.
    """
    out = np.zeros(shape, np.uint8 if 1 / step <= 255 else np.int16)
    for value, box in zip(values, boxes, strict=True):
        out[box.slices] = np.rint(fill_box(value, box) / step)
    return out


def map_plane(values: np.ndarray, boxes: Sequence[Box], shape: Shape3, axis: int, index: int) -> np.ndarray:
    """float32 plane ``index`` along ``axis`` of the map; NaN outside the boxes."""
    out = np.full([n for a, n in enumerate(shape) if a != axis], np.nan, np.float32)
    for value, box in zip(values, boxes, strict=True):
        if box.start[axis] <= index < box.end[axis]:
            place = tuple(part for a, part in enumerate(box.slices) if a != axis)
            out[place] = fill_box(value, box).take(index - box.start[axis], axis=axis)
    return out


def map_note(*, demonstration: bool, by_threshold: bool) -> str:
    """What a map says about itself in the 79 letters that a NIfTI header has for it."""
    said = ["Demonstration model, trained on phantoms."] if demonstration else []
    return " ".join([*said, "Fat mask: HU threshold."] if by_threshold else said)


def write_map(stored: np.ndarray, step: float, path: Path, like: Volume, note: str = "") -> None:
    """Write stored integers (canonical axes) as NIfTI on the grid of the file that ``like`` came from.

    Uncompressed or gzip by the ending. ``note`` goes into the header (at most 79 letters). Cells stay
    cells where the input was oblique (nearest neighbour).
    """
    import nibabel as nib

    array, grid = restore(stored, like, kind="mask")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ grid.affine
    image = nib.Nifti1Image(np.asfortranarray(array), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = note[:79].encode("ascii", "replace")
    image.header.set_slope_inter(step, 0.0)
    # With a slope in the header nibabel writes the integers as they are.
    with path.open("wb") as file:
        if path.suffix != ".gz":
            image.to_stream(file)
            return
        # No name and no time in the gzip header: the same map gives the same bytes.
        with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            image.to_stream(packed)

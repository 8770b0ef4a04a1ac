"""The 32 left-right mirrored patches of a case: where they lie, what they hold, how they are labelled.

Geometry as published (BATNet, symmetrical AT patch module): the bounding box of the adipose tissue is
cut into 2 x 2 x 8 blocks along slices, rows and columns; column blocks 0-3 are paired with 7-4; every
block is resized to 32 x 32 x 32. The authors call the low columns "left"; they are the patient's right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import InputRefused
from ..lungs import cut_plane
from ..volume.boxes import bounding_box

#: Blocks along slices, rows and columns.
BLOCKS = (2, 2, 8)
#: Edge of a resized patch in voxels.
PATCH_SIZE = 32
#: Published intensity window of stage 2 in HU, spread over -0.5..0.5.
WINDOW = (-300, 100)
#: A patch is positive from this fraction of brown fat in its adipose tissue on; below it and above
#: zero it is ignored.
POSITIVE_FRACTION = 0.10
NEGATIVE, POSITIVE, IGNORED = 0, 1, -1

#: (slice block, row block, low column block) of each pair, in the authors' order.
PAIR_BLOCKS = tuple(
    (s, r, c) for s in range(BLOCKS[0]) for r in range(BLOCKS[1]) for c in range(BLOCKS[2] // 2)
)


@dataclass(frozen=True)
class Box:
    """A box of voxels in canonical axes: ``start`` inclusive, ``end`` exclusive."""

    start: tuple[int, int, int]
    end: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        (a, b, c), (d, e, f) = self.start, self.end
        return slice(a, d), slice(b, e), slice(c, f)


@dataclass(frozen=True)
class Patches:
    """The patches of a case, in the authors' order.

    ``left``, ``right``: float32 [16, 2, 32, 32, 32]; channel 0 CT in [-0.5, 0.5], channel 1 adipose mask.
    ``left`` is the authors' word: low columns, the **patient's right**. ``left_labels``,
    ``right_labels``: int [16] of -1 (ignored), 0, 1, or None without a brown-fat mask. ``boxes``: 32
    boxes in voxels of the input, first the 16 of ``left``, then the 16 of ``right``; box i and box
    i + 16 are mirror partners. ``cut``: first slice below the lung cut, or None.
    """

    left: np.ndarray
    right: np.ndarray
    left_labels: np.ndarray | None
    right_labels: np.ndarray | None
    boxes: tuple[Box, ...]
    cut: int | None


def mirror_partner(index: int) -> int:
    """Index of the patch on the other side, for an index 0..31 in the authors' order."""
    return (index + len(PAIR_BLOCKS)) % (2 * len(PAIR_BLOCKS))


def patient_side(index: int) -> str:
    """``"right"`` or ``"left"`` of the patient, for an index 0..31 in the authors' order."""
    return "right" if index < len(PAIR_BLOCKS) else "left"


def patch_boxes(adipose: np.ndarray) -> tuple[Box, ...]:
    """The 32 boxes over an adipose mask [slice, row, column] that has already been cut at the lungs.

    Raises ``InputRefused`` when the mask is empty or its box is thinner than the grid of blocks.
    """
    if not adipose.any():
        raise InputRefused(
            "adipose-empty",
            "The adipose mask holds no voxel above the cut plane.",
            "The patches are laid over the fat of neck, shoulders and axillae.",
            "Check that the CT shows the neck and shoulders and that the mask belongs to it.",
        )
    start, end = bounding_box(adipose)
    extent = [e - s for s, e in zip(start, end, strict=True)]
    if any(n < blocks for n, blocks in zip(extent, BLOCKS, strict=True)):
        raise InputRefused(
            "box-too-thin",
            f"The adipose tissue spans {extent[0]} slices, {extent[1]} rows and {extent[2]} columns.",
            f"At least {BLOCKS[0]} x {BLOCKS[1]} x {BLOCKS[2]} voxels are needed to lay 32 patches.",
            "Check the mask: it holds only a sliver of fat above the cut plane.",
        )
    cuts = [
        (s + np.linspace(0, n, blocks + 1).astype(int)).tolist()
        for s, n, blocks in zip(start, extent, BLOCKS, strict=True)
    ]

    def box(*block: int) -> Box:
        lows = (cuts[axis][b] for axis, b in enumerate(block))
        highs = (cuts[axis][b + 1] for axis, b in enumerate(block))
        return Box((next(lows), next(lows), next(lows)), (next(highs), next(highs), next(highs)))

    low = [box(s, r, c) for s, r, c in PAIR_BLOCKS]
    high = [box(s, r, BLOCKS[2] - 1 - c) for s, r, c in PAIR_BLOCKS]
    return (*low, *high)


def extract_patches(
    ct_hu: np.ndarray,
    adipose: np.ndarray,
    brown: np.ndarray | None = None,
    lungs: np.ndarray | None = None,
) -> Patches:
    """Cut a case into its 32 mirrored patches, as published.

    Parameters
    ----------
    ct_hu : HU, [slice, row, column] in canonical axes (superior->inferior, anterior->posterior, patient's
        right->left).
    adipose, brown, lungs : masks of the same shape, non-zero is inside. With ``lungs`` all fat from the
        cut plane down is dropped first.

    Raises
    ------
    InputRefused : masks of another shape, no adipose tissue above the cut, a box thinner than the grid.
    """
    for name, mask in (("adipose", adipose), ("brown-fat", brown), ("lung", lungs)):
        if mask is not None and mask.shape != ct_hu.shape:
            raise InputRefused(
                "other-shape",
                f"The {name} mask has shape {mask.shape}, the CT {ct_hu.shape}.",
                "Masks must have the shape of the CT.",
                f"Use the {name} mask that was made from this CT.",
            )
    fat = adipose > 0
    cut = None
    if lungs is not None:
        cut = cut_plane(lungs)
        fat[cut:] = False
    boxes = patch_boxes(fat)
    values = [_resize(ct_hu[box.slices], fat[box.slices]) for box in boxes]
    labels = None
    if brown is not None:
        labels = np.array(
            [
                _label(_nearest(brown[box.slices] > 0), value[1])
                for box, value in zip(boxes, values, strict=True)
            ]
        )
    half = len(PAIR_BLOCKS)
    stacked = np.stack(values)
    return Patches(
        left=stacked[:half],
        right=stacked[half:],
        left_labels=None if labels is None else labels[:half],
        right_labels=None if labels is None else labels[half:],
        boxes=boxes,
        cut=cut,
    )


def case_label(labels: np.ndarray) -> int:
    """1 when any patch is positive, else 0; ignored patches (-1) never turn a case positive."""
    return int((np.asarray(labels) == POSITIVE).any())


def _resize(hu: np.ndarray, fat: np.ndarray) -> np.ndarray:
    low, high = WINDOW
    ct = (np.clip(hu, low, high).astype(np.float32) - (low + high) / 2) / (high - low)
    zoom = [PATCH_SIZE / n for n in ct.shape]
    # Corner-aligned, as published; "nearest" keeps the last plane from falling off by rounding.
    return np.stack([ndimage.zoom(ct, zoom, order=1, mode="nearest", grid_mode=False), _nearest(fat)])


def _nearest(mask: np.ndarray) -> np.ndarray:
    zoom = [PATCH_SIZE / n for n in mask.shape]
    small = ndimage.zoom(mask.astype(np.uint8), zoom, order=0, mode="nearest", grid_mode=False)
    return small.astype(np.float32)


def _label(brown: np.ndarray, fat: np.ndarray) -> int:
    inside = fat > 0
    total = int(inside.sum())
    fraction = float((brown[inside] > 0).sum() / total) if total else 0.0
    if fraction == 0:
        return NEGATIVE
    return POSITIVE if fraction >= POSITIVE_FRACTION else IGNORED

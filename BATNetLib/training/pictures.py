"""Pictures of example predictions. The patient's right is on the left, anterior is up.

Colours are told apart without colour vision (Okabe and Ito).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..analysis import colours
from ..analysis.pictures import WINDOW, png, write
from ..brown.patches import IGNORED, PATCH_SIZE, POSITIVE

if TYPE_CHECKING:
    from PIL import Image

#: Voxels in both masks, only in the true one (missed), only in the predicted one (invented).
BOTH, MISSED, INVENTED = (86, 180, 233), (240, 228, 66), (213, 94, 0)
_ALPHA = {"both": 0.45, "other": 0.85}
#: Longest edge of one section in pixels, and space around the fat in mm.
_EDGE, _MARGIN_MM = 380, 12.0
#: Pixels between the two sections.
_BETWEEN = 4
#: Edge of a patch in the picture of stage 2, the space around it, and pixels between the sides.
_CELL, _FRAME, _GAP = 76, 5, 14
_MARKS = {POSITIVE: "+", IGNORED: "?"}


def mask_picture(
    hu: np.ndarray,
    truth: np.ndarray,
    found: np.ndarray,
    spacing: tuple[float, ...],
    part: tuple[slice, slice],
) -> bytes:
    """PNG of a slice, plain above and with both masks below, in true proportions.

    ``hu``, ``truth``, ``found``: [row, column]; ``spacing``: mm along rows and columns; ``part``: rows and
    columns that are shown.
    """
    from PIL import Image

    hu, truth, found = hu[part], truth[part], found[part]
    low, high = WINDOW
    grey = ((np.clip(hu.astype(np.float32), low, high) - low) / (high - low) * 255).astype(np.uint8)
    height, width = hu.shape[0] * spacing[0], hu.shape[1] * spacing[1]
    scale = _EDGE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))

    def sized(rgb: np.ndarray) -> Image.Image:
        return Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)

    plain = np.repeat(grey[..., None], 3, axis=2)
    laid = plain.astype(np.float32)
    for mask, colour, alpha in (
        (truth & found, BOTH, _ALPHA["both"]),
        (truth & ~found, MISSED, _ALPHA["other"]),
        (found & ~truth, INVENTED, _ALPHA["other"]),
    ):
        laid[mask] = laid[mask] * (1 - alpha) + np.array(colour, np.float32) * alpha
    image = Image.new("RGB", (size[0], 2 * size[1] + _BETWEEN), (255, 255, 255))
    image.paste(sized(plain), (0, 0))
    image.paste(sized(laid.astype(np.uint8)), (0, size[1] + _BETWEEN))
    write(image, "R", (6, size[1] // 2), anchor="lm")
    write(image, "L", (size[0] - 6, size[1] // 2), anchor="rm")
    return png(image)


def patch_picture(
    ct: np.ndarray, fat: np.ndarray, probabilities: np.ndarray, labels: np.ndarray | None
) -> bytes:
    """PNG of the 32 patches as they lie, each framed in the colour of its probability.

    ``ct``: [32, 32, 32, 32] in [-0.5, 0.5]; ``fat``: bool of its shape; ``probabilities``: [32]; ``labels``:
    [32] of -1, 0, 1 or None; all in the authors' order. "+" marks a positive label, "?" one that is ignored.
    Rows: upper anterior, upper posterior, lower anterior, lower posterior.
    """
    from PIL import Image, ImageDraw

    outer = _CELL + 2 * _FRAME
    image = Image.new("RGB", (8 * outer + _GAP, 4 * outer), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for index in range(32):
        row, column = divmod(index % 16, 4)
        x = column * outer if index < 16 else (7 - column) * outer + _GAP
        y = row * outer
        frame = tuple(int(v) for v in colours.colour(colours.PROBABILITY, float(probabilities[index])))
        draw.rectangle((x, y, x + outer - 1, y + outer - 1), fill=frame)
        # The slice with most fat says most.
        middle = int(fat[index].sum(axis=(1, 2)).argmax()) if fat[index].any() else PATCH_SIZE // 2
        grey = np.clip((ct[index, middle].astype(np.float32) + 0.5) * 255, 0, 255).astype(np.uint8)
        cell = Image.fromarray(grey).resize((_CELL, _CELL), Image.Resampling.BICUBIC).convert("RGB")
        image.paste(cell, (x + _FRAME, y + _FRAME))
        words = f"{100 * float(probabilities[index]):.0f}"
        write(image, words, (x + _FRAME + 4, y + outer - _FRAME - 3), 15, anchor="ls")
        mark = None if labels is None else _MARKS.get(int(labels[index]))
        if mark is not None:
            write(image, mark, (x + outer - _FRAME - 5, y + _FRAME + 2), 18, anchor="ra")
    return png(image)


def around(mask: np.ndarray, spacing: tuple[float, ...]) -> tuple[slice, slice]:
    """Rows and columns of ``mask`` with a margin; everything where it is empty."""
    ends = []
    for axis, mm in zip((1, 0), spacing, strict=False):
        hit = np.flatnonzero(mask.any(axis=axis))
        length = mask.shape[1 - axis]
        if not len(hit):
            return slice(0, mask.shape[0]), slice(0, mask.shape[1])
        margin = int(np.ceil(_MARGIN_MM / mm))
        ends.append(slice(max(0, int(hit[0]) - margin), min(length, int(hit[-1]) + margin + 1)))
    return ends[0], ends[1]

"""Pictures of an analysis: sections of the CT with mask, patch map and attention, true to millimetres.

Radiological convention: the patient's right is on the image's left, anterior or superior is up; the
canonical axes lie like that already. Drawn with numpy and Pillow, which Slicer ships.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..brown.patches import PAIR_BLOCKS, Box
from . import colours
from .maps import map_plane
from .result import Analysis

if TYPE_CHECKING:
    from PIL import Image

#: Window of the pictures in HU: fat and muscle apart, lung black, bone white.
WINDOW = (-250.0, 250.0)
#: Space left around the fat, mm.
MARGIN_MM = 15.0
#: What a coronal picture still shows below the cut, mm.
BELOW_CUT_MM = 60.0


@dataclass(frozen=True)
class Section:
    """One plane through the canonical volume, cropped.

    ``plane``: "axial" (rows down, columns across) or "coronal" (slices down, columns across). ``index``:
    slice or row. ``down``, ``across``: voxel ranges that are shown, inclusive start and exclusive end.
    """

    plane: str
    index: int
    down: tuple[int, int]
    across: tuple[int, int]

    def of(self, array: np.ndarray) -> np.ndarray:
        """The 2D part of ``array`` [slice, row, column] that this section shows."""
        down, across = slice(*self.down), slice(*self.across)
        return array[self.index, down, across] if self.plane == "axial" else array[down, self.index, across]

    def plane_of(self, values: np.ndarray, analysis: Analysis) -> np.ndarray:
        """The part of a map of the patches ([32] or [32, n, n, n]) that this section shows; NaN outside."""
        through = self.axes()[0]
        plane = map_plane(values, analysis.boxes, analysis.ct.grid.shape, through, self.index)
        return plane[slice(*self.down), slice(*self.across)]

    def axes(self) -> tuple[int, int, int]:
        """Array axes (through the plane, down, across)."""
        return (0, 1, 2) if self.plane == "axial" else (1, 0, 2)


def strongest_pair(analysis: Analysis) -> int:
    """Index 0..15 of the pair that holds the patch of the highest probability."""
    pairs = len(PAIR_BLOCKS)
    return int(analysis.patch_probabilities.reshape(2, pairs).max(axis=0).argmax())


def sections(analysis: Analysis) -> tuple[Section, Section]:
    """An axial and a coronal section: through the most fat of the strongest pair, else of the volume."""
    fat = analysis.adipose.array if analysis.adipose is not None else None
    within: tuple[Box, ...] = ()
    if analysis.patches:
        pair = strongest_pair(analysis)
        within = (analysis.boxes[pair], analysis.boxes[pair + len(PAIR_BLOCKS)])
    shown = [_shown(analysis, axis) for axis in range(3)]
    axial, coronal = (_fullest(analysis.ct.array.shape, fat, within, axis) for axis in (0, 1))
    return Section("axial", axial, shown[1], shown[2]), Section("coronal", coronal, shown[0], shown[2])


def _fullest(shape: tuple[int, ...], fat: np.ndarray | None, boxes: tuple[Box, ...], axis: int) -> int:
    """Index along ``axis`` of the plane that holds most fat inside ``boxes`` (everywhere without boxes)."""
    others = tuple(a for a in range(3) if a != axis)
    if fat is None or not fat.any():
        return int(shape[axis] // 2)
    if not boxes:
        return int(np.count_nonzero(fat, axis=others).argmax())
    counts = sum(np.count_nonzero(fat[box.slices], axis=others) for box in boxes)
    return int(boxes[0].start[axis] + np.argmax(counts))


def _shown(analysis: Analysis, axis: int) -> tuple[int, int]:
    """Voxel range along ``axis`` that holds fat or, without fat, body, and a margin."""
    length, step = analysis.ct.array.shape[axis], analysis.ct.spacing[axis]
    others = tuple(a for a in range(3) if a != axis)
    mask = analysis.adipose.array if analysis.adipose is not None else None
    if mask is None or not mask.any():
        mask = analysis.ct.array[:: max(1, analysis.ct.array.shape[0] // 64)] > -300 if axis else None
    if axis == 0:
        cut = analysis.lungs.cut if analysis.lungs else length
        return 0, min(length, cut + int(BELOW_CUT_MM / step))
    hit = np.flatnonzero(mask.any(axis=others)) if mask is not None else np.array([], int)
    if not len(hit):
        return 0, length
    margin = int(np.ceil(MARGIN_MM / step))
    return max(0, int(hit[0]) - margin), min(length, int(hit[-1]) + margin + 1)


# --- drawing


class Panel:
    """A section as a picture of at most ``width`` x ``height`` pixels with square millimetres."""

    def __init__(self, analysis: Analysis, section: Section, width: int, height: int) -> None:
        from PIL import Image

        self.analysis, self.section = analysis, section
        _, down, across = section.axes()
        spacing = analysis.ct.spacing
        rows, columns = section.down[1] - section.down[0], section.across[1] - section.across[0]
        scale = min(width / (columns * spacing[across]), height / (rows * spacing[down]))
        self.size = (
            max(1, round(columns * spacing[across] * scale)),
            max(1, round(rows * spacing[down] * scale)),
        )
        low, high = WINDOW
        hu = np.clip(section.of(analysis.ct.array).astype(np.float32), low, high)
        grey = ((hu - low) / (high - low) * 255).astype(np.uint8)
        self.image = Image.fromarray(grey).resize(self.size, Image.Resampling.BICUBIC).convert("RGB")

    def lay(self, rgb: np.ndarray, alpha: np.ndarray) -> None:
        """Colours [rows, columns, 3] with opacity 0..1 [rows, columns]; voxels stay sharp."""
        from PIL import Image

        layer = np.dstack([np.broadcast_to(rgb, (*alpha.shape, 3)), (alpha * 255)]).astype(np.uint8)
        over = Image.fromarray(layer).resize(self.size, Image.Resampling.NEAREST)
        self.image.paste(over.convert("RGB"), mask=over.getchannel("A"))

    def frame(self, box: Box, colour: tuple[int, int, int], width: int) -> None:
        """The outline of a box where the section cuts it."""
        from PIL import ImageDraw

        through, down, across = self.section.axes()
        if not box.start[through] <= self.section.index < box.end[through]:
            return
        left, right = self._x(box.start[across]), self._x(box.end[across])
        top, bottom = self._y(box.start[down]), self._y(box.end[down])
        ImageDraw.Draw(self.image).rectangle([left, top, right, bottom], outline=colour, width=width)

    def cut_line(self) -> None:
        """A dashed line where the lung cut lies, on coronal sections."""
        from PIL import ImageDraw

        lungs = self.analysis.lungs
        if lungs is None or self.section.plane != "coronal" or not lungs.cut < self.section.down[1]:
            return
        y, draw = self._y(lungs.cut), ImageDraw.Draw(self.image)
        for x in range(0, self.size[0], 12):
            draw.line([x, y, x + 6, y], fill=colours.FRAME, width=1)
        self.text("cut", (self.size[0] // 2, y + 3), size=max(13, self.size[0] // 38), anchor="ma")

    def sides(self) -> None:
        """R and L as a radiologist reads them."""
        middle = self.size[1] // 2
        size = max(14, self.size[0] // 28)
        self.text("R", (6, middle), size, anchor="lm")
        self.text("L", (self.size[0] - 6, middle), size, anchor="rm")

    def text(self, words: str, at: tuple[int, int], size: int = 13, anchor: str = "la") -> None:
        write(self.image, words, at, size, anchor=anchor)

    def _x(self, column: int) -> int:
        first, end = self.section.across
        return round((column - first) / (end - first) * self.size[0])

    def _y(self, row: int) -> int:
        first, end = self.section.down
        return round((row - first) / (end - first) * self.size[1])


def write(
    image: Image.Image,
    words: str,
    at: tuple[int, int],
    size: int = 13,
    *,
    anchor: str = "la",
    fill: tuple[int, int, int] = (255, 255, 255),
) -> None:
    """Write on a picture with a dark edge, readable on any ground."""
    from PIL import ImageDraw

    ImageDraw.Draw(image).text(
        at, words, font=font(size), anchor=anchor, fill=fill, stroke_width=2, stroke_fill=(0, 0, 0)
    )


def font(size: int) -> Any:
    """The font that comes with Pillow, so that pictures look the same everywhere."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def mask_panel(analysis: Analysis, section: Section, width: int = 620, height: int = 560) -> Image.Image:
    """The CT with the adipose mask."""
    panel = Panel(analysis, section, width, height)
    if analysis.adipose is not None:
        fat = section.of(analysis.adipose.array) > 0
        panel.lay(np.array(colours.MASK), fat * 0.5)
    panel.cut_line()
    panel.sides()
    return panel.image


def patch_panel(analysis: Analysis, section: Section, width: int = 620, height: int = 560) -> Image.Image:
    """The fat in the colour of its patch's probability; patches outlined, the strongest pair in white."""
    panel = Panel(analysis, section, width, height)
    values = section.plane_of(analysis.patch_probabilities, analysis)
    where = np.isfinite(values)
    values = np.where(where, values, 0)
    fat = section.of(analysis.adipose.array) > 0 if analysis.adipose is not None else where
    panel.lay(colours.colour(colours.PROBABILITY, values), 0.85 * (fat & where))
    strongest = strongest_pair(analysis)
    for patch in analysis.patches:
        if patch.place.index % len(PAIR_BLOCKS) != strongest:
            panel.frame(patch.box, colours.FAINT_FRAME, 1)
    for index in (strongest, strongest + len(PAIR_BLOCKS)):
        panel.frame(analysis.boxes[index], colours.FRAME, 2)
    panel.cut_line()
    panel.sides()
    return panel.image


def attention_panel(analysis: Analysis, section: Section, width: int = 620, height: int = 560) -> Image.Image:
    """What the network looked at, in the cells that it really has."""
    assert analysis.attention is not None
    panel = Panel(analysis, section, width, height)
    values = np.nan_to_num(section.plane_of(analysis.attention.values, analysis))
    panel.lay(colours.colour(colours.ATTENTION, values), 0.75 * np.sqrt(values))
    for patch in analysis.patches:
        panel.frame(patch.box, colours.FAINT_FRAME, 1)
    panel.cut_line()
    panel.sides()
    return panel.image


def draw_pictures(analysis: Analysis) -> dict[str, bytes]:
    """PNG files of the report by name, such as ``axial-patches``; those that can be drawn."""
    pictures: dict[str, bytes] = {}
    for section in sections(analysis):
        pictures[f"{section.plane}-mask"] = png(mask_panel(analysis, section))
        if analysis.patches:
            pictures[f"{section.plane}-patches"] = png(patch_panel(analysis, section))
        if analysis.attention is not None and analysis.patches:
            pictures[f"{section.plane}-attention"] = png(attention_panel(analysis, section))
    return pictures


def png(image: Image.Image) -> bytes:
    """A picture as PNG, without any facts besides its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()

"""The preview: one small picture of a result, for contact sheets and file browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import RESEARCH_USE_ONLY
from . import colours
from .passport import HU_THRESHOLD
from .pictures import font, mask_panel, patch_panel, sections, write
from .result import Analysis

if TYPE_CHECKING:
    from PIL import Image

WIDTH, PANEL_HEIGHT, GAP = 960, 380, 12
GROUND = (24, 26, 30)
GREY, AMBER = (200, 204, 210), (255, 200, 90)


def draw_preview(analysis: Analysis) -> Image.Image:
    """Axial and coronal section with the patch map (else the mask), and the outcome in words."""
    from PIL import Image

    axial, coronal = sections(analysis)
    draw = patch_panel if analysis.patches else mask_panel
    width = (WIDTH - 3 * GAP) // 2
    panels = [draw(analysis, section, width, PANEL_HEIGHT) for section in (axial, coronal)]
    height = max(panel.height for panel in panels)
    lines = _lines(analysis)
    footer = 58 + sum(size + 8 for _, size, _ in lines)
    picture = Image.new("RGB", (WIDTH, height + 2 * GAP + footer), GROUND)
    for number, panel in enumerate(panels):
        left = GAP + number * (width + GAP) + (width - panel.width) // 2
        picture.paste(panel, (left, GAP + (height - panel.height) // 2))
    y = height + 2 * GAP
    for words, size, fill in lines:
        write(picture, words, (GAP, y), size, fill=fill)
        y += size + 8
    if analysis.patches:
        _legend(picture, y + 4)
        return picture
    return picture.crop((0, 0, WIDTH, y + GAP))


def _lines(analysis: Analysis) -> list[tuple[str, int, tuple[int, int, int]]]:
    """Words, size and colour of each line below the panels, wrapped to the width."""
    lines: list[tuple[str, int, tuple[int, int, int]]] = []
    if analysis.probability is not None:
        lines.append((f"Brown-fat probability {analysis.probability:.3f}", 26, (255, 255, 255)))
    else:
        lines.append(("Not assessable", 26, AMBER))
        for reason in analysis.reasons[:2]:
            lines += [(part, 15, GREY) for part in wrapped(reason.text, 15, WIDTH - 2 * GAP)]
    if analysis.demonstration:
        lines.append(("Demonstration model, trained on phantoms", 16, AMBER))
    if analysis.adipose is not None and analysis.method == "hu-threshold":
        lines.append((HU_THRESHOLD, 15, GREY))
    return [*lines, (RESEARCH_USE_ONLY, 15, GREY)]


def wrapped(words: str, size: int, width: int) -> list[str]:
    """``words`` in lines of at most ``width`` pixels."""
    used, lines = font(size), [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and used.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _legend(picture: Image.Image, y: int) -> None:
    """The colour scale of the patch probabilities, in percent."""
    from PIL import Image

    left, width, height = GAP, 320, 14
    ramp = Image.fromarray(colours.PROBABILITY[None]).resize((width, height), Image.Resampling.BILINEAR)
    picture.paste(ramp, (left, y))
    for percent in (0, 25, 50, 75, 100):
        x = left + round(width * percent / 100)
        anchor = {0: "la", 100: "ra"}.get(percent, "ma")
        write(picture, f"{percent} %", (x, y + height + 3), 13, anchor=anchor, fill=GREY)
    write(picture, "probability of the patch that the fat lies in", (left + width + 14, y), 13, fill=GREY)
    words = "R, L: the patient's right and left"
    write(picture, words, (left + width + 14, y + height + 3), 13, fill=GREY)

"""The report: one self-contained page that a clinician can read, and print on A4."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from ..brown.patches import PAIR_BLOCKS
from ..events import Events
from . import colours
from .pictures import draw_pictures, png, sections, strongest_pair
from .pipeline import predictive_values
from .places import place
from .preview import draw_preview
from .result import Analysis

REPORT, PREVIEW = "report.html", "preview.png"
#: Beside this module, not in a folder of its own: only then an installation carries it.
TEMPLATE = "report.html.j2"
#: Prevalences at which predictive values are shown, besides the user's own: the active brown fat of
#: clinical PET/CT is seen in about 5 to 7 % of patients, selected groups have more.
PREVALENCES = (0.05, 0.10, 0.25)
METHODS = {
    "network": "found by the network named below",
    "hu-threshold": "found by a HU threshold inside the body, not by the published network",
    "given": "given by the user",
}


def write_report(analysis: Analysis, facts: dict[str, Any], folder: Path, events: Events) -> None:
    """Write ``report.html`` and ``preview.png`` into ``folder``.

    ``facts``: the passport. Pillow draws the pictures and Jinja2 lays out the page; where one of them is
    missing the rest is written and a warning says how to get it.
    """
    pictures: dict[str, bytes] = {}
    if _installed("PIL"):
        pictures = draw_pictures(analysis)
        (folder / PREVIEW).write_bytes(png(draw_preview(analysis)))
    else:
        events.warning(
            "pillow-missing",
            "No pictures were drawn: Pillow is not installed. Install it (pip install Pillow Jinja2) and "
            "analyse the scan again.",
        )
    if not _installed("jinja2"):
        events.warning(
            "jinja2-missing",
            "No report.html was written: Jinja2 is not installed. Install it (pip install Pillow Jinja2) "
            "and analyse the scan again.",
        )
        return
    (folder / REPORT).write_text(render_report(analysis, facts, pictures), encoding="utf-8")


def render_report(analysis: Analysis, facts: dict[str, Any], pictures: dict[str, bytes]) -> str:
    """The page as HTML. ``pictures``: PNG files by name, as ``draw_pictures`` gives them."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = _percent
    environment.filters["number"] = _number
    environment.filters["points"] = _points
    environment.filters["ink"] = _ink
    return environment.get_template(TEMPLATE).render(
        facts=facts,
        pictures={name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()},
        groups=_groups(facts["patches"]),
        strongest=strongest_pair(analysis) if analysis.patches else None,
        planes=_planes(analysis),
        method=METHODS[analysis.method],
        predictive=_predictive(analysis),
        ramps={"probability": _stops(colours.PROBABILITY), "attention": _stops(colours.ATTENTION)},
        cell_mm=_cell_size(facts),
    )


def _groups(patches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The 16 pairs by level and depth, each with its right and left patch."""
    if not patches:
        return []
    half = len(PAIR_BLOCKS)
    groups: dict[str, list[dict[str, Any]]] = {}
    for index in range(half):
        where = place(index)
        right, left = patches[index], patches[index + half]
        groups.setdefault(f"{where.level} {where.depth}", []).append(
            {
                "index": index,
                "number": where.pair,
                "lateral": where.words.split(", ")[1],
                "right": right,
                "left": left,
                "difference": right["probability"] - left["probability"],
            }
        )
    return [{"name": name, "pairs": pairs} for name, pairs in groups.items()]


def _planes(analysis: Analysis) -> list[dict[str, Any]]:
    """What each section shows, in words."""
    axial, coronal = sections(analysis)
    grid = analysis.ct.grid
    slices, rows, columns = grid.shape
    middle = [(n - 1) / 2 for n in (slices, rows, columns)]
    z = grid.points(np.array([[axial.index, *middle[1:]]]))[0][2]
    y = grid.points(np.array([[middle[0], coronal.index, middle[2]]]))[0][1]
    words = {
        "axial": f"slice {axial.index + 1} of {slices} from the top, z = {z:.1f} mm",
        "coronal": f"row {coronal.index + 1} of {rows} from the front, y = {y:.1f} mm",
    }
    return [{"plane": plane, "title": plane.capitalize(), "where": where} for plane, where in words.items()]


def _cell_size(facts: dict[str, Any]) -> str:
    """The edges of an attention cell in mm, as a range along each axis where they differ."""
    if facts["attention"] is None:
        return ""
    sizes = facts["attention"]["resolution_mm"]
    ranges = [(round(low), round(high)) for low, high in zip(sizes["min"], sizes["max"], strict=True)]
    return " × ".join(str(low) if low == high else f"{low}–{high}" for low, high in ranges)


def _predictive(analysis: Analysis) -> list[dict[str, Any]]:
    if analysis.decision is None:
        return []
    point = analysis.decision["operating_point"]
    shares = set(PREVALENCES)
    if analysis.options.prevalence is not None:
        shares.add(analysis.options.prevalence)
    return [
        predictive_values(point["sensitivity"], point["specificity"], share)
        | {"own": share == analysis.options.prevalence}
        for share in sorted(shares)
    ]


def _stops(ramp: Any) -> list[tuple[float, str]]:
    """Stops of an SVG gradient: percent and colour."""
    return [(round(index / 255 * 100, 1), colours.css(ramp[index])) for index in range(0, 256, 17)]


def _percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _points(difference: float) -> str:
    """Difference of two probabilities in percentage points, with its sign; 0 has none."""
    whole = round(100 * difference)
    return f"{whole:+d}".replace("-", "−") if whole else "0"


def _ink(value: float) -> str:
    """Colour of a probability, for bars."""
    return colours.css(colours.colour(colours.PROBABILITY, value))


def _installed(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True

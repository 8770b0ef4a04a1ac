"""The 32 patches as a table for spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from .passport import DEMONSTRATION, HU_THRESHOLD
from .places import box_facts
from .result import Analysis

COLUMNS = (
    "patch", "pair", "side", "place", "probability", "partner_probability", "difference_right_minus_left",
    "adipose_ml", "mean_hu", "suv_max", "suv_mean",
    "lps_min_x", "lps_min_y", "lps_min_z", "lps_max_x", "lps_max_y", "lps_max_z", "model", "note",
)  # fmt: skip


def table_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """One row per patch, the two of a pair one after the other, right before left."""
    brown = analysis.models.get("brown") or {"name": ""}
    note = " ".join(
        [
            RESEARCH_USE_ONLY,
            *([DEMONSTRATION] if analysis.demonstration else []),
            *([HU_THRESHOLD] if analysis.method == "hu-threshold" else []),
        ]
    )
    ordered = sorted(analysis.patches, key=lambda patch: (patch.place.pair, patch.place.side != "right"))
    rows = []
    for patch in ordered:
        partner = analysis.patches[patch.place.partner].probability
        sign = 1 if patch.place.side == "right" else -1
        box = box_facts(patch.box, analysis.ct)["lps_mm"]
        rows.append(
            {
                "patch": patch.place.index,
                "pair": patch.place.pair,
                "side": patch.place.side,
                "place": patch.place.words,
                "probability": f"{patch.probability:.6f}",
                "partner_probability": f"{partner:.6f}",
                "difference_right_minus_left": f"{sign * (patch.probability - partner):.6f}",
                "adipose_ml": "" if patch.adipose_ml is None else f"{patch.adipose_ml:.3f}",
                "mean_hu": "" if patch.mean_hu is None else f"{patch.mean_hu:.1f}",
                "suv_max": f"{patch.pet['suv_max']:.3f}" if patch.pet else "",
                "suv_mean": f"{patch.pet['suv_mean']:.3f}" if patch.pet else "",
                **{f"lps_min_{axis}": value for axis, value in zip("xyz", box["min"], strict=True)},
                **{f"lps_max_{axis}": value for axis, value in zip("xyz", box["max"], strict=True)},
                "model": brown["name"],
                "note": note,
            }
        )
    return rows


def write_table(analysis: Analysis, path: Path) -> None:
    """Write ``table_rows`` as UTF-8 CSV; only the head where no patch was assessed."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table_rows(analysis))

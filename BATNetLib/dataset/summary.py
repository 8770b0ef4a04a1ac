"""What is in a set of training data, as one page: counts, volumes, bins, spacing, a picture of each case."""

from __future__ import annotations

import base64
import json
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..errors import OutputRefused
from ..workfiles import whole_folder
from .checking import CheckReport
from .findings import BLOCK, CaseFacts
from .strata import all_bins, bins_of

TEMPLATE = "summary.html.j2"
PAGE, FACTS = "summary.html", "summary.json"


def summarise(report: CheckReport) -> dict[str, Any]:
    """Counts, ranges and bins as plain JSON values, without places and pictures."""
    facts = report.facts
    usable = [fact for fact in facts if fact.usable]
    bins = bins_of(usable)
    counted = Counter(name for case in bins for name in case)
    return {
        "statement": RESEARCH_USE_ONLY,
        "software": __version__,
        "dataset": report.dataset.digest(),
        "cases": len(facts),
        "usable": len(usable),
        "patients": len(report.dataset.patients()),
        "centres": dict(Counter(fact.case.centre or "unknown" for fact in facts)),
        "splits": dict(Counter(fact.case.split or "none" for fact in facts)),
        "layouts": dict(Counter(fact.case.layout for fact in facts)),
        "findings": report.counts(),
        "fat": {u: _range([f.fat for f in usable if f.unit == u]) for u in _units(usable)},
        "brown": {u: _range([f.brown for f in usable if f.unit == u and f.brown]) for u in _units(usable)},
        "without_brown": sum(f.brown == 0 for f in usable),
        "brown_unknown": sum(f.brown is None for f in usable),
        "slice_distance_mm": _range([f.spacing[0] for f in usable if f.spacing]),
        "pixel_mm": _range([f.spacing[1] for f in usable if f.spacing]),
        "slices": _range([float(f.shape[0]) for f in usable if f.shape]),
        "bins": {name: counted[name] for name in all_bins(bins)},
    }


def write_summary(
    report: CheckReport, out: str | os.PathLike[str], *, replace: bool = False
) -> dict[str, Any]:
    """Write ``summary.html`` (one file, pictures inside) and ``summary.json`` into ``out``; the summary.

    Raises ``OutputRefused`` where Jinja2 is missing or ``out`` cannot be written, ``UsageError`` where it
    exists.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise OutputRefused(
            "jinja2-missing",
            "The page cannot be written: Jinja2 is not installed.",
            "Jinja2 is needed for pages, Pillow for their pictures.",
            "Install them: pip install Pillow Jinja2. 'dataset check' needs neither.",
        ) from error
    report.dataset.require_apart(out)
    summary = summarise(report)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    text = environment.get_template(TEMPLATE).render(
        summary=summary,
        bars=_bars(summary["bins"]),
        cases=[_card(fact) for fact in report.facts],
        findings=[finding for finding in report.findings if finding.level == BLOCK],
    )
    with whole_folder(out, replace=replace) as folder:
        (folder / PAGE).write_text(text, encoding="utf-8")
        plain = {**summary, "facts": [fact.as_dict() for fact in report.facts]}
        (folder / FACTS).write_text(
            json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
    return summary


def _units(facts: Sequence[CaseFacts]) -> list[str]:
    return sorted({fact.unit for fact in facts})


def _range(values: Sequence[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {
        "n": len(known),
        "least": round(min(known), 3),
        "median": round(statistics.median(known), 3),
        "most": round(max(known), 3),
    }


def _bars(bins: dict[str, int]) -> list[dict[str, Any]]:
    most = max(bins.values(), default=1)
    return [{"name": n, "count": c, "percent": round(100 * c / most, 1)} for n, c in bins.items()]


def _card(fact: CaseFacts) -> dict[str, Any]:
    picture = base64.b64encode(fact.picture).decode() if fact.picture else None
    return {
        "name": fact.case.case,
        "patient": fact.case.patient,
        "centre": fact.case.centre or "unknown",
        "split": fact.case.split or "none",
        "picture": picture,
        "shape": " x ".join(map(str, fact.shape)) if fact.shape else "not read",
        "spacing": " x ".join(f"{s:.3g}" for s in fact.spacing) + " mm" if fact.spacing else "not known",
        "fat": _amount(fact.fat, fact.unit),
        "brown": _amount(fact.brown, fact.unit),
        "problem": next((f.text for f in fact.findings if f.level == BLOCK), None),
    }


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "no mask"
    return f"{value:.1f} mL" if unit == "mL" else f"{value:.0f} {unit}"

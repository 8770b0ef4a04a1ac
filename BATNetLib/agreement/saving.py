"""The result folder of an agreement: CSV files, ``summary.json``, figures and ``report.html``."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..batch.words import safe_cell
from ..evaluation.intervals import Estimate
from ..evaluation.save import require_report
from ..workfiles import whole_folder
from .compare import MEASURES, Agreement
from .facts import GROUPS, Facts, facts_of, notes

TEMPLATE = "report.html.j2"
MASKS, SCORES, VOLUMES, REGIONS = "masks.csv", "scores.csv", "volumes.csv", "regions.csv"
LEFT_OUT, SUMMARY, REPORT = "left_out.csv", "summary.json", "report.html"
#: Regions and cases named in the report; all are in the tables.
_NAMED = 40

__all__ = ["require_report", "save"]


def save(
    result: Agreement,
    out: Path,
    *,
    warnings: list[dict[str, str]],
    replace: bool = False,
    report: bool = True,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns the summary. ``report=False``: no figures, no page.

    Raises ``UsageError`` ("output-exists"), ``OutputRefused``, and what ``require_report`` refuses.
    """
    if report:
        require_report()
    facts = facts_of(result, warnings)
    with whole_folder(out, replace=replace) as folder:
        _tables(folder, facts)
        text = json.dumps(facts.summary, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
        if report:
            from .figures import figures_of

            figures = figures_of(facts)
            for name, data in figures.items():
                (folder / f"{name}.png").write_bytes(data)
            (folder / REPORT).write_text(page(facts, figures), encoding="utf-8")
    return facts.summary


def page(facts: Facts, figures: Mapping[str, bytes]) -> str:
    """The report as one HTML page with its figures inside."""
    import jinja2

    from ..evaluation.words import estimate_words, interval_words

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"estimate": estimate_words, "interval": interval_words}
    result = facts.result
    regions = sorted(
        ((case, region) for case in result.regions for region in case.regions),
        key=lambda entry: (-entry[1].ml, entry[0].case, entry[1].number),
    )
    lowest = sorted(
        (p for p in result.pairs if p.state == "both"), key=lambda p: (p.measures()["dice"] or 0.0, p.case)
    )
    kappas = {(r.first, r.second, r.group, r.weights): r for r in facts.kappas}
    return environment.get_template(TEMPLATE).render(
        facts=facts.summary,
        result=result,
        overlaps=facts.overlaps,
        together=facts.together,
        measures=MEASURES,
        kappas=kappas,
        groups=GROUPS,
        volumes=facts.volumes,
        regions=regions[:_NAMED],
        more_regions=max(0, len(regions) - _NAMED),
        lowest=lowest[:10],
        one_empty=[p for p in result.pairs if p.state in ("first-empty", "second-empty")][:_NAMED],
        left_out=result.left_out[:_NAMED],
        more_left_out=max(0, len(result.left_out) - _NAMED),
        notes=notes(result),
        pictures={name: base64.b64encode(data).decode("ascii") for name, data in figures.items()},
    )


def _tables(folder: Path, facts: Facts) -> None:
    result = facts.result
    _write(
        folder / MASKS,
        ("case_id", "patient", "first", "second", "state", "dice", "surface_dice", "hd95_mm",
         "first_ml", "second_ml", "difference_ml", "problem"),
        (_mask_row(result, pair) for pair in result.pairs),
    )  # fmt: skip
    _write(
        folder / SCORES,
        ("first", "second", "group", "weights", "kappa", "low", "high", "interval", "n", "exact",
         *(f"first_{s}" for s in range(3)), *(f"second_{s}" for s in range(3)), "note"),
        (_score_row(row) for row in facts.kappas),
    )  # fmt: skip
    _write(
        folder / VOLUMES,
        ("readers", "measure", "value", "low", "high", "interval", "n", "note"),
        (
            {"readers": " / ".join(row.readers), "measure": row.measure, **_numbers(row.estimate, "value")}
            for row in facts.volumes
        ),
    )
    _write(
        folder / REGIONS,
        ("case_id", "region", "side", "ml", "voxels", "has", "lacks",
         *(f"{kind}_{axis}" for kind in ("centroid", "inside") for axis in "xyz")),
        (_region_row(case.case, region) for case in result.regions for region in case.regions),
    )  # fmt: skip
    _write(
        folder / LEFT_OUT,
        ("case_id", "reader", "reason"),
        ({"case_id": e.case, "reader": e.reader, "reason": e.words} for e in result.left_out),
    )


def _mask_row(result: Agreement, pair: Any) -> dict[str, Any]:
    first, second = (result.volumes[pair.case][name] for name in (pair.first, pair.second))
    return {
        "case_id": pair.case,
        "patient": pair.patient,
        "first": pair.first,
        "second": pair.second,
        "state": pair.state,
        **{name: _number(value) for name, value in pair.measures().items()},
        "first_ml": _number(first),
        "second_ml": _number(second),
        "difference_ml": _number(first - second),
        "problem": pair.problem,
    }


def _score_row(row: Any) -> dict[str, Any]:
    shares = row.prevalence or ([None] * 3, [None] * 3)
    return {
        "first": row.first or "all",
        "second": row.second or "all",
        "group": row.group,
        "weights": row.weights,
        **_numbers(row.estimate, "kappa"),
        "exact": _number(row.exact),
        **{f"first_{s}": _number(share) for s, share in enumerate(shares[0])},
        **{f"second_{s}": _number(share) for s, share in enumerate(shares[1])},
    }


def _region_row(case: str, region: Any) -> dict[str, Any]:
    places = {
        f"{kind}_{axis}": f"{value:.2f}"
        for kind, point in (("centroid", region.centroid), ("inside", region.inside))
        for axis, value in zip("xyz", point, strict=True)
    }
    return {
        "case_id": case,
        "region": region.number,
        "side": region.side or "",
        "ml": _number(region.ml),
        "voxels": region.voxels,
        "has": "; ".join(region.has),
        "lacks": "; ".join(region.lacks),
        **places,
    }


def _numbers(estimate: Estimate, name: str) -> dict[str, Any]:
    return {
        name: _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "interval": estimate.method if estimate.low is not None else "",
        "n": estimate.n,
        "note": estimate.note,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


#: Columns that hold people's words; a spreadsheet must not take them for formulas.
_TEXT = {
    "case_id",
    "patient",
    "first",
    "second",
    "readers",
    "reader",
    "reason",
    "has",
    "lacks",
    "problem",
    "note",
}


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: safe_cell(v) if k in _TEXT and isinstance(v, str) else v for k, v in row.items()}
            )

"""The result folder of an evaluation: ``metrics.csv``, ``summary.json``, figures and ``report.html``."""

from __future__ import annotations

import base64
import csv
import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..analysis.passport import DEMONSTRATION, SOFTWARE
from ..batch.words import safe_cell
from ..workfiles import whole_folder
from .adipose import MEASURES, MaskEvaluation
from .baseline import missing_package
from .brown import ScoreEvaluation
from .intervals import Estimate
from .overlap import BOTH, EMPTY_BOTH, EMPTY_PREDICTION, EMPTY_TRUTH, HD95_DEFINITION, NSD_DEFINITION
from .words import MEANINGS, TITLES, estimate_words, interval_words, mask_notes, p_words, score_notes

METRICS, SUMMARY, REPORT = "metrics.csv", "summary.json", "report.html"
TEMPLATE = "report.html.j2"
MASK_COLUMNS = (
    "case_id", "patient", "state", "dice", "nsd", "hd95_mm", "truth_ml", "predicted_ml", "error_ml",
    "absolute_error_ml", "error_percent", "slice_first", "slice_end",
)  # fmt: skip
SCORE_COLUMNS = ("metric", "value", "low", "high", "interval", "n", "note")


def require_report() -> None:
    """Refuse in words where a package of the report is missing; before anything is computed."""
    from .plots import require_matplotlib

    require_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise missing_package("Jinja2", "The report") from error


def save_masks(
    result: MaskEvaluation,
    out: Path,
    *,
    warnings: list[dict[str, str]],
    replace: bool = False,
    report: bool = True,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns the summary. ``report=False``: numbers only."""
    measured = result.summary() | {"dice_with_misses": result.dice_with_misses()}
    summary = mask_summary(result, measured, warnings)
    with whole_folder(out, replace=replace) as folder:
        rows = [_mask_row(case) for case in result.cases]
        _write_csv(folder / METRICS, MASK_COLUMNS, rows)
        _write_json(folder / SUMMARY, summary)
        if report:
            from .plots import mask_figures

            table = [(title, unit, *measured[name]) for name, title, unit in MEASURES]
            table.insert(1, ("Dice, a missed or invented mask counts 0", "", *measured["dice_with_misses"]))
            empties = [c for c in result.cases if c.overlap.state not in (BOTH, EMPTY_BOTH)]
            worst = sorted(result.of_state(BOTH), key=lambda c: c.overlap.dice or 0.0)[:10]
            _write_report(
                folder,
                mask_figures(result),
                kind="adipose",
                title="Adipose masks against true masks",
                facts=summary,
                table=table,
                empties=empties,
                worst=worst,
                notes=mask_notes(result),
            )
    return summary


def save_scores(
    result: ScoreEvaluation,
    out: Path,
    *,
    warnings: list[dict[str, str]],
    replace: bool = False,
    report: bool = True,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns the summary. ``report=False``: numbers only."""
    summary = score_summary(result, warnings)
    estimates = score_estimates(result)
    with whole_folder(out, replace=replace) as folder:
        _write_csv(folder / METRICS, SCORE_COLUMNS, [_score_row(n, e) for n, e in estimates.items()])
        _write_json(folder / SUMMARY, summary)
        if report:
            from .plots import score_figures

            _write_report(
                folder,
                score_figures(result),
                kind="brown",
                title="Brown-fat probability against labels",
                facts=summary,
                table=[(TITLES.get(n, n), e, MEANINGS.get(n, "")) for n, e in estimates.items()],
                result=result,
                notes=score_notes(result),
            )
    return summary


def mask_summary(
    result: MaskEvaluation, measured: dict[str, tuple[Estimate, Estimate]], warnings: list[dict[str, str]]
) -> dict[str, Any]:
    """Everything as plain JSON values; ``measured``: mean and median by name."""
    return _head("adipose", result.demonstration, warnings) | {
        "options": asdict(result.options),
        "cases": len(result.cases),
        "patients": len({case.patient for case in result.cases}),
        "patients_given": result.patients_given,
        "states": result.counts(),
        "missing": result.missing,
        "not_whole_scan": sum(case.slices is not None for case in result.cases),
        "models": result.models,
        "definitions": {"hd95": HD95_DEFINITION, "nsd": NSD_DEFINITION},
        "summary": {n: {"mean": asdict(a), "median": asdict(b)} for n, (a, b) in measured.items()},
        "agreement": result.agreement(),
        "apart": {
            state: [c.case_id for c in result.of_state(state)]
            for state in (EMPTY_TRUTH, EMPTY_PREDICTION, EMPTY_BOTH)
        },
    }


def score_summary(result: ScoreEvaluation, warnings: list[dict[str, str]]) -> dict[str, Any]:
    """Everything as plain JSON values."""
    false, true = result.roc()
    benefit = result.benefit
    facts = _head("brown", result.demonstration, warnings) | {
        "options": asdict(result.options),
        "cases": len(result.scores.ids),
        "positive": int(result.scores.labels.sum()),
        "patients": result.patient_count,
        "patients_given": result.patients_given,
        "not_assessable": result.not_assessable,
        "missing": result.missing,
        "models": result.models,
        "metrics": {name: asdict(estimate) for name, estimate in score_estimates(result).items()},
        "confusion": result.confusion,
        "bins": [asdict(b) for b in result.bins],
        "roc": {"false_positive_rate": false.tolist(), "true_positive_rate": true.tolist()},
        "decision_curve": {
            "threshold": benefit.thresholds.tolist(),
            "model": benefit.model.tolist(),
            "everybody": benefit.treat_all.tolist(),
        },
        "comparison": None,
        "baseline": None,
    }
    if result.comparison is not None:
        facts["comparison"] = {"with": result.second_name} | asdict(result.comparison)
    if result.baseline is not None and result.baseline_comparison is not None:
        facts["baseline"] = {
            "columns": list(result.baseline.columns),
            "folds": result.baseline.folds,
        } | asdict(result.baseline_comparison)
    return facts


def score_estimates(result: ScoreEvaluation) -> dict[str, Estimate]:
    """All estimates by name, those of a second model and of the baseline too."""
    found = dict(result.metrics)
    if result.second_auc is not None and result.comparison is not None:
        found["second_auc"] = result.second_auc
        found["auc_difference_to_second"] = result.comparison.difference
        found["auc_difference_to_second_bootstrap"] = result.comparison.by_patients
    if result.baseline_auc is not None and result.baseline_comparison is not None:
        found["baseline_auc"] = result.baseline_auc
        found["auc_difference_to_baseline"] = result.baseline_comparison.difference
        found["auc_difference_to_baseline_bootstrap"] = result.baseline_comparison.by_patients
    return found


def _head(kind: str, demonstration: bool, warnings: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "statement": RESEARCH_USE_ONLY,
        "demonstration": DEMONSTRATION if demonstration else None,
        "software": {"name": SOFTWARE, "version": __version__},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "evaluation": kind,
        "warnings": warnings,
    }


def _mask_row(case: Any) -> dict[str, Any]:
    values = case.measures() | {"truth_ml": case.overlap.truth_ml, "predicted_ml": case.overlap.predicted_ml}
    first, end = case.slices if case.slices is not None else ("", "")
    return {
        "case_id": case.case_id,
        "patient": case.patient,
        "state": case.overlap.state,
        **{name: "" if value is None else f"{value:.6g}" for name, value in values.items()},
        "slice_first": first,
        "slice_end": end,
    }


def _score_row(name: str, estimate: Estimate) -> dict[str, Any]:
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {
        "metric": name,
        **{key: "" if value is None else f"{value:.6g}" for key, value in numbers.items()},
        "interval": estimate.method,
        "n": estimate.n,
        "note": estimate.note,
    }


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        # Ids of cases are the user's words; numbers may begin with a minus.
        text = ("case_id", "patient", "note")
        writer.writerows([{k: safe_cell(v) if k in text else v for k, v in row.items()} for row in rows])


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _write_report(folder: Path, figures: dict[str, bytes], **context: Any) -> None:
    import jinja2

    for name, data in figures.items():
        (folder / f"{name}.png").write_bytes(data)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "estimate": estimate_words,
        "interval": interval_words,
        "p": p_words,
        "dict_estimate": lambda facts, digits: estimate_words(Estimate(**facts), digits),
        "dict_interval": lambda facts, digits: interval_words(Estimate(**facts), digits),
    }
    pictures = {name: base64.b64encode(data).decode("ascii") for name, data in figures.items()}
    page = environment.get_template(TEMPLATE).render(pictures=pictures, **context)
    (folder / REPORT).write_text(page, encoding="utf-8")

"""``batnet evaluate``: how good saved masks or brown-fat probabilities are. Runs no network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, UsageError
from ..events import Events
from ..workfiles import require_new

EXAMPLES = """examples:
  batnet evaluate adipose --truth masks --predicted study --out evaluation
      masks named by their case against the result folder of a batch
  batnet evaluate brown --table predictions.csv --threshold 0.5 --out evaluation
      a CSV with case_id, prediction, label and, if wanted, patient
  batnet evaluate brown --table study --labels labels.csv --compare other-study --baseline clinic.csv --out e
      a batch against labels, another batch and age, sex, BMI
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``evaluate``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "evaluate",
        help="how good saved masks or probabilities are",
        description=f"Compares saved results with the truth; runs no network. {RESEARCH_USE_ONLY}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--out", type=Path, required=True, metavar="DIR", help="result folder")
    shared.add_argument("--replace", action="store_true", help="replace a former result in that folder")
    shared.add_argument(
        "--patients", type=Path, metavar="CSV", help="case_id and patient, where patients have several scans"
    )
    shared.add_argument("--key", type=Path, metavar="CSV", help="key of a batch under pseudonyms")
    shared.add_argument(
        "--allow-missing", action="store_true", help="go on without some predictions; they are named"
    )
    shared.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (2000)")
    shared.add_argument("--seed", type=int, default=20240917, help="of the bootstrap")
    shared.add_argument(
        "--numbers-only", action="store_true", help="no figures and no report: needs no matplotlib"
    )

    masks = kinds.add_parser(
        "adipose",
        parents=[common, shared],
        help="masks against masks: Dice, surface distance, HD95, volume",
        description="Dice, normalised surface distance, HD95 and volume error per case and over the cohort.",
        epilog="Example: batnet evaluate adipose --truth masks --predicted study --out evaluation",
    )
    source = "folder of masks, folder of cases, batch, or CSV with case_id and mask"
    masks.add_argument("--truth", type=Path, required=True, metavar="SOURCE", help=source)
    masks.add_argument("--predicted", type=Path, required=True, metavar="SOURCE", help=source)
    masks.add_argument(
        "--tolerance", type=float, default=2.0, metavar="MM", help="of the surface distance (2 mm)"
    )
    masks.add_argument("--label", type=int, metavar="N", help="value of adipose tissue in label maps")
    masks.add_argument("--axes", choices=["zyx", "header"], help="axis order of masks whose header says none")
    masks.add_argument(
        "--whole-scan", action="store_true", help="also count slices that the run did not look at"
    )
    masks.set_defaults(run=run_adipose)

    scores = kinds.add_parser(
        "brown",
        parents=[common, shared],
        help="probabilities against labels: AUC, calibration, decision curve",
        description="AUC, calibration and decision curve, comparison of two models, baseline.",
        epilog="Example: batnet evaluate brown --table predictions.csv --threshold 0.5 --out evaluation",
    )
    scores.add_argument(
        "--table", type=Path, required=True, metavar="SOURCE", help="CSV with case_id, prediction; or a batch"
    )
    scores.add_argument(
        "--labels", type=Path, metavar="CSV", help="case_id and label, where the table has none"
    )
    scores.add_argument(
        "--threshold", type=float, metavar="P", help="fixed beforehand: gives sensitivity and specificity"
    )
    scores.add_argument(
        "--compare", metavar="SECOND", help="second model: a column of the table, a CSV or a batch"
    )
    scores.add_argument("--baseline", type=Path, metavar="CSV", help="case_id and any of age, sex, bmi")
    scores.add_argument("--bins", type=int, default=10, help="of the calibration curve (10)")
    scores.add_argument("--prediction-column", default="prediction", metavar="NAME")
    scores.add_argument("--label-column", default="label", metavar="NAME")
    scores.add_argument("--patient-column", default="patient", metavar="NAME")
    scores.set_defaults(run=run_brown)


def run_adipose(args: argparse.Namespace, events: Events) -> int:
    """Evaluate masks. Raises ``InputRefused``, ``UsageError``, ``OutputRefused``."""
    _prepare(args)
    from ..evaluation import MaskOptions, evaluate_adipose, save_masks

    options = MaskOptions(
        tolerance_mm=args.tolerance,
        label=args.label,
        axes=args.axes,
        whole_scan=args.whole_scan,
        allow_missing=args.allow_missing,
        resamples=args.resamples,
        seed=args.seed,
    )
    result = evaluate_adipose(
        args.truth, args.predicted, options, patients=args.patients, key=args.key, events=events
    )
    summary = save_masks(
        result, args.out, warnings=events.warnings, replace=args.replace, report=not args.numbers_only
    )
    events.result(str(args.out), cases=summary["cases"], states=summary["states"])
    if args.events != "json":
        measured = summary["summary"]
        said = {
            "Dice, mean": measured["dice"]["mean"],
            f"NSD at {args.tolerance:g} mm, mean": measured["nsd"]["mean"],
            "HD95, mm, median": measured["hd95_mm"]["median"],
            "Volume error, mL, mean": measured["error_ml"]["mean"],
        }
        states, n = summary["states"], summary["cases"]
        print(
            f"\n{n} case{'s' if n != 1 else ''}: {states['both']} with both masks, "
            f"{states['prediction-empty']} missed, {states['truth-empty']} invented, "
            f"{states['both-empty']} empty in both"
        )
        _say(said, args)
    return EXIT_DONE


def run_brown(args: argparse.Namespace, events: Events) -> int:
    """Evaluate probabilities. Raises ``InputRefused``, ``UsageError``, ``OutputRefused``."""
    _prepare(args)
    from ..evaluation import ScoreOptions, evaluate_brown, save_scores

    options = ScoreOptions(
        threshold=args.threshold,
        bins=args.bins,
        prediction=args.prediction_column.casefold(),
        label=args.label_column.casefold(),
        patient=args.patient_column.casefold(),
        allow_missing=args.allow_missing,
        resamples=args.resamples,
        seed=args.seed,
    )
    result = evaluate_brown(
        args.table,
        options,
        labels=args.labels,
        second=args.compare,
        baseline=args.baseline,
        patients=args.patients,
        key=args.key,
        events=events,
    )
    summary = save_scores(
        result, args.out, warnings=events.warnings, replace=args.replace, report=not args.numbers_only
    )
    auc = summary["metrics"]["auc_bootstrap"]
    events.result(str(args.out), cases=summary["cases"], auc=auc["value"])
    if args.events != "json":
        from ..evaluation.words import TITLES, p_words

        print(f"\n{summary['cases']} cases, {summary['positive']} with brown fat")
        _say({TITLES[name]: estimate for name, estimate in summary["metrics"].items()}, args)
        for name, comparison in (
            ("second model", result.comparison),
            ("baseline", result.baseline_comparison),
        ):
            if comparison is not None:
                print(f"Difference to the {name}: {p_words(comparison.p)} (paired DeLong)")
    return EXIT_DONE


def _prepare(args: argparse.Namespace) -> None:
    """Refuse before anything is computed what would fail at the end."""
    require_new(args.out, replace=args.replace)
    if args.resamples < 100 or args.seed < 0:
        raise UsageError(
            "resamples",
            f"{args.resamples} resamples with seed {args.seed} were asked for.",
            "At least 100 resamples and a seed from 0 on.",
            "Leave both out for 2000.",
        )
    if not args.numbers_only:
        from ..evaluation import require_report

        require_report()


def _say(estimates: dict[str, dict[str, Any]], args: argparse.Namespace) -> None:
    from ..evaluation.intervals import Estimate
    from ..evaluation.words import estimate_words, interval_words

    for title, facts in estimates.items():
        estimate = Estimate(**facts)
        print(f"  {title:<34}{estimate_words(estimate):>8}   {interval_words(estimate)}")
    files = "metrics.csv, summary.json" + ("" if args.numbers_only else ", report.html")
    print(f"Result folder: {args.out}   ({files})")
    print(RESEARCH_USE_ONLY)

"""``batnet agreement``: how far readers of brown-fat masks agree, and where they do not. Runs no network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, UsageError
from ..events import Events
from ..workfiles import require_new

EPILOG = """examples:
  batnet agreement READS --out agreement                    all readers whose work lies below READS
  batnet agreement READS --readers anna,ben --out agreement --tolerance 3
  batnet agreement READS --patients READS/dataset.csv --out agreement      after: batnet annotate export

READS is the folder that was chosen in BATNetAnnotate. Only reads that are marked as done count.
This opens all readers' work: readers who still work blinded should not see its results.
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``agreement``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "agreement",
        parents=[common],
        help="how far readers of brown-fat masks agree: Dice, kappa, ICC, regions in dispute",
        description="Compares readers' masks, volumes and scores: Dice, surface Dice, HD95, ICC(2,1), "
        f"Bland-Altman, weighted kappa, and the regions in dispute. Needs no torch. {RESEARCH_USE_ONLY}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", type=Path, metavar="READS", help="folder that the reads are kept in")
    parser.add_argument(
        "--readers", metavar="A,B", help="names of the readers to compare (default: all but 'adjudicated')"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="result folder")
    parser.add_argument("--replace", action="store_true", help="replace a former result in that folder")
    parser.add_argument(
        "--tolerance", type=float, default=2.0, metavar="MM", help="of the surface Dice (2 mm)"
    )
    parser.add_argument(
        "--smallest",
        type=float,
        default=0.05,
        metavar="ML",
        help="regions listed from this volume on (0.05 mL)",
    )
    parser.add_argument("--drafts", action="store_true", help="count reads that are not marked as done too")
    parser.add_argument(
        "--patients", type=Path, metavar="CSV", help="case_id and patient, where patients have several scans"
    )
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="of the bootstrap (2000)")
    parser.add_argument("--seed", type=int, default=20240917, help="of the bootstrap")
    parser.add_argument(
        "--numbers-only", action="store_true", help="no figures and no report: needs no matplotlib"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    """Compare reads. Raises ``InputRefused``, ``UsageError``, ``OutputRefused``."""
    _check(args)
    from ..agreement import Options, agreement, require_report, save
    from ..evaluation.cohort import read_patients

    if not args.numbers_only:
        require_report()
    options = Options(
        tolerance_mm=args.tolerance,
        smallest_ml=args.smallest,
        drafts=args.drafts,
        resamples=args.resamples,
        seed=args.seed,
    )
    readers = [name.strip() for name in (args.readers or "").split(",") if name.strip()]
    result = agreement(
        args.root, readers or None, options, patients=read_patients(args.patients), events=events
    )
    summary = save(
        result, args.out, warnings=events.warnings, replace=args.replace, report=not args.numbers_only
    )
    events.result(str(args.out), cases=summary["cases"], readers=summary["readers"])
    if args.events != "json":
        print()
        for line in result.words():
            print(f"  {line}")
        for entry in result.left_out[:10]:
            print(f"  Not counted: {entry.case}: {entry.words}")
        if len(result.left_out) > 10:
            print(f"  Not counted: {len(result.left_out) - 10} more, see left_out.csv")
        print(f"Result folder: {args.out}")
        print(RESEARCH_USE_ONLY)
    return EXIT_DONE


def _check(args: argparse.Namespace) -> None:
    """Refuse before anything is computed what would fail at the end."""
    require_new(args.out, replace=args.replace)
    if args.resamples < 100 or args.seed < 0:
        raise UsageError(
            "resamples",
            f"{args.resamples} resamples with seed {args.seed} were asked for.",
            "At least 100 resamples and a seed from 0 on.",
            "Leave both out for 2000.",
        )
    if not args.smallest >= 0:
        raise UsageError(
            "agreement-smallest",
            f"--smallest was given as {args.smallest:g}.",
            "It must be 0 mL or more.",
            "Correct it.",
        )

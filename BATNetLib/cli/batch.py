"""``batnet batch``: many scans, from folders, lists or a DICOM tree; goes on where it stopped."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, EXIT_SOME_FAILED, UsageError
from ..events import Events
from .analyze import add_option_arguments, options_of

EXAMPLES = """examples:
  batnet batch study --out results
      every scan, case folder and DICOM series below study/; start it again to go on where it stopped
  batnet batch cases.csv --root /data --out results --method hu-threshold --brown-model demo
      a list with the column case_id (and, if wanted: ct, lungs, adipose, brown, series, axes)
  sbatch --array=1-10 --wrap 'batnet batch study --out results --shard $SLURM_ARRAY_TASK_ID/10'
  batnet batch --collect results
      one table and one contact sheet from all shards

exit codes: 0 every case done or not assessable; 4 some refused or failed; 6 cancelled; 2 nothing found
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``batch``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "batch",
        parents=[common],
        help="analyse many CTs; resumes, never stops at one bad case",
        description=f"Many chest CTs to one table and one contact sheet. {RESEARCH_USE_ONLY}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        type=Path,
        help="folder to search, CSV list, scan file; several may be given",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder; new, or of a former run")
    parser.add_argument(
        "--collect", type=Path, metavar="DIR", help="only make the tables of an output folder again"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would run; nothing is written")
    cases = parser.add_argument_group("cases")
    cases.add_argument("--root", type=Path, metavar="DIR", help="where relative entries of a list start from")
    cases.add_argument(
        "--fat-masks", action="store_true", help="use fat masks that lie in case folders instead of stage 1"
    )
    cases.add_argument(
        "--keep-names", action="store_true", help="name cases by their folders (default: pseudonyms)"
    )
    cases.add_argument(
        "--key", type=Path, metavar="FILE", help="which case is which (default: OUT-key.csv beside OUT)"
    )
    work = parser.add_argument_group("how it runs")
    work.add_argument("--rerun", choices=["failed", "refused", "all"], help="run these again as well")
    work.add_argument("--shard", metavar="K/N", help="only the K-th of N parts, for job arrays")
    work.add_argument("--workers", type=int, default=1, metavar="N", help="cases at a time (default: 1)")
    work.add_argument("--dask", metavar="WHERE", help="address of a Dask scheduler, or local:N")
    work.add_argument("--time-limit", type=float, metavar="SECONDS", help="give a case up after that")
    work.add_argument("--break-lock", action="store_true", help="the run that holds the folder has ended")
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--axes",
        choices=["zyx", "header"],
        help="zyx: all files are the BATNet authors' arrays; header: trust empty headers",
    )
    reading.add_argument("--accept-gaps", action="store_true", help="interpolate unevenly spaced slices")
    reading.add_argument("--accept-tilt", action="store_true", help="straighten a tilted gantry")
    add_option_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    """Find, run, tell. Raises ``UsageError``, ``NoModel``, ``OutputRefused``, ``Cancelled``."""
    if args.collect is not None:
        return _collect(args, events)
    if not args.sources or (args.out is None and not args.dry_run):
        missing = "no source" if not args.sources else "no output folder"
        raise UsageError(
            "batch-arguments",
            f"The batch was given {missing}.",
            "Sources and --out are needed (or --collect with an output folder).",
            "Say for example: batnet batch study --out results",
        )
    options, settings = options_of(args), _settings(args)
    from ..batch import find_cases, run_batch

    found = find_cases(args.sources, root=args.root, events=events)
    for text in found.warnings:
        events.warning("case-list", text)
    if args.dry_run:
        return _dry_run(found, settings, args, events)
    quiet = args.events == "json"
    if not quiet and found.passed_over:
        print(
            f"{len(found.passed_over)} passed over; --dry-run lists them with the reasons.", file=sys.stderr
        )
    result = run_batch(found, args.out, options, settings, events, None if quiet else _say_case)
    counts = {status: number for status, number in result.counts.items() if number}
    events.result(str(result.folder), counts=counts, ran=result.ran, skipped=result.skipped)
    if not quiet:
        _say_end(result, counts)
    return result.exit_code


def _settings(args: argparse.Namespace) -> Any:
    from ..batch import BatchSettings, parse_shard

    if args.workers < 0 or (args.time_limit is not None and args.time_limit <= 0):
        raise UsageError(
            "batch-arguments",
            "--workers or --time-limit is not a usable number.",
            "At least 0 workers (0: run in this process) and more than 0 seconds.",
            "Leave them out for one worker without a limit.",
        )
    return BatchSettings(
        shard=parse_shard(args.shard) if args.shard else None,
        workers=args.workers,
        dask=args.dask,
        rerun=args.rerun,
        fat_masks=args.fat_masks,
        axes=args.axes,
        accept_gaps=args.accept_gaps,
        accept_tilt=args.accept_tilt,
        keep_names=args.keep_names,
        key=args.key,
        break_lock=args.break_lock,
        time_limit=args.time_limit,
    )


def _collect(args: argparse.Namespace, events: Events) -> int:
    from ..batch import collect

    summary = collect(args.collect)
    status = summary["status"]
    events.result(str(args.collect), counts=status)
    if args.events != "json":
        _say_counts({name: number for name, number in status.items() if number})
        print(f"Tables and contact sheet: {args.collect}")
    return EXIT_SOME_FAILED if status["refused"] or status["failed"] else EXIT_DONE


def _dry_run(found: Any, settings: Any, args: argparse.Namespace, events: Events) -> int:
    """List on the screen what would run, by the user's own names: for this the user asks, nothing is kept."""
    from ..batch.preview import preview

    listed = preview(found, args.out, settings)
    if args.events == "json":
        print(json.dumps({"event": "result", "folder": "", "dry_run": listed}, ensure_ascii=True), flush=True)
        return EXIT_DONE
    for case in listed["cases"]:
        state = case["state"] + (f": {case['why']}" if case["why"] else "")
        print(f"  {case['name']:<40} {case['layout'] or 'unusable':<36} {state}")
    if listed["passed_over"]:
        print("\nPassed over")
        for skipped in listed["passed_over"]:
            detail = f" ({skipped['detail']})" if skipped["detail"] else ""
            print(f"  {skipped['name']:<40} {skipped['why']}{detail}")
    print(f"\n{len(listed['cases'])} cases, {len(listed['passed_over'])} passed over; nothing was written.")
    return EXIT_DONE


def _say_case(record: dict[str, Any], progress: Any) -> None:
    """One line a case where no bar is drawn, such as in the log of a job."""
    if sys.stderr.isatty():
        if record["status"] in ("refused", "failed"):
            print(f"\r  {record['case']} {record['status']}: {record['why']}", file=sys.stderr)
        return
    said = f"{record['prediction']:.4f}" if record.get("prediction") is not None else record.get("why") or ""
    left = _duration(progress.seconds_left)
    number = f"{progress.done}/{progress.total}"
    print(
        f"  {number:>11}  {record['case']}  {record['status']}  {said}  "
        f"{record.get('seconds') or 0:.1f} s, {left} left",
        file=sys.stderr,
        flush=True,
    )


def _say_end(result: Any, counts: dict[str, int]) -> None:
    _say_counts(counts)
    if result.skipped:
        print(f"{result.skipped} were finished and unchanged and were left alone (--rerun runs them again).")
    print(f"Output folder: {result.folder}   (results.csv, contact-sheet.html, summary.json, cases/)")
    if result.key is not None:
        print(f"Which case is which: {result.key}   (for you only; do not hand it on with the results)")
    print(RESEARCH_USE_ONLY)


def _say_counts(counts: dict[str, int]) -> None:
    print("\n" + (", ".join(f"{number} {status}" for status, number in counts.items()) or "no cases"))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"

"""``batnet dataset``: look at training data, summarise, convert and split it, prepare patches. No torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, EXIT_REFUSED, EXIT_SOME_FAILED, UsageError
from ..events import Events

if TYPE_CHECKING:
    from ..dataset.cases import Dataset
    from ..dataset.checking import CheckReport

EPILOG = """examples:
  batnet dataset check DATA --csv findings.csv
  batnet dataset summary DATA --out summary
  batnet dataset split DATA --folds 5 --out split.json
  batnet dataset patches DATA --out PATCHES
  batnet dataset convert DATA --to folders --out CASES

what is found as training data:
  a scan with masks in its folder    ct.nii.gz adipose.nii.gz brown.nii.gz lungs.nii.gz (also .nrrd, .mha)
  case folders of the authors        image.nii.gz lobe.nii.gz fat_mask.nii.gz brown_fat_mask.nii.gz
  pairs                              images/a.nii.gz labels/a.nii.gz, or a.nii.gz a_adipose.nii.gz
  PNG slices of the authors          seg_data/SPLIT/CASE/data_png/0.png with data_mask/0.png
  cached patches                     ct_at_left_patch.nii.gz and its label, right likewise
  a manifest (CSV or JSON)           case_id, patient, centre, split, ct, adipose, brown, lungs, ...
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "dataset",
        help="check, summarise, convert and split training data; prepare patches",
        description=f"Training data: nothing is changed, results go into new files. {RESEARCH_USE_ONLY}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("source", type=Path, metavar="DATA", help="folder with training data, or a manifest")
    source.add_argument("--manifest", type=Path, metavar="FILE", help="CSV or JSON that names the cases")
    source.add_argument(
        "--patient-pattern",
        metavar="REGEX",
        help="what it matches in the name of a case is the patient, such as ^(P[0-9]+)",
    )
    source.add_argument(
        "--mask-role",
        choices=["adipose", "brown"],
        default="adipose",
        help="what a mask called label or mask is (default: adipose)",
    )
    parents = [common, source]
    _add_check(
        actions.add_parser("check", parents=parents, help="look for what is wrong; exit 3 if it blocks")
    )
    _add_summary(actions.add_parser("summary", parents=parents, help="one page with numbers and pictures"))
    _add_convert(actions.add_parser("convert", parents=parents, help="write the cases in another layout"))
    _add_patches(
        actions.add_parser("patches", parents=parents, help="cut labelled patches; stale ones again")
    )
    _add_split(actions.add_parser("split", parents=parents, help="split whole patients, stratified, seeded"))


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="scans read at the same time, in threads (default: 1); each takes the memory of a scan",
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stage", choices=["adipose", "brown"], help="what is to be trained")
    parser.add_argument(
        "--patches", type=Path, metavar="DIR", help="also look whether patches here are stale"
    )
    parser.add_argument(
        "--split", type=Path, metavar="FILE", help="check for leaks over the folds of a split"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the findings as a table")
    parser.add_argument(
        "--pseudonyms", type=Path, metavar="KEY", help="call cases by numbers; the key is kept in this file"
    )
    _add_workers(parser)
    parser.set_defaults(run=run_check)


def _add_summary(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("dataset-summary"), help="folder of the page")
    parser.add_argument("--replace", action="store_true", help="replace an existing folder")
    parser.add_argument(
        "--keep-names",
        action="store_true",
        help="show your names of the cases; numbers otherwise, with a key beside the folder",
    )
    _add_workers(parser)
    parser.set_defaults(run=run_summary)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, choices=["volumes", "folders", "slices"], dest="layout")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--replace", action="store_true", help="replace an existing folder")
    parser.add_argument("--accept-loss", action="store_true", help="go on although HU or masks are lost")
    parser.add_argument(
        "--spacing", nargs=3, type=float, metavar=("SLICE", "ROW", "COLUMN"), help="mm, where files say none"
    )
    parser.set_defaults(run=run_convert)


def _add_patches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the patches; what is fresh is kept"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "float16"],
        default="float32",
        help="float16 rounds by at most 0.05 HU and makes smaller files",
    )
    parser.add_argument("--again", action="store_true", help="make all again")
    _add_workers(parser)
    parser.set_defaults(run=run_patches)


def _add_split(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--folds", type=int, metavar="K", help="K folds for cross-validation")
    kind.add_argument(
        "--fractions",
        nargs="+",
        type=float,
        metavar="F",
        help="train, validation (and test), such as 0.7 0.15 0.15",
    )
    kind.add_argument("--as-given", action="store_true", help="the split that folders or the manifest say")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("split.json"), help="file of the split")
    parser.add_argument("--replace", action="store_true", help="replace an existing file")
    _add_workers(parser)
    parser.set_defaults(run=run_split)


def run_check(args: argparse.Namespace, events: Events) -> int:
    from ..dataset.checking import check
    from ..dataset.prepare import with_patches
    from ..dataset.splitfile import read_split

    dataset = _open(args, events)
    if args.split is not None:
        dataset = dataset.with_split(read_split(args.split, dataset).cases)
    if args.patches is not None:
        dataset = with_patches(dataset, args.patches)
    report = check(dataset, stage=args.stage, workers=args.workers, events=events)
    if args.pseudonyms is not None:
        report = report.renamed(_pseudonyms(dataset, args.pseudonyms))
    if args.csv is not None:
        report.write_csv(args.csv)
    if args.json:
        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=True, allow_nan=False))
    elif args.events == "json":
        events.result(str(args.csv or ""), **report.as_dict())
    else:
        print(report.table())
    return EXIT_REFUSED if report.blocking else EXIT_DONE


def run_summary(args: argparse.Namespace, events: Events) -> int:
    from ..batch.names import key_file_of
    from ..dataset.checking import check
    from ..dataset.summary import PAGE, write_summary

    _require_free(args.out, args.replace)
    dataset = _open(args, events)
    report: CheckReport = check(dataset, pictures=True, workers=args.workers, events=events)
    if not args.keep_names:
        report = report.renamed(_pseudonyms(dataset, key_file_of(args.out)))
    summary = write_summary(report, args.out, replace=args.replace)
    events.result(str(args.out), summary=summary)
    if args.events != "json":
        print(f"{summary['cases']} cases of {summary['patients']} patients: {args.out / PAGE}")
    return EXIT_DONE


def run_convert(args: argparse.Namespace, events: Events) -> int:
    from ..dataset.converting import convert

    result = convert(
        _open(args, events),
        args.out,
        args.layout,
        accept_loss=args.accept_loss,
        spacing=args.spacing,
        replace_out=args.replace,
        events=events,
    )
    events.result(str(args.out), **result.as_dict())
    if args.events != "json":
        print(f"{len(result.written)} cases written: {args.out}")
        for sentence in result.lost:
            print(f"Lost, as accepted: {sentence}")
        _print_refused(result.refused)
    return EXIT_SOME_FAILED if result.refused else EXIT_DONE


def run_patches(args: argparse.Namespace, events: Events) -> int:
    from ..dataset.prepare import prepare_patches

    result = prepare_patches(
        _open(args, events),
        args.out,
        precision=args.precision,
        again=args.again,
        workers=args.workers,
        events=events,
    )
    events.result(str(args.out), **result.as_dict())
    if args.events != "json":
        print(f"{len(result.made)} cases made, {len(result.kept)} kept: {args.out}")
        for case, why in result.made.items():
            if why not in ("new", "asked for"):
                print(f"  {case}: {why}")
        _print_refused(result.refused)
    return EXIT_SOME_FAILED if result.refused else EXIT_DONE


def run_split(args: argparse.Namespace, events: Events) -> int:
    from ..dataset.checking import check
    from ..dataset.split import fold_shares, make_split, split_as_given
    from ..dataset.splitfile import write_split

    _require_free(args.out, args.replace)
    if not args.as_given:
        fold_shares(args.folds, args.fractions)  # wrong numbers are told before hours of reading
    dataset = _open(args, events)
    report = check(dataset, workers=args.workers, events=events)
    if args.as_given:
        split = split_as_given(dataset, report.facts)
    else:
        split = make_split(dataset, report.facts, folds=args.folds, fractions=args.fractions, seed=args.seed)
    left_out = [fact.case.case for fact in report.facts if not fact.usable]
    if left_out:
        events.warning(
            "cases-left-out",
            f"{len(left_out)} of {len(report.facts)} cases cannot be used and are in no fold; "
            "'dataset check' tells why.",
        )
    write_split(split, args.out)
    events.result(str(args.out), distribution=split.distribution(), left_out=left_out)
    if args.events != "json":
        print(split.table())
        print(f"Split: {args.out}")
    return EXIT_DONE


def _open(args: argparse.Namespace, events: Events) -> Dataset:
    from ..dataset.layouts import open_dataset

    return open_dataset(
        args.source,
        manifest=args.manifest,
        patient_pattern=args.patient_pattern,
        mask_role=args.mask_role,
        events=events,
    )


def _pseudonyms(dataset: Dataset, key: Path) -> dict[str, str]:
    from ..batch.names import pseudonyms

    return pseudonyms([case.as_found() for case in dataset.cases], key)


def _require_free(out: Path, replace: bool) -> None:
    """What would be refused at the end is refused before the work."""
    if out.exists() and not replace:
        raise UsageError(
            "output-exists",
            f"'{out.name}' exists already.",
            "Results are never mixed with former ones.",
            "Choose another place with --out, or say --replace.",
        )


def _print_refused(refused: dict[str, Any]) -> None:
    for case, error in refused.items():
        print(f"  {case} refused [{error.code}]: {error.found} {error.remedy}")

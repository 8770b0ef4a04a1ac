"""``batnet analyze``: one scan to one analysis folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, EXIT_REFUSED, InputRefused, UsageError
from ..events import Events

EXAMPLES = """examples:
  batnet analyze chest.nii.gz
      finds the lungs, segments the fat with the published network, writes chest-batnet/
  batnet analyze dicom-folder --method hu-threshold --model demo --out result
      fat by a HU range, no download needed; adds a DICOM SEG
  batnet analyze case-17 --override apex-missing="arms down, apex seen on the scout"
      a case folder with image.nii.gz and lobe.nii.gz; goes on over a blocking finding
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``analyze``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "analyze",
        parents=[common],
        help="analyse one CT: mask, probability, patch map, report",
        description=f"From a chest CT to an analysis folder. {RESEARCH_USE_ONLY}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "ct",
        metavar="CT",
        type=given_path,
        help="NIfTI, NRRD or MHA file, DICOM folder, or a folder with one scan file",
    )
    parser.add_argument(
        "--out", type=given_path, metavar="DIR", help="result folder (default: NAME-batnet here)"
    )
    parser.add_argument("--replace", action="store_true", help="replace a former result in that folder")
    add_reading_arguments(parser)
    masks = parser.add_argument_group("masks of your own")
    masks.add_argument(
        "--lungs",
        "--lobe",
        type=Path,
        metavar="FILE",
        help="lung mask; else lobe or lungs in the folder given, else found from the CT",
    )
    masks.add_argument("--adipose", type=Path, metavar="FILE", help="adipose mask instead of stage 1")
    masks.add_argument(
        "--pet-suv", type=Path, metavar="FILE", help="PET in SUV (body weight): adds uptake to each patch"
    )
    add_option_arguments(parser)
    parser.add_argument(
        "--preflight-only", action="store_true", help="only check the scan: needs no model, writes nothing"
    )
    parser.add_argument("--keep-names", action="store_true", help="let file names into the result")
    parser.set_defaults(run=run)


def given_path(text: str) -> Path:
    """A path of the command line; an empty one (an unset variable) would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """How files are read; ``batch`` offers the same."""
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--axes",
        choices=["zyx", "header"],
        help="zyx: the BATNet authors' array files; header: trust an empty header",
    )
    reading.add_argument("--series", metavar="N", help="number or UID of the series in a DICOM folder")
    reading.add_argument("--accept-gaps", action="store_true", help="interpolate unevenly spaced slices")
    reading.add_argument("--accept-tilt", action="store_true", help="straighten a tilted gantry")


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """What changes a result; ``batch`` offers the same. Turn the answers into options with ``options_of``."""
    method = parser.add_argument_group("method")
    method.add_argument(
        "--method",
        choices=["network", "hu-threshold"],
        default="network",
        help="how the adipose mask is made (default: network)",
    )
    method.add_argument(
        "--hu-range",
        nargs=2,
        type=float,
        metavar=("LO", "HI"),
        default=None,
        help="HU range of hu-threshold (default: -190 -30)",
    )
    method.add_argument(
        "--model", metavar="SET", default="batnet", help="models of both stages: batnet (default), demo"
    )
    method.add_argument("--adipose-model", metavar="NAME", help="model of stage 1, instead of the set's")
    method.add_argument("--brown-model", metavar="NAME", help="model of stage 2, instead of the set's")
    method.add_argument("--operating-point", metavar="COHORT", help="which operating point to decide by")
    method.add_argument(
        "--prevalence", type=float, metavar="SHARE", help="0 to 1, for predictive values of it"
    )
    method.add_argument(
        "--attention-stage",
        choices=["stage1", "stage2", "stage3", "none"],
        default="stage2",
        help="level of the attention map: 8, 4 or 2 cells along a patch (default: stage2)",
    )
    checks = parser.add_argument_group("checks")
    checks.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="CODE=REASON",
        help="go on over a blocking finding; the reason is kept with the result",
    )
    checks.add_argument("--limits", type=Path, metavar="FILE", help="JSON file with cut-offs of the checks")
    running = parser.add_argument_group("running")
    running.add_argument("--device", default="auto", help="auto (default), cuda, cuda:N, mps or cpu")
    running.add_argument("--batch", type=int, metavar="N", help="slices at a time (default: by device)")
    running.add_argument("--no-dicom-seg", action="store_true", help="no DICOM SEG for a DICOM input")


def options_of(args: argparse.Namespace, **further: Any) -> Any:
    """``AnalysisOptions`` from the arguments of ``add_option_arguments``."""
    from ..analysis import AnalysisOptions

    values: dict[str, Any] = {
        "method": args.method,
        "adipose_model": args.adipose_model or args.model,
        "brown_model": args.brown_model or args.model,
        "device": args.device,
        "batch": args.batch,
        "attention_stage": args.attention_stage,
        "overrides": _overrides(args.override),
        "limits": _limits(args.limits),
        "prevalence": args.prevalence,
        "operating_point": args.operating_point,
        "dicom_seg": not args.no_dicom_seg,
    }
    if args.hu_range is not None:
        if args.method != "hu-threshold":
            raise UsageError(
                "hu-range-unused",
                "A HU range was given, but the method is network.",
                "The HU range belongs to --method hu-threshold.",
                "Add --method hu-threshold, or leave --hu-range out.",
            )
        values["hu_range"] = tuple(args.hu_range)
    return AnalysisOptions(**values, **further)


def run(args: argparse.Namespace, events: Events) -> int:
    """Analyse the scan; raises ``InputRefused`` ("not-assessable") after its folder was written."""
    if args.adipose is not None and args.method == "hu-threshold":
        raise UsageError(
            "mask-and-method",
            "An adipose mask was given, and a method that makes one.",
            "It is one or the other.",
            "Leave --method or --adipose out.",
        )
    options = options_of(args, keep_names=args.keep_names)
    from ..analysis import analyze_files, case_inputs, check_files

    inputs = case_inputs(
        args.ct,
        lungs=args.lungs,
        adipose=args.adipose,
        pet_suv=args.pet_suv,
        axes=args.axes,
        series=args.series,
        accept_gaps=args.accept_gaps,
        accept_tilt=args.accept_tilt,
    )
    if args.preflight_only:
        return _tell_findings(check_files(inputs, options, events), events, quiet=args.events == "json")
    out = args.out or default_output(args.ct)
    analyze_files(inputs, out, options, events=events, replace=args.replace)
    return tell(out, events, quiet=args.events == "json")


def tell(folder: Path, events: Events, *, quiet: bool) -> int:
    """Name the folder and the probability, or why there is none. ``quiet``: in events only."""
    import json

    from ..analysis.files import PASSPORT
    from ..analysis.passport import HU_THRESHOLD

    facts = json.loads((folder / PASSPORT).read_text(encoding="utf-8"))
    case = facts["case"]
    events.result(
        str(folder),
        outcome=case["outcome"],
        probability=case["probability"],
        demonstration=bool(facts["demonstration"]),
    )
    if case["probability"] is None:
        codes = ", ".join(reason["code"] for reason in case["reasons"])
        raise InputRefused(
            "not-assessable",
            f"The scan is not assessable ({codes}). " + " ".join(r["text"] for r in case["reasons"]),
            "A scan of neck and chest on which the checks find nothing that blocks is needed.",
            f"See the report in '{folder.name}'. " + " ".join(r["advice"] for r in case["reasons"]),
        )
    if not quiet:
        print(f"\nResult folder:         {folder}")
        calibrated = "" if case["calibrated"] else " (not calibrated)"
        print(f"Brown-fat probability: {case['probability']:.4f}{calibrated}")
        if case["decision"] is not None:
            print(f"At the operating point: {'positive' if case['decision']['positive'] else 'negative'}")
        if facts["method"]["adipose"] == "hu-threshold":
            print(HU_THRESHOLD)
        if facts["demonstration"]:
            print(facts["demonstration"])
        print(RESEARCH_USE_ONLY)
    return EXIT_DONE


def _tell_findings(report: Any, events: Events, *, quiet: bool) -> int:
    """Name the findings. A scan that would not be assessable is refused, as an analysis would refuse it."""
    events.result("", preflight=report.as_dict())
    if not quiet:
        for finding in report.findings:
            said = f"{finding.sentence} {finding.advice}"
            print(f"  {finding.level:<6}{finding.code:<20}{said}")
        print(f"{len(report.findings)} findings; nothing was written.")
    return EXIT_REFUSED if report.blocking else EXIT_DONE


def default_output(ct: Path) -> Path:
    """``NAME-batnet`` in the current folder; beside the input folder where that is the current one."""
    path = ct.resolve()
    name = path.name
    for ending in (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".dcm"):
        if path.is_file() and name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    if path.is_file() and name == "image":
        name = path.parent.name
    source, here = path if path.is_dir() else path.parent, Path.cwd().resolve()
    place = source.parent if here == source or source in here.parents else Path()
    return place / f"{name}-batnet"


def _overrides(given: list[str]) -> dict[str, str]:
    overrides = {}
    for text in given:
        code, mark, reason = text.partition("=")
        if not mark or not code.strip() or not reason.strip():
            raise UsageError(
                "override-without-reason",
                f"'{text}' does not name a finding and a reason.",
                "Overrides are written CODE=REASON; the reason is kept with the result.",
                'Say for example --override apex-missing="apex seen on the scout".',
            )
        overrides[code.strip()] = reason.strip()
    return overrides


def _limits(path: Path | None) -> dict[str, Any]:
    from ..preflight import read_limits

    return {} if path is None else read_limits(path)

"""``batnet dicom-seg``: an adipose mask as DICOM SEG that refers to the DICOM series of its CT."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, InputRefused, UsageError
from ..events import Events


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``dicom-seg``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "dicom-seg",
        parents=[common],
        help="write an adipose mask as DICOM SEG",
        description=f"Writes an adipose mask as DICOM SEG of the series it lies on. {RESEARCH_USE_ONLY}",
        epilog="Example: batnet dicom-seg dicom-folder --mask edited.nrrd --out adipose.seg.dcm",
    )
    parser.add_argument("series", metavar="DICOM", type=Path, help="folder with the DICOM files of the CT")
    parser.add_argument(
        "--mask", type=Path, required=True, metavar="FILE", help="mask on the voxels of the CT"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    parser.add_argument("--replace", action="store_true", help="replace that file where it exists")
    parser.add_argument(
        "--passport",
        type=Path,
        metavar="JSON",
        help="analysis.json that tells how the mask was made; without it, it counts as drawn by a person",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    """Write the file whole or not at all. Raises ``InputRefused``, ``UsageError``, ``OutputRefused``."""
    if args.out.exists() and not args.replace:
        raise UsageError(
            "output-exists",
            f"'{args.out.name}' exists already.",
            "Files are replaced only when asked to.",
            "Choose another name, or say --replace.",
        )
    from ..analysis.dicom_seg import write_dicom_seg_if_dicom
    from ..volume import read_mask, read_volume
    from ..workfiles import whole_file

    ct = read_volume(args.series, events=events)
    analysis = _analysis(ct, _facts(args.passport))
    analysis.adipose = read_mask(args.mask, ct, name="adipose mask", events=events)
    with whole_file(args.out) as draft:
        if not write_dicom_seg_if_dicom(analysis, draft, events):
            skipped = [w["text"] for w in events.warnings if w["code"] == "dicom-seg-skipped"]
            raise InputRefused(
                "no-dicom-seg",
                skipped[-1] if skipped else f"{args.series.name} is no DICOM series.",
                "The DICOM files that the mask was drawn on are needed, with their identifiers.",
                "Save the mask as NRRD instead.",
            )
    events.result(str(args.out))
    if args.events != "json":
        print(f"{args.out}\n{RESEARCH_USE_ONLY}")
    return EXIT_DONE


def _analysis(ct: Any, facts: dict[str, Any] | None) -> Any:
    """What the segment says of its making."""
    from ..analysis import Analysis, AnalysisOptions

    if facts is None:
        return Analysis(ct, AnalysisOptions(), "given", "not-assessable")
    method = facts["method"]["adipose"]
    hu_range = facts["method"].get("hu_range")
    options = AnalysisOptions(**({"hu_range": tuple(hu_range)} if hu_range else {}))
    return Analysis(ct, options, method, facts["case"]["outcome"], models=facts["models"])


def _facts(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["method"]["adipose"], facts["models"], facts["case"]["outcome"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "passport-unreadable",
            f"'{path.name}' is no readable analysis.json.",
            "It tells how the mask was made.",
            "Leave --passport out, or name the file of a result folder.",
        ) from error
    return dict(facts)

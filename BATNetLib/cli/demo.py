"""``batnet demo``: an invented patient, analysed the whole way; or both stages trained on a cohort."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, UsageError
from ..events import Events
from . import demo_train

DEFAULT_OUT = "batnet-demo"
DEFAULT_SEED = 4
#: Marks a folder as a former demonstration, which may be replaced, and holds the truth of its phantom.
MARK = "demo.json"
CASE, RESULT = "case", "result"
DEMONSTRATION = "demonstration model, trained on phantoms; research use only"

EXAMPLES = """examples:
  batnet demo
      makes a phantom, analyses it, writes batnet-demo/case and batnet-demo/result
  batnet demo --seed 12 --brown left --out /tmp/another
      another invented patient, with brown fat on the left side only
  batnet demo --train
      a cohort of phantoms, both stages trained on it, measured on phantoms never seen
      (some minutes, 350 MB)
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """Add the command ``demo``; only the standard library is imported here."""
    parser = subparsers.add_parser(
        "demo",
        parents=[common],
        help="make a phantom and analyse it, or train on phantoms, without any download",
        description="Makes an invented patient (a phantom whose brown fat is known) and analyses it with "
        f"demonstration models that were trained on phantoms. {RESEARCH_USE_ONLY}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder (default: {DEFAULT_OUT}, or {demo_train.DEFAULT_OUT} with --train)",
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="train both stages on a cohort of phantoms and measure them on phantoms never seen",
    )
    parser.add_argument(
        "--quick", action="store_true", help="with --train: a smaller cohort, about a minute of computing"
    )
    parser.add_argument(
        "--seed", type=_seed, default=DEFAULT_SEED, metavar="N", help=f"patient (default: {DEFAULT_SEED})"
    )
    parser.add_argument(
        "--size",
        choices=["small", "full"],
        help="small: 3 mm voxels, seconds; full: 512 x 512 (default)",
    )
    parser.add_argument(
        "--brown",
        choices=["both", "left", "right", "none"],
        help="sides of the patient that have brown fat (default: both)",
    )
    parser.add_argument(
        "--phantom-only", action="store_true", help="make the patient and analyse nothing; needs no torch"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cuda, cuda:N, mps or cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, events: Events) -> int:
    """Make the phantom case and its analysis; the folder appears whole or not at all.

    Raises ``UsageError`` for a folder that holds other things.
    """
    if args.out is None:
        args.out = Path(demo_train.DEFAULT_OUT if args.train else DEFAULT_OUT)
    replace = _may_be_replaced(args.out)
    if args.train:
        return demo_train.run(args, events, MARK, replace)
    if args.quick:
        raise UsageError(
            "demo-options",
            "--quick was given without --train.",
            "It makes the training shorter.",
            "Say --train --quick, or --size small for a small phantom.",
        )
    return _analysed(args, events, replace)


def _analysed(args: argparse.Namespace, events: Events, replace: bool) -> int:
    from ..analysis import AnalysisOptions, analyze_files, case_inputs
    from ..dataset.phantom import make_phantom, write_phantom
    from ..device import require_torch
    from ..workfiles import whole_folder
    from .analyze import tell

    out = args.out
    if not args.phantom_only:
        require_torch()
    start = time.perf_counter()
    with whole_folder(out, replace=replace) as folder:
        with events.stage("make the phantom"):
            phantom = make_phantom(args.seed, brown=args.brown or "both", size=args.size or "full")
        with events.stage("write the case"):
            write_phantom(phantom, folder / CASE)
        truth = {
            key: phantom.facts[key] for key in ("seed", "size", "brown", "brown_ml", "adipose_ml", "arms")
        }
        del phantom
        if not args.phantom_only:
            # Only the CT is handed over: lungs and fat are found as they would be for a patient.
            options = AnalysisOptions(adipose_model="demo", brown_model="demo", device=args.device)
            inputs = case_inputs(folder / CASE / "image.nii.gz")
            analyze_files(inputs, folder / RESULT, options, events=events)
        seconds = round(time.perf_counter() - start, 1)
        text = {"demo": "batnet", "note": DEMONSTRATION, "phantom": truth, "seconds": seconds}
        (folder / MARK).write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    quiet = args.events == "json"
    if args.phantom_only:
        events.result(str(out / CASE), phantom=truth)
        if not quiet:
            print(f"The phantom has {_truth(truth)}: {out / CASE / 'image.nii.gz'}")
        return EXIT_DONE
    code = tell(out / RESULT, events, quiet=quiet)
    if not quiet:
        print(f"The phantom has        {_truth(truth)}.")
        print(f"Note:                  {DEMONSTRATION}.")
        print(f"Seconds:               {seconds}")
        print(f"Open the report:       {out / RESULT / 'report.html'}")
    return code


def _truth(facts: dict[str, Any]) -> str:
    """What is known of a phantom, in words."""
    ml = facts["brown_ml"]
    if facts["brown"] == "none":
        return "no brown fat"
    return f"{ml['total']:.0f} mL of brown fat (right {ml['right']:.0f} mL, left {ml['left']:.0f} mL)"


def _may_be_replaced(out: Path) -> bool:
    """True for a former demonstration or an empty folder, False where there is nothing; else refuses."""
    if not out.exists() and not out.is_symlink():
        return False
    if out.is_dir() and not out.is_symlink():
        if not any(out.iterdir()):
            return True
        try:
            if json.loads((out / MARK).read_text(encoding="utf-8")).get("demo") == "batnet":
                return True
        except (OSError, ValueError, AttributeError):
            pass
    raise UsageError(
        "not-a-demo",
        f"'{out.name}' exists and is not the folder of a former demonstration.",
        "Only a former demonstration is replaced.",
        "Choose another folder with --out, or remove it yourself.",
    )


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError("a whole number from 0 on is wanted")
    return int(text)

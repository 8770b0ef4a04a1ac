"""``batnet demo --train``: both stages trained on phantoms and measured on others; see ``training.demo``."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, Cancelled, UsageError
from ..events import Events

if TYPE_CHECKING:
    from ..training.demo import Figure

DEFAULT_OUT = "batnet-demo-train"
NOTE = "models trained on phantoms; they mean nothing for a patient"


def run(args: argparse.Namespace, events: Events, mark: str, replace: bool) -> int:
    """Train and measure; the folder appears whole or not at all, also where a figure misses its target.

    ``mark``: name of the file that lets a former demonstration be replaced. Raises ``UsageError`` for options
    of the other demonstration, ``BATNetError`` ("demo-target-missed") after the folder is complete.
    """
    _refuse_other_options(args)
    from ..device import require_torch
    from ..evaluation import require_report
    from ..training import demo
    from ..training.devices import require_training
    from ..workfiles import whole_folder

    require_torch()
    require_training()
    require_report()
    plan = demo.QUICK if args.quick else demo.FULL
    out: Path = args.out
    start, spent = time.perf_counter(), demo.processor_seconds()
    with whole_folder(out, replace=replace) as folder:
        try:
            figures = demo.run_demo(folder, plan, args.seed, args.device, events)
        except Cancelled:
            # Nothing of it stays, so what a batch or a training says of going on would be wrong.
            raise Cancelled() from None
        facts: dict[str, Any] = {
            "demo": "batnet",
            "kind": "training",
            "note": NOTE,
            "quick": bool(args.quick),
            "seed": args.seed,
            "phantoms": {"cohort": plan.phantoms, "unseen": plan.unseen, "spacing_mm": list(plan.spacing)},
            "figures": [{**vars(figure), "reached": figure.reached} for figure in figures],
            "seconds": round(time.perf_counter() - start, 1),
            "processor_seconds": round(demo.processor_seconds() - spent, 1),
        }
        (folder / mark).write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        former = folder
    demo.follow_to(out, former)
    events.result(str(out), figures=facts["figures"], seconds=facts["seconds"])
    if args.events != "json":
        _say(out, figures, facts)
    refusal = demo.missed(figures)
    if refusal is not None:
        raise refusal
    return EXIT_DONE


def _say(out: Path, figures: list[Figure], facts: dict[str, Any]) -> None:
    from ..training import demo

    phantoms = facts["phantoms"]
    print(f"\nTrained on {phantoms['cohort']} phantoms, measured on {phantoms['unseen']} never seen:")
    for figure in figures:
        value = "not defined" if figure.value is None else f"{figure.value:.4f}"
        interval = (
            "" if figure.low is None or figure.high is None else f"{figure.low:.4f} to {figure.high:.4f}"
        )
        goal = ""
        if figure.target is not None:
            goal = f"above {figure.target:g}: {'reached' if figure.reached else 'MISSED'}"
        print(f"  {figure.title:<50}{value:>8}   {interval:<20} {goal}".rstrip())
    print(f"Seconds: {facts['seconds']:.0f}, of processor time {facts['processor_seconds']:.0f}")
    print(f"Trainings:   {out / demo.RUNS / 'adipose' / 'report.html'}")
    print(f"             {out / demo.RUNS / 'brown' / 'report.html'}")
    print(f"Evaluation:  {out / demo.EVALUATION / 'adipose' / 'report.html'}")
    print(f"             {out / demo.EVALUATION / 'brown' / 'report.html'}")
    print(f"Note: {NOTE}. {RESEARCH_USE_ONLY}")


def _refuse_other_options(args: argparse.Namespace) -> None:
    given = [
        name
        for name, value in (
            ("--size", args.size),
            ("--brown", args.brown),
            ("--phantom-only", args.phantom_only),
        )
        if value
    ]
    if given:
        raise UsageError(
            "demo-options",
            f"{given[0]} was given with --train.",
            "The training makes phantoms of its own, with and without brown fat.",
            f"Leave {given[0]} out.",
        )

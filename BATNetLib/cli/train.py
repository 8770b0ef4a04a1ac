"""``batnet train``: train a stage on your own data; follow, stop and go on. torch only where it trains."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, UsageError
from ..events import Events

if TYPE_CHECKING:
    from ..training.config import Config
    from ..training.source import Source

EPILOG = """examples:
  batnet dataset split DATA --fractions 0.7 0.15 0.15 --out split.json
  batnet train adipose DATA --split split.json --out RUN --dry-run     what it would cost
  batnet train adipose DATA --split split.json --out RUN
  batnet train brown DATA --split split.json --out RUN --preset modern --set optimiser.rate=0.001 --detach
  batnet train status RUN
  batnet train stop RUN
  batnet train resume RUN

Ctrl-C ends after the current step with the state saved (a second one at once); so does 'train stop'.
Several devices: --devices 2, or torchrun --nproc-per-node 2 -m BATNetLib train ...
"""
#: Seconds that a step and saving its state may take after a wish to stop.
PATIENCE = 120.0


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "train",
        help="train a stage on your own data",
        description=f"Training on your own data: from a folder to a model in the list. {RESEARCH_USE_ONLY}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for stage, what in (("adipose", "stage 1, the adipose mask"), ("brown", "stage 2, brown fat")):
        _add_new(actions.add_parser(stage, parents=[common], help=f"train {what}"), stage)
    _add_resume(actions.add_parser("resume", parents=[common], help="go on after a stop, a kill, an error"))
    stop = actions.add_parser("stop", parents=[common], help="ask a training to end after its current step")
    stop.add_argument("run_folder", type=Path, metavar="RUN")
    stop.set_defaults(run=run_stop)
    status = actions.add_parser("status", parents=[common], help="how far a training is")
    status.add_argument("run_folder", type=Path, metavar="RUN")
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(run=run_status)


def _add_new(parser: argparse.ArgumentParser, stage: str) -> None:
    data = parser.add_argument_group("data")
    data.add_argument("data", type=Path, metavar="DATA", help="folder with training data, or a manifest")
    data.add_argument("--split", type=Path, metavar="FILE", help="split by 'batnet dataset split'")
    data.add_argument("--fold", metavar="F", help="fold to validate on, by name or number")
    data.add_argument("--manifest", type=Path, metavar="FILE", help="CSV or JSON that names the cases")
    data.add_argument("--patient-pattern", metavar="REGEX", help="as for 'batnet dataset split'")
    if stage == "brown":
        data.add_argument(
            "--patches", type=Path, metavar="DIR", help="patches prepared by 'batnet dataset patches'"
        )
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--preset", choices=["published", "modern"], help="default: published")
    recipe.add_argument("--config", type=Path, metavar="FILE", help="YAML with fields that differ")
    recipe.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="one field; repeat"
    )
    for name, kind, what in (
        ("epochs", int, "whole passes over the data"),
        ("batch-size", int, "samples of a step, on all devices together"),
        ("seed", int, "of everything that is drawn"),
        ("width", int, "channels of the first level (64 as published)"),
    ):
        recipe.add_argument(f"--{name}", type=kind, metavar="N", help=what)
    recipe.add_argument("--start-from", metavar="MODEL", help="begin with the weights of this model")
    place = parser.add_argument_group("where")
    place.add_argument("--out", type=Path, metavar="RUN", help="new folder of the run")
    place.add_argument("--replace", action="store_true", help="replace an existing folder")
    place.add_argument("--name", help="name of the model in the list")
    place.add_argument("--device", metavar="D", help="auto, cpu, cuda, cuda:N (default: auto)")
    place.add_argument("--devices", type=int, metavar="N", help="devices of this computer")
    place.add_argument("--nodes", type=int, metavar="N", help="computers")
    place.add_argument("--dry-run", action="store_true", help="measure a few steps and print what it costs")
    place.add_argument("--detach", action="store_true", help="train in a process that survives this one")
    parser.set_defaults(run=run_new, stage=stage, patience=PATIENCE)


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN")
    parser.add_argument("--epochs", type=int, metavar="N", help="train until this epoch instead")
    parser.add_argument("--device", metavar="D", help="another device than before")
    parser.add_argument("--detach", action="store_true", help="train in a process that survives this one")
    parser.add_argument("--in-background", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=run_resume, patience=PATIENCE)


def run_new(args: argparse.Namespace, events: Events) -> int:
    from ..training.config import resolve
    from ..training.devices import is_first_process
    from ..training.prepare import prepare
    from ..training.session import work

    config = resolve(
        args.stage,
        args.preset,
        args.config,
        args.overrides,
        epochs=args.epochs,
        batch_size=args.batch_size,
        seed=args.seed,
        width=args.width,
        device=args.device,
        devices=args.devices,
        nodes=args.nodes,
    )
    source = _source(args)
    if args.dry_run:
        return _dry_run(args, source, config, events)
    if args.out is None:
        raise UsageError(
            "output-missing",
            "No folder was named for the run.",
            "A training keeps its state, its log and its results in a folder.",
            "Name a new one with --out RUN.",
        )
    if is_first_process():
        folder = prepare(source, config, args.out, events, name=args.name, replace_=args.replace)
        if args.detach:
            return _detach(args, folder, events)
    result = work(args.out, events, config=config)
    return _done(args, args.out, result, events)


def run_resume(args: argparse.Namespace, events: Events) -> int:
    from ..training.runfolder import in_use, is_locked, require_run
    from ..training.session import work

    folder = require_run(args.run_folder)
    if args.detach:
        if is_locked(folder):
            raise in_use(folder.name)
        return _detach(args, folder, events)
    result = work(folder, events, epochs=args.epochs, device=args.device, resuming=True)
    return _done(args, folder, result, events)


def run_stop(args: argparse.Namespace, events: Events) -> int:
    from ..training.runfolder import liveness, request_stop, require_run

    folder = require_run(args.run_folder)
    if liveness(folder) != "running":
        raise UsageError(
            "run-not-at-work",
            f"No process is training in '{folder.name}'.",
            "Only a training that runs can be stopped.",
            "See 'batnet train status'; go on with 'batnet train resume'.",
        )
    request_stop(folder)
    events.result(str(args.run_folder), asked=True)
    if args.events != "json":
        print("Asked to stop: the training ends after its current step, its state saved.")
    return EXIT_DONE


def run_status(args: argparse.Namespace, events: Events) -> int:
    from ..training.runfolder import liveness, read_state, require_run
    from ..training.statuswords import status_words

    folder = require_run(args.run_folder)
    state = read_state(folder)
    alive = liveness(folder, state)
    if args.json:
        print(json.dumps({**state, "liveness": alive}, indent=1, allow_nan=False))
    elif args.events == "json":
        events.result(str(args.run_folder), liveness=alive, state=state)
    else:
        print(status_words(folder.name, state, alive))
    return EXIT_DONE


def _source(args: argparse.Namespace) -> Source:
    from ..training.source import Source

    def whole(path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    start = args.start_from
    if start is not None and Path(start).expanduser().is_file():
        start = str(Path(start).expanduser().absolute())
    data = whole(args.data)
    assert data is not None
    return Source(
        data,
        whole(args.split),
        args.fold,
        whole(args.manifest),
        args.patient_pattern,
        whole(getattr(args, "patches", None)),
        start,
    )


def _dry_run(args: argparse.Namespace, source: Source, config: Config, events: Events) -> int:
    from ..training.dryrun import dry_run

    estimate = dry_run(source, config, events)
    events.result("", **estimate.as_dict())
    if args.events != "json":
        print(estimate.in_words())
    return EXIT_DONE


def _detach(args: argparse.Namespace, folder: Path, events: Events) -> int:
    from ..training.detached import start_detached

    resuming = args.action == "resume"
    start_detached(
        folder,
        events,
        epochs=args.epochs if resuming else None,
        device=args.device if resuming else None,
    )
    events.result(str(folder), detached=True)
    if args.events != "json":
        print(f"Training goes on by itself: {folder}")
        print(f"Follow it with: batnet train status {folder}")
    return EXIT_DONE


def _done(args: argparse.Namespace, folder: Path, result: dict[str, Any], events: Events) -> int:
    from ..training.devices import is_first_process

    if is_first_process():
        events.result(str(folder), **result)
        if args.events != "json":
            print(f"Training done: {folder}")
            if result.get("model"):
                print(f"Model: {result['model']}   (batnet models list)")
            print(RESEARCH_USE_ONLY)
    return EXIT_DONE

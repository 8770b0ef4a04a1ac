"""``batnet annotate``: what readers of brown-fat masks have saved, and what the module runs beside itself."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, EXIT_SOME_FAILED, UsageError
from ..events import Events

if TYPE_CHECKING:
    from ..annotation.worklist import WorkItem, WorkList

EPILOG = """examples:
  batnet annotate list DATA --store READS --reader anna --status open draft
  batnet annotate show --store READS --reader anna --case P01
  batnet annotate finish --store READS --reader anna --case P01
  batnet annotate export DATA --store READS --reader anna      (then: batnet dataset check READS/dataset.csv)
  batnet annotate verify --store READS

Every save is a version of its own below READS; nothing is ever overwritten.
"""


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "annotate",
        help="readers' work on brown-fat masks: list, show, export, verify; read cases ahead",
        description="Readers' masks are made in 3D Slicer (BATNetAnnotate); this command lists and checks "
        f"them and makes them ready for training. Needs no torch. {RESEARCH_USE_ONLY}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    store = argparse.ArgumentParser(add_help=False)
    store.add_argument(
        "--store", type=Path, required=True, metavar="DIR", help="folder that the reads are kept in"
    )
    reader = argparse.ArgumentParser(add_help=False)
    reader.add_argument("--reader", required=True, metavar="NAME", help="whose reads")
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("source", type=Path, metavar="DATA", help="folder with cases, or a manifest")
    source.add_argument("--patient-pattern", metavar="REGEX", help="as in batnet dataset")
    _add_list(actions.add_parser("list", parents=[common, source, store, reader], help="the work list"))
    _add_show(actions.add_parser("show", parents=[common, store, reader], help="the versions of a case"))
    _add_export(actions.add_parser("export", parents=[common, source, store], help="a manifest for training"))
    for name, run, text in (
        ("finish", run_finish, "mark the newest version of a case as done"),
        ("reopen", run_reopen, "make a finished case a draft again"),
        ("lock", run_lock, "make the newest version final; nothing can be saved after it"),
    ):
        action = actions.add_parser(name, parents=[common, store, reader], help=text)
        _add_case(action)
        action.set_defaults(run=run)
    _add_read_ahead(actions.add_parser("read-ahead", parents=[common], help="decode a case into a scratch"))
    verify = actions.add_parser(
        "verify",
        parents=[common, store],
        help="read every file of every version; exit 4 if one is damaged",
    )
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    verify.set_defaults(run=run_verify)


def _add_case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", required=True, metavar="NAME", help="name of the case in the work list")


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--status", nargs="+", choices=["open", "draft", "done", "flagged"], help="only cases that stand so"
    )
    parser.add_argument("--text", default="", help="only cases whose name, patient or note holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_list)


def _add_show(parser: argparse.ArgumentParser) -> None:
    _add_case(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_show)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reader", nargs="+", required=True, metavar="NAME", help="whose reads count, the first one first"
    )
    parser.add_argument("--drafts", action="store_true", help="unfinished reads count too")
    parser.add_argument("--with-open", action="store_true", help="list cases without a read as well")
    parser.add_argument("--out", type=Path, metavar="FILE", help="manifest (default: STORE/dataset.csv)")
    parser.set_defaults(run=run_export)


def _add_read_ahead(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--item",
        type=Path,
        required=True,
        metavar="FILE",
        help="the work item (JSON) of the module",
    )
    parser.add_argument("--scratch", type=Path, required=True, metavar="DIR", help="folder on a local disk")
    parser.add_argument(
        "--limit-gb", type=float, default=6.0, metavar="GB", help="disk that may be used (default: 6)"
    )
    parser.add_argument("--keep", nargs="*", default=[], metavar="CASE", help="cases that stay")
    parser.add_argument("--no-fat", action="store_true", help="make no adipose mask where there is none")
    parser.set_defaults(run=run_read_ahead)


def run_list(args: argparse.Namespace, events: Events) -> int:
    worklist = _open(args, args.reader, events)
    items = worklist.filter(status=args.status, text=args.text)
    counts = worklist.counts()
    if args.json:
        said = {"counts": counts, "seconds": worklist.seconds(), "items": [_plain(item) for item in items]}
        print(json.dumps(said, indent=1, ensure_ascii=True))
        return EXIT_DONE
    print(f"{'case':<32}{'status':<10}{'version':>8}{'minutes':>9}  note")
    for item in items:
        status = "final" if item.locked else item.status
        if item.refusal is not None:
            print(f"{item.case:<32}{'refused':<10}{'':>17}  {item.refusal.found}")
            continue
        version = "" if item.version is None else str(item.version)
        print(f"{item.case:<32}{status:<10}{version:>8}{item.seconds / 60:>9.1f}  {item.note}")
        for number in item.damaged:
            print(f"{'':<32}version {number} is damaged and is not used")
    print(
        f"{len(items)} of {counts['total']} cases shown: {counts['open']} open, {counts['draft']} drafts, "
        f"{counts['done']} done, {counts['flagged']} flagged. {worklist.seconds() / 3600:.1f} h spent."
    )
    return EXIT_DONE


def run_show(args: argparse.Namespace, events: Events) -> int:
    from ..annotation.store import Store

    versions = Store(args.store).verify(args.case, args.reader)
    if not versions:
        raise UsageError(
            "nothing-saved",
            "Nothing was saved for this case and reader.",
            "The names as the work list shows them are needed.",
            "Check --case, --reader and --store.",
        )
    if args.json:
        said = [
            {
                "version": version.number,
                "record": version.record.as_dict() if version.record else None,
                "damage": version.damage.as_dict() if version.damage else None,
            }
            for version in versions
        ]
        print(json.dumps(said, indent=1, ensure_ascii=True))
        return EXIT_DONE
    for version in versions:
        record = version.record
        if version.damage is not None:
            print(f"{version.name}  DAMAGED: {version.damage.found}")
            continue
        assert record is not None
        marks = "".join(f", {word}" for word in ("flagged", "locked") if getattr(record, word))
        ml = record.files["brown"].get("ml", 0.0)
        parent = f"after v{record.parent:04d}" if record.parent else "new"
        print(
            f"{version.name}  {record.time}  {record.status}{marks}  {ml:.2f} mL brown fat  "
            f"{record.seconds_total / 60:.1f} min  {parent}  from {record.edited_from}"
        )
    return EXIT_DONE


def run_export(args: argparse.Namespace, events: Events) -> int:
    from ..annotation.manifest import export_manifest

    worklist = _open(args, args.reader[0], events)
    made = export_manifest(worklist, args.reader, path=args.out, drafts=args.drafts, with_open=args.with_open)
    events.result(str(made.path), cases=len(made.chosen), left_out=len(made.left_out))
    if args.events != "json":
        print(f"{len(made.chosen)} cases with a read, {len(made.left_out)} left out: {made.path}")
        for case, why in made.left_out.items():
            print(f"  {case}: {why}")
    return EXIT_DONE


def run_finish(args: argparse.Namespace, events: Events) -> int:
    return _mark(args, events, "finish")


def run_reopen(args: argparse.Namespace, events: Events) -> int:
    return _mark(args, events, "reopen")


def run_lock(args: argparse.Namespace, events: Events) -> int:
    return _mark(args, events, "lock_final")


def _mark(args: argparse.Namespace, events: Events, what: str) -> int:
    from ..annotation.store import Store

    version = getattr(Store(args.store), what)(args.case, args.reader)
    assert version.record is not None
    facts = {"version": version.number, "status": version.record.status, "locked": version.record.locked}
    events.result(str(version.folder), **facts)
    if args.events != "json":
        state = "final" if version.record.locked else version.record.status
        print(f"Version {version.number} is {state}: {version.folder}")
    return EXIT_DONE


def run_read_ahead(args: argparse.Namespace, events: Events) -> int:
    from ..annotation.readahead import prepare
    from ..annotation.worklist import WorkItem

    try:
        text = args.item.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "item-unreadable",
            f"'{args.item.name}' cannot be read.",
            "A work item as the module writes it is needed.",
            "Open the work list again.",
        ) from error
    ready = prepare(
        WorkItem.from_json(text),
        args.scratch,
        limit_bytes=int(args.limit_gb * 1e9),
        keep=args.keep,
        fat=not args.no_fat,
        events=events,
    )
    events.result(str(ready.folder), files={r: p.name for r, p in ready.files.items()}, facts=ready.facts)
    if args.events != "json":
        print(f"{', '.join(sorted(ready.files))}: {ready.folder}")
    return EXIT_DONE


def run_verify(args: argparse.Namespace, events: Events) -> int:
    from ..annotation.store import Store

    store = Store(args.store)
    reads = list(store.reads())
    if not reads:
        raise UsageError(
            "nothing-saved",
            f"'{args.store.name}' holds no reads.",
            "The folder that the module saves into is needed.",
            "Check --store.",
        )
    damaged: list[dict[str, Any]] = []
    count = 0
    with events.stage("verify reads", len(reads)) as stage:
        for case, reader in reads:
            for version in store.verify(case, reader):
                count += 1
                if version.damage is not None:
                    why = version.damage.found
                    damaged.append({"case": case, "reader": reader, "version": version.number, "why": why})
            stage.advance()
    said = {"reads": len(reads), "versions": count, "damaged": damaged}
    if args.json:
        print(json.dumps(said, indent=1, ensure_ascii=True))
    elif args.events == "json":
        events.result(str(args.store), **said)
    else:
        for entry in damaged:
            print(f"DAMAGED {entry['case']} of {entry['reader']}, version {entry['version']}: {entry['why']}")
        print(f"{count} versions in {len(reads)} reads: {len(damaged)} damaged.")
    return EXIT_SOME_FAILED if damaged else EXIT_DONE


def _open(args: argparse.Namespace, reader: str, events: Events) -> WorkList:
    from ..annotation.store import Store
    from ..annotation.worklist import open_worklist

    worklist = open_worklist(
        args.source, Store(args.store), reader, patient_pattern=args.patient_pattern, events=events
    )
    for text in worklist.warnings:
        events.warning("list", text)
    return worklist


def _plain(item: WorkItem) -> dict[str, Any]:
    return {
        "case": item.case,
        "patient": item.patient,
        "status": item.status,
        "version": item.version,
        "seconds": item.seconds,
        "note": item.note,
        "locked": item.locked,
        "damaged": list(item.damaged),
        "files": sorted(item.files),
        "refusal": item.refusal.as_dict() if item.refusal else None,
    }

"""``batnet models``: the networks that are known; fetch, import, export, remove them. Needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import RESEARCH_USE_ONLY
from ..errors import EXIT_DONE, Cancelled, UsageError
from ..events import Events, JsonLines

if TYPE_CHECKING:
    from ..models.fetching import FetchPlan
    from ..models.registry import ModelEntry
    from ..models.store import Listed, StoredModel


def add_parser(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "models",
        help="list, fetch, import, export and remove networks",
        description="List, fetch, import, export and remove networks. Needs no torch.",
        epilog="Example: batnet models fetch batnet",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    said = argparse.ArgumentParser(add_help=False)
    said.add_argument("--json", action="store_true", help="print one JSON object")
    parents = [common, said]

    listing = actions.add_parser(
        "list",
        parents=parents,
        help="the models that are known, and whether they are here",
        description="List the models that are known, with licence, source and what they were trained on.",
        epilog="Example: batnet models list --json",
    )
    listing.set_defaults(run=run_list)

    fetching = actions.add_parser(
        "fetch",
        parents=parents,
        help="download published weights, after asking",
        description="Download the weights that the authors of a model publish. Says first what would be "
        "downloaded, from where, its size and licence, and asks. A broken download is continued. A proxy is "
        "taken from the environment (https_proxy).",
        epilog="Example: batnet models fetch batnet --yes",
    )
    fetching.add_argument("name", metavar="NAME", help="a set or a model, such as batnet")
    fetching.add_argument("--yes", action="store_true", help="download without asking")
    fetching.add_argument(
        "--url", metavar="BASE", help="record API of a mirror instead of https://zenodo.org/api"
    )
    fetching.add_argument("--replace", action="store_true", help="fetch again what is here already")
    fetching.set_defaults(run=run_fetch)

    importing = actions.add_parser(
        "import",
        parents=parents,
        help="take weights from a file, without running anything of it",
        description="Take weights from a .pth, .pt or .safetensors file, or from the published archive. "
        "Nothing in the file is run. Keys and shapes must be exactly those of one of the two networks.",
        epilog="Example: batnet models import best.pth --name my-clinic-brown --trained-on '310 chest CT'",
    )
    importing.add_argument("file", metavar="FILE", type=Path, help=".pth, .pt, .safetensors or .zip")
    importing.add_argument("--name", help="name to store it under (from the file's name if not given)")
    importing.add_argument("--stage", choices=["adipose", "brown"], help="refuse weights of another stage")
    importing.add_argument("--title", help="one line for lists and reports")
    importing.add_argument("--licence", help="licence of the weights")
    importing.add_argument("--trained-on", help="what it was trained on")
    importing.add_argument("--notes", help="what a reader of results should know")
    importing.add_argument("--password", help="password of an archive (known for the published one)")
    importing.add_argument("--replace", action="store_true", help="take these weights for a name in use")
    importing.set_defaults(run=run_import)

    exporting = actions.add_parser(
        "export",
        parents=parents,
        help="write a model as a file for the authors' code or for another computer",
        description="Write a model as a file. 'authors' is a state dict with the published keys that torch "
        "loads with weights_only=True; only models of the published width, 64, fit the published code. "
        "'safetensors' is for another computer with BATNet. The description is written beside it.",
        epilog="Example: batnet models export my-clinic-brown --format authors --out ce_batcls_model.pth",
    )
    exporting.add_argument("model", metavar="MODEL", help="a model of the list, or a .safetensors file")
    exporting.add_argument(
        "--format",
        dest="form",
        choices=["authors", "safetensors"],
        help="kind of file (from its ending if not given)",
    )
    exporting.add_argument("--out", metavar="FILE", type=Path, required=True, help=".pth or .safetensors")
    exporting.add_argument("--replace", action="store_true", help="write over a file of that name")
    exporting.set_defaults(run=run_export)

    removing = actions.add_parser(
        "remove",
        parents=parents,
        help="delete a fetched or imported model",
        description="Delete a model, or both models of a set, from your folder of models.",
        epilog="Example: batnet models remove my-clinic-brown",
    )
    removing.add_argument("name", metavar="NAME", help="a model or a set")
    removing.set_defaults(run=run_remove)

    where = actions.add_parser(
        "where",
        parents=parents,
        help="the folder of models on this machine",
        description="Name the folder of models. BATNET_HOME sets another.",
        epilog="Example: batnet models where",
    )
    where.set_defaults(run=run_where)


# --- actions


def run_list(args: argparse.Namespace, events: Events) -> int:
    from ..models.registry import load_registry
    from ..models.store import catalogue

    lines = catalogue()
    sets = {
        name: {"title": group.title, "adipose": group.adipose, "brown": group.brown}
        for name, group in load_registry().sets.items()
    }
    facts = {
        "sets": sets,
        "models": [_listed(line) for line in lines],
        "notice": RESEARCH_USE_ONLY,
    }
    _answer(args, events, facts, "\n".join(_listed_in_words(lines, sets)))
    return EXIT_DONE


def run_fetch(args: argparse.Namespace, events: Events) -> int:
    from ..models.fetching import fetch, plan_fetch, to_fetch

    entries = to_fetch(args.name, args.replace)
    if not entries:
        text = (
            f"{args.name} is installed already. To fetch it again: batnet models fetch {args.name} --replace"
        )
        _answer(args, events, {"stored": [], "already_installed": True}, text)
        return EXIT_DONE
    plan = plan_fetch(args.name, entries, args.url, events)
    # Progress for programs is on standard output as JSON lines; what people read goes beside it.
    print(_plan_in_words(plan), file=sys.stderr, flush=True)
    if not args.yes:
        _ask(args.name)
    stored = fetch(plan, args.replace, events=events)
    facts = {"plan": plan.as_dict(), "stored": [_stored(model) for model in stored]}
    _answer(args, events, facts, _stored_in_words(stored))
    return EXIT_DONE


def run_import(args: argparse.Namespace, events: Events) -> int:
    from ..models.importing import import_file

    fields = {key: getattr(args, key) for key in ("title", "licence", "trained_on", "notes")}
    stored = import_file(
        args.file.expanduser(),
        name=args.name,
        stage=args.stage,
        fields=fields,
        password=args.password,
        replace_existing=args.replace,
        events=events,
    )
    _answer(args, events, {"stored": [_stored(model) for model in stored]}, _stored_in_words(stored))
    return EXIT_DONE


def run_export(args: argparse.Namespace, events: Events) -> int:
    from ..models.exporting import export_model

    done = export_model(
        args.model, args.out.expanduser(), args.form, replace_existing=args.replace, events=events
    )
    facts = {
        **_facts(done.entry),
        "file": done.path.name,
        "bytes": done.path.stat().st_size,
        "format": done.form,
        "file_sha256": done.sha256,
        "fits_authors_code": done.fits_authors,
    }
    said = [
        f"Wrote {done.path.name}: {done.entry.name} ({done.entry.architecture}, width {done.entry.width})",
        f"  SHA-256 of the file {done.sha256}",
        f"  SHA-256 of the model {done.entry.sha256}",
        f"  Licence: {done.entry.licence}. Description: {done.path.name}.json",
    ]
    _answer(args, events, {"exported": facts}, "\n".join(said))
    return EXIT_DONE


def run_remove(args: argparse.Namespace, events: Events) -> int:
    from ..models.store import remove

    removed = remove(args.name)
    names = [model.path.name for model in removed]
    _answer(args, events, {"removed": names}, "\n".join(f"Removed {name}" for name in names))
    return EXIT_DONE


def run_where(args: argparse.Namespace, events: Events) -> int:
    from ..models.store import models_folder

    # The one place that names a folder in full: it was asked for.
    folder = str(models_folder())
    _answer(args, events, {"folder": folder}, folder)
    return EXIT_DONE


# --- the user's word


def _ask(name: str) -> None:
    wanted = UsageError(
        "download-not-confirmed",
        "Nothing was downloaded: nobody said yes.",
        "A download needs your word.",
        f"Say it with: batnet models fetch {name} --yes",
    )
    if not sys.stdin.isatty():
        raise wanted
    print("Download it? [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt as error:
        raise Cancelled() from error
    if answer.strip().lower() not in ("y", "yes"):
        raise wanted


# --- what is said


def _answer(args: argparse.Namespace, events: Events, facts: dict[str, Any], text: str) -> None:
    """The result of an action: as an event for programs that read those, else JSON or words."""
    if isinstance(events, JsonLines):
        events.result("", action=args.action, **facts)
    elif args.json:
        print(json.dumps(facts, indent=2))
    else:
        print(text)


def _listed(line: Listed) -> dict[str, Any]:
    return {
        **_facts(line.entry),
        "installed": line.path is not None,
        "comes_with_program": line.shipped,
        "file": line.path.name if line.path else None,
        "bytes": line.size,
    }


def _listed_in_words(lines: list[Listed], sets: dict[str, Any]) -> list[str]:
    said = []
    for line in lines:
        entry = line.entry
        size = f", {line.size / 1e6:.1f} MB" if line.size else ""
        state = f"installed{size}" if line.path else "not installed"
        said.append(f"{entry.name}  ({entry.stage}; {state})")
        said.append(f"  {entry.title}")
        said.append(f"  Licence: {entry.licence}. Source: {entry.source.text}.")
        said.append(f"  Trained on: {entry.trained_on}.")
        said += [
            f"  Operating point: probability {p.threshold:g} in {p.cohort} (n={p.n}): sensitivity "
            f"{p.sensitivity:g}, specificity {p.specificity:g}."
            for p in entry.operating_points
        ]
        if entry.sha256:
            said.append(f"  SHA-256: {entry.sha256}")
        said += [f"  Known patent: {patent}." for patent in entry.patents]
        if entry.notes:
            said.append(f"  {entry.notes}")
        said.append("")
    said.append("Sets, one name for both stages:")
    said += [f"  {name}: {g['adipose']} and {g['brown']}. {g['title']}." for name, g in sets.items()]
    return [*said, "", RESEARCH_USE_ONLY]


def _plan_in_words(plan: FetchPlan) -> str:
    facts = plan.as_dict()
    said = [
        f"{facts['title']}",
        f"  Models:   {', '.join(facts['models'])}",
        f"  Download: {facts['file']}, {facts['bytes'] / 1e6:.1f} MB, from {facts['from']}",
        f"  Record:   {facts['record']}",
        f"  Licence:  {facts['licence']}",
    ]
    said += [f"  Patent:   {patent}" for patent in facts["patents"]]
    return "\n".join([*said, f"  {RESEARCH_USE_ONLY}"])


def _stored(model: StoredModel) -> dict[str, Any]:
    return {**_facts(model.entry), "file": model.path.name, "bytes": model.path.stat().st_size}


def _facts(entry: ModelEntry) -> dict[str, Any]:
    """What is known of a model, without passwords."""
    facts = entry.as_dict()
    facts["source"].pop("password", None)
    return facts


def _stored_in_words(stored: list[StoredModel]) -> str:
    said = []
    for model in stored:
        entry = model.entry
        said.append(f"Stored {entry.name} ({entry.stage} stage, {entry.architecture}, width {entry.width})")
        said.append(f"  SHA-256 {entry.sha256}")
        said.append(f"  Use it with: batnet analyze SCAN --{entry.stage}-model {entry.name}")
    return "\n".join(said)

"""From a file of weights to a model in the user's folder: read, described, stored under a name.

Takes what ``reading`` reads, or the published archive. Needs numpy, not torch.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputRefused, UsageError
from ..events import Events
from .archive import open_zip, unpack
from .reading import Weights, read_weights
from .registry import ModelEntry, load_registry, make_entry, parse_description
from .store import StoredModel, check_name, description_path, description_text, models_folder, stored_models
from .weights import (
    cannot_write,
    is_safetensors,
    read_limited,
    sha256_of,
    unreadable,
    working_folder,
    write_safetensors,
    write_whole,
)


def import_file(
    path: Path,
    name: str | None = None,
    stage: str | None = None,
    fields: Mapping[str, Any] | None = None,
    password: str | None = None,
    replace_existing: bool = False,
    folder: Path | None = None,
    events: Events | None = None,
) -> list[StoredModel]:
    """Store a file of weights as a model, or both models of the published archive; returns what is stored.

    ``fields`` (title, licence, trained_on, ...) describe it and go before what the registry or a description
    beside the file says. Importing the same weights under the same name again changes nothing. Raises as
    ``read_weights`` and ``archive.unpack``; ``UsageError`` for a name that cannot be used;
    ``OutputRefused`` where the folder of models cannot be written.
    """
    events = events or Events()
    registry = load_registry()
    folder = folder or models_folder()
    if _is_archive(path):
        if name is not None:
            raise UsageError(
                "name-for-archive",
                f"{path.name} is an archive of several models.",
                "Their names are those of the registry.",
                "Leave --name out, or unpack the archive and import its files one by one.",
            )
        entries = [entry for entry in registry.models.values() if entry.source.member]
        return import_archive(path, entries, fields or {}, password, replace_existing, folder, events)
    described = description_path(path)
    base = parse_description(described) if described.is_file() else None
    name = name or (base.name if base else _name_from(path))
    check_name(name, registry)
    weights = read_weights(path, stage, events)
    entry = _describe(name, weights, path.name, registry.models.get(name) or base, fields or {})
    return [store_weights(weights, entry, folder, replace_existing, events)]


def store_weights(
    weights: Weights,
    entry: ModelEntry,
    folder: Path,
    replace_existing: bool = False,
    events: Events | None = None,
) -> StoredModel:
    """Write checked weights and their description into the folder of models."""
    events = events or Events()
    with events.stage("store model"), working_folder(folder) as working:
        events.check()
        temporary = working / "model.safetensors"
        digest = write_safetensors(temporary, weights.arrays)
        entry = replace(entry, sha256=digest, shipped=None)
        path = folder / f"{entry.name}-{digest[:8]}.safetensors"
        others = [model for model in stored_models(folder) if model.entry.name == entry.name]
        if any(model.path != path for model in others) and not replace_existing:
            raise UsageError(
                "model-name-taken",
                f"A model {entry.name} with other weights is stored already.",
                "One name stands for one file of weights, so that results can be traced.",
                "Give another with --name NAME, or take the new weights for the name with --replace.",
            )
        try:
            temporary.replace(path)
        except OSError as error:
            raise cannot_write(path) from error
        write_whole(description_path(path), description_text(entry))
    for model in others:
        if model.path != path:
            _forget(model)
    return StoredModel(entry, path)


def _forget(model: StoredModel) -> None:
    """Remove a model whose name now stands for other weights."""
    try:
        description_path(model.path).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(model.path, error) from error
    # Without its description it is listed no more; a program that still reads it may keep the file.
    with contextlib.suppress(OSError):
        model.path.unlink(missing_ok=True)


def describe_model(path: Path, fields: Mapping[str, Any]) -> ModelEntry:
    """Write the description beside a .safetensors file of weights (a trained or a demonstration model).

    Stage, architecture, width and SHA-256 are read from the file; ``fields`` gives the rest: ``name``,
    ``title``, ``licence``, ``source`` (a text, or an object with ``text`` and ``url``), ``trained_on``, and
    if they apply ``demonstration``, ``calibrated``, ``operating_points``, ``patents``, ``notes``.
    Raises ``InputRefused`` as ``read_weights``, ``UsageError`` naming a field that is wrong or missing.
    """
    data = read_limited(path)
    if path.suffix != ".safetensors" or not is_safetensors(data[:64]):
        raise InputRefused(
            "not-safetensors",
            f"{path.name} is not a .safetensors file.",
            "Weights as .safetensors are wanted.",
            "Save the state dict with safetensors.torch.save_file first.",
        )
    weights = read_weights(path)
    if weights.filled_in:
        raise InputRefused(
            "weights-differ",
            f"{path.name} lacks counters of its layers.",
            "All tensors.",
            "Save the state dict.",
        )
    known = {
        "stage": weights.stage,
        "architecture": weights.architecture,
        "width": weights.width,
        "sha256": sha256_of(data),
    }
    given = dict(fields)
    if isinstance(given.get("source"), str):
        given["source"] = {"text": given["source"]}
    entry = make_entry({**given, **known})
    write_whole(description_path(path), description_text(entry))
    return entry


# --- descriptions


def _name_from(path: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:60].strip("-")
    return name or "imported"


def _describe(
    name: str,
    weights: Weights,
    file: str,
    base: ModelEntry | None,
    fields: Mapping[str, Any],
    origin: str = "",
) -> ModelEntry:
    """The description of imported weights: what the user says, else what is known, else that it is not."""
    if base is not None and (base.architecture, base.width) != (weights.architecture, weights.width):
        raise InputRefused(
            "weights-differ",
            f"{file} is a {weights.architecture} of width {weights.width}.",
            f"The name {name} stands for a {base.architecture} of width {base.width}.",
            "Give it a name of its own with --name NAME.",
        )
    origin = ", ".join(filter(None, [origin, f"imported from {file}, SHA-256 {weights.source_sha256}"]))
    if base is not None:
        known = base.as_dict()
        known["source"]["text"] = f"{base.source.text}; {origin}"
    else:
        known = {
            "title": f"Imported from {file}",
            "licence": "not stated",
            "source": {"text": origin},
            "trained_on": "not stated",
        }
    network = {"stage": weights.stage, "architecture": weights.architecture, "width": weights.width}
    given = {key: value for key, value in fields.items() if value is not None}
    entry = make_entry({**known, **given, **network, "name": name, "sha256": None, "shipped": None})
    if weights.filled_in:
        note = f"{len(weights.filled_in)} counters of batches were absent (torch before 0.4.1) and set to 0."
        entry = replace(entry, notes=f"{entry.notes} {note}".strip())
    return entry


# --- the published archive


def _is_archive(path: Path) -> bool:
    """A zip archive that holds files of weights, rather than being one."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return False
            with open_zip(file) as archive:
                names = archive.namelist()
    except OSError as error:
        raise unreadable(path) from error
    return not any(name.endswith("data.pkl") for name in names)


def import_archive(
    path: Path,
    entries: Sequence[ModelEntry],
    fields: Mapping[str, Any],
    password: str | None,
    replace_existing: bool,
    folder: Path,
    events: Events,
    origin: str = "",
) -> list[StoredModel]:
    """Store the models of ``entries`` from an archive that holds each under its ``source.member``.

    ``password``: the one of the registry when None. All are checked before any is stored.
    """
    secret = password or next((e.source.password for e in entries if e.source.password), None)
    with working_folder(folder) as working:
        names = [str(entry.source.member) for entry in entries]
        members = unpack(path, names, working, secret.encode("utf-8") if secret else None, events)
        ready = []
        for entry in entries:
            member = members[str(entry.source.member)]
            weights = read_weights(member, entry.stage, events)
            ready.append((weights, _describe(entry.name, weights, member.name, entry, fields, origin)))
        return [store_weights(weights, entry, folder, replace_existing, events) for weights, entry in ready]

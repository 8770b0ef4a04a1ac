"""The user's folder of models, and how a name becomes a file.

A stored model is ``<name>-<first 8 digits of its hash>.safetensors`` with its description beside it
(``....safetensors.json``). The description is written last and removed first, so that a model is listed
only when it is whole. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import NoModel, OutputRefused, UsageError
from ..resources import resource
from .printable import printable
from .registry import (
    SCHEMA_VERSION,
    ModelEntry,
    Registry,
    is_name,
    load_registry,
    parse_description,
)


@dataclass(frozen=True)
class StoredModel:
    """A model whose file is here; ``entry`` carries the hash that the file must have."""

    entry: ModelEntry
    path: Path


def home_folder() -> Path:
    """Where the program keeps what belongs to the user: ``$BATNET_HOME``, else the platform's place."""
    given = os.environ.get("BATNET_HOME")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "BATNet"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "BATNet"
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "batnet"


def models_folder() -> Path:
    return home_folder() / "models"


def description_path(model: Path) -> Path:
    """The description of a model file lies beside it."""
    return model.with_name(model.name + ".json")


def description_text(entry: ModelEntry) -> bytes:
    values = {"schema_version": SCHEMA_VERSION, **entry.as_dict()}
    values.pop("shipped", None)
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def stored_models(folder: Path | None = None) -> list[StoredModel]:
    """The models in the user's folder, by name; what has no whole description is left out."""
    folder = folder or models_folder()
    found = []
    # A folder that is missing or may not be read holds no models.
    with contextlib.suppress(OSError):
        for text in sorted(folder.glob("*.safetensors.json")):
            path = text.with_name(text.name[: -len(".json")])
            with contextlib.suppress(NoModel):
                if path.is_file():
                    found.append(StoredModel(parse_description(text), path))
    return found


def shipped_models(registry: Registry) -> list[StoredModel]:
    """The models that come with the program and whose file is there with its description."""
    found = []
    for entry in registry.models.values():
        if entry.shipped is None:
            continue
        path = resource("models/registry.json").with_name(entry.shipped)
        if path.is_file() and description_path(path).is_file():
            found.append(StoredModel(parse_description(description_path(path)), path))
    return found


@dataclass(frozen=True)
class Listed:
    """A line of ``models list``: an entry, and its file where it is installed."""

    entry: ModelEntry
    path: Path | None
    shipped: bool

    @property
    def size(self) -> int | None:
        return self.path.stat().st_size if self.path else None


def catalogue(folder: Path | None = None) -> list[Listed]:
    """All models that are known: those of the registry first, then the user's own."""
    registry = load_registry()
    here = {model.entry.name: model for model in [*stored_models(folder), *shipped_models(registry)]}
    lines = []
    for entry in registry.models.values():
        model = here.pop(entry.name, None)
        lines.append(
            Listed(model.entry if model else entry, model.path if model else None, entry.shipped is not None)
        )
    return lines + [Listed(model.entry, model.path, False) for model in here.values()]


def resolve(name: str, stage: str, folder: Path | None = None) -> StoredModel:
    """The installed model that ``name`` (of a model, a set, or name-hash of a stored file) means for a stage.

    Raises ``NoModel``: ``model-unknown`` (lists the known names), ``model-not-installed`` (says how to
    get it), ``model-wrong-stage``.
    """
    registry = load_registry()
    wanted = registry.sets[name].model(stage) if name in registry.sets else name
    known = catalogue(folder)
    for line in known:
        if wanted == line.entry.name or (line.path and wanted == line.path.name[: -len(".safetensors")]):
            if line.entry.stage != stage:
                raise wrong_stage(line.entry.name, line.entry.stage, stage)
            if line.path is None:
                raise not_installed(line.entry, registry)
            return StoredModel(line.entry, line.path)
    names = ", ".join([*registry.sets, *(line.entry.name for line in known if line.entry.stage == stage)])
    raise NoModel(
        "model-unknown",
        f"There is no model {_shown(name)}.",
        f"For the {stage} stage these are known: {names}.",
        "List them with: batnet models list. Add your own with: batnet models import FILE",
    )


def _shown(name: str) -> str:
    """A name as it may stand in a message: without folders, short, printable."""
    base = Path(name).name or name
    return f"'{printable(base, 80)}'"


def wrong_stage(name: str, found: str, wanted: str) -> NoModel:
    tasks = {"adipose": "segments adipose tissue", "brown": "rates brown fat"}
    return NoModel(
        "model-wrong-stage",
        f"The model {name} {tasks[found]}.",
        f"A model that {tasks[wanted]} (stage {wanted}) is wanted here.",
        "See the stage of each model with: batnet models list",
    )


def not_installed(entry: ModelEntry, registry: Registry) -> NoModel:
    if entry.shipped:
        return NoModel(
            "model-not-installed",
            f"The model {entry.name} comes with the program, but its file is not there.",
            f"{entry.shipped} belongs in the folder Resources/models.",
            "Install the program again.",
        )
    group = next((g.name for g in registry.sets.values() if entry.name == g.model(entry.stage)), entry.name)
    return NoModel(
        "model-not-installed",
        f"The model {entry.name} is not on this machine.",
        "It is not shipped with the program; its authors publish it.",
        f"Download it with: batnet models fetch {group}. Or get {entry.source.file} in a browser from "
        f"{entry.source.url} and give it to: batnet models import {entry.source.file}",
    )


def check_name(name: str, registry: Registry) -> None:
    """Whether a user may store a model under this name. Raises ``UsageError``."""
    if not is_name(name):
        raise UsageError(
            "model-name",
            f"{_shown(name)} cannot be the name of a model.",
            "Lower-case letters, digits, dots and dashes are wanted, at most 64, such as my-clinic-brown.",
            "Give another with --name NAME.",
        )
    if name in registry.sets or (name in registry.models and registry.models[name].shipped):
        raise UsageError(
            "model-name-taken",
            f"The name {name} belongs to what comes with the program.",
            "A name of your own is wanted.",
            "Give another with --name NAME.",
        )


def remove(name: str, folder: Path | None = None) -> list[StoredModel]:
    """Remove a stored model, or both of a set; returns what was removed.

    Raises ``UsageError`` for a model that is not in the user's folder, ``OutputRefused`` where it cannot
    be deleted.
    """
    registry = load_registry()
    wanted = {name}
    if name in registry.sets:
        wanted = {registry.sets[name].adipose, registry.sets[name].brown}
    doomed = [m for m in stored_models(folder) if m.entry.name in wanted or m.path.stem == name]
    if not doomed:
        shipped = any(entry.shipped for key, entry in registry.models.items() if key in wanted)
        raise UsageError(
            "model-shipped" if shipped else "model-unknown",
            f"{_shown(name)} {'comes with the program' if shipped else 'is not in your folder of models'}.",
            "Only models that were fetched or imported can be removed.",
            "See what is there with: batnet models list",
        )
    for model in doomed:
        try:
            description_path(model.path).unlink()
            model.path.unlink()
        except OSError as error:
            raise OutputRefused(
                "models-unwritable",
                f"{model.path.name} cannot be removed from the folder of models.",
                "The permission to delete there is wanted, and that no program has it open.",
                "Close programs that use it and check the folder: batnet models where",
            ) from error
    return doomed

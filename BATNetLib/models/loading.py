"""From a name to a network that is ready to run. The only module here that needs torch, and only inside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..device import require_torch
from ..errors import InputRefused, NoModel, UsageError
from ..events import Events
from .architectures import PUBLISHED_WIDTH, STAGES, Architecture, architecture_of_stage
from .registry import ModelEntry, Source, is_name, parse_description
from .store import StoredModel, description_path, resolve, wrong_stage

if TYPE_CHECKING:
    import torch


@dataclass
class LoadedModel:
    """A network in evaluation mode on the CPU, with what is known of it and the hash of its weights."""

    network: torch.nn.Module
    entry: ModelEntry
    sha256: str

    def passport(self) -> dict[str, Any]:
        """Plain JSON values for the passport of a result."""
        values = self.entry.as_dict()
        values["sha256"] = self.sha256
        values["source"].pop("password", None)
        return values


def build_network(architecture: str, width: int) -> torch.nn.Module:
    """The network of an architecture with fresh weights."""
    import importlib

    module = {"MAMUNet": "BATNetLib.adipose.network", "CEBATCls": "BATNetLib.brown.network"}[architecture]
    return getattr(importlib.import_module(module), architecture)(width=width)


def locate(name_or_path: str | Path, stage: str) -> StoredModel:
    """The file that a name or a path means, before it is read. Raises as ``load_model``."""
    if stage not in STAGES:
        raise UsageError(
            "stage-unknown", f"There is no stage {stage!r}.", "adipose or brown.", "Name one of them."
        )
    text = str(name_or_path)
    path = Path(text).expanduser()
    if not isinstance(name_or_path, Path) and is_name(text) and not text.endswith(".safetensors"):
        return resolve(text, stage)
    if path.suffix.lower() in (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".zip"):
        raise NoModel(
            "model-not-imported",
            f"{path.name} is a checkpoint, which can hold programs as well as weights.",
            "Networks are loaded from .safetensors only.",
            f"Convert it once, without running anything of it: batnet models import {path.name}",
        )
    if path.suffix.lower() != ".safetensors":
        return resolve(text, stage)
    if not path.is_file():
        raise NoModel(
            "model-missing",
            f"There is no file {path.name}.",
            "The name of a model or the path of a .safetensors file is wanted.",
            "See the names with: batnet models list",
        )
    if description_path(path).is_file():
        return StoredModel(parse_description(description_path(path)), path)
    return StoredModel(_undescribed(path, stage), path)


def _undescribed(path: Path, stage: str) -> ModelEntry:
    return ModelEntry(
        name=path.stem,
        title=f"{path.stem}, not described",
        stage=stage,
        architecture=architecture_of_stage(stage).name,
        width=PUBLISHED_WIDTH,
        licence="not stated",
        source=Source(text=f"the file {path.name}"),
        trained_on="not stated",
    )


def load_model(name_or_path: str | Path, stage: str, events: Events | None = None) -> LoadedModel:
    """Load a model for ``stage`` ("adipose" or "brown").

    ``name_or_path``: a model (``batnet-brown``), a set (``batnet``, ``demo``) or a .safetensors file. The
    width is read from the weights. Raises ``NoModel`` where it is unknown, not installed, of the other
    stage, changed since it was stored (its hash), or where a tensor is missing, superfluous, of another
    shape or not finite; each is named. Raises ``NoModel`` ``torch-missing`` without torch.
    """
    events = events or Events()
    model = locate(name_or_path, stage)
    with events.stage(f"load {model.entry.name}"):
        return _load(model, stage, events)


def _load(model: StoredModel, stage: str, events: Events) -> LoadedModel:
    arrays, architecture, width, digest = read_stored(model, stage)
    events.check()
    if model.entry.sha256 is None:
        events.warning(
            "model-undescribed",
            f"Nothing is known of the model {model.entry.name}: where it comes from, what it was trained on.",
        )
    network = filled_network(architecture.name, width, arrays)
    entry = replace(model.entry, architecture=architecture.name, width=width, sha256=digest)
    return LoadedModel(network, entry, digest)


def read_stored(model: StoredModel, stage: str) -> tuple[dict[str, Any], Architecture, int, str]:
    """Tensors of a model's file as arrays, checked, with architecture, width and SHA-256; needs no torch.

    Raises ``NoModel`` as ``load_model``.
    """
    from .weights import judge, read_limited, read_safetensors, sha256_of

    name = model.entry.name
    try:
        data = read_limited(model.path)
        digest = sha256_of(data)
        if model.entry.sha256 not in (None, digest):
            raise NoModel(
                "model-hash",
                f"The file of the model {name} is not the one that was stored: its SHA-256 begins with "
                f"{digest[:8]} instead of {str(model.entry.sha256)[:8]}.",
                "A model must be unchanged since it was checked.",
                _get_it_again(model),
            )
        arrays = read_safetensors(data)
        architecture, width, complaint = judge(arrays)
    except InputRefused as error:
        raise NoModel(
            error.code, f"The model {name} cannot be used. {error.found}", error.wanted, _get_it_again(model)
        ) from error
    if architecture.stage != stage:
        raise wrong_stage(name, architecture.stage, stage)
    if complaint:
        raise NoModel(
            "model-broken",
            f"The model {name} is not a whole {architecture.name} of width {width}: {complaint}.",
            "Every tensor of the network is wanted, in its shape, with finite numbers.",
            _get_it_again(model),
        )
    return arrays, architecture, width, digest


def filled_network(architecture: str, width: int, arrays: dict[str, Any]) -> torch.nn.Module:
    require_torch()
    import torch

    # Without numbers of its own the network need not draw 30 million random ones first.
    with torch.device("meta"):
        network = build_network(architecture, width)
    state = {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def _get_it_again(model: StoredModel) -> str:
    entry = model.entry
    if entry.demonstration:
        return "Install the program again, or train the demonstration models anew."
    if entry.source.record:
        return f"Remove it (batnet models remove {entry.name}) and fetch it again: batnet models fetch batnet"
    return (
        f"Get the file again from its source ({entry.source.text}) and import it: batnet models import FILE"
    )

"""The folder of a new run: all that can be refused is refused before anything is computed. No torch."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputRefused, UsageError
from ..events import Events
from ..models.registry import load_registry
from ..models.store import check_name
from ..workfiles import whole_folder
from .config import Config, write_config
from .runfolder import (
    CONFIG,
    PATHS,
    RUN,
    SCHEMA_VERSION,
    SPLIT,
    RunState,
    in_use,
    is_locked,
    now,
    read_run,
    write_json,
)
from .source import Source, open_data, parts_of, source_of, split_of


def prepare(
    source: Source,
    config: Config,
    out: Path,
    events: Events,
    *,
    name: str | None = None,
    replace_: bool = False,
) -> Path:
    """Make the folder of a new run; returns it as an absolute path.

    Raises ``UsageError``, ``InputRefused`` for data, split, fold, model or a folder that cannot be used.
    """
    out = out.expanduser().absolute()
    if (out / RUN).is_file() and is_locked(out):
        raise in_use(out.name)
    if out.exists() and not replace_:
        raise UsageError(
            "output-exists",
            f"'{out.name}' exists already.",
            "A training begins in a folder of its own.",
            "Go on with it by 'batnet train resume', choose another --out, or say --replace.",
        )
    model_name = name or f"{config.stage}-{_plain(out.name)}"
    check_name(model_name, load_registry())
    dataset = open_data(source, config.stage, events)
    dataset.require_apart(out)
    _require_outside(source.data, out)
    split = split_of(source, dataset, events)
    start, config = _start(source, config, events)
    with whole_folder(out, replace=replace_) as tmp:
        from ..dataset.splitfile import write_split

        write_split(split, tmp / SPLIT)
        parts = parts_of(dataset, tmp / SPLIT, source.fold)
        write_config(config, tmp / CONFIG)
        paths = {
            key: None if value is None else str(value) for key, value in vars(source).items() if key != "fold"
        }
        write_json(tmp / PATHS, paths)
        write_json(
            tmp / RUN,
            {
                "schema": SCHEMA_VERSION,
                "stage": config.stage,
                "preset": config.preset,
                "name": model_name,
                "data": {"name": dataset.name, "digest": dataset.digest(), "cases": parts.counts()},
                "split": {"sha256": parts.sha256, "fold": parts.fold, "kind": split.kind},
                "start_from": start,
                "software": {"batnet": __version__},
                "config_sha256": config.digest(),
                "seed": config.seed,
                "created": now(),
                "resumed": [],
                "device": None,
            },
        )
        with RunState(tmp, epochs=config.epochs, metric=vars(config.metric())):
            pass
    return out


def _require_outside(data: Path, out: Path) -> None:
    """Refuse a run inside its data: its example images would be taken for cases when it is gone on with."""
    if data.is_dir() and data.resolve() in out.resolve().parents:
        raise UsageError(
            "output-in-data",
            f"The run '{out.name}' would lie inside its training data.",
            "Nothing is written into the folders of inputs.",
            "Choose a place beside them with --out.",
        )


def _start(source: Source, config: Config, events: Events) -> tuple[dict[str, Any] | None, Config]:
    """The model that a training begins with, for ``run.json``, and the configuration in its width."""
    if source.start_from is None:
        return None, config
    from ..models.loading import locate
    from ..models.weights import judge, read_limited, read_safetensors, sha256_of

    model = locate(source.start_from, config.stage)
    data = read_limited(model.path)
    architecture, width, complaint = judge(read_safetensors(data))
    if architecture.stage != config.stage or complaint:
        raise UsageError(
            "start-unfit",
            f"The model {model.entry.name} cannot begin a training of the stage {config.stage}"
            + (f": {complaint}." if complaint else f": it is a model of the stage {architecture.stage}."),
            "Whole weights of the same stage are needed.",
            "Choose another with --start-from; see 'batnet models list'.",
        )
    if width != config.width:
        events.warning("start-width", f"The network has the width {width}, that of the model it starts from.")
    return {"name": model.entry.name, "sha256": sha256_of(data)}, replace(config, width=width)


def start_weights(folder: Path, events: Events) -> dict[str, Any] | None:
    """The weights to begin with, where the training has not begun yet."""
    from . import checkpoint

    source, run = source_of(folder), read_run(folder)
    if source.start_from is None or checkpoint.exists(folder):
        return None
    from ..models import load_model

    model = load_model(source.start_from, run["stage"], events)
    if model.sha256 != run["start_from"]["sha256"]:
        raise InputRefused(
            "start-changed",
            f"The model {model.entry.name} to start from is another one than when the run was made.",
            "The training must begin with the weights that its record names.",
            "Start the training again in a new folder.",
        )
    return dict(model.network.state_dict())


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "run"

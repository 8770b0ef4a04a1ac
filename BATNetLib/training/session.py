"""A training in its run folder until it is done or stopped: in this process, or in one nobody waits for."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dataset.cases import Dataset
from ..errors import BATNetError, Cancelled, InputRefused, UsageError
from ..events import Events
from .config import Config, make_config, read_config, write_config
from .contract import Parts, StageTraining, Workspace
from .prepare import start_weights
from .runfolder import (
    CACHE,
    CONFIG,
    DONE,
    LAST,
    RUN,
    RUNNING,
    SPLIT,
    STARTING,
    STOPPED,
    RunState,
    clear_stop,
    now,
    read_run,
    read_state,
    require_run,
    run_lock,
    stop_requested,
    write_json,
)
from .source import open_data, parts_of, source_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Seconds between two looks for a file that asks the run to stop.
_LOOK = 0.5


def work(
    folder: Path,
    events: Events,
    *,
    config: Config | None = None,
    epochs: int | None = None,
    device: str | None = None,
    resuming: bool = False,
) -> dict[str, Any]:
    """Train in a run folder until the end; returns ``state.json["result"]``.

    ``resuming``: goes on with a run that was begun, with other ``epochs`` or on another ``device`` if said.
    ``config``: of a new run, for those of several processes that cannot read it there yet.

    Raises ``UsageError`` ("run-in-use", "run-over"), ``Cancelled`` after a wish to stop, and whatever
    refuses; the state says it too.
    """
    from .devices import is_first_process

    if not is_first_process():
        with _process_group():
            return _follow(folder.expanduser().absolute(), config)
    folder = require_run(folder)
    with run_lock(folder):
        former = read_state(folder)
        if resuming:
            _require_open(folder, former, epochs)
        config = _configuration(folder, epochs, device)
        clear_stop(folder)
        kept = {key: former.get(key) for key in ("epoch", "step", "steps", "best", "seconds_per_epoch")}
        fields = {**kept, "epochs": config.epochs, "metric": vars(config.metric()), "state": STARTING}
        with RunState(folder, **fields) as state, _watched(folder, events), _process_group():
            return _work(folder, config, events, state, resuming)


def _work(folder: Path, config: Config, events: Events, state: RunState, resuming: bool) -> dict[str, Any]:
    """The first process' work, whose every end is told in the state."""
    try:
        result = _train(folder, config, events, state, resuming)
    except Cancelled:
        clear_stop(folder)
        state.update(state=STOPPED, error=None, seconds_left=None)
        _report(folder, events)
        raise
    except BATNetError as error:
        told = _of_training(error)
        state.fail(told)
        _report(folder, events)
        if told is error:
            raise
        raise told from error
    except Exception as error:
        known = _in_words(error)
        state.fail(known or _defect(error))
        _report(folder, events)
        if known is not None:
            raise known from error
        raise
    state.update(state=DONE, result=result, error=None, seconds_left=0.0)
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    return result


def _train(folder: Path, config: Config, events: Events, state: RunState, resuming: bool) -> dict[str, Any]:
    from . import checkpoint
    from .devices import make_fabric
    from .logs import RunLog, cut_back
    from .loop import Loop

    fabric = make_fabric(config, events)
    saved = checkpoint.load(folder)
    begun = (1, 0) if saved is None else (saved["progress"]["epoch"], saved["progress"]["global_step"])
    cut_back(folder, *begun)
    del saved
    log = RunLog(folder, tensorboard=config.tensorboard, resumed_at=begun[1])
    _remember(folder, fabric, resuming)
    dataset, parts, stage = _stage(folder, config, events, fabric)
    told = len(events.warnings)
    for warning in events.warnings:
        log.warning(warning["code"], warning["text"])
    loop = Loop(folder, config, stage, fabric, events, state, log, start=start_weights(folder, events))
    if resuming and config.epochs > int(state["epoch"]) and loop.over():
        loop.progress.waited = 0  # asked to go on although there was no gain any more
    state.update(state=RUNNING)
    if resuming:
        log.note("resumed", f"Gone on with in epoch {loop.progress.epoch}, after step {loop.progress.step}.")
    ended = loop.train()
    if ended == "early":
        log.note("early-stopping", f"No gain any more: stopped after epoch {loop.progress.epoch - 1}.")
    for warning in events.warnings[told:]:
        log.warning(warning["code"], warning["text"])
    log.close()
    return _finish(folder, stage, dataset, parts, events)


def _follow(folder: Path, config: Config | None) -> dict[str, Any]:
    """The work of every process but the first, which has prepared the folder and says everything."""
    from .devices import make_fabric
    from .loop import Loop

    silent = Events()
    # Launching waits until the first process has made the folder.
    fabric = make_fabric(config or read_config(folder / CONFIG), silent)
    config = read_config(folder / CONFIG)
    _, _, stage = _stage(folder, config, silent, fabric)
    with contextlib.suppress(Cancelled):
        Loop(folder, config, stage, fabric, silent, None, None, start=start_weights(folder, silent)).train()
    return {}


def _stage(
    folder: Path, config: Config, events: Events, fabric: Fabric
) -> tuple[Dataset, Parts, StageTraining]:
    source = source_of(folder)
    dataset = open_data(source, config.stage, events)
    parts = parts_of(dataset, folder / SPLIT, source.fold)
    build = importlib.import_module(f".{config.stage}_stage", __package__).build
    workspace = Workspace(folder / CACHE, fabric.global_rank, fabric.world_size, fabric.barrier)
    return dataset, parts, build(config, dataset, parts, events, workspace)


def _configuration(folder: Path, epochs: int | None, device: str | None) -> Config:
    """The configuration of a run, with what is asked for now; stored where that changes it."""
    config = read_config(folder / CONFIG)
    changed = config
    if epochs is not None and epochs != config.epochs:
        changed = make_config({**config.as_dict(), "epochs": epochs})
    if device is not None:
        changed = replace(changed, device=device)
    if changed != config:
        write_config(changed, folder / CONFIG)
    return changed


def _require_open(folder: Path, state: dict[str, Any], epochs: int | None) -> None:
    done = int(state.get("epoch") or 0)
    if state.get("state") == DONE and (epochs is None or epochs <= done):
        raise UsageError(
            "run-over",
            f"The training in '{folder.name}' is done ({done} epochs).",
            "A training that is done has nothing left to do.",
            "Say --epochs with a larger number to train longer.",
        )


def _remember(folder: Path, fabric: Fabric, resuming: bool) -> None:
    """Device and versions of what trains, and when it was taken up again."""
    from importlib.metadata import PackageNotFoundError, version

    from ..device import device_title

    run = read_run(folder)
    for package in ("torch", "monai", "lightning-fabric", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            run["software"][package] = version(package)
    run["device"] = device_title(fabric.device)
    if fabric.world_size > 1:
        run["device"] += f", {fabric.world_size} processes"
    if resuming:
        run["resumed"].append(now())
    write_json(folder / RUN, run)


def _finish(
    folder: Path, stage: StageTraining, dataset: Dataset, parts: Parts, events: Events
) -> dict[str, Any]:
    from .finish import finish_run

    return finish_run(folder, stage, dataset, parts, events)


def _report(folder: Path, events: Events) -> None:
    """The report of a run that ends before its end; without it the run is none the worse."""
    if not (folder / LAST).exists():
        return
    try:
        from .report import write_report

        write_report(folder)
    except Exception as error:
        events.warning("report-failed", f"The report was not written ({type(error).__name__}).")


# --- small things


@contextmanager
def _process_group() -> Iterator[None]:
    """Leave the group of processes at the end, if this one came to be in one."""
    try:
        yield
    finally:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _watched(folder: Path, events: Events) -> Iterator[None]:
    """Turn the file ``stop`` into a wish to stop, also while data are read or cases validated."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK):
            if stop_requested(folder):
                events.cancel()
                return

    thread = threading.Thread(target=watch, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _of_training(error: BATNetError) -> BATNetError:
    """The same refusal; of one that comes of the disk, what can be done about it in a training."""
    if error.code not in ("disk-full", "output-unwritable"):
        return error
    return type(error)(
        error.code,
        error.found,
        "The last good state of the training is kept.",
        "Make room (or connect the drive), then go on with 'batnet train resume'.",
    )


def _in_words(error: Exception) -> BATNetError | None:
    from ..device import is_out_of_memory

    if is_out_of_memory(error):
        return InputRefused(
            "memory-too-small",
            "Memory ran out in the training.",
            "A batch must fit into the memory of the device.",
            "Say a smaller --batch-size or --width; 'batnet train ... --dry-run' measures what is needed.",
        )
    import torch.distributed as dist

    words = str(error).lower()
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and any(sign in words for sign in ("closed by peer", "reset by peer", "gloo", "nccl")):
        return InputRefused(
            "process-lost",
            "Another process of this training ended, or cannot be reached any more.",
            "All processes of a training work until its end.",
            "See what it said (memory that ran out is common), then go on with 'batnet train resume'.",
        )
    return None


def _defect(error: Exception) -> BATNetError:
    return BATNetError(
        "defect",
        f"BATNet itself failed in the training ({type(error).__name__}).",
        "This is a defect of ours, not of your data.",
        "Go on with 'batnet train resume', with --debug to see where; please report it.",
    )

"""On what a training runs: one device, several, several computers; by Lightning Fabric."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from ..device import choose_device, require_torch
from ..errors import NoModel, UsageError
from ..events import Events
from .config import Config

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def is_first_process() -> bool:
    """Whether this process is the only one or the first of several, before torch is imported.

    ``torchrun``, Fabric's own launcher and Slurm say so in the environment.
    """
    rank = os.environ.get("RANK") or _of_slurm("SLURM_PROCID")
    if rank is None:
        node, local = os.environ.get("NODE_RANK", "0"), os.environ.get("LOCAL_RANK", "0")
        rank = "0" if (node, local) == ("0", "0") else "1"
    return rank == "0"


def processes_of_environment() -> tuple[int, int] | None:
    """Devices per computer and computers that ``torchrun`` started processes for; None without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ and "RANK" not in os.environ:
        return None
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return local, max(1, world // local)


def make_fabric(config: Config, events: Events) -> Fabric:
    """Fabric for the devices of a configuration, its processes launched.

    Raises ``NoModel`` where torch or Fabric is missing, ``UsageError`` for a device that is not there, more
    devices than there are, or a batch that the devices cannot share evenly.
    """
    require_torch()
    require_training()
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    # What it tells is told by the run itself.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    given = processes_of_environment()
    devices, nodes = given or (config.devices, config.nodes)
    processes = devices * nodes
    if config.batch_size % processes:
        raise UsageError(
            "batch-not-shared",
            f"A batch of {config.batch_size} cannot be shared evenly by {processes} processes.",
            "The batch size is that of all devices together, and a multiple of their number.",
            f"Say --batch-size {processes * max(1, round(config.batch_size / processes))}.",
        )
    precision: Any = _precision(config, events)
    if processes == 1:
        device = choose_device(config.device)
        where: Any = [device.index or 0] if device.type == "cuda" else 1
        made = Fabric(
            accelerator=device.type,
            devices=where,
            precision=precision,
            # Inside a job of a cluster, one process is still one process.
            plugins=None if given else LightningEnvironment(),
        )
    else:
        kind = choose_device(config.device.partition(":")[0]).type
        _require_devices(kind, devices)
        made = Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp", precision=precision)
    # Of weights such as [1, 1, n], whose strides mean nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    if kind_of(made) == "cpu" and processes > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
    made.launch()
    return made


def kind_of(fabric: Fabric) -> str:
    return str(fabric.device.type)


def require_training() -> None:
    """Raise ``NoModel`` in words where what training needs is not installed."""
    try:
        import lightning_fabric  # noqa: F401
        import monai  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as error:
        raise NoModel(
            "training-missing",
            f"'{error.name}' is not installed.",
            "Training needs MONAI, Lightning Fabric, PyYAML and tensorboardX beside PyTorch.",
            "Install them: pip install 'batnet[train]'.",
        ) from error


def _precision(config: Config, events: Events) -> str:
    """Fabric's name of the precision; half precision only where the hardware gains by it."""
    import torch

    if config.amp == "off":
        return "32-true"
    if choose_device(config.device).type != "cuda":
        events.warning(
            "amp-off", f"Half precision ({config.amp}) is used on CUDA devices only: this run is in float32."
        )
        return "32-true"
    if config.amp == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        events.warning("amp-fp16", "This graphics card has no bfloat16: float16 is used instead.")
        return "16-mixed"
    return {"bf16": "bf16-mixed", "fp16": "16-mixed"}[config.amp]


def _require_devices(kind: str, wanted: int) -> None:
    import torch

    there = torch.cuda.device_count() if kind == "cuda" else (os.cpu_count() or 1) if kind == "cpu" else 1
    if wanted > there:
        raise UsageError(
            "device-missing",
            f"{wanted} devices of the kind '{kind}' were asked for, and there are {there} on this computer.",
            "Each process needs one of its own.",
            f"Say --devices {there}.",
        )


def _of_slurm(name: str) -> str | None:
    """The number of this process where Slurm started several of a training."""
    return os.environ.get(name) if int(os.environ.get("SLURM_NTASKS", "1") or 1) > 1 else None

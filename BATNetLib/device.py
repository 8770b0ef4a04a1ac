"""Where a network runs, and how it steps down when memory runs out.

Every step down is kept in words, because a result carries the path that was taken to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from .errors import NoModel, UsageError
from .events import Events

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cuda", "mps", "cpu")

T = TypeVar("T")


def require_torch() -> None:
    """Raise ``NoModel`` in words where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise NoModel(
            "torch-missing",
            "PyTorch is not installed, so no network can run.",
            "PyTorch 2.10 or newer is needed for this step.",
            "Install it (in Slicer: the PyTorch extension; elsewhere: pip install torch).",
        ) from error


def choose_device(name: str = "auto") -> torch.device:
    """The torch device called ``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.

    ``auto`` takes CUDA, then MPS, then the CPU. A device asked for by name and not there is refused
    (``UsageError``), never replaced silently.
    """
    require_torch()
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind, _, number = name.partition(":")
    known = kind in DEVICES and kind != "auto" and (not number or (kind == "cuda" and number.isdigit()))
    if not known:
        raise UsageError(
            "unknown-device",
            f"The device '{name}' is not known.",
            "Known are auto, cuda, cuda:N, mps and cpu.",
            "Choose one of them with --device.",
        )
    there = {"cpu": True, "cuda": cuda, "mps": mps}[kind]
    if kind == "cuda" and cuda and number:
        there = int(number) < torch.cuda.device_count()
    if not there:
        raise UsageError(
            "device-missing",
            f"The device '{name}' is not available on this computer.",
            f"Available here: {', '.join(available_devices())}.",
            "Use --device auto, or install a PyTorch that fits your graphics card (see batnet doctor).",
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """Names that ``choose_device`` takes on this computer."""
    import torch

    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def device_title(device: torch.device) -> str:
    """The device in words, such as ``cuda:0 (NVIDIA T4)``; no host name."""
    import torch

    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        return f"cuda:{index} ({torch.cuda.get_device_name(index)})"
    return device.type


@dataclass
class Plan:
    """How a network runs at the moment: device, cases per batch, half precision."""

    device: torch.device
    batch: int
    half: bool = False
    path: list[str] = field(default_factory=list)
    #: The device the batch size was chosen for; a GPU is left only when one slice in half precision fails.
    smallest_batch: int = 1

    @property
    def precision(self) -> str:
        return "float16" if self.half else "float32"

    def step_down(self) -> bool:
        """Take the next smaller way after memory ran out; False when there is none."""
        import torch

        if self.batch > self.smallest_batch:
            self.batch = max(self.smallest_batch, self.batch // 2)
            self.path.append(f"Memory ran out on {self.device.type}, went on with batches of {self.batch}.")
        elif self.device.type != "cpu" and not self.half:
            self.half = True
            self.path.append(f"Memory ran out on {self.device.type}, went on in half precision.")
        elif self.device.type != "cpu":
            self.path.append(f"Memory ran out on {self.device.type}, went on with the CPU.")
            self.device, self.half = torch.device("cpu"), False
        else:
            return False
        return True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch means that memory ran out, on any kind of device."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        sign in words for sign in ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
    )


def run_in_batches(
    items: Sequence[int],
    compute: Callable[[Sequence[int], Plan], None],
    plan: Plan,
    events: Events,
    advance: Callable[[int], None],
) -> None:
    """Call ``compute`` on consecutive groups of ``items``, stepping down whenever memory runs out.

    ``compute`` stores its own results; a group that failed is computed again on the smaller way.
    Raises ``MemoryError`` when even one item on the CPU does not fit.
    """
    position = 0
    while position < len(items):
        events.check()
        group = items[position : position + plan.batch]
        try:
            compute(group, plan)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        else:
            failed = False
        if failed:
            # Outside the handler: the traceback would keep the failed batch's tensors alive.
            _free_memory(plan)
            if not plan.step_down():
                raise MemoryError("one item does not fit into memory")
            events.warning("memory-step-down", plan.path[-1])
            continue
        position += len(group)
        advance(len(group))


def _free_memory(plan: Plan) -> None:
    import gc

    import torch

    gc.collect()
    if plan.device.type == "cuda":
        torch.cuda.empty_cache()
    elif plan.device.type == "mps":
        torch.mps.empty_cache()

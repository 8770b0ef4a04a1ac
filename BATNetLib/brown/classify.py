"""Stage 2: the probability that a case, and each of its 32 patches, holds brown adipose tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..device import Plan, choose_device, device_title, run_in_batches
from ..errors import InputRefused, NoModel
from ..events import Events
from ..models import LoadedModel
from .patches import Patches


@dataclass(frozen=True)
class BrownResult:
    """``probability``: of the case, 0..1. ``patch_probabilities``: float32 [32], authors' order (16
    low-column patches = the patient's right, then 16 high-column ones). Softmax, not calibrated unless
    the model's entry says so. ``device``, ``precision`` and ``path``: how it was computed.
    """

    probability: float
    patch_probabilities: np.ndarray
    device: str
    precision: str
    path: list[str]


def classify(
    patches: Patches, model: LoadedModel, *, device: str = "auto", events: Events | None = None
) -> BrownResult:
    """Classify the patches of one case with CEBATCls.

    Raises ``InputRefused`` where the patches hold non-finite values, ``NoModel`` where the network
    answers with one (its weights are broken).
    """
    import torch

    events = events or Events()
    if not (np.isfinite(patches.left).all() and np.isfinite(patches.right).all()):
        raise InputRefused(
            "patches-not-finite",
            "The patches hold values that are not finite.",
            "CT values between -0.5 and 0.5 and a mask of 0 and 1 are expected.",
            "Make the patches again from the CT.",
        )
    plan = Plan(choose_device(device), 1)
    found: list[tuple[np.ndarray, np.ndarray]] = []

    def compute(group: Sequence[int], plan: Plan) -> None:
        network = model.network.to(plan.device)
        left, right = (torch.from_numpy(side)[None].to(plan.device) for side in (patches.left, patches.right))
        with torch.inference_mode(), torch.autocast(plan.device.type, torch.float16, enabled=plan.half):
            case, patch = network(left, right)
        # Softmax in float64: a probability near 0 or 1 must not depend on the device's rounding.
        chances = [torch.softmax(x.double().cpu(), dim=-1)[0, ..., 1].numpy() for x in (case, patch)]
        found.append((chances[0], chances[1]))

    with events.stage("classify", 1) as stage:
        try:
            run_in_batches(range(1), compute, plan, events, stage.advance)
        except MemoryError as error:
            raise InputRefused(
                "memory-too-small",
                "The 32 patches do not fit into the memory of this computer.",
                "Stage 2 needs about 1 GB free with the published network.",
                "Close other programs and try again.",
            ) from error
        finally:
            model.network.to("cpu")
    case, patch = found[0]
    if not (np.isfinite(case).all() and np.isfinite(patch).all()):
        raise NoModel(
            "model-answers-nan",
            "The network answered with a value that is not a number.",
            "Probabilities between 0 and 1 were expected.",
            "The weights are broken: import or fetch the model again (batnet models).",
        )
    return BrownResult(
        float(case), patch.astype(np.float32), device_title(plan.device), plan.precision, list(plan.path)
    )

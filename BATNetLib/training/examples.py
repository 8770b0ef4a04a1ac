"""Example predictions of the best state so far: pictures, and files to lay over each other in Slicer.

Called by the loop after each new best. It never ends a training: what goes wrong becomes a warning in the
log of the run, and time and room are limited.

``examples/examples.json``: ``schema``, ``stage``, ``epoch``, ``time``, ``part`` ("validation", or "train"
where nothing is validated on), ``note`` (why there are fewer than usual, or null) and ``cases``, each with
``id``, ``pictures`` (PNG) and ``files`` (role to file); of stage 1 also ``slices``, ``dice`` (over these
slices alone) and ``spacing_known``; of stage 2 ``label``, ``probability``, ``patch_labels`` and
``patch_probabilities`` (32 each, authors' order: 16 of the patient's right, then their mirror partners).
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BATNetError, Cancelled
from ..events import Events
from ..models.loading import LoadedModel
from ..workfiles import whole_folder
from .contract import StageTraining
from .predicting import as_model
from .runfolder import EXAMPLES, LOG, now, read_state, stop_requested

if TYPE_CHECKING:
    from torch import nn

FACTS = "examples.json"
SCHEMA = 1
#: Cases shown.
MOST_CASES = 3
#: Seconds that examples may take: this share of an epoch, within these limits.
_SHARE, _LEAST_SECONDS, _MOST_SECONDS = 0.1, 3.0, 20.0


class Budget(Events):
    """How long examples may go on: until the time is over or the run is asked to stop.

    The time counts from ``begin`` on: what is read once for all examples of a run is not held against them.
    As events of that reading it ends it, too, when the run is asked to stop.
    """

    def __init__(self, run: Path, seconds: float, events: Events | None = None) -> None:
        super().__init__()
        self._run, self._seconds, self._outer = run, seconds, events or Events()
        self._until = float("inf")
        self.note: str | None = None

    def begin(self) -> None:
        """The predictions begin."""
        self._until = time.monotonic() + self._seconds

    @property
    def cancelled(self) -> bool:
        return self._outer.cancelled or stop_requested(self._run)

    def check(self) -> None:
        if self.cancelled:
            raise Cancelled()

    def over(self) -> bool:
        """Whether to end now; ``note`` then says why."""
        if self.cancelled:
            self.note = "The run was asked to stop: the rest was left out."
        elif time.monotonic() > self._until:
            self.note = "Examples may take a tenth of an epoch: the rest was left out."
        return self.note is not None


def write_examples(
    run: Path, stage: StageTraining, network: nn.Module, epoch: int, events: Events | None = None
) -> bool:
    """Write ``examples`` of a run anew; whether that was possible. Errors become a warning in the log.

    ``network``: as it is trained, on its device; it is left as it is. ``events``, or the file "stop" of the
    run: asked to stop, it ends with what it has.
    """
    try:
        device = str(next(network.parameters()).device)
        model = as_model(stage.trained_weights(network), "the best state so far")
        _write(run, stage, model, device, epoch, Budget(run, _seconds(run), events))
        return True
    except Cancelled:
        # The loop notices the same wish by itself.
        return False
    except BATNetError as error:
        _warn(run, error.code, f"No example predictions were written: {error.found}")
    except Exception as error:
        _warn(run, "examples-failed", f"No example predictions were written ({type(error).__name__}).")
    return False


def read_examples(run: Path) -> dict[str, Any] | None:
    """What ``examples.json`` says; None where there is none that can be read."""
    try:
        facts = json.loads((run / EXAMPLES / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) and facts.get("schema") == SCHEMA else None


def _write(
    run: Path, stage: StageTraining, model: LoadedModel, device: str, epoch: int, budget: Budget
) -> None:
    with whole_folder(run / EXAMPLES, replace=True) as folder:
        part, cases = _writer(stage.stage)(run, stage, model, device, folder, budget)
        facts = {
            "schema": SCHEMA,
            "stage": stage.stage,
            "epoch": epoch,
            "time": now(),
            "part": part,
            "note": budget.note,
            "cases": cases,
        }
        text = json.dumps(facts, allow_nan=False) + "\n"
        (folder / FACTS).write_text(text, encoding="utf-8")


Writer = Callable[[Path, StageTraining, LoadedModel, str, Path, Budget], tuple[str, list[dict[str, Any]]]]


def _writer(stage: str) -> Writer:
    if stage == "adipose":
        from .examples_adipose import write_cases as adipose

        return adipose
    from .examples_brown import write_cases as brown

    return brown


def _seconds(run: Path) -> float:
    epoch = None
    with contextlib.suppress(BATNetError):
        epoch = read_state(run).get("seconds_per_epoch")
    return min(_MOST_SECONDS, max(_LEAST_SECONDS, _SHARE * float(epoch or 0.0)))


def _warn(run: Path, code: str, text: str) -> None:
    line = json.dumps({"kind": "warning", "code": code, "text": text, "time": now()}, allow_nan=False)
    with contextlib.suppress(OSError), (run / LOG).open("a", encoding="utf-8") as file:
        file.write(line + "\n")

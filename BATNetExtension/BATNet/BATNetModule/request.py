"""What one run is asked to do: nodes and options, and how the engine is called for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from BATNetSlicer.texts import _

#: Sets that name a model for both stages; any other name is a model of the brown stage.
SETS = ("batnet", "demo")


@dataclass(frozen=True)
class Request:
    """``ct``, ``lungs``, ``adipose``, ``pet``: nodes (the masks may be (node, segment id)).

    ``method``: "network" or "hu-threshold". ``model``: "batnet", "demo", or a model of the brown stage, whose
    fat comes from ``adipose_model`` then. ``prevalence``: 0 to 1, for predictive values.
    ``overrides``: finding -> reason. ``update``: an ``Analysis`` whose
    numbers the result replaces. ``checks_only``: the preflight alone.
    """

    ct: Any
    lungs: Any = None
    adipose: Any = None
    pet: Any = None
    method: str = "network"
    hu_range: tuple[float, float] = (-190.0, -30.0)
    model: str = "batnet"
    adipose_model: str | None = None
    device: str = "auto"
    attention_stage: str = "stage2"
    prevalence: float | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    update: Any = None
    checks_only: bool = False

    def why_not(self) -> str | None:
        """Why this cannot be run, in words; None where it can."""
        if self.ct is None:
            return _("Choose a CT.")
        if self.ct.GetImageData() is None:
            return _("The CT holds no voxels.")
        if self.adipose is None and self.method == "hu-threshold" and not self.hu_range[0] < self.hu_range[1]:
            return _("The HU range must begin below its end.")
        return None

    def options(self) -> list[str]:
        """Options of ``batnet analyze`` and ``batnet batch``."""
        words = ["--method", "network" if self.adipose is not None else self.method]
        if self.adipose is None and self.method == "hu-threshold":
            words += ["--hu-range", *(f"{value:g}" for value in self.hu_range)]
        if self.model in SETS:
            words += ["--model", self.model]
        else:
            words += ["--brown-model", self.model]
        if self.adipose_model:
            words += ["--adipose-model", self.adipose_model]
        words += ["--device", self.device, "--attention-stage", self.attention_stage]
        if self.prevalence:
            words += ["--prevalence", f"{self.prevalence:g}"]
        for code, reason in self.overrides.items():
            words += ["--override", f"{code}={reason}"]
        return words

    @property
    def skipped(self) -> frozenset[str]:
        """Stages that do not happen in such a run."""
        if self.checks_only:
            return frozenset(("adipose", "patches", "classify", "attention", "write", "load"))
        return frozenset(("adipose",)) if self.adipose is not None else frozenset()

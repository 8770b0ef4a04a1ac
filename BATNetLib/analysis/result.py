"""What one analysis found: plain values that passport, table, report and scene are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..brown.attention import Attention
from ..brown.patches import Box
from ..preflight import PreflightReport
from ..volume import Volume
from .options import AnalysisOptions
from .places import Place

#: Outcomes of an analysis. A probability exists only for the first.
ASSESSED, NOT_ASSESSABLE = "assessed", "not-assessable"


@dataclass(frozen=True)
class Reason:
    """Why a scan is not assessable: a stable code, a sentence, and what to do."""

    code: str
    text: str
    advice: str

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text, "advice": self.advice}


@dataclass(frozen=True)
class PatchResult:
    """One of the 32 patches: where it lies, what the classifier made of it, and the fat in it.

    ``probability``: 0..1. ``adipose_ml``: adipose tissue above the cut inside the box, None where the
    file does not say how large a voxel is. ``mean_hu``: of that tissue, None where there is none.
    ``pet``: largest and mean SUV of that tissue, None without PET.
    """

    place: Place
    box: Box
    probability: float
    adipose_ml: float | None
    mean_hu: float | None
    pet: dict[str, float] | None = None


@dataclass(frozen=True)
class Lungs:
    """The lung mask and what is measured on it.

    ``origin``: "found" or "given". ``first``, ``last``: slices of the lungs, padded as published.
    ``cut``: first slice that no longer counts. All in canonical slices, superior first.
    """

    mask: Volume
    origin: str
    first: int
    last: int
    cut: int


@dataclass(frozen=True)
class AdiposeFacts:
    """The fat above the cut: millilitres (None where the file does not say how large a voxel is), and
    mean HU of it (None where there is none), in total and by the
    side of the midline between the column blocks. ``slices``: first and exclusive last slice segmented.
    """

    volume_ml: float | None
    mean_hu: float | None
    sides: dict[str, dict[str, float | None]]
    slices: tuple[int, int]


@dataclass
class Analysis:
    """The result of one scan.

    ``outcome``: "assessed" or "not-assessable"; then ``reasons`` says why and ``probability`` is None.
    ``patches``: 32 in the authors' order, empty where they could not be laid. ``method``: how the adipose
    mask came about, "network", "hu-threshold" or "given". ``devices``, ``path``: where each stage ran and
    the steps down in words. ``models``: facts of each model used, by stage. ``decision``: only with a
    loaded operating point. ``overrides``: findings that were gone on over, with the reasons given.
    ``given``: the volumes that were handed in, by what they are ("ct", "lungs", "adipose", "pet").
    ``names``: base names of the inputs, only where the options keep them.
    """

    ct: Volume
    options: AnalysisOptions
    method: str
    outcome: str
    probability: float | None = None
    reasons: list[Reason] = field(default_factory=list)
    decision: dict[str, Any] | None = None
    patches: list[PatchResult] = field(default_factory=list)
    attention: Attention | None = None
    adipose: Volume | None = None
    adipose_facts: AdiposeFacts | None = None
    lungs: Lungs | None = None
    pet: Volume | None = None
    preflight: PreflightReport | None = None
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    overrides: list[dict[str, str]] = field(default_factory=list)
    given: dict[str, Volume] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def assessed(self) -> bool:
        return self.outcome == ASSESSED

    @property
    def demonstration(self) -> bool:
        """Whether a demonstration model, trained on phantoms, had a part in it."""
        return any(model["demonstration"] for model in self.models.values())

    @property
    def patch_probabilities(self) -> np.ndarray:
        """float64 [32] in the authors' order; empty where there are none."""
        return np.array([patch.probability for patch in self.patches])

    @property
    def boxes(self) -> tuple[Box, ...]:
        return tuple(patch.box for patch in self.patches)

    def as_dict(self) -> dict[str, Any]:
        """The passport, as it stands in ``analysis.json``."""
        from .passport import passport

        return passport(self)

    def save(self, folder: str | Path, *, replace: bool = False) -> Path:
        """Write the analysis folder, whole or not at all; see ``BATNetLib.analysis.files``."""
        from .files import save_analysis

        return save_analysis(self, folder, replace=replace)

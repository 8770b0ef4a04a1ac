"""What one analysis is asked to do: options that change the result, and the files it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError

#: Ways to an adipose mask. "given" is never asked for by name: it is what a mask from the user makes.
METHODS = ("network", "hu-threshold", "given")
ATTENTION_STAGES = ("stage1", "stage2", "stage3", "none")
#: Named HU range of adipose tissue of the threshold method.
HU_RANGE = (-190, -30)


@dataclass(frozen=True)
class AnalysisOptions:
    """What changes a result or the way to it; every value is plain JSON.

    ``method``: "network" or "hu-threshold"; a mask handed in makes it "given" whatever it says here.
    ``adipose_model``, ``brown_model``: a model, or a set of models such as "batnet" or "demo".
    ``hu_range``: lower and upper HU of the threshold method. ``device``, ``batch``: where networks run and
    how many slices at a time. ``attention_stage``: the level of the network to look at, or "none".
    ``overrides``: a reason for each blocking finding to go on over. ``limits``: cut-offs of the preflight
    that replace its own. ``prevalence``: share of patients with brown fat, for predictive values of an
    operating point. ``operating_point``: name of the one to decide by, else the model's only one.
    ``report``: whether report and preview are written. ``dicom_seg``: whether a DICOM input
    gets its mask as DICOM SEG. ``keep_names``: file names go into the passport. ``pseudonym``: a name for
    the case that may appear in results.

    Raises ``UsageError`` where a value is none of those known.
    """

    method: str = "network"
    adipose_model: str = "batnet"
    brown_model: str = "batnet"
    hu_range: tuple[float, float] = HU_RANGE
    device: str = "auto"
    batch: int | None = None
    attention_stage: str = "stage2"
    overrides: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    prevalence: float | None = None
    operating_point: str | None = None
    report: bool = True
    dicom_seg: bool = True
    keep_names: bool = False
    pseudonym: str | None = None

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("attention stage", self.attention_stage, ATTENTION_STAGES)
        low, high = self.hu_range
        if not low < high:
            raise UsageError(
                "hu-range",
                f"The HU range runs from {low} to {high}.",
                "The lower value comes first.",
                f"Say for example --hu-range {HU_RANGE[0]} {HU_RANGE[1]}.",
            )
        if self.batch is not None and self.batch < 1:
            raise UsageError(
                "batch", f"A batch of {self.batch} slices.", "At least 1 slice.", "Leave --batch out."
            )
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise UsageError(
                "prevalence",
                f"A prevalence of {self.prevalence}.",
                "A share between 0 and 1 is needed.",
                "Say for example --prevalence 0.05 for one patient in twenty.",
            )
        for code, reason in self.overrides.items():
            if not str(reason).strip():
                raise UsageError(
                    "override-without-reason",
                    f"The finding '{code}' is overridden without a reason.",
                    "A reason is kept with the result.",
                    f'Say --override {code}="why it is all right here".',
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, in a fixed order."""
        plain = asdict(self)
        plain["hu_range"] = [float(v) for v in self.hu_range]
        plain["overrides"] = {str(k): str(v) for k, v in sorted(self.overrides.items())}
        plain["limits"] = dict(sorted(self.limits.items()))
        return plain


@dataclass(frozen=True)
class CaseInputs:
    """The files of one case. ``axes``, ``series``, ``accept_gaps``, ``accept_tilt``: see ``read_volume``.

    ``brown`` is a brown-fat mask of a training case; an analysis does not use it. ``pet`` is refused for
    now; ``pet_suv`` is a PET whose values are SUV (body weight) already. ``case_id`` names the case for the
    caller; it reaches a result only as a pseudonym or with ``keep_names``. ``folder``: the folder that was
    given as the case, where ``ct`` was found in it; nothing is written into it.
    """

    ct: Path
    lungs: Path | None = None
    adipose: Path | None = None
    brown: Path | None = None
    pet: Path | None = None
    pet_suv: Path | None = None
    axes: str | None = None
    series: str | int | None = None
    accept_gaps: bool = False
    accept_tilt: bool = False
    case_id: str | None = None
    folder: Path | None = None


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(
            f"unknown-{what.replace(' ', '-')}",
            f"The {what} '{value}' is not known.",
            f"Known are {', '.join(known)}.",
            "Choose one of them.",
        )

"""What is wrong or remarkable in training data, each with a suggestion; and what a case measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import BATNetError
from .cases import TrainingCase

#: Training on it would be wrong; worth a look; good to know.
BLOCK, WARN, NOTE = "block", "warn", "note"
LEVELS = (BLOCK, WARN, NOTE)


@dataclass(frozen=True)
class Finding:
    """One finding. ``cases``: names of the cases it is about, none for the whole set. ``code``: stable,
    kebab-case. ``text``: a sentence without names of cases; ``suggestion``: what can be done."""

    level: str
    code: str
    text: str
    suggestion: str
    cases: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "cases": list(self.cases)}


@dataclass
class CaseFacts:
    """What was measured of a case.

    ``shape``: (slices, rows, columns). ``spacing``: mm, None where the files do not say it. ``fat``,
    ``brown``: how much, in ``unit``, None without such a mask. ``unit``: "mL"; "voxels" where the size of a
    voxel is not known; "patches" for cached ones (those with fat, those labelled positive). ``voxels``:
    fingerprint of the pixels wherever they lie. ``planes``: fingerprints of single slices as stage 1 sees
    them, to find the same images under another name or cropped. ``picture``: PNG, or None.
    """

    case: TrainingCase
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    unit: str = "voxels"
    fat: float | None = None
    brown: float | None = None
    voxels: str | None = None
    planes: tuple[bytes, ...] = ()
    picture: bytes | None = None
    findings: list[Finding] = field(default_factory=list)

    def find(self, level: str, code: str, text: str, suggestion: str) -> None:
        self.findings.append(Finding(level, code, text, suggestion, (self.case.case,)))

    def refuse(self, error: BATNetError) -> None:
        """A refusal of a reader as a finding that blocks."""
        self.find(BLOCK, error.code, f"{error.found} {error.wanted}", error.remedy)

    @property
    def usable(self) -> bool:
        return not any(finding.level == BLOCK for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values without places and pictures."""
        return {
            "case": self.case.case,
            "patient": self.case.patient,
            "centre": self.case.centre,
            "split": self.case.split,
            "layout": self.case.layout,
            "shape": self.shape,
            "spacing_mm": self.spacing and [round(s, 4) for s in self.spacing],
            "unit": self.unit,
            "fat": _rounded(self.fat),
            "brown": _rounded(self.brown),
            "voxels": self.voxels,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

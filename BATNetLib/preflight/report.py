"""What the preflight says: findings, and the overrides that a person answers for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

BLOCK, WARN, NOTE = "block", "warn", "note"
LEVELS = (BLOCK, WARN, NOTE)

if TYPE_CHECKING:
    from .view import View

#: Every finding there can be, and what it looks at. Codes are stable; programs may rely on them.
CODES = {
    "not-hu": "the values are not Hounsfield units",
    "hu-shifted": "fat or soft tissue lies at other HU than it should",
    "no-fat-peak": "the histogram of the body shows no fat",
    "air-level": "the air around the patient is not near -1000 HU",
    "contrast": "contrast medium",
    "metal": "metal in the body",
    "thick-slices": "distance between slices",
    "large-pixels": "distance between pixels",
    "unequal-pixels": "pixels that are not square",
    "small-matrix": "number of rows and columns",
    "spacing-unknown": "a file that does not say how large its voxels are",
    "resampled": "a scan that was interpolated onto the patient's axes",
    "no-body": "no patient in the image",
    "no-lungs": "no lungs in the image",
    "one-lung": "only one lung, or a very small one",
    "small-lungs": "lungs of little volume",
    "apex-missing": "coverage of the neck above the lung apex",
    "axilla-missing": "coverage of the axillae below the lung apex",
    "cut-outside": "cut plane below the last slice",
    "lungs-cut-off": "lungs that go on below the last slice",
    "upside-down": "slices that run from feet to head",
    "front-to-back": "rows that run from posterior to anterior",
    "left-right": "heart on the patient's right",
    "off-centre": "distance of the body's midline from the image's centre column",
    "rolled": "roll of the body",
    "asymmetric": "body and mirror image differ",
    "body-cut": "body cut off by the field of view",
    "arms": "arms beside the neck or the chest",
    "adipose-empty": "no adipose tissue above the cut plane",
    "adipose-one-sided": "adipose tissue on one side only",
    "adipose-volume": "volume of adipose tissue",
    "adipose-hu": "mean HU of adipose tissue",
}


@dataclass(frozen=True)
class Finding:
    """One finding.

    ``level``: "block", "warn" or "note". ``sentence``: what was seen, in numbers. ``advice``: what to do.
    ``values``: the numbers by name, with the unit at the end of the name. ``override``: the reason a
    person gave to go on over a blocking finding.
    """

    code: str
    level: str
    sentence: str
    advice: str
    values: dict[str, Any] = field(default_factory=dict)
    override: str | None = None

    def __post_init__(self) -> None:
        if self.code not in CODES or self.level not in LEVELS:
            raise ValueError(f"unknown finding {self.code!r} of level {self.level!r}")

    def as_dict(self) -> dict[str, Any]:
        plain = {
            "code": self.code,
            "level": self.level,
            "sentence": self.sentence,
            "advice": self.advice,
            "values": {name: _plain(value) for name, value in self.values.items()},
        }
        return {**plain, "override": self.override} if self.override else plain


@dataclass
class PreflightReport:
    """All findings of one scan, worst first. ``limits``: the cut-offs they were made with.

    ``view``: what the checks measured on the way, kept so that an adipose mask can be looked at later
    without measuring again; None where nothing could be measured.
    """

    findings: list[Finding] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    view: View | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.findings = sorted(self.findings, key=lambda finding: LEVELS.index(finding.level))

    @property
    def blocking(self) -> list[Finding]:
        """Blocking findings that nobody has overridden."""
        return [f for f in self.findings if f.level == BLOCK and f.override is None]

    @property
    def overridden(self) -> list[Finding]:
        return [f for f in self.findings if f.override is not None]

    def of(self, code: str) -> Finding | None:
        """The finding of that code, None where it was not made."""
        return next((f for f in self.findings if f.code == code), None)

    def apply_overrides(self, reasons: Mapping[str, str]) -> None:
        """Go on over blocking findings; ``reasons`` gives a reason for each code.

        A code that was not found, or that does not block, is left alone: one list of overrides serves a
        whole batch. Raises ``UsageError`` ("override-unknown", "override-without-reason") and then
        changes nothing.
        """
        for code, reason in reasons.items():
            if code not in CODES:
                raise UsageError(
                    "override-unknown",
                    f"The finding '{code}' that should be overridden does not exist.",
                    "The code of a finding is needed.",
                    f"Codes are: {', '.join(CODES)}.",
                )
            if not isinstance(reason, str) or not reason.strip():
                raise UsageError(
                    "override-without-reason",
                    f"The finding '{code}' is overridden without a reason.",
                    "A reason is kept with the result.",
                    "Say in a few words why the scan may be analysed all the same.",
                )
        self.findings = [
            replace(f, override=" ".join(reasons[f.code].split()))
            if f.level == BLOCK and f.code in reasons
            else f
            for f in self.findings
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "blocked": bool(self.blocking),
            "findings": [f.as_dict() for f in self.findings],
            "overrides": [{"code": f.code, "reason": f.override} for f in self.overridden],
            "limits": self.limits,
        }


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return round(value, 3) if isinstance(value, float) else value

"""Named criteria for active brown fat, as data: which HU, which SUV, where.

The criteria that come with the program are in ``Resources/pet/criteria.json``; users add their own in a
file of the same form (``criteria.schema.json`` describes it).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused, UsageError
from ..resources import resource
from .bodysize import LEAN_MASS, Patient

SCHEMA_VERSION = 1
SCALES = ("SUVbw", "SUL")
PLACES = ("ct", "adipose")
_NAME = re.compile(r"^[a-z0-9][a-z0-9.-]{0,40}$")
_FIELDS = {"name", "title", "hu", "suv", "within", "source"}
_SUV_FIELDS = {"scale", "lean_mass", "at_least", "above"}


@dataclass(frozen=True)
class Criterion:
    """One rule for a voxel.

    ``hu``: lowest and highest HU, both included, or None for no limit. ``cutoff``: the SUV on ``scale``
    ("SUVbw" or "SUL", then with the ``lean_mass`` formula); ``inclusive``: whether the cut-off itself
    counts. ``within``: "ct" (anywhere) or "adipose" (only in the adipose mask).
    """

    name: str
    title: str
    hu: tuple[float, float] | None
    cutoff: float
    inclusive: bool
    scale: str
    lean_mass: str | None
    within: str
    source: str

    def cutoff_bw(self, patient: Patient) -> float:
        """The cut-off as SUVbw: for SUL divided by (lean body mass / weight).

        Raises ``InputRefused`` by the name of what is missing of the patient.
        """
        return self.cutoff if self.lean_mass is None else self.cutoff / patient.lean_ratio(self.lean_mass)

    def matches(self, hu: np.ndarray, suv_bw: np.ndarray, patient: Patient) -> np.ndarray:
        """bool: where HU and SUVbw (same shape) fulfil the rule; NaN never does."""
        # In the voxels' own precision, so that a voxel of exactly the cut-off is compared as such.
        cutoff = suv_bw.dtype.type(self.cutoff_bw(patient))
        found = suv_bw >= cutoff if self.inclusive else suv_bw > cutoff
        if self.hu is not None:
            found &= (hu >= self.hu[0]) & (hu <= self.hu[1])
        return found

    def words(self) -> str:
        """The rule as a sentence part, such as "-190 to -10 HU and SUL (janmahasatian) of at least 1.2"."""
        hu = "any HU" if self.hu is None else f"{self.hu[0]:g} to {self.hu[1]:g} HU"
        scale = self.scale if self.lean_mass is None else f"SUL ({self.lean_mass})"
        bound = "of at least" if self.inclusive else "above"
        place = " inside the adipose mask" if self.within == "adipose" else ""
        return f"{hu} and {scale} {bound} {self.cutoff:g}{place}"

    def as_dict(self) -> dict[str, Any]:
        """In the form of the criteria file."""
        suv: dict[str, Any] = {"scale": self.scale}
        if self.lean_mass is not None:
            suv["lean_mass"] = self.lean_mass
        suv["at_least" if self.inclusive else "above"] = self.cutoff
        return {
            "name": self.name,
            "title": self.title,
            "hu": None if self.hu is None else list(self.hu),
            "suv": suv,
            "within": self.within,
            "source": self.source,
        }


def load_criteria(path: str | Path | None = None) -> dict[str, Criterion]:
    """The criteria of the program, and those of the user's file ``path`` behind them, by name.

    Raises ``InputRefused`` ("criteria-invalid") that names the place in the file and what is wrong there.
    """
    criteria = _read(resource("pet/criteria.json"), {})
    return criteria if path is None else criteria | _read(Path(path), criteria)


def choose(criteria: Mapping[str, Criterion], names: Iterable[str]) -> list[Criterion]:
    """The criteria called ``names`` in that order; raises ``UsageError`` for a name that is not there."""
    chosen = list(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in criteria]
    if unknown:
        raise UsageError(
            "criterion-unknown",
            f"There is no criterion called {', '.join(repr(u) for u in unknown)}.",
            f"Known are {', '.join(criteria)}.",
            "Choose one of them, or add your own in a file (--criteria).",
        )
    return [criteria[name] for name in chosen]


def parse_criterion(content: Any, place: str, file: str) -> Criterion:
    """One criterion from JSON values; ``place`` and ``file`` name it in refusals."""

    def refuse(found: str, wanted: str) -> InputRefused:
        return _refuse(file, f"{place} {found}", wanted)

    if not isinstance(content, dict):
        raise refuse(
            "is not an object.", "Each criterion is an object with name, title, hu, suv, within and source."
        )
    _require_fields(content, _FIELDS, _FIELDS, refuse)
    name, title, hu, suv = content["name"], content["title"], content["hu"], content["suv"]
    if not isinstance(name, str) or not _NAME.match(name):
        raise refuse(
            f"has the name {str(name)[:50]!r}.",
            "A name has 1 to 41 small letters, digits, dots and hyphens and starts with a letter or digit.",
        )
    for key in ("title", "source"):
        if not isinstance(content[key], str) or (key == "title" and not content[key].strip()):
            raise refuse(f"has no usable {key}.", f"The {key} is a text.")
    limits = None
    if hu is not None:
        if not (isinstance(hu, list) and len(hu) == 2 and all(_is_number(v) for v in hu) and hu[0] < hu[1]):
            raise refuse(
                f"has hu = {json.dumps(hu)[:50]}.", "hu is null, or the lower and then the higher HU."
            )
        limits = (float(hu[0]), float(hu[1]))
    if content["within"] not in PLACES:
        raise refuse(f"has within = {content['within']!r}.", "within is ct or adipose.")
    if not isinstance(suv, dict):
        raise refuse("has no object suv.", "suv holds scale and at_least or above.")
    _require_fields(suv, {"scale"}, _SUV_FIELDS, lambda found, wanted: refuse(f"in suv {found}", wanted))
    bounds = [key for key in ("at_least", "above") if key in suv]
    if len(bounds) != 1:
        raise refuse(f"has {len(bounds)} cut-offs in suv.", "Exactly one of at_least and above is needed.")
    cutoff = suv[bounds[0]]
    if not _is_number(cutoff) or cutoff <= 0:
        raise refuse(f"has the cut-off {json.dumps(cutoff)[:30]}.", "The cut-off is a number above zero.")
    if suv["scale"] not in SCALES:
        raise refuse(f"has the scale {suv['scale']!r}.", "The scale is SUVbw or SUL.")
    lean = suv.get("lean_mass")
    if (suv["scale"] == "SUL") != (lean in LEAN_MASS) or (suv["scale"] != "SUL" and lean is not None):
        raise refuse(
            f"has scale {suv['scale']} with lean_mass {lean!r}.",
            f"SUL needs lean_mass ({' or '.join(LEAN_MASS)}); SUVbw has none.",
        )
    return Criterion(
        name=name,
        title=title,
        hu=limits,
        cutoff=float(cutoff),
        inclusive=bounds[0] == "at_least",
        scale=suv["scale"],
        lean_mass=lean,
        within=content["within"],
        source=content["source"],
    )


def _read(path: Path, taken: Mapping[str, Criterion]) -> dict[str, Criterion]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputRefused(
            "criteria-unreadable",
            f"{path.name} cannot be read.",
            "A file of criteria is needed.",
            "Check the path and the permissions.",
        ) from error
    except (ValueError, RecursionError) as error:
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _refuse(path.name, f"The file is no valid JSON{where}.", "A JSON file is needed.") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise _refuse(
            path.name,
            "It has no schema_version 1.",
            f'The file starts with "schema_version": {SCHEMA_VERSION}.',
        )
    entries = content.get("criteria")
    if not isinstance(entries, list) or not entries or set(content) - {"schema_version", "criteria"}:
        raise _refuse(
            path.name,
            "It has no list of criteria, or fields beside it.",
            "The file holds schema_version and a list called criteria.",
        )
    found: dict[str, Criterion] = {}
    for number, entry in enumerate(entries, 1):
        criterion = parse_criterion(entry, f"Criterion {number}", path.name)
        if criterion.name in found or criterion.name in taken:
            raise _refuse(
                path.name,
                f"Criterion {number} is called {criterion.name!r}, which another one is called already.",
                "Each name stands for one criterion.",
            )
        found[criterion.name] = criterion
    return found


def _require_fields(content: Mapping[str, Any], needed: set[str], known: set[str], refuse: Any) -> None:
    missing, odd = needed - set(content), set(content) - known
    if missing:
        raise refuse(f"lacks {', '.join(sorted(missing))}.", f"It holds {', '.join(sorted(needed))}.")
    if odd:
        raise refuse(
            f"has the unknown field {sorted(odd)[0][:40]!r}.", f"Known are {', '.join(sorted(known))}."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse(file: str, found: str, wanted: str) -> InputRefused:
    return InputRefused(
        "criteria-invalid",
        f"{file}: {found}",
        wanted,
        "Correct the file; Resources/pet/criteria.schema.json describes it and criteria.json is an example.",
    )

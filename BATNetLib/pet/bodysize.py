"""Lean body mass and body surface from weight, height and sex."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputRefused, UsageError
from .attributes import refuse_invalid, refuse_missing, refuse_zero

#: Heights beyond these are written in another unit (PatientSize is in metres) or mistyped.
HEIGHT_M = (0.3, 2.6)


def lean_mass_janmahasatian(weight_kg: float, height_m: float, sex: str) -> float:
    """Lean body mass in kg. Janmahasatian et al., Clin Pharmacokinet 2005;44:1051."""
    bmi = weight_kg / height_m**2
    constant, slope = {"M": (6680.0, 216.0), "F": (8780.0, 244.0)}[sex]
    return 9270.0 * weight_kg / (constant + slope * bmi)


def lean_mass_james(weight_kg: float, height_m: float, sex: str) -> float:
    """Lean body mass in kg. James, Research on Obesity, 1976; it falls again at high BMI.

    The factor for men is 128; the 120 that is found in some programs is a misprint.
    """
    ratio = (weight_kg / (height_m * 100.0)) ** 2
    return 1.10 * weight_kg - 128.0 * ratio if sex == "M" else 1.07 * weight_kg - 148.0 * ratio


def surface_du_bois(weight_kg: float, height_m: float) -> float:
    """Body surface in m2. Du Bois and Du Bois, Arch Intern Med 1916;17:863."""
    return 0.007184 * weight_kg**0.425 * (height_m * 100.0) ** 0.725


def surface_mosteller(weight_kg: float, height_m: float) -> float:
    """Body surface in m2. Mosteller, N Engl J Med 1987;317:1098."""
    return math.sqrt(height_m * 100.0 * weight_kg / 3600.0)


LEAN_MASS: dict[str, Callable[[float, float, str], float]] = {
    "janmahasatian": lean_mass_janmahasatian,
    "james": lean_mass_james,
}
SURFACE: dict[str, Callable[[float, float], float]] = {
    "du-bois": surface_du_bois,
    "mosteller": surface_mosteller,
}


@dataclass(frozen=True)
class Patient:
    """What an SUV needs of a patient; None where it is not known. ``sex``: "M" or "F".

    ``problems``: by field, why a value of the header is missing or unusable (such as a height of zero); kept
    until the value is asked for, because SUVbw needs no height.
    """

    weight_kg: float | None = None
    height_m: float | None = None
    sex: str | None = None
    problems: Mapping[str, InputRefused] = field(default_factory=dict)

    def require_weight(self) -> float:
        """Body weight in kg. Raises ``InputRefused`` by the name of the attribute."""
        return self._require("PatientWeight", self.weight_kg)

    def lean_mass(self, formula: str = "janmahasatian") -> float:
        """Lean body mass in kg by "janmahasatian" or "james".

        Raises ``InputRefused`` by the name of the missing attribute, or where the formula leaves its
        range (James turns small and then negative with growing BMI).
        """
        compute = _known(formula, LEAN_MASS, "lean mass")
        weight, height = self.require_weight(), self._require("PatientSize", self.height_m)
        if self.sex is None:
            raise self.problems.get("sex") or refuse_missing("PatientSex")
        lean = compute(weight, height, self.sex)
        if not 0 < lean <= weight:
            raise InputRefused(
                "pet-lean-mass-implausible",
                f"By {formula} the lean body mass is {lean:.1f} kg at {weight:g} kg and {height:g} m.",
                "It must lie between zero and the body weight.",
                "Check weight and height; the formula of James fails at a high BMI, Janmahasatian does not.",
            )
        return lean

    def lean_ratio(self, formula: str = "janmahasatian") -> float:
        """Lean body mass over body weight: SUL = SUVbw times this."""
        return self.lean_mass(formula) / self.require_weight()

    def surface_m2(self, formula: str = "du-bois") -> float:
        """Body surface in m2 by "du-bois" or "mosteller". Raises as ``lean_mass`` does."""
        compute = _known(formula, SURFACE, "body surface")
        return compute(self.require_weight(), self._require("PatientSize", self.height_m))

    def as_dict(self) -> dict[str, Any]:
        return {"weight_kg": self.weight_kg, "height_m": self.height_m, "sex": self.sex}

    def _require(self, keyword: str, value: float | None) -> float:
        if value is None:
            name = {"PatientWeight": "weight_kg", "PatientSize": "height_m"}[keyword]
            raise self.problems.get(name) or refuse_missing(keyword)
        if value == 0:
            raise refuse_zero(keyword)
        if keyword == "PatientSize" and not HEIGHT_M[0] <= value <= HEIGHT_M[1]:
            raise refuse_invalid(keyword, f"{value:g}", "A height in metres is needed, such as 1.75.")
        if not (math.isfinite(value) and value > 0):
            raise refuse_invalid(keyword, f"{value:g}", "A number above zero is needed.")
        return value


def _known(name: str, formulas: dict[str, Any], what: str) -> Any:
    if name in formulas:
        return formulas[name]
    raise UsageError(
        "unknown-formula",
        f"The {what} formula '{name}' is not known.",
        f"Known are {' and '.join(formulas)}.",
        "Choose one of them.",
    )

"""From voxels of a PET to standardised uptake values: SUVbw = activity x weight / decayed dose.

The way to the reference time of the decay follows the rules that the QIBA FDG-PET/CT profile and the DICOM
standard (PS3.3 C.8.9.1) give; what is missing is refused by its name, and nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import InputRefused, UsageError
from .attributes import ATTRIBUTES
from .bodysize import Patient
from .decay import Decay, decay_of_headers, decay_of_values
from .given import Given
from .headers import PHILIPS_ACTIVITY, PHILIPS_SUV, PetHeaders

#: Half-life of F-18 in seconds (109.77 min, NIST).
F18_HALF_LIFE_S = 6586.2
#: An FDG dose in this range is usual, MBq.
USUAL_DOSE_MBQ = (50.0, 1000.0)
#: Less than this many Bq is no human dose: most likely MBq were written into a field of Bq.
SMALLEST_DOSE_BQ = 1.0e6
#: Uptake times that FDG readers accept, min.
USUAL_UPTAKE_MIN = (40.0, 120.0)
USUAL_WEIGHT_KG = (2.0, 400.0)
#: Mean SUVbw of a whole body is a little below 1 by conservation of mass; a part of it scatters around.
USUAL_MEAN_SUV = (0.2, 3.0)

#: (code, sentence)
Remark = tuple[str, str]


@dataclass(frozen=True)
class SUVFactors:
    """Factors that turn the voxels of a PET into uptake values, and where they come from.

    ``suv_bw``: times the (rescaled) voxel = SUV by body weight. ``source``: "bqml", "philips-suv",
    "philips-activity", "gml", "given-bqml" or "given-suv". ``formula``: the formula in words. ``used``:
    what each value was and where it was read, without dates. ``decay``: None where no decay step belongs to
    the source. ``warnings``: (code, sentence). The other factors are None where the patient's data do not
    allow them; ``patient.lean_ratio`` says why.
    """

    suv_bw: float
    patient: Patient
    source: str
    formula: str
    used: dict[str, Any]
    dose_bq: float | None = None
    decay: Decay | None = None
    warnings: tuple[Remark, ...] = field(default=())

    @property
    def sul_janmahasatian(self) -> float | None:
        """Times the voxel = SUV by lean body mass after Janmahasatian."""
        return self._scaled(lambda: self.patient.lean_ratio("janmahasatian"))

    @property
    def sul_james(self) -> float | None:
        """Times the voxel = SUV by lean body mass after James."""
        return self._scaled(lambda: self.patient.lean_ratio("james"))

    @property
    def suv_bsa(self) -> float | None:
        """Times the voxel = SUV by body surface after Du Bois, in cm2/mL."""
        return self.surface_factor("du-bois")

    def surface_factor(self, formula: str = "du-bois") -> float | None:
        """Times the voxel = SUV by body surface ("du-bois" or "mosteller"), in cm2/mL."""
        return self._scaled(
            lambda: self.patient.surface_m2(formula) * 1e4 / (self.patient.require_weight() * 1e3)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; no dates and no names."""
        return {
            "source": self.source,
            "formula": self.formula,
            "factor_suv_bw": self.suv_bw,
            "factor_sul_janmahasatian": self.sul_janmahasatian,
            "factor_sul_james": self.sul_james,
            "factor_suv_bsa_du_bois": self.suv_bsa,
            "patient": self.patient.as_dict(),
            "injected_dose_bq": self.dose_bq,
            "decay": None if self.decay is None else self.decay.as_dict(),
            "used": self.used,
            "warnings": [{"code": code, "text": text} for code, text in self.warnings],
        }

    def _scaled(self, ratio: Any) -> float | None:
        try:
            return float(self.suv_bw * ratio())
        except InputRefused:
            return None


def factors_from_headers(headers: PetHeaders, given: Given | None = None) -> SUVFactors:
    """SUV factors of a DICOM PET series.

    Raises ``InputRefused`` with a code that names the attribute that is missing, zero or unusable.
    """
    given = given or Given()
    modality = headers.text("Modality")
    if modality != "PT":
        raise InputRefused(
            "pet-modality",
            f"The series is of modality {modality}.",
            "A PET series (PT) is needed.",
            "Choose the PET series.",
        )
    kind = headers.first("SeriesType").split("\\")[0].upper()
    if kind in ("DYNAMIC", "GATED"):
        raise InputRefused(
            "pet-series-type",
            f"The series is {kind.lower()}.",
            "A static or whole-body series is needed: one SUV a place.",
            "Choose the static reconstruction.",
        )
    units = headers.text("Units")
    headers.corrections()
    correction = headers.text("DecayCorrection")
    if correction not in ("START", "ADMIN"):
        raise InputRefused(
            "pet-decay-correction",
            f"DecayCorrection (0054,1102) is {correction}.",
            "START or ADMIN is needed: voxels corrected for decay to one known time.",
            "Choose the decay-corrected series.",
        )
    headers.slopes()
    patient = _patient(headers.patient(), given)
    used: dict[str, Any] = {"Units": units, "DecayCorrection": correction, "given_by_hand": given.names()}
    warnings: list[Remark] = []
    if not headers.intercept_is_zero():
        warnings.append(
            (
                "pet-intercept",
                "RescaleIntercept is not zero, which a PET should not have; it was added as it is.",
            )
        )
    by_activity = _ByActivity(headers, given, patient, correction, used)
    if units == "BQML":
        factors = by_activity.factors("bqml", 1.0)
    elif units == "CNTS":
        factors = _philips(headers, by_activity, patient, used)
    elif units == "GML":
        factors = _gml(headers, patient, used)
    else:
        raise InputRefused(
            "pet-units-unsupported",
            f"Units (0054,1001) is {units}.",
            "BQML (Bq/mL), GML (g/mL, an SUV already) or CNTS with the Philips factors can be interpreted.",
            "Export the attenuation-corrected series in Bq/mL.",
        )
    return replace(factors, warnings=(*warnings, *factors.warnings, *_plausible(factors)))


def factors_from_values(given: Given, *, already_suv: bool = False) -> SUVFactors:
    """SUV factors of a volume whose voxels are Bq/mL, or SUVbw (``already_suv``), from stated values.

    Bq/mL needs weight, dose and the two times (no times with ``decay_corrected_to="injection"``); the
    half-life is that of F-18 unless given. Raises ``UsageError`` naming what is missing.
    """
    patient = Patient(given.weight_kg, given.height_m, given.sex)
    used: dict[str, Any] = {"given_by_hand": given.names()}
    if already_suv:
        factors = SUVFactors(1.0, patient, "given-suv", "voxels are SUVbw as stated by the user", used)
        return replace(factors, warnings=tuple(_plausible(factors)))
    wanted = {"--weight": given.weight_kg, "--dose": given.dose_bq}
    if given.decay_corrected_to == "scan":
        wanted |= {"--injection-time": given.injection, "--scan-time": given.scan}  # type: ignore[dict-item]
    missing = [option for option, value in wanted.items() if value is None]
    if missing:
        raise UsageError(
            "pet-values-missing",
            f"A volume in Bq/mL says nothing of {', '.join(missing)}.",
            "Weight, dose and both times are needed for the SUV and are never guessed.",
            f"Give {' and '.join(missing)}; or say --suv-volume if the voxels are SUVbw already.",
        )
    assert given.weight_kg is not None and given.dose_bq is not None
    half_life = given.half_life_s or F18_HALF_LIFE_S
    used |= {
        "PatientWeight": _source("PatientWeight", given.weight_kg, "kg", given.weight_kg),
        "RadionuclideTotalDose": _source("RadionuclideTotalDose", given.dose_bq, "Bq", given.dose_bq),
        "RadionuclideHalfLife": {
            "value": half_life,
            "unit": "s",
            "from": "by hand" if given.half_life_s else "F-18",
        },
    }
    decay = decay_of_values(given, half_life)
    factors = _activity_factors("given-bqml", 1.0, patient, given.dose_bq, decay, used)
    return replace(factors, warnings=tuple(_plausible(factors)))


def mean_suv_warning(mean: float) -> Remark | None:
    """A warning where the mean SUVbw of the body is far from 1, which points to a wrong scale."""
    low, high = USUAL_MEAN_SUV
    if low <= mean <= high:
        return None
    return (
        "pet-mean-suv",
        f"The mean SUVbw of the body in view is {mean:.3g}; about 1 is expected ({low:g} to {high:g}). "
        "Check dose, weight, times and unit.",
    )


@dataclass(frozen=True)
class _ByActivity:
    """The way from Bq/mL to SUV with the values of the headers, those given by hand first."""

    headers: PetHeaders
    given: Given
    patient: Patient
    correction: str
    used: dict[str, Any]

    def factors(self, source: str, to_bqml: float) -> SUVFactors:
        given, headers = self.given, self.headers
        weight = self.patient.require_weight()
        dose = given.dose_bq or headers.number("RadionuclideTotalDose")
        half_life = given.half_life_s or headers.number("RadionuclideHalfLife")
        decay = decay_of_headers(headers, given, half_life, self.correction)
        used = self.used | {
            "PatientWeight": _source("PatientWeight", weight, "kg", given.weight_kg),
            "RadionuclideTotalDose": _source("RadionuclideTotalDose", dose, "Bq", given.dose_bq),
            "RadionuclideHalfLife": _source("RadionuclideHalfLife", half_life, "s", given.half_life_s),
        }
        return _activity_factors(source, to_bqml, self.patient, dose, decay, used)


def _activity_factors(
    source: str, to_bqml: float, patient: Patient, dose_bq: float, decay: Decay, used: dict[str, Any]
) -> SUVFactors:
    if dose_bq < SMALLEST_DOSE_BQ:
        raise InputRefused(
            "pet-total-dose-invalid",
            f"The injected dose is {dose_bq:g} Bq.",
            "A dose in Bq is needed, at least 1 MBq; some headers hold MBq in this field.",
            f"If {dose_bq:g} is the dose in MBq, say --dose {dose_bq:g}.",
        )
    left = dose_bq * decay.remaining
    counts = "" if to_bqml == 1 else f"{to_bqml:g} x "
    step = (
        "no decay step" if decay.remaining == 1 else f"x 2^(-{decay.seconds:.0f} s / {decay.half_life_s:g} s)"
    )
    formula = f"SUVbw = {counts}voxel x {patient.require_weight():g} kg x 1000 / ({dose_bq:.6g} Bq, {step})"
    factor = to_bqml * patient.require_weight() * 1000.0 / left
    return SUVFactors(factor, patient, source, formula, used, dose_bq, decay, decay.warnings)


def _source(keyword: str, value: float, unit: str, by_hand: float | None) -> dict[str, Any]:
    """One value for the passport, and where it was read."""
    where = "by hand" if by_hand is not None else ATTRIBUTES[keyword].tag
    return {"value": value, "unit": unit, "from": where}


def _philips(
    headers: PetHeaders, by_activity: _ByActivity, patient: Patient, used: dict[str, Any]
) -> SUVFactors:
    suv, activity = headers.philips(PHILIPS_SUV), headers.philips(PHILIPS_ACTIVITY)
    stated = [n for n in by_activity.given.names() if n not in ("height_m", "sex")]
    if suv is not None and not (stated and activity is not None):
        used = used | {"PhilipsSUVFactor (7053,1000)": suv}
        formula = f"SUVbw = voxel x {suv:g} (the scanner's own factor)"
        factors = SUVFactors(suv, patient, "philips-suv", formula, used)
        if stated:
            text = (
                f"The scanner's SUV factor holds its own dose, weight and times; {', '.join(stated)} "
                "given by hand changes nothing of SUVbw."
            )
            return replace(factors, warnings=(("pet-philips-factor-fixed", text),))
        if activity is None:
            return factors
        try:
            other = by_activity.factors("philips-activity", activity)
        except InputRefused:
            return factors  # the second way is only a check
        difference = other.suv_bw / suv - 1
        if abs(difference) > 0.02:
            text = (
                f"The scanner's SUV factor and the SUV from its activity factor, dose and weight differ by "
                f"{difference:+.0%}; the scanner's own was used."
            )
            factors = replace(factors, warnings=(("pet-philips-factors-disagree", text),))
        return replace(factors, dose_bq=other.dose_bq, decay=other.decay)
    if activity is not None:
        used["PhilipsActivityFactor (7053,1009)"] = activity
        return by_activity.factors("philips-activity", activity)
    raise InputRefused(
        "pet-philips-factors-missing",
        "Units is CNTS (counts), and the Philips factors (7053,1000) and (7053,1009) are missing or zero.",
        "Counts need one of them to become an SUV.",
        "Export the series again with its private elements, or in Bq/mL.",
    )


def _gml(headers: PetHeaders, patient: Patient, used: dict[str, Any]) -> SUVFactors:
    """Voxels are SUV already; SUVType says by which body measure, and is BW where it is absent (PS3.3)."""
    kind = headers.first("SUVType").upper() or "BW"
    used = used | {"SUVType (0054,1006)": kind}
    lean = {"LBMJANMA": "janmahasatian", "LBMJAMES128": "james"}.get(kind)
    if kind == "BW":
        return SUVFactors(1.0, patient, "gml", "voxels are SUVbw as the header states", used)
    if lean is not None:
        formula = f"SUVbw = voxel (SUL, {lean}) x weight / lean body mass"
        return SUVFactors(1.0 / patient.lean_ratio(lean), patient, "gml", formula, used)
    raise InputRefused(
        "pet-suv-type-unsupported",
        f"The voxels are SUV of the type {kind} (0054,1006).",
        "BW, LBMJANMA or LBMJAMES128 can be brought to body weight.",
        "Export the series in Bq/mL.",
    )


def _patient(patient: Patient, given: Given) -> Patient:
    """The header's patient, with what is given by hand put first."""
    stated = {k: getattr(given, k) for k in ("weight_kg", "height_m", "sex")}
    stated = {k: v for k, v in stated.items() if v is not None}
    problems = {name: problem for name, problem in patient.problems.items() if name not in stated}
    return replace(patient, **stated, problems=problems)


def _plausible(factors: SUVFactors) -> list[Remark]:
    found: list[Remark] = []

    def check(code: str, value: float | None, usual: tuple[float, float], what: str, unit: str) -> None:
        if value is not None and not usual[0] <= value <= usual[1]:
            found.append(
                (
                    code,
                    f"The {what} is {value:.4g} {unit}; {usual[0]:g} to {usual[1]:g} {unit} is usual. "
                    "Check it.",
                )
            )

    check("pet-weight-unusual", factors.patient.weight_kg, USUAL_WEIGHT_KG, "body weight", "kg")
    dose = None if factors.dose_bq is None else factors.dose_bq / 1e6
    check("pet-dose-unusual", dose, USUAL_DOSE_MBQ, "injected dose", "MBq")
    if factors.decay is not None:
        check("pet-uptake-unusual", factors.decay.uptake_minutes, USUAL_UPTAKE_MIN, "uptake time", "min")
        if abs(factors.decay.half_life_s / F18_HALF_LIFE_S - 1) > 0.01:
            found.append(
                (
                    "pet-not-f18",
                    f"The half-life is {factors.decay.half_life_s:g} s; F-18, for which the criteria were "
                    f"made, has {F18_HALF_LIFE_S:g} s. Check the tracer.",
                )
            )
    return found

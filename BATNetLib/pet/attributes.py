"""The DICOM attributes an SUV rests on, and how each is refused by its own name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputRefused


@dataclass(frozen=True)
class Attribute:
    """``keyword`` and ``tag`` of the standard; ``slug``: its part of refusal codes; ``nested``: it lies in
    the Radiopharmaceutical Information Sequence; ``option``: what gives the value by hand, if anything."""

    keyword: str
    tag: str
    slug: str
    meaning: str
    nested: bool = False
    option: str | None = None


_ALL = (
    Attribute("Modality", "(0008,0060)", "modality", "kind of image"),
    Attribute("Units", "(0054,1001)", "units", "unit of the voxels"),
    Attribute("CorrectedImage", "(0028,0051)", "corrected-image", "corrections applied"),
    Attribute("DecayCorrection", "(0054,1102)", "decay-correction", "time that decay is corrected to"),
    Attribute("PatientWeight", "(0010,1030)", "patient-weight", "body weight, kg", option="--weight"),
    Attribute("PatientSize", "(0010,1020)", "patient-size", "height, m", option="--height"),
    Attribute("PatientSex", "(0010,0040)", "patient-sex", "sex", option="--sex"),
    Attribute("SeriesDate", "(0008,0021)", "series-date", "date of the series", option="--scan-time"),
    Attribute("SeriesTime", "(0008,0031)", "series-time", "time of the series", option="--scan-time"),
    Attribute("AcquisitionDate", "(0008,0022)", "acquisition-date", "date of a slice", option="--scan-time"),
    Attribute("AcquisitionTime", "(0008,0032)", "acquisition-time", "time of a slice", option="--scan-time"),
    Attribute(
        "RadiopharmaceuticalStartDateTime", "(0018,1078)", "injection-time", "time of injection", True,
        "--injection-time",
    ),
    Attribute(
        "RadiopharmaceuticalStartTime", "(0018,1072)", "injection-time", "time of injection", True,
        "--injection-time",
    ),
    Attribute("RadionuclideTotalDose", "(0018,1074)", "total-dose", "injected activity, Bq", True, "--dose"),
    Attribute("RadionuclideHalfLife", "(0018,1075)", "half-life", "half-life, s", True, "--half-life"),
    Attribute("RescaleSlope", "(0028,1053)", "rescale-slope", "scale of each slice"),
)  # fmt: skip

ATTRIBUTES = {attribute.keyword: attribute for attribute in _ALL}


def refuse_missing(keyword: str, where: str = "") -> InputRefused:
    """``pet-<slug>-missing``: the attribute is absent or empty. ``where``: such as " in 3 of 267 slices"."""
    attribute = ATTRIBUTES[keyword]
    return InputRefused(
        f"pet-{attribute.slug}-missing",
        f"{keyword} {attribute.tag} ({attribute.meaning}) is missing or empty{where}.",
        "It is needed for the SUV and is never guessed.",
        _remedy(attribute),
    )


def refuse_zero(keyword: str, where: str = "") -> InputRefused:
    """``pet-<slug>-zero``: the attribute is there and zero, which scanners write for "not entered"."""
    attribute = ATTRIBUTES[keyword]
    return InputRefused(
        f"pet-{attribute.slug}-zero",
        f"{keyword} {attribute.tag} ({attribute.meaning}) is zero{where}.",
        "A value above zero is needed for the SUV.",
        _remedy(attribute),
    )


def refuse_invalid(keyword: str, value: Any, wanted: str) -> InputRefused:
    """``pet-<slug>-invalid``: the attribute is there and cannot mean what it must mean."""
    attribute = ATTRIBUTES[keyword]
    return InputRefused(
        f"pet-{attribute.slug}-invalid",
        f"{keyword} {attribute.tag} ({attribute.meaning}) is {str(value)[:40]!r}.",
        wanted,
        _remedy(attribute),
    )


def _remedy(attribute: Attribute) -> str:
    by_hand = f" or give it with {attribute.option}" if attribute.option else ""
    return f"Export the PET series again with its full headers{by_hand}."

"""Reading a PET as SUV by body weight, from DICOM or from a plain volume, and telling what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import BATNetError, InputRefused, UsageError
from ..events import Events
from ..volume import Volume, read_volume
from ..volume.files import Axes
from ..volume.instances import is_dicom_file
from .attributes import ATTRIBUTES
from .given import Given
from .headers import PHILIPS_ACTIVITY, PHILIPS_SUV, PetHeaders
from .series import choose_pet_series, read_headers
from .suv import SUVFactors, factors_from_headers, factors_from_values

Unit = Literal["bqml", "suv"]


@dataclass(frozen=True)
class Pet:
    """A PET on its own grid. ``suv``: float32 SUVbw in canonical axes. ``factors``: how it came about."""

    suv: Volume
    factors: SUVFactors


def read_pet(
    path: str | Path,
    *,
    unit: Unit | None = None,
    given: Given | None = None,
    series: str | int | None = None,
    axes: Axes | None = None,
    events: Events | None = None,
) -> Pet:
    """Read a PET as SUVbw.

    Parameters
    ----------
    path : DICOM folder, one DICOM file of a series, or a volume (NIfTI, NRRD, MetaImage).
    unit : for volumes, "bqml" (Bq/mL; ``given`` must then hold weight, dose and times) or "suv" (SUVbw
        already). A DICOM series says it itself.
    given : values stated by the user; they go before those of the header.
    series : which one, where a folder holds several PET series.

    Slices that lie unevenly are interpolated linearly between their true positions, with a warning. Raises
    ``InputRefused`` naming what is missing, ``UsageError`` for options that contradict the input.
    """
    path, given, events = Path(path), given or Given(), events or Events()
    if is_dicom(path):
        if unit is not None:
            raise UsageError(
                "pet-unit-contradicted",
                f"A unit ({unit}) was given for a DICOM series.",
                "DICOM says itself what its voxels are (Units).",
                "Leave the unit out.",
            )
        chosen = choose_pet_series(path, series, events)
        factors = factors_from_headers(read_headers(chosen, events), given)
        volume = read_volume(path, series=chosen.uid, accept_gaps=True, kind="map", events=events)
        return _scaled(volume, factors, events)
    volume = read_volume(path, axes=axes, kind="map", events=events)
    return suv_from_volume(volume, unit, given, events=events)


def suv_from_volume(
    volume: Volume, unit: Unit | None, given: Given | None = None, *, events: Events | None = None
) -> Pet:
    """SUVbw of a volume whose voxels are Bq/mL ("bqml") or SUVbw already ("suv").

    Raises ``InputRefused`` ("pet-unit-unknown") without a unit, ``UsageError`` where ``given`` lacks weight,
    dose or times for Bq/mL.
    """
    if unit not in ("bqml", "suv"):
        raise InputRefused(
            "pet-unit-unknown",
            "The PET is a plain volume, which does not say what its voxels are.",
            "SUV by body weight, or Bq/mL with weight, dose and times, is needed.",
            "Say --suv-volume for SUVbw; or give --weight, --dose, --injection-time and --scan-time for "
            "Bq/mL; or give the DICOM series.",
        )
    factors = factors_from_values(given or Given(), already_suv=unit == "suv")
    return _scaled(volume, factors, events or Events())


def is_dicom(path: Path) -> bool:
    """Whether ``path`` is a folder or a DICOM file."""
    return path.is_dir() or (path.is_file() and is_dicom_file(path))


def explain(
    path: str | Path,
    *,
    given: Given | None = None,
    series: str | int | None = None,
    events: Events | None = None,
) -> dict[str, Any]:
    """What a DICOM PET series says for its SUV, and everything that is missing at once.

    Returns plain JSON values: ``attributes`` (keyword, tag, meaning, value or None, problem or None),
    ``factors`` (as in the result, None where no SUV is possible), ``suv`` and ``sul`` (whether each is
    possible), ``problems`` (refusals). Raises ``UsageError`` for a plain volume, which says nothing.
    """
    path, given = Path(path), given or Given()
    if not is_dicom(path):
        raise UsageError(
            "pet-explain-dicom",
            f"{path.name} is no DICOM series.",
            "Only DICOM headers say how an SUV is made.",
            "Give the DICOM folder.",
        )
    chosen = choose_pet_series(path, series, events)
    headers = read_headers(chosen, events)
    problems: list[BATNetError] = []
    attributes = [_attribute(headers, keyword) for keyword in ATTRIBUTES]
    _one_injection_is_enough(attributes)
    factors = None
    try:
        factors = factors_from_headers(headers, given)
    except InputRefused as problem:
        problems.append(problem)
    lean = True
    if factors is not None:
        try:
            factors.patient.lean_ratio()
        except InputRefused as problem:
            problems.append(problem)
            lean = False
    return {
        "slices": len(headers.headers),
        "manufacturer": headers.first("Manufacturer"),
        "attributes": attributes,
        "philips": {
            "suv_factor": _tried(lambda: headers.philips(PHILIPS_SUV))[0],
            "activity_factor": _tried(lambda: headers.philips(PHILIPS_ACTIVITY))[0],
        },
        "factors": None if factors is None else factors.as_dict(),
        "suv": factors is not None,
        "sul": factors is not None and lean,
        "problems": [problem.as_dict() for problem in problems],
    }


def _attribute(headers: PetHeaders, keyword: str) -> dict[str, Any]:
    attribute = ATTRIBUTES[keyword]
    value, problem = _tried(lambda: headers.shown(keyword))
    return {
        "keyword": keyword,
        "tag": attribute.tag,
        "meaning": attribute.meaning,
        "value": value,
        "problem": None if problem is None else problem.found,
    }


def _one_injection_is_enough(attributes: list[dict[str, Any]]) -> None:
    """Of the two ways to record the injection, one may be absent."""
    ways = [a for a in attributes if a["keyword"].startswith("RadiopharmaceuticalStart")]
    if any(way["value"] for way in ways):
        for way in ways:
            if way["value"] is None and "is missing" in way["problem"]:
                way["problem"] = None


def _tried(read: Callable[[], Any]) -> tuple[Any, InputRefused | None]:
    try:
        return read(), None
    except InputRefused as problem:
        return None, problem


def _scaled(volume: Volume, factors: SUVFactors, events: Events) -> Pet:
    """``volume`` times its factor, as float32; says what is remarkable."""
    array = volume.array.astype(np.float32, copy=factors.suv_bw == 1.0)
    if factors.suv_bw != 1.0:
        array = array * np.float32(factors.suv_bw)
    for code, text in factors.warnings:
        events.warning(code, text)
    unknown = (volume.facts or {}).get("non_finite", 0)
    if unknown:
        events.warning(
            "pet-non-finite", f"{unknown:,} voxels of the PET are not a number; they count as not covered."
        )
    facts = dict(volume.facts or {}) | {"unit": "SUVbw"}
    return Pet(Volume(array, volume.grid, volume.source, facts), factors)

"""From injection to the time that the voxels are decay-corrected to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, time
from typing import Any

from ..errors import InputRefused, UsageError
from .given import Given
from .headers import PetHeaders
from .times import before, seconds_between

#: After so many half-lives less than 1/1000 of the dose is left: the times cannot be right.
MOST_HALF_LIVES = 10.0
#: Times that should be one and the same may differ by this, in seconds: 1.3 % of an F-18 SUV.
AGREE_S = 120.0
#: A series may start this long before its first slice before it is remarked on, in seconds.
EARLY_S = 600.0

#: Two records of one injection may differ by this, in seconds.
CLOCKS_S = 60.0

REFERENCE_RULES = {
    "series": "SeriesDate and SeriesTime, not after the first acquisition",
    "ge-private": "GE scan time (0009,100D), because the series time is after the first acquisition",
    "decay-factor": (
        "first acquisition, because the series time is later and the recorded DecayFactor of the slices "
        "leads back to the first acquisition"
    ),
    "injection": "injection (DecayCorrection ADMIN): no decay step",
    "given": "scan time given by hand",
}


@dataclass(frozen=True)
class Decay:
    """The decay between injection and the reference time of the voxels.

    ``seconds``: what the dose decays by, 0 where the voxels are corrected to the injection.
    ``uptake_minutes``: from injection to scan, None where it is not known. ``reference``: a key of
    ``REFERENCE_RULES``; ``injection``: where the time of injection was read.
    """

    seconds: float
    half_life_s: float
    uptake_minutes: float | None
    reference: str
    injection: str
    warnings: tuple[tuple[str, str], ...] = ()

    @property
    def remaining(self) -> float:
        """Share of the dose that is left at the reference time."""
        return float(2.0 ** (-self.seconds / self.half_life_s))

    def as_dict(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "half_life_s": self.half_life_s,
            "remaining": self.remaining,
            "uptake_minutes": self.uptake_minutes,
            "reference_time": REFERENCE_RULES[self.reference],
            "injection_time": self.injection,
        }


def decay_of_headers(headers: PetHeaders, given: Given, half_life_s: float, correction: str) -> Decay:
    """The decay of a series with DecayCorrection START or ADMIN.

    START: to the series time, unless the first slice was acquired before it (a series made later), then to
    GE's private scan time, else to the first acquisition where the recorded DecayFactor proves it. ADMIN:
    no decay step; the times then only tell the uptake time, and their absence is a warning.
    """
    if correction == "ADMIN":
        try:
            decay = _decay_to_scan(headers, given, half_life_s)
        except InputRefused as problem:
            text = f"The uptake time is not known. {problem.found}"
            return Decay(0.0, half_life_s, None, "injection", "not needed", (("pet-uptake-unknown", text),))
        return Decay(0.0, half_life_s, decay.uptake_minutes, "injection", decay.injection)
    return _decay_to_scan(headers, given, half_life_s)


def decay_of_values(given: Given, half_life_s: float) -> Decay:
    """The decay between two moments given by hand. Raises ``UsageError`` where they do not fit together."""
    seconds = None
    if given.injection is not None and given.scan is not None:
        seconds = seconds_between(given.injection, given.scan)
        if seconds is None:
            raise UsageError(
                "pet-times-mixed",
                "The injection was given with a date, the scan without.",
                "Both need a date, or neither.",
                "Write both as HH:MM, or both as YYYY-MM-DD HH:MM.",
            )
        _require_possible(seconds, half_life_s)
    minutes = None if seconds is None else seconds / 60.0
    if given.decay_corrected_to == "injection":
        return Decay(0.0, half_life_s, minutes, "injection", "given by hand")
    assert seconds is not None
    return Decay(seconds, half_life_s, minutes, "given", "given by hand")


def _decay_to_scan(headers: PetHeaders, given: Given, half_life_s: float) -> Decay:
    if given.scan is not None and given.injection is not None:
        return decay_of_values(replace(given, decay_corrected_to="scan"), half_life_s)
    warnings: list[tuple[str, str]] = []
    if given.scan is None:
        reference, rule = _reference(headers, half_life_s, warnings)
    else:
        rule = "given"
        reference = (
            given.scan
            if isinstance(given.scan, datetime)
            else datetime.combine(headers.acquisition_date(), given.scan)
        )
    if given.injection is not None:
        where = "given by hand"
        injection = (
            given.injection if isinstance(given.injection, datetime) else before(given.injection, reference)
        )
    else:
        moment, clock, where = headers.injection()
        if moment is None:
            assert clock is not None
            moment = before(clock, reference)
        elif clock is not None and abs(_clock_difference(moment.time(), clock)) > CLOCKS_S:
            warnings.append(
                (
                    "pet-injection-times-differ",
                    f"RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime are "
                    f"{abs(_clock_difference(moment.time(), clock)) / 60:.0f} min apart by the clock; "
                    "the one with the date was used.",
                )
            )
        injection = moment
    seconds = (reference - injection).total_seconds()
    _require_possible(seconds, half_life_s)
    return Decay(seconds, half_life_s, seconds / 60.0, rule, where, tuple(warnings))


def _clock_difference(one: time, other: time) -> float:
    """Seconds between two times of day, the shorter way round the clock."""
    day = 86400.0
    seconds = [t.hour * 3600 + t.minute * 60 + t.second + t.microsecond * 1e-6 for t in (one, other)]
    return (seconds[0] - seconds[1] + day / 2) % day - day / 2


def _reference(
    headers: PetHeaders, half_life_s: float, warnings: list[tuple[str, str]]
) -> tuple[datetime, str]:
    """The time that START refers to, and the rule that found it."""
    series, acquired = headers.series_time(), headers.acquisition_times()
    first = min(acquired)
    implied = _seconds_after_reference(headers, half_life_s)
    if series <= first:
        found, rule = series, "series"
    else:
        private = headers.ge_scan_time()
        if private is not None:
            found, rule = private, "ge-private"
        elif implied is not None and abs(implied) <= AGREE_S:
            found, rule = first, "decay-factor"
        else:
            minutes = (series - first).total_seconds() / 60.0
            raise InputRefused(
                "pet-scan-time-unknown",
                f"The series time is {minutes:.0f} min after the first acquisition, so the series was "
                "made later, and neither GE's scan time (0009,100D) nor the DecayFactor of the slices "
                "tells the time that "
                "decay was corrected to.",
                "That time must be known.",
                "Use the original series from the scanner, or give the start of the scan with --scan-time.",
            )
    gap = (first - found).total_seconds()
    if implied is not None and abs(gap - implied) > AGREE_S:
        error = 2.0 ** ((gap - implied) / half_life_s) - 1
        warnings.append(
            (
                "pet-reference-time-doubtful",
                f"The recorded DecayFactor leads to a time {abs(gap - implied) / 60:.0f} min "
                f"{'before' if implied > gap else 'after'} the one that was used; the SUV would change by "
                f"{error:+.0%}. Check the times of the series.",
            )
        )
    elif implied is None and gap > EARLY_S:
        warnings.append(
            (
                "pet-series-time-early",
                f"The series time is {gap / 60:.0f} min before the first acquisition, and no DecayFactor "
                "says which of the two decay was corrected to; the series time was used.",
            )
        )
    return found, rule


def _seconds_after_reference(headers: PetHeaders, half_life_s: float) -> float | None:
    """How long after the reference time the first frame started, by the recorded DecayFactor.

    A frame of length T is corrected by the factor exp(k (start + t)), t being the time in the frame at which
    activity equals its mean: t = ln(kT / (1 - exp(-kT))) / k (DICOM PS3.3 C.8.9.4.1.5).
    """
    factors = headers.decay_factors()
    if factors is None:
        return None
    k = math.log(2.0) / half_life_s
    starts = [(math.log(f) - math.log(k * t / -math.expm1(-k * t))) / k for f, t in factors]
    return min(starts)


def _require_possible(seconds: float, half_life_s: float) -> None:
    if seconds <= 0:
        raise InputRefused(
            "pet-injection-after-scan",
            f"The injection is {-seconds / 60:.0f} min after the start of the scan.",
            "The injection must come first.",
            "Check the times and dates; dates that were shifted for anonymity are a common cause. Give "
            "--injection-time and --scan-time.",
        )
    if seconds > MOST_HALF_LIVES * half_life_s:
        raise InputRefused(
            "pet-uptake-time-impossible",
            f"The scan starts {seconds / 3600:.1f} h after the injection, {seconds / half_life_s:.0f} "
            f"half-lives of {half_life_s:g} s.",
            f"After more than {MOST_HALF_LIVES:.0f} half-lives nothing is left to measure.",
            "Check the times, dates and the half-life (in seconds); give --injection-time and --scan-time.",
        )

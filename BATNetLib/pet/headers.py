"""Headers of a DICOM PET series: every attribute is read by name, and refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from typing import Any

from ..errors import InputRefused
from ..volume.instances import quiet
from .attributes import ATTRIBUTES, refuse_invalid, refuse_missing, refuse_zero
from .bodysize import HEIGHT_M, Patient
from .times import parse_date, parse_datetime, parse_offset, parse_time

#: Private elements: group, creator, element.
GE_SCAN_TIME = (0x0009, "GEMS_PETD_01", 0x0D)
PHILIPS_SUV = (0x7053, "Philips PET Private Group", 0x00)
PHILIPS_ACTIVITY = (0x7053, "Philips PET Private Group", 0x09)


@dataclass(frozen=True)
class PetHeaders:
    """Headers (pydicom datasets) of all slices of one PET series.

    Each method reads one thing. Where it is missing, empty or zero it raises ``InputRefused`` with a code
    that names it, such as "pet-patient-weight-missing"; where slices that must agree do not,
    "pet-headers-disagree".
    """

    headers: list[Any]

    def text(self, keyword: str) -> str:
        """A value that all slices share, upper case, several values joined by a backslash."""
        return self._shared(keyword)

    def number(self, keyword: str) -> float:
        """A number above zero that all slices share."""
        return _positive(keyword, self._shared(keyword))

    def corrections(self) -> set[str]:
        """CorrectedImage, which must hold ATTN and DECY in every slice."""
        found = set(self.text("CorrectedImage").split("\\"))
        for code, word in (("ATTN", "attenuation"), ("DECY", "decay")):
            if code not in found:
                raise InputRefused(
                    f"pet-corrected-image-{code.lower()}",
                    f"CorrectedImage (0028,0051) lists {', '.join(sorted(found))}, and not {code}.",
                    f"The PET must be corrected for {word} ({code}).",
                    f"Choose the series that is corrected for attenuation and decay; without {word} "
                    "correction there is no SUV.",
                )
        return found

    def slopes(self) -> None:
        """Every slice must have its own RescaleSlope above zero: scanners change it from slice to slice."""
        values = [_get(h, "RescaleSlope") for h in self.headers]
        self._refuse_gaps("RescaleSlope", values)
        for value in values:
            _positive("RescaleSlope", value)

    def intercept_is_zero(self) -> bool:
        """Whether RescaleIntercept is zero or absent everywhere, as it must be in a PET."""
        return all(_get(h, "RescaleIntercept").strip("0.+-") == "" for h in self.headers)

    def series_time(self) -> datetime:
        """SeriesDate and SeriesTime."""
        return self._moments("SeriesDate", "SeriesTime", shared=True)[0]

    def acquisition_times(self) -> list[datetime]:
        """AcquisitionDate and AcquisitionTime of every slice."""
        return self._moments("AcquisitionDate", "AcquisitionTime", shared=False)

    def acquisition_date(self) -> date:
        """AcquisitionDate of the slice that was acquired first."""
        dates = [_get(h, "AcquisitionDate") for h in self.headers]
        self._refuse_gaps("AcquisitionDate", dates)
        return min(_date("AcquisitionDate", text) for text in dates)

    def injection(self) -> tuple[datetime | None, time | None, str]:
        """RadiopharmaceuticalStartDateTime, RadiopharmaceuticalStartTime (a time of day) and the keyword of
        the one that counts: the first where it is there. None stands for the one that is missing."""
        full = self._optional("RadiopharmaceuticalStartDateTime")
        clock_text = self._optional("RadiopharmaceuticalStartTime")
        clock = parse_time(clock_text) if clock_text else None
        if full:
            moment = parse_datetime(full)
            if moment is None:
                raise refuse_invalid(
                    "RadiopharmaceuticalStartDateTime", full, "A date with a time to the minute is needed."
                )
            keyword = "RadiopharmaceuticalStartDateTime"
            return self.local(moment, clock, keyword), clock, keyword
        if not clock_text:
            raise refuse_missing("RadiopharmaceuticalStartTime")
        if clock is None:
            raise refuse_invalid(
                "RadiopharmaceuticalStartTime", clock_text, "A time to the minute is needed, such as 103500."
            )
        return None, clock, "RadiopharmaceuticalStartTime"

    def ge_scan_time(self) -> datetime | None:
        """GE's private scan time (0009,100D): the earliest of the slices, None where there is none."""
        found = []
        for header in self.headers:
            text = _private(header, GE_SCAN_TIME)
            moment = parse_datetime(text) if text else None
            if moment is not None:
                found.append(self.local(moment, None, "the GE scan time (0009,100D)"))
        return min(found) if found else None

    def philips(self, element: tuple[int, str, int]) -> float | None:
        """One of the Philips scale factors; None where it is missing or zero."""
        texts = {_private(h, element) for h in self.headers}
        if len(texts) > 1:
            raise _disagree(f"The Philips factor ({element[0]:04X},10{element[2]:02X})", len(texts))
        try:
            value = float(texts.pop() or 0)
        except ValueError:
            return None
        return value if math.isfinite(value) and value > 0 else None

    def patient(self) -> Patient:
        """Weight, height and sex; what is missing or zero is kept as a refusal until it is asked for."""
        problems: dict[str, InputRefused] = {}

        def tried(name: str, read: Callable[[], Any]) -> Any:
            try:
                return read()
            except InputRefused as problem:
                problems[name] = problem
                return None

        weight = tried("weight_kg", lambda: self.number("PatientWeight"))
        height = tried("height_m", self._height)
        sex = tried("sex", self._sex)
        return Patient(weight, height, sex, problems)

    def shown(self, keyword: str) -> str:
        """One attribute for people to read: refused where missing, zero or, where it must agree, divided.

        AcquisitionDate, AcquisitionTime and RescaleSlope may differ from slice to slice: then the range.
        """
        if keyword in ("AcquisitionDate", "AcquisitionTime", "RescaleSlope"):
            values = [_get(h, keyword) for h in self.headers]
            self._refuse_gaps(keyword, values)
            if keyword == "RescaleSlope":
                self.slopes()
                values.sort(key=float)
            else:
                values.sort()
            return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"
        if keyword == "CorrectedImage":
            return ", ".join(sorted(self.corrections()))
        if keyword in ("PatientWeight", "RadionuclideTotalDose", "RadionuclideHalfLife"):
            return f"{self.number(keyword):g}"
        if keyword == "PatientSize":
            return f"{self._height():g}"
        return self._sex() if keyword == "PatientSex" else self.text(keyword)

    def first(self, keyword: str) -> str:
        """An optional value of the first slice, or an empty string."""
        return _get(self.headers[0], keyword)

    def decay_factors(self) -> list[tuple[float, float]] | None:
        """(DecayFactor, ActualFrameDuration in s) of every slice, None where any slice lacks one."""
        found = []
        for header in self.headers:
            try:
                factor, ms = (
                    float(_get(header, "DecayFactor") or 0),
                    float(_get(header, "ActualFrameDuration") or 0),
                )
            except ValueError:
                return None
            if factor < 1 or ms <= 0:
                return None
            found.append((factor, ms / 1000.0))
        return found

    def local(self, moment: datetime, clock: time | None, what: str) -> datetime:
        """``moment`` as the wall clock of the header's other times. Without an offset it is that already.

        With one, TimezoneOffsetFromUTC tells the offset of the others; where it is missing, a time of day
        ``clock`` of the same event that shows the same time proves that both are the same wall clock.
        """
        if moment.tzinfo is None:
            return moment
        texts = {_get(h, "TimezoneOffsetFromUTC") for h in self.headers}
        zones = {parse_offset(text) for text in texts}
        if len(texts) == 1 and None not in zones:
            zone: timezone | None = zones.pop()
            return moment.astimezone(zone).replace(tzinfo=None)
        if texts == {""} and clock is not None and moment.time() == clock:
            return moment.replace(tzinfo=None)
        raise InputRefused(
            "pet-timezone-missing",
            f"{what} has an offset from UTC, and TimezoneOffsetFromUTC (0008,0201) of the other times is "
            f"{'missing' if texts == {''} else 'unclear'}.",
            "Both must be known, or the time between injection and scan could be wrong by hours.",
            "Export the series again, or give --injection-time and --scan-time by the clock on the wall.",
        )

    # --- below here: how values are found

    def _height(self) -> float:
        height = self.number("PatientSize")
        if not HEIGHT_M[0] <= height <= HEIGHT_M[1]:
            raise refuse_invalid("PatientSize", f"{height:g}", "A height in metres is needed, such as 1.75.")
        return height

    def _sex(self) -> str:
        sex = self.text("PatientSex")
        if sex not in ("M", "F"):
            raise refuse_invalid("PatientSex", sex, "The formulas of lean body mass know M and F only.")
        return sex

    def _optional(self, keyword: str) -> str:
        try:
            return self._shared(keyword)
        except InputRefused as problem:
            if problem.code.endswith("-missing"):
                return ""
            raise

    def _shared(self, keyword: str) -> str:
        places = (
            [self._radiopharmaceutical(h) for h in self.headers]
            if ATTRIBUTES[keyword].nested
            else self.headers
        )
        values = ["" if place is None else _get(place, keyword) for place in places]
        self._refuse_gaps(keyword, values)
        if len(set(values)) > 1:
            raise _disagree(f"{keyword} {ATTRIBUTES[keyword].tag}", len(set(values)))
        return values[0].upper()

    def _refuse_gaps(self, keyword: str, values: list[str]) -> None:
        gaps = sum(not value for value in values)
        if gaps:
            raise refuse_missing(
                keyword, "" if gaps == len(values) else f" in {gaps} of {len(values)} slices"
            )

    def _radiopharmaceutical(self, header: Any) -> Any:
        with quiet():
            items = header.get("RadiopharmaceuticalInformationSequence") or []
        if len(items) > 1:
            raise InputRefused(
                "pet-several-radiopharmaceuticals",
                f"The Radiopharmaceutical Information Sequence (0054,0016) has {len(items)} items.",
                "An SUV belongs to one injection of one tracer.",
                "Choose a series with one tracer, or convert it with a tool that knows this protocol.",
            )
        return items[0] if items else None

    def _moments(self, date_keyword: str, time_keyword: str, shared: bool) -> list[datetime]:
        if shared:
            dates, times = [self.text(date_keyword)], [self.text(time_keyword)]
        else:
            dates = [_get(h, date_keyword) for h in self.headers]
            times = [_get(h, time_keyword) for h in self.headers]
            self._refuse_gaps(date_keyword, dates)
            self._refuse_gaps(time_keyword, times)
        moments = []
        for date_text, time_text in zip(dates, times, strict=True):
            day, clock = _date(date_keyword, date_text), parse_time(time_text)
            if clock is None:
                raise refuse_invalid(
                    time_keyword, time_text, "A time to the minute is needed, such as 103500."
                )
            moments.append(datetime.combine(day, clock))
        return moments


def _get(header: Any, keyword: str) -> str:
    try:
        with quiet():
            return _text(header.get(keyword))
    except Exception:  # pydicom refuses what does not fit its type; the refusal in words comes from us
        return "unreadable"


def _text(value: Any) -> str:
    """The value of an element as text; several values joined by a backslash, "" for none."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        return "\\".join(str(part).strip() for part in value)
    return str(value).strip().strip("\0").strip()


def _positive(keyword: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise refuse_invalid(keyword, text, "A number above zero is needed.") from None
    if value == 0:
        raise refuse_zero(keyword)
    if not math.isfinite(value) or value < 0:
        raise refuse_invalid(keyword, text, "A number above zero is needed.")
    return value


def _date(keyword: str, text: str) -> date:
    day = parse_date(text)
    if day is None:
        raise refuse_invalid(keyword, text, "A date is needed, such as 20240131.")
    return day


def _private(header: Any, element: tuple[int, str, int]) -> str:
    """Text of a private element, found through its creator as the standard asks; "" where there is none."""
    group, creator, offset = element
    try:
        with quiet():
            return _text(header.private_block(group, creator)[offset].value)
    except Exception:  # absent, or what cannot be decoded: both count as absent
        return ""


def _disagree(what: str, values: int) -> InputRefused:
    return InputRefused(
        "pet-headers-disagree",
        f"{what} has {values} different values in the slices of one series.",
        "All slices of a PET series must agree on it.",
        "Separate the series, or export it again.",
    )

"""Dates and times of DICOM headers and of users, and the time between two of them."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone

#: A moment, or a time of day whose date is not known.
Moment = datetime | time

_TIME = re.compile(r"^(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?$")
_DATE = re.compile(r"^(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})$")
_OFFSET = re.compile(r"^([+-])(\d{2}):?(\d{2})$")


def parse_time(text: str) -> time | None:
    """DICOM TM, or HH:MM[:SS] as people write it; None where it is not a time to the minute at least."""
    match = _TIME.match(text.strip())
    if not match:
        return None
    hour, minute, second, fraction = match.groups()
    try:
        # 60 is allowed for leap seconds.
        return time(int(hour), int(minute), min(int(second or 0), 59), int((fraction or "0").ljust(6, "0")))
    except ValueError:
        return None


def parse_date(text: str) -> date | None:
    """DICOM DA, or YYYY-MM-DD; None where it is not a date."""
    match = _DATE.match(text.strip())
    if not match:
        return None
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        return None


def parse_offset(text: str) -> timezone | None:
    """Offset from UTC as in TimezoneOffsetFromUTC, such as +0200; None where it is none."""
    match = _OFFSET.match(text.strip())
    if not match:
        return None
    sign, hours, minutes = match.groups()
    shift = timedelta(hours=int(hours), minutes=int(minutes))
    if shift > timedelta(hours=14):
        return None
    return timezone(-shift if sign == "-" else shift)


def parse_datetime(text: str) -> datetime | None:
    """DICOM DT to the minute at least, with its offset from UTC where it has one; None where it is none."""
    text = text.strip()
    zone = None
    if len(text) > 5 and text[-5] in "+-":
        zone = parse_offset(text[-5:])
        if zone is None:
            return None
        text = text[:-5]
    day, clock = parse_date(text[:8]), parse_time(text[8:])
    return None if day is None or clock is None else datetime.combine(day, clock, zone)


def parse_moment(text: str) -> Moment | None:
    """What a user writes: HH:MM[:SS] or YYYY-MM-DD HH:MM[:SS] (a T between is fine); None otherwise."""
    parts = text.strip().replace("T", " ").split()
    if len(parts) == 1:
        return parse_time(parts[0])
    if len(parts) == 2:
        day, clock = parse_date(parts[0]), parse_time(parts[1])
        return None if day is None or clock is None else datetime.combine(day, clock)
    return None


def before(clock: time, moment: datetime) -> datetime:
    """The last time that a clock showed ``clock`` before or at ``moment``: the day before, past midnight."""
    found = datetime.combine(moment.date(), clock, moment.tzinfo)
    return found if found <= moment else found - timedelta(days=1)


def seconds_between(first: Moment, second: Moment) -> float | None:
    """Seconds from ``first`` to ``second``; times of day are less than a day apart. None where one has a
    date and the other, later, one has none."""
    if isinstance(second, datetime):
        start = first if isinstance(first, datetime) else before(first, second)
        return (second - start).total_seconds()
    if isinstance(first, datetime):
        return None
    day = datetime(2000, 1, 2, tzinfo=timezone.utc)
    end = datetime.combine(day, second, timezone.utc)
    return (end - before(first, end)).total_seconds()

"""Lengths of time in words."""

from __future__ import annotations

from .texts import _


def time_left_words(seconds: float) -> str:
    """ "about 20 s left", rounded so that it does not flicker."""
    if seconds < 5:
        return _("a few seconds left")
    if seconds < 55:
        return _("about {seconds} s left").format(seconds=5 * round(seconds / 5))
    if seconds < 3600:
        return _("about {minutes} min left").format(minutes=max(1, round(seconds / 60)))
    return _("about {hours} h left").format(hours=round(seconds / 3600, 1))


def duration_words(seconds: float) -> str:
    """ "40 s", "3 min", "2.5 h", "4.2 days"; two digits at most, as good as an estimate is."""
    if seconds < 1:
        return _("{seconds} s").format(seconds=f"{seconds:.1f}")
    if seconds < 90:
        return _("{seconds} s").format(seconds=round(seconds))
    if seconds < 5400:
        return _("{minutes} min").format(minutes=round(seconds / 60))
    if seconds < 36 * 3600:
        return _("{hours} h").format(hours=f"{seconds / 3600:.2g}")
    return _("{days} days").format(days=f"{seconds / 86400:.2g}")

"""Translation of what the user reads: Slicer's own where there is one, else the English text itself."""

from __future__ import annotations

try:
    from slicer.i18n import tr as _
except ImportError:  # Slicer before 5.4, and plain Python

    def _(text: str) -> str:
        return text


def millilitres(value: float | None, unknown: str = "–") -> str:
    """A volume with one decimal; ``unknown`` where it is None or NaN because the voxel size is not known."""
    return unknown if value is None or value != value else f"{value:.1f}"


__all__ = ["_", "millilitres"]

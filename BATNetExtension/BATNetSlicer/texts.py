"""Translation of what the user reads: Slicer's own where there is one, else the English text itself."""

from __future__ import annotations

try:
    from slicer.i18n import tr as _
except ImportError:  # Slicer before 5.4, and plain Python

    def _(text: str) -> str:
        return text


__all__ = ["_"]

"""How far readers agree, and where they do not.

Works without torch; figures and report need matplotlib and Jinja2. Names are resolved on first use, so that
importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "ADJUDICATED": "adjudication",
    "Adjudicated": "adjudication",
    "Agreement": "compare",
    "Disagreement": "regions",
    "Options": "compare",
    "Region": "regions",
    "adjudicate": "adjudication",
    "agreement": "compare",
    "bland_altman": "volumes",
    "find_reads": "reads",
    "find_regions": "regions",
    "icc_2_1": "volumes",
    "kappa_over_patients": "kappa",
    "require_report": "saving",
    "save": "saving",
    "save_adjudicated": "adjudication",
    "weighted_kappa": "kappa",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

"""Many scans: find the cases, run them, go on where it stopped, look through the results.

Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "BatchResult": "settings",
    "BatchSettings": "settings",
    "Case": "cases",
    "Found": "cases",
    "PassedOver": "cases",
    "collect": "tables",
    "find_cases": "find",
    "parse_shard": "plan",
    "run_batch": "run",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

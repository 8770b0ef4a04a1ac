"""Training both stages on the user's own data.

Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Config": "config",
    "Metric": "contract",
    "Parts": "contract",
    "StageTraining": "contract",
    "Workspace": "contract",
    "liveness": "runfolder",
    "read_config": "config",
    "read_log": "runfolder",
    "read_run": "runfolder",
    "read_state": "runfolder",
    "request_stop": "runfolder",
    "resolve": "config",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

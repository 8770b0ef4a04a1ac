"""Training data: opening, checking, summarising, converting and splitting them, and patches prepared offline.

Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "CaseFacts": "findings",
    "CheckReport": "checking",
    "Dataset": "cases",
    "Finding": "findings",
    "Split": "split",
    "TrainingCase": "cases",
    "check": "checking",
    "convert": "converting",
    "load_patches": "patchfiles",
    "make_split": "split",
    "open_dataset": "layouts",
    "prepare_patches": "prepare",
    "read_scan": "scans",
    "read_slices": "slices",
    "read_split": "splitfile",
    "stale": "patchfiles",
    "with_patches": "prepare",
    "write_manifest": "manifest",
    "write_split": "splitfile",
    "write_summary": "summary",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

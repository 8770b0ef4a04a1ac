"""How good a model is, from saved results: masks against masks, probabilities against labels.

No network runs here. Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "Estimate": "intervals",
    "MaskEvaluation": "adipose",
    "MaskOptions": "adipose",
    "Overlap": "overlap",
    "ScoreEvaluation": "brown",
    "ScoreOptions": "brown",
    "auc_delong": "roc",
    "compare": "roc",
    "compare_masks": "overlap",
    "evaluate_adipose": "adipose",
    "evaluate_brown": "brown",
    "evaluate_scores": "brown",
    "mean_and_median": "intervals",
    "require_report": "save",
    "save_masks": "save",
    "save_scores": "save",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

"""One scan from CT to result: the pipeline, its options, the analysis folder.

Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "ASSESSED": "result",
    "Analysis": "result",
    "AnalysisOptions": "options",
    "CaseEvents": "recorder",
    "CaseInputs": "options",
    "ModelCache": "cache",
    "NOT_ASSESSABLE": "result",
    "STAGES": "recorder",
    "analyze": "pipeline",
    "analyze_files": "files",
    "analyze_inputs": "files",
    "case_inputs": "files",
    "check_files": "files",
    "check_scan": "pipeline",
    "is_analysis_folder": "files",
    "save_analysis": "files",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

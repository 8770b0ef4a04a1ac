"""Readers' work on brown-fat masks: work lists, versions that are never overwritten, locks, read-ahead.

Works without torch, nibabel and any model. Names are resolved on first use, so that importing this package
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "CaseLock": "caselock",
    "DEPOTS": "record",
    "Prepared": "readahead",
    "Record": "record",
    "SIDES": "record",
    "STATUSES": "worklist",
    "Standing": "index",
    "Store": "store",
    "Version": "versions",
    "WorkItem": "worklist",
    "WorkList": "worklist",
    "export_manifest": "manifest",
    "find_prepared": "readahead",
    "fingerprint": "grids",
    "folder_key": "keys",
    "from_slicer": "grids",
    "no_scores": "record",
    "open_worklist": "worklist",
    "prepare": "readahead",
    "read_mask_beside": "scanfile",
    "read_scan_file": "scanfile",
    "this_software": "record",
    "to_slicer": "grids",
    "volume_on_own_grid": "grids",
    "worklist_of": "worklist",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

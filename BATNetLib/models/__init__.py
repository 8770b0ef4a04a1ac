"""Models as data: registry, store, safe import, download, loading.

``load_model`` is what the pipeline uses. Names are resolved on first use, so that importing this package
costs nothing and needs neither numpy nor torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "LoadedModel": "loading",
    "load_model": "loading",
    "locate": "loading",
    "ModelEntry": "registry",
    "OperatingPoint": "registry",
    "load_registry": "registry",
    "operating_point": "registry",
    "StoredModel": "store",
    "catalogue": "store",
    "models_folder": "store",
    "resolve": "store",
    "describe_model": "importing",
    "export_model": "exporting",
    "import_file": "importing",
    "read_weights": "reading",
    "state_shapes": "architectures",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)

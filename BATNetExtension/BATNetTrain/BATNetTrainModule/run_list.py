"""The runs that were started or opened here, newest first, kept in Slicer's settings.

Only their folders are kept: what became of them stands there, whoever trained meanwhile.
"""

from __future__ import annotations

import json
from pathlib import Path

import slicer

SETTING = "BATNetTrain/runs"
MOST = 20


def known_runs() -> list[Path]:
    """Folders of runs, newest first; they may be gone."""
    try:
        kept = json.loads(slicer.app.settings().value(SETTING, "") or "[]")
    except ValueError:
        kept = []
    return [Path(path) for path in kept if isinstance(path, str)] if isinstance(kept, list) else []


def remember(folder: Path) -> None:
    """Put a run first."""
    others = [path for path in known_runs() if path != folder]
    _keep([folder, *others][:MOST])


def forget(folder: Path) -> None:
    """Take a run off the list; its folder stays."""
    _keep([path for path in known_runs() if path != folder])


def _keep(folders: list[Path]) -> None:
    slicer.app.settings().setValue(SETTING, json.dumps([str(path) for path in folders]))

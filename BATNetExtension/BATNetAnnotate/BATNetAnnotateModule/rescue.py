"""Work that could not be saved where it belongs: kept on this computer and offered again.

It happens when the scene closes or Slicer ends while the disk is full, the network is away, or another
place has taken the case over.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import slicer

from . import session as sessions
from .session import Snapshot

_NAME = "BATNetAnnotate-rescued"


def store() -> Any:
    """A store beside Slicer's settings, which lie on a disk of this computer."""
    from BATNetLib.annotation.store import Store

    return Store(Path(slicer.app.settings().fileName()).parent / _NAME)


def keep(snapshot: Snapshot) -> Any:
    """Write a state as a version of the rescue store. Raises what ``Store.save`` raises."""
    return sessions.write(store(), snapshot)[0]


def newer_than(version: Any, case: str, reader: str) -> Any:
    """What was rescued of a read after ``version`` (None: ever); None where there is nothing."""
    found = store().newest(case, reader)
    if found is None or found.record is None:
        return None
    if version is not None and version.record is not None and version.record.time > found.record.time:
        return None
    return found


def forget(case: str, reader: str) -> None:
    """It was saved where it belongs."""
    shutil.rmtree(store().folder(case, reader), ignore_errors=True)

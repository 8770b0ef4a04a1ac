"""What a reader chose, kept by Slicer between sessions; nothing of it goes into a scene."""

from __future__ import annotations

import slicer

_GROUP = "BATNetAnnotate"
READER, STORE, SOURCE, DATASET_MASK = "reader", "store", "source", "datasetMask"
MIRROR = "mirroredView"


def read(key: str, otherwise: str = "") -> str:
    return str(slicer.app.settings().value(f"{_GROUP}/{key}", otherwise) or "")


def write(key: str, value: str) -> None:
    slicer.app.settings().setValue(f"{_GROUP}/{key}", value)

"""Fingerprints of scans and files, for the passport of a result and for resuming a batch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from .geometry import Volume

#: Corners are compared in steps of this many mm, so that the rounding of a format does not matter.
_STEP_MM = 0.1
_OFFSET = 0.6180339887498949  # keeps round millimetres away from the edges of the steps


def hash_voxels(volume: Volume) -> str:
    """SHA-256 (hex) over the canonical voxels and where they lie.

    The same values at the same place give the same hash from any file format, axis order or voxel type.
    Place is the corners of the grid to about 0.1 mm.
    """
    digest = hashlib.sha256(b"canonical voxels 1\n")
    shape = volume.grid.shape
    ends = np.array([[0, 0, 0], [shape[0] - 1, 0, 0], [0, shape[1] - 1, 0], [0, 0, shape[2] - 1]])
    steps = np.floor(volume.grid.points(ends) / _STEP_MM + _OFFSET).astype("<i8")
    digest.update(np.array(shape, "<i8").tobytes() + steps.tobytes())
    array = volume.array
    whole = array.dtype.kind in "biu" or all(bool((plane == np.rint(plane)).all()) for plane in array)
    fits = whole and abs(int(array.min())) < 2**31 and abs(int(array.max())) < 2**31
    stored = "<i4" if fits else "<f8" if array.dtype == np.float64 else "<f4"
    digest.update(stored.encode())
    for plane in array:
        # Adding zero turns -0.0 into 0.0.
        digest.update((plane.astype(stored) + np.zeros(1, stored)).tobytes())
    return digest.hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 (hex) of the bytes of a file, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()

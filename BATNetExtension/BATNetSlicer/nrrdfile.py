"""Volumes as NRRD files in small steps, so that the window stays alive while a large scan is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .geometry import LPS

#: Bytes written at a time: a few milliseconds on any disk.
CHUNK = 8 << 20
_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
    "uint32": "uint32", "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip


def writing(array: np.ndarray, affine: np.ndarray, path: Path) -> Iterator[float]:
    """Write voxels [k, j, i] as an uncompressed NRRD file; yields the share done, 0..1.

    ``affine``: index (i, j, k) to RAS mm; every digit of it is kept. Raises ``OutputRefused`` where the disk
    is full or may not be written; what was begun is then the caller's to remove.
    """
    from BATNetLib.workfiles import output_errors

    with output_errors(path.name), path.open("wb") as file:
        file.write(_header(array, LPS @ affine).encode("ascii"))
        rows = max(1, CHUNK // max(1, array[0].nbytes))
        for first in range(0, len(array), rows):
            part = np.ascontiguousarray(array[first : first + rows])
            file.write(part.astype(part.dtype.newbyteorder("<"), copy=False).data)
            yield min(1.0, (first + rows) / len(array))


def _header(array: np.ndarray, affine: np.ndarray) -> str:
    name = array.dtype.newbyteorder("=").name
    directions = " ".join(_vector(affine[:3, axis]) for axis in range(3))
    return "\n".join(
        [
            "NRRD0005",
            f"type: {_TYPES[name]}",
            "dimension: 3",
            "space: left-posterior-superior",
            f"sizes: {' '.join(str(n) for n in reversed(array.shape))}",
            f"space directions: {directions}",
            "kinds: domain domain domain",
            "endian: little",
            "encoding: raw",
            f"space origin: {_vector(affine[:3, 3])}",
            "\n",
        ]
    )


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(v) + 0.0) for v in values)})"

"""Volumes as uncompressed NRRD files: nothing opens faster, here and in 3D Slicer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputRefused
from ..events import Events
from ..volume import Volume
from .grids import on_own_grid, volume_on_own_grid

_TYPES = {"uint8": "uint8", "int16": "int16", "int32": "int32", "float32": "float"}
_PIECE = 16 << 20


def write_raw(volume: Volume, path: Path, events: Events) -> int:
    """Write a volume (uint8, int16, int32 or float32) on its own grid; returns the bytes written.

    Raises ``OSError``, ``Cancelled``.
    """
    array, grid = on_own_grid(volume)
    directions = " ".join(_vector(grid.affine[:3, axis]) for axis in range(3))
    lines = [
        "NRRD0005",
        f"type: {_TYPES[array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in array.shape)}",
        f"space directions: {directions}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: raw",
        f"space origin: {_vector(grid.affine[:3, 3])}",
    ]
    turned = array.transpose(2, 1, 0)
    step = max(1, _PIECE // max(1, turned[:1].nbytes))
    with path.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode("ascii"))
        for first in range(0, len(turned), step):
            events.check()
            part = np.ascontiguousarray(turned[first : first + step])
            file.write(part.astype(part.dtype.newbyteorder("<"), copy=False).data)
        return file.tell()


def read_raw(path: Path) -> Volume:
    """A volume that ``write_raw`` wrote; raises ``InputRefused`` ("prepared-damaged") for anything else."""
    array, affine = _read(path)
    return volume_on_own_grid(array.transpose(2, 1, 0), affine)


def read_raw_for_slicer(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels [k, j, i] and 4x4 IJK-to-RAS matrix of a node for a volume that ``write_raw`` wrote.

    As 3D Slicer's own reader would give them: the slices of a left-handed volume are turned round. Reading
    the file and handing the array to a node is several times quicker than that reader. Raises as
    ``read_raw``.
    """
    array, affine = _read(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    if np.linalg.det(affine[:3, :3]) < 0:
        array = np.ascontiguousarray(array[::-1])
        affine[:3, 3] += affine[:3, 2] * (len(array) - 1)
        affine[:3, 2] *= -1
    return array, affine


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels with the file's fastest axis last, and 4x4 affine, file index to LPS mm."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        end = head.index(b"\n\n") + 2
        said = dict(line.split(": ", 1) for line in head[:end].decode("ascii").splitlines()[1:] if line)
        size = [int(n) for n in said["sizes"].split()]
        kind = next(ours for ours, name in _TYPES.items() if name == said["type"])
        dtype = np.dtype(kind).newbyteorder("<")
        affine = np.eye(4)
        for axis, text in enumerate(said["space directions"].split()):
            affine[:3, axis] = _numbers(text)
        affine[:3, 3] = _numbers(said["space origin"])
        return np.fromfile(path, dtype, offset=end).reshape(size[::-1]), affine
    except (OSError, ValueError, KeyError, StopIteration, UnicodeDecodeError) as error:
        raise InputRefused(
            "prepared-damaged",
            f"{path.name}, which was read ahead, is damaged.",
            "It must be as it was written.",
            "Open the case from its own files.",
        ) from error


def _vector(values: np.ndarray) -> str:
    return f"({','.join(repr(float(v) + 0.0) for v in values)})"


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.strip("()").split(",")]

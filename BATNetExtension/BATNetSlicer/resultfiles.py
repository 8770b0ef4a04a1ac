"""Reading the maps and the mask of a result folder, slab by slab, straight onto the CT's voxels.

Only files as BATNet writes them are read here (single-file NIfTI, gzip NRRD). Values arrive as stored in the
file times its scale; no voxel is interpolated.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .geometry import LPS, Placing
from .texts import _

#: Voxels handled at a time: some ten milliseconds of unpacking.
SLAB_VOXELS = 1 << 21
_NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_NRRD_TYPES = {
    "uint8": "u1", "unsigned char": "u1", "uchar": "u1", "int8": "i1", "int16": "i2", "short": "i2",
    "uint16": "u2", "unsigned short": "u2", "int32": "i4", "int": "i4",
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """What a file says of itself. ``size``: voxels along i, j, k. ``affine``: (i, j, k) to RAS mm.
    ``offset``: where the voxels start in the unpacked file (NIfTI) or in the file (NRRD). ``packed``: gzip.
    ``fields``: the named fields of an NRRD file."""

    path: Path
    size: tuple[int, int, int]
    affine: np.ndarray
    dtype: np.dtype[Any]
    scale: float
    offset: int
    packed: bool
    fields: dict[str, str] = field(default_factory=dict)


def read_head(path: Path) -> Head:
    """The header of a map (.nii.gz, .nii) or of a mask (.nrrd) of a result folder.

    Raises ``InputRefused`` where it is missing, damaged, or not in a form that BATNet writes.
    """
    with _in_words(path):
        return _nrrd_head(path) if path.name.endswith(".nrrd") else _nifti_head(path)


def reading(head: Head, outer: np.ndarray, there: Placing) -> Iterator[float]:
    """Fill ``outer`` [k, j, i] with the values of a file that lies in it at ``there``; yields the share done.

    Slabs that hold only zeros are not written, so that memory the system has not handed out yet stays so.
    Raises ``InputRefused`` where the file ends too early or is damaged.
    """
    target = there.view(outer)
    rows = max(1, SLAB_VOXELS // (head.size[0] * head.size[1]))
    with _in_words(head.path), _opened(head) as file:
        for first in range(0, head.size[2], rows):
            last = min(first + rows, head.size[2])
            shape = (head.size[0], head.size[1], last - first)
            raw = _exactly(file, int(np.prod(shape)) * head.dtype.itemsize)
            slab = np.frombuffer(raw, head.dtype).reshape(shape, order="F")
            if slab.any():
                target[:, :, first:last] = slab if head.scale == 1 else slab * np.float32(head.scale)
            if last == head.size[2] and file.read(1):  # reading on to the end also proves the checksum
                raise ValueError("more voxels than the header says")
            yield last / head.size[2]


@contextmanager
def _opened(head: Head) -> Iterator[BinaryIO]:
    with head.path.open("rb") as raw:
        if head.path.name.endswith(".nrrd"):
            raw.seek(head.offset)
        file: Any = gzip.GzipFile(fileobj=raw) if head.packed else raw
        if not head.path.name.endswith(".nrrd"):
            _exactly(file, head.offset)
        yield file


def _exactly(file: Any, count: int) -> bytes:
    parts, missing = [], count
    while missing:
        part = file.read(missing)
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    from BATNetLib.errors import InputRefused

    try:
        yield
    except FileNotFoundError as error:
        raise InputRefused(
            "result-missing",
            _("The result folder has no {name}, although its analysis.json says so.").format(name=path.name),
            _("A complete result folder is needed."),
            _("Copy the whole folder, or run the analysis again."),
        ) from error
    except (OSError, EOFError, ValueError, KeyError, zlib.error, struct.error) as error:
        raise InputRefused(
            "result-damaged",
            _("{name} of the result folder is damaged or not a file that BATNet wrote.").format(
                name=path.name
            ),
            _("A complete result folder is needed."),
            _("Run the analysis again."),
        ) from error


def _nifti_head(path: Path) -> Head:
    packed = path.name.endswith(".gz")
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        raw = _exactly(file, 348)
    order = "<" if struct.unpack("<i", raw[:4])[0] == 348 else ">"
    if struct.unpack(f"{order}i", raw[:4])[0] != 348 or raw[344:347] != b"n+1":
        raise ValueError("not a single NIfTI-1 file")
    dims = struct.unpack(f"{order}8h", raw[40:56])
    kind = struct.unpack(f"{order}h", raw[70:72])[0]
    offset, slope, intercept = struct.unpack(f"{order}3f", raw[108:120])
    sform = struct.unpack(f"{order}h", raw[254:256])[0]
    if dims[0] != 3 or min(dims[1:4]) < 1 or sform < 1 or (np.isfinite(intercept) and intercept != 0):
        raise ValueError("not a map of BATNet")
    affine = np.eye(4)
    affine[:3] = np.array(struct.unpack(f"{order}12f", raw[280:328])).reshape(3, 4)
    scale = float(slope) if np.isfinite(slope) and slope != 0 else 1.0
    size = (dims[1], dims[2], dims[3])
    return Head(path, size, affine, np.dtype(order + _NIFTI_TYPES[kind]), scale, int(offset), packed)


def _nrrd_head(path: Path) -> Head:
    with path.open("rb") as file:
        raw = file.read(1 << 20)
    end = raw.find(b"\n\n")
    if not raw.startswith(b"NRRD000") or end < 0:
        raise ValueError("not an NRRD file")
    fields = {}
    for line in raw[:end].decode("utf-8").split("\n")[1:]:
        mark = ":=" if ":=" in line else ": "
        if not line.startswith("#") and mark in line:
            key, value = line.split(mark, 1)
            fields[key.strip()] = value.strip()
    sizes = [int(n) for n in fields["sizes"].split()]
    packed = fields["encoding"] in ("gzip", "gz")
    to_ras = {"left-posterior-superior": LPS, "right-anterior-superior": np.eye(4)}[fields["space"]]
    if (
        len(sizes) != 3
        or not (packed or fields["encoding"] == "raw")
        or fields.get("endian", "little") != "little"
    ):
        raise ValueError("not a mask as BATNet writes it")
    affine = np.eye(4)
    for axis, direction in enumerate(fields["space directions"].split()):
        affine[:3, axis] = _numbers(direction)
    affine[:3, 3] = _numbers(fields["space origin"])
    dtype = np.dtype("<" + _NRRD_TYPES[fields["type"]])
    return Head(path, (sizes[0], sizes[1], sizes[2]), to_ras @ affine, dtype, 1.0, end + 2, packed, fields)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("()").split(",")]

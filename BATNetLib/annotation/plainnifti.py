"""Voxels of NIfTI files without nibabel, which 3D Slicer does not bring.

SimpleITK reads the place of the voxels, but fills a file that ends early with zeros and says nothing; here
the bytes are counted, and the checksum of a gzip file is compared. Fields by the definitions nifti1.h and
nifti2.h (nifti.nimh.nih.gov).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused
from ..events import Events
from ..volume import checks
from ..volume.values import apply_scale

_PIECE = 1 << 22
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
#: Where dim, datatype, vox_offset and scaling stand, with their types, in both forms of the header.
_FIELDS = {
    348: (("40", "8h"), ("70", "h"), ("108", "f"), ("112", "2f")),
    540: (("16", "8q"), ("12", "h"), ("168", "q"), ("176", "2d")),
}


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_voxels(path: Path, events: Events) -> np.ndarray:
    """Voxels in file axes with the header's scaling applied; integers stay integers where that is exact.

    Raises ``InputRefused`` ("truncated", "unreadable", "colour", ...), ``Cancelled``.
    """
    name = path.name
    packed = name.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            head = file.read(540)
            dims, datatype, offset, slope, inter = _fields(head, name)
            dtype = _dtype(datatype, head, name)
            shape = checks.squeeze_shape(dims, name)
            checks.require_size(shape, checks.MAX_VOXELS, name)
            held = path.stat().st_size - (0 if packed else offset)
            checks.require_bytes(math.prod(shape) * dtype.itemsize, held, packed, name)
            raw = np.empty(math.prod(shape), dtype)
            file.seek(offset)
            _fill(file, memoryview(raw.data).cast("B"), name, events)
            while packed and file.read(_PIECE):  # the checksum is compared at the end only
                events.check()
    except (EOFError, OSError, zlib.error) as error:
        raise _truncated(name) from error
    if not dtype.isnative:
        raw = raw.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return apply_scale(raw.reshape(shape, order="F"), slope, inter, name)


def _fields(head: bytes, name: str) -> tuple[list[int], int, int, float, float]:
    """Sizes along the axes, code of the type, offset of the voxels, slope and intercept."""
    order = _order(head, name)
    size = struct.unpack_from(f"{order}i", head)[0]
    found = [struct.unpack_from(order + kind, head, int(place)) for place, kind in _FIELDS[size]]
    (dims, (datatype,), (offset,), (slope, inter)) = found
    if not 1 <= dims[0] <= 7 or not math.isfinite(offset) or offset < size:
        raise _unreadable(name)
    # A slope of zero says that there is no scaling; some programs write "not a number" for it.
    scaled = math.isfinite(slope) and slope != 0
    return (
        [int(n) for n in dims[1 : dims[0] + 1]],
        datatype,
        int(offset),
        *((slope, inter) if scaled else (1.0, 0.0)),
    )


def _order(head: bytes, name: str) -> str:
    if len(head) >= 348:
        for order in "<>":
            size = struct.unpack_from(f"{order}i", head)[0]
            if size in _FIELDS and len(head) >= size:
                return order
    raise _unreadable(name)


def _dtype(code: int, head: bytes, name: str) -> np.dtype[Any]:
    if code in (128, 2304):
        raise checks.refuse_colour(name)
    if code not in _TYPES:
        raise _unreadable(name)
    return np.dtype(_order(head, name) + _TYPES[code])


def _fill(file: Any, wanted: memoryview, name: str, events: Events) -> None:
    done = 0
    while done < len(wanted):
        events.check()
        count = file.readinto(wanted[done : done + _PIECE])
        if not count:
            raise _truncated(name)
        done += count


def _truncated(name: str) -> InputRefused:
    return InputRefused(
        "truncated",
        f"{name} ends before its voxels do, or its compressed data are damaged.",
        "The whole file is needed.",
        "Copy or export it again.",
    )


def _unreadable(name: str) -> InputRefused:
    return InputRefused(
        "unreadable",
        f"{name} does not have the header of a NIfTI volume.",
        "A readable NIfTI file is needed.",
        "Export the scan again.",
    )

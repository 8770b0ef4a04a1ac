"""Masks as NIfTI-1 files, written and read without nibabel, which 3D Slicer does not bring.

The header is built field by field from the NIfTI-1 definition (nifti.nimh.nih.gov, nifti1.h): both sform
and qform say the place, so that programs that believe the one or the other agree.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..errors import InputRefused
from ..volume import Grid, Volume
from ..volume.orient import shear_degrees
from .grids import on_own_grid, volume_on_own_grid

#: Masks shrink a hundredfold at any level; higher levels only cost time.
_LEVEL = 1
_HEADER = struct.Struct("<i10s18sihcb8h3fhhhh8ffffhbbffffii80s24shh6f4f4f4f16s4s")
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UINT8, _MM, _SCANNER = 2, 2, 1


def write_mask(mask: Volume, path: Path) -> dict[str, Any]:
    """Write a mask (bool, or integers 0 and 1) on the grid of the file it belongs to, flushed to the disk.

    ``path`` ends in .nii.gz. Returns ``sha256`` (of the file), ``bytes``, ``voxels`` (how many are marked),
    ``ml``. Raises ``InputRefused`` for other values ("mask-values") and as ``on_own_grid``; ``OSError``.
    """
    array, grid = on_own_grid(mask)
    marked = _marked(array)
    digest = _Digest()
    with path.open("wb") as file:
        target = cast(io.RawIOBase, _Tee(file, digest))
        # No name and no time in the gzip header: the same mask gives the same bytes.
        with gzip.GzipFile("", "wb", _LEVEL, cast(Any, target), mtime=0) as packed:
            packed.write(_header(grid))
            for index in range(array.shape[2]):
                packed.write(array[:, :, index].astype(np.uint8).tobytes(order="F"))
        file.flush()
        os.fsync(file.fileno())
    return {
        "sha256": digest.hexdigest(),
        "bytes": digest.length,
        "voxels": marked,
        "ml": round(marked * mask.voxel_ml, 6),
    }


def read_mask_file(path: Path, *, sha256: str | None = None) -> Volume:
    """A mask written by ``write_mask``: uint8 0 and 1 in canonical axes, ``source`` the file's own grid.

    ``sha256``: what the bytes must hash to. Raises ``InputRefused`` ("mask-damaged") where the file is not
    what was written, ("missing") where it is not there.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputRefused(
            "missing", f"{path.name} is not there.", "The mask of the version is needed.", _REMEDY
        ) from error
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({(error.strerror or 'unknown reason').lower()})") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(path, "its bytes are not those that were written")
    try:
        raw = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, "its compressed data end early or are broken") from error
    if len(raw) < 352:
        raise _damaged(path, "it has no header")
    fields = _HEADER.unpack(raw[:348])
    shape = (fields[8], fields[9], fields[10])
    kind, offset = fields[19], int(fields[30])
    if fields[0] != 348 or kind != _UINT8 or fields[-1][:3] != b"n+1" or offset < 352:
        raise _damaged(path, "its header is not that of a mask")
    rows = np.array(fields[-14:-2], float).reshape(3, 4)
    array = np.frombuffer(raw, np.uint8, count=-1, offset=offset)
    if min(shape) < 1 or array.size != shape[0] * shape[1] * shape[2] or array.max(initial=0) > 1:
        raise _damaged(path, "its voxels are not those of a mask")
    affine = np.eye(4)
    affine[:3] = rows
    return volume_on_own_grid(array.reshape(shape, order="F").copy(order="K"), _RAS @ affine)


def _marked(array: np.ndarray) -> int:
    if array.dtype.kind not in "bui" or (array.size and (int(array.min()) < 0 or int(array.max()) > 1)):
        raise InputRefused(
            "mask-values",
            "The mask holds other values than 0 and 1.",
            "A mask says of each voxel whether it is marked.",
            "Give one segment alone, as 0 and 1.",
        )
    return int(np.count_nonzero(array))


def _header(grid: Grid) -> bytes:
    """348 bytes of header and 4 that say that there are no extensions."""
    affine = _RAS @ grid.affine
    spacing = grid.spacing
    # A quaternion cannot hold a sheared grid; the sform does.
    sheared = shear_degrees(grid.affine) >= 0.01
    qfac, quaternion = (1.0, np.zeros(3)) if sheared else _quaternion(affine[:3, :3] / np.array(spacing))
    fields = (
        348, b"", b"", 0, 0, b"r", 0,
        3, *grid.shape, 1, 1, 1, 1,
        0.0, 0.0, 0.0, 0, _UINT8, 8, 0,
        qfac, *spacing, 0.0, 0.0, 0.0, 0.0,
        352.0, 1.0, 0.0, 0, 0, _MM,
        0.0, 0.0, 0.0, 0.0, 0, 0,
        b"", b"", 0 if sheared else _SCANNER, _SCANNER,
        *quaternion, *affine[:3, 3],
        *affine[0], *affine[1], *affine[2],
        b"", b"n+1\0",
    )  # fmt: skip
    return _HEADER.pack(*fields) + bytes(4)


def _quaternion(directions: np.ndarray) -> tuple[float, np.ndarray]:
    """``qfac`` and (b, c, d) of unit columns (RAS). A left-handed grid has its third column turned first."""
    qfac = 1.0 if np.linalg.det(directions) > 0 else -1.0
    r = directions * np.array([1.0, 1.0, qfac])
    # Eigenvector of the symmetric 4x4 matrix of Bar-Itzhack (2000): exact for rotations, nearest otherwise.
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    _, vectors = np.linalg.eigh(k / 3.0, UPLO="L")
    b, c, d, a = vectors[:, -1]
    return qfac, np.array([b, c, d]) * (1.0 if a >= 0 else -1.0)


class _Digest:
    """SHA-256 and length of what passes."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.length = 0

    def update(self, data: bytes) -> None:
        self._sha.update(data)
        self.length += len(data)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


class _Tee:
    """A file that also feeds a digest."""

    def __init__(self, file: Any, digest: _Digest) -> None:
        self._file, self._digest = file, digest

    def write(self, data: bytes) -> int:
        self._digest.update(bytes(data))
        return int(self._file.write(data))

    def flush(self) -> None:
        self._file.flush()


_REMEDY = "Choose a version before it, which is whole, or restore the file from a backup."


def _damaged(path: Path, why: str) -> InputRefused:
    return InputRefused(
        "mask-damaged", f"{path.name} is damaged: {why}.", "The mask as it was saved is needed.", _REMEDY
    )

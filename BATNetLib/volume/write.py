"""Writing results on the grid of the input: NIfTI, NRRD, MetaImage. Whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import OutputRefused, UsageError
from ..workfiles import whole_file
from .geometry import Grid, Volume
from .nifti import RAS_TO_LPS
from .orient import Kind, restore, shear_degrees

#: Masks shrink a hundredfold at any level; higher levels only cost time.
_LEVEL = 4

_NRRD_TYPES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32",
    "uint32": "uint32", "float32": "float", "float64": "double",
}  # fmt: skip

_META_TYPES = {
    "int8": "MET_CHAR", "uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT",
    "int32": "MET_INT", "uint32": "MET_UINT", "float32": "MET_FLOAT", "float64": "MET_DOUBLE",
}  # fmt: skip


def write_volume(
    volume: Volume, path: str | Path, like: Volume | None = None, *, kind: Kind | None = None
) -> Path:
    """Write ``volume`` as .nii.gz, .nii, .nrrd or .mha.

    ``like``: the volume that was read, on whose canonical grid ``volume`` lies: the file gets exactly the
    grid and axes of that input (an input that was resampled is resampled back: nearest neighbour for
    ``kind="mask"`` and integers, else linear). Without ``like`` the canonical grid is written, as columns,
    rows and slices from inferior to superior. The file appears whole or not at all; a missing folder is made.
    Returns the path.

    Raises ``OutputRefused`` where it cannot be written, ``InputRefused`` when ``volume`` lies on another
    grid than ``like``.
    """
    path = Path(path)
    ending = next((e for e in (".nii.gz", ".nii", ".nrrd", ".mha") if path.name.lower().endswith(e)), None)
    if ending is None:
        raise UsageError(
            "unknown-format",
            f"{path.name} does not end in a format that is written here.",
            "Results are written as .nii.gz, .nii, .nrrd or .mha.",
            "Choose one of these endings.",
        )
    array, grid = on_file_grid(volume, like, kind)
    if ending in (".nii.gz", ".nii"):
        _write_nifti(array, grid, path, compress=ending == ".nii.gz")
    elif ending == ".nrrd":
        write_nrrd(array, grid, path, {})
    else:
        _write_metaimage(array, grid, path)
    return path


def on_file_grid(volume: Volume, like: Volume | None, kind: Kind | None) -> tuple[np.ndarray, Grid]:
    """Voxels and grid in file axes, in a type that every format knows."""
    if like is not None:
        like.require_same_grid(volume, "result")
        array, grid = restore(volume.array, like, kind=kind)
    else:
        array, grid = restore(volume.array, Volume(volume.array, volume.grid), kind=kind)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    elif array.dtype.name not in _NRRD_TYPES:
        array = _narrow(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array, grid


def _narrow(array: np.ndarray) -> np.ndarray:
    """64-bit integers as int32, other floats as float64; refuses what does not fit."""
    if array.dtype.kind == "f":
        return array.astype(np.float64)
    limits = np.iinfo(np.int32)
    if array.dtype.kind not in "iu" or int(array.min()) < limits.min or int(array.max()) > limits.max:
        raise OutputRefused(
            "value-overflow",
            f"The result has voxels of type {array.dtype} that do not fit into 32 bits.",
            "Results are written with at most 32-bit integers.",
            "Report this: it is a defect of the program that made the result.",
        )
    return array.astype(np.int32)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """``whole_file`` opened for writing; on the disk for certain before it takes its name."""
    with whole_file(path) as beside, beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _chunks(array: np.ndarray) -> Iterator[bytes]:
    """Bytes of an array in file axes, fastest axis first, little endian, slab by slab."""
    little = array.dtype.newbyteorder("<")
    for index in range(array.shape[2]):
        yield array[:, :, index].astype(little, copy=False).tobytes(order="F")


def _write_nifti(array: np.ndarray, grid: Grid, path: Path, *, compress: bool) -> None:
    import nibabel as nib

    affine = RAS_TO_LPS @ grid.affine
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype.newbyteorder("<"))
    header.set_xyzt_units("mm")
    header.set_sform(affine, code="scanner")
    if shear_degrees(grid.affine) < 0.01:
        header.set_qform(affine, code="scanner")
    else:  # a quaternion cannot hold a sheared grid
        header["pixdim"][1:4] = grid.spacing
    header.set_slope_inter(1.0, 0.0)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    with _whole(path) as file:
        # No name and no time in the gzip header: the same result gives the same bytes.
        packed = cast(BinaryIO, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)) if compress else file
        packed.write(header.binaryblock + b"\0\0\0\0")
        for chunk in _chunks(array):
            packed.write(chunk)
        if compress:
            packed.close()


def write_nrrd(array: np.ndarray, grid: Grid, path: Path, keys: Mapping[str, str]) -> None:
    """NRRD with gzip encoding; ``keys`` are written as custom ``key:=value`` fields."""
    lines = [
        "NRRD0005",
        f"type: {_NRRD_TYPES[array.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in array.shape)}",
        f"space directions: {' '.join(_vector(grid.affine[:3, axis]) for axis in range(3))}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(grid.affine[:3, 3])}",
        *(f"{key}:={_one_line(value)}" for key, value in keys.items()),
    ]
    with _whole(path) as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
            for chunk in _chunks(array):
                packed.write(chunk)


def _write_metaimage(array: np.ndarray, grid: Grid, path: Path) -> None:
    directions = grid.affine[:3, :3] / np.array(grid.spacing)

    def head(size: int) -> bytes:
        fields = {
            "ObjectType": "Image",
            "NDims": "3",
            "BinaryData": "True",
            "BinaryDataByteOrderMSB": "False",
            "CompressedData": "True",
            "CompressedDataSize": f"{size:014d}",
            "TransformMatrix": " ".join(_real(v) for v in directions.T.ravel()),
            "Offset": " ".join(_real(v) for v in grid.affine[:3, 3]),
            "CenterOfRotation": "0 0 0",
            "ElementSpacing": " ".join(_real(v) for v in grid.spacing),
            "DimSize": " ".join(str(n) for n in array.shape),
            "ElementType": _META_TYPES[array.dtype.name],
            "ElementDataFile": "LOCAL",
        }
        return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()

    with _whole(path) as file:
        file.write(head(0))
        packer = zlib.compressobj(_LEVEL)
        size = 0
        for chunk in _chunks(array):
            size += file.write(packer.compress(chunk))
        size += file.write(packer.flush())
        file.seek(0)
        file.write(head(size))  # the length of the packed voxels is known only now


def _real(value: float) -> str:
    return repr(float(value) + 0.0)


def _vector(values: np.ndarray) -> str:
    return f"({','.join(_real(v) for v in values)})"


def _one_line(value: str) -> str:
    return " ".join(str(value).split("\n"))

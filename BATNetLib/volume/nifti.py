"""NIfTI files: header first, then voxels, without floating-point copies of integer scans."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused
from ..events import Events
from . import checks
from .orient import axis_order
from .values import apply_scale

#: NIfTI and nibabel speak RAS, this library LPS.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_PIECE = 1 << 22
_LONGEST_HEADER = 540  # NIfTI-2

#: What follows the voxels is read to its end for the checksum, but not for ever.
_MOST_TRAILING_PIECES = 16

_HEADER_ERRORS = (EOFError, OSError, zlib.error, ValueError, OverflowError, TypeError, KeyError)


def read_header(path: Path, max_voxels: int) -> tuple[Any, dict[str, Any]]:
    """nibabel image (voxels not yet read) and what its header says, all checked.

    The dictionary holds ``shape`` (3 sizes), ``affine`` (4x4, file index to LPS mm), ``oriented`` (whether
    the header has a position at all) and ``dtype`` (of the voxels as stored).
    """
    import nibabel as nib

    name = path.name
    _require_spacing_as_stored(_first_bytes(path), name)
    try:
        with _quiet():
            image: Any = nib.load(path)
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, *_HEADER_ERRORS) as error:
        raise refuse_damaged(name) from error
    if not isinstance(image, nib.Nifti1Image):
        raise refuse_damaged(name)
    header = image.header
    dtype = header.get_data_dtype()
    checks.require_scalar(dtype, name)
    shape = checks.squeeze_shape(image.shape, name)
    checks.require_size(shape, max_voxels, name)
    packed = path.suffix.lower() == ".gz"
    proxy: Any = image.dataobj
    held = path.stat().st_size - (0 if packed else int(proxy.offset))
    checks.require_bytes(math.prod(shape) * dtype.itemsize, held, packed, name)
    oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    affine = np.asarray(image.affine, float) if oriented else np.diag([*header["pixdim"][1:4].tolist(), 1.0])
    checks.require_affine(affine, name)
    if oriented:
        _require_one_position(header, name)
        affine = RAS_TO_LPS @ affine
    return image, {"shape": shape, "affine": affine, "oriented": oriented, "dtype": dtype}


def read_voxels(image: Any, path: Path, shape: tuple[int, int, int], events: Events) -> np.ndarray:
    """Voxels in file axes with the header's scaling applied; integers stay integers where that is exact."""
    # nibabel moves offset and scaling from the header to the image when it opens a file.
    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    dtype = image.header.get_data_dtype()
    raw = np.empty(math.prod(shape), dtype)
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb") as file:
            file.seek(int(image.dataobj.offset))
            _fill(file, memoryview(raw.data).cast("B"), path.name, events)
            # The checksum of a gzip file is compared at its end only.
            for _ in range(_MOST_TRAILING_PIECES):
                if not file.read(_PIECE):
                    break
    except (EOFError, OSError, zlib.error) as error:
        raise refuse_truncated(path.name) from error
    if not dtype.isnative:
        raw = raw.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return apply_scale(raw.reshape(shape, order="F"), slope, inter, path.name)


def _fill(file: Any, wanted: memoryview, name: str, events: Events) -> None:
    done = 0
    while done < len(wanted):
        events.check()
        count = file.readinto(wanted[done : done + _PIECE])
        if not count:
            raise refuse_truncated(name)
        done += count


def _require_one_position(header: Any, name: str) -> None:
    """Refuse a header whose two ways to give the position (sform, qform) name different axes.

    Programs differ in which one they believe, so left and right would depend on the program.
    """
    if int(header["sform_code"]) <= 0 or int(header["qform_code"]) <= 0:
        return
    sform, qform = header.get_sform(), header.get_qform()
    checks.require_affine(sform, name)
    if not np.isfinite(qform).all() or axis_order(sform)[:2] != axis_order(qform)[:2]:
        raise InputRefused(
            "position-contradicts",
            f"The header of {name} holds two positions (sform and qform) with different axes.",
            "Both must say how the voxels lie in the patient, and say the same.",
            "Export the scan again from its DICOM files.",
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without nibabel's remarks on headers that it mends; what matters is refused in words."""
    from nibabel.imageglobals import logger

    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_bytes(path: Path) -> bytes:
    """The start of the (unpacked) file; refuses one whose name and compression disagree."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    named, packed = path.suffix.lower() == ".gz", start.startswith(b"\x1f\x8b")
    if named and not packed:
        raise InputRefused(
            "misnamed-gzip",
            f"{path.name} is named as a gzip file but is not compressed.",
            "The name must tell what the file is.",
            f"Rename it to {path.name[:-3]} if it is an uncompressed NIfTI; else copy or export it again.",
        )
    if packed and not named:
        raise InputRefused(
            "misnamed-gzip",
            f"{path.name} is gzip-compressed but not named so.",
            "The name must tell what the file is.",
            f"Rename it to {path.name}.gz.",
        )
    if not packed:
        return start
    try:
        with gzip.open(path, "rb") as unpacked:
            return unpacked.read(_LONGEST_HEADER)
    except (EOFError, OSError, zlib.error) as error:
        raise refuse_truncated(path.name) from error


def _require_spacing_as_stored(start: bytes, name: str) -> None:
    """Judge the spacing as the file has it: nibabel would mend zero and negative values silently."""
    import nibabel as nib

    size = {int.from_bytes(start[:4], order) for order in ("little", "big")}
    kind, length = (nib.Nifti2Header, 540) if 540 in size else (nib.Nifti1Header, 348)
    if not size & {348, 540} or len(start) < length:
        raise refuse_damaged(name)
    stored = kind(start[:length], check=False)
    checks.require_spacing(np.asarray(stored["pixdim"][1:4], float).tolist(), name)


def refuse_truncated(name: str) -> InputRefused:
    return InputRefused(
        "truncated",
        f"{name} ends before its voxels do, or its compressed data are damaged.",
        "The whole file is needed.",
        "Copy or export it again.",
    )


def refuse_damaged(name: str) -> InputRefused:
    return InputRefused(
        "unreadable",
        f"{name} does not have the header that its name promises.",
        "A readable NIfTI, NRRD, MHA or DICOM scan is needed.",
        "Export the scan again; a file saved from a web page or renamed by hand is a common cause.",
    )

"""NIfTI files: header first, then voxels, without floating-point copies of integer scans."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused
from . import checks
from .values import apply_scale

#: NIfTI and nibabel speak RAS, this library LPS.
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_header(path: Path, max_voxels: int) -> tuple[Any, dict[str, Any]]:
    """nibabel image (voxels not yet read) and what its header says, all checked.

    The dictionary holds ``shape`` (3 sizes), ``affine`` (4x4, file index to LPS mm), ``oriented`` (whether
    the header has a position at all) and ``dtype`` (of the voxels as stored).
    """
    import nibabel as nib

    name = path.name
    _require_gzip_as_named(path)
    try:
        image: Any = nib.load(path)
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError) as error:
        raise refuse_damaged(name) from error
    except (EOFError, OSError, zlib.error, ValueError, OverflowError) as error:
        raise refuse_truncated(name) from error
    if not isinstance(image, nib.Nifti1Image):
        raise refuse_damaged(name)
    header = image.header
    dtype = header.get_data_dtype()
    checks.require_scalar(dtype, name)
    shape = checks.squeeze_shape(image.shape, name)
    checks.require_size(shape, max_voxels, name)
    held = path.stat().st_size - (0 if path.suffix == ".gz" else int(header["vox_offset"]))
    checks.require_bytes(int(np.prod(shape)) * dtype.itemsize, held, path.suffix == ".gz", name)
    checks.require_spacing([abs(float(s)) for s in header["pixdim"][1:4]], name)
    oriented = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    affine = np.asarray(image.affine, float) if oriented else np.diag([*header["pixdim"][1:4].tolist(), 1.0])
    checks.require_affine(affine, name)
    if oriented:
        affine = RAS_TO_LPS @ affine
    return image, {"shape": shape, "affine": affine, "oriented": oriented, "dtype": dtype}


def read_voxels(image: Any, shape: tuple[int, int, int], name: str) -> np.ndarray:
    """Voxels in file axes with the header's scaling applied; integers stay integers where that is exact."""
    try:
        raw = image.dataobj.get_unscaled()
    except (EOFError, OSError, zlib.error, ValueError) as error:
        raise refuse_truncated(name) from error
    raw = np.asarray(raw).reshape(shape, order="F")
    if not raw.dtype.isnative:
        raw = raw.byteswap(inplace=raw.flags.writeable).view(raw.dtype.newbyteorder("="))
    slope, inter = image.dataobj.slope, image.dataobj.inter
    return apply_scale(raw, float(slope), float(inter), name)


def _require_gzip_as_named(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    named = path.name.lower().endswith(".gz")
    if named and start != b"\x1f\x8b":
        raise InputRefused(
            "misnamed-gzip",
            f"{path.name} is named as a gzip file but is not compressed.",
            "The name must tell what the file is.",
            f"Rename it to {path.name[:-3]} if it is an uncompressed NIfTI; else copy or export it again.",
        )
    if not named and start == b"\x1f\x8b":
        raise InputRefused(
            "misnamed-gzip",
            f"{path.name} is gzip-compressed but not named so.",
            "The name must tell what the file is.",
            f"Rename it to {path.name}.gz.",
        )
    if named:
        try:
            with gzip.open(path, "rb") as file:
                file.read(352)
        except (EOFError, OSError, zlib.error) as error:
            raise refuse_truncated(path.name) from error


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

"""What a scan must be before a number is made from it. Each check refuses in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InputRefused

#: Most voxels that are read unless the caller raises it: a CT of 1024 x 1024 x 1024, 2 GB as int16.
MAX_VOXELS = 2**30

#: Stage 1 looks at five neighbouring slices and is undefined below four.
MIN_SLICES = 4

#: Deflate cannot pack tighter than about 1032 : 1, so a file that promises more is cut off or forged.
_MAX_DEFLATE_RATIO = 1032


def squeeze_shape(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    """Three-dimensional shape of ``shape`` less trailing axes of length one; refuses 2D and 4D."""
    sizes = [int(n) for n in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    text = " x ".join(str(n) for n in sizes)
    if any(n < 1 for n in sizes):
        raise InputRefused(
            "shape-invalid",
            f"The header of {name} gives a size of {text}.",
            "Every axis must have at least one voxel.",
            "The file is damaged; export the scan again.",
        )
    if len(sizes) < 3 or 1 in sizes:
        raise InputRefused(
            "not-3d",
            f"{name} is a flat image ({text}).",
            "A volume of axial slices is needed.",
            "Give the whole scan: a NIfTI, NRRD or MHA volume, or the folder of the DICOM series.",
        )
    if len(sizes) > 3:
        raise InputRefused(
            "not-3d",
            f"{name} has {len(sizes)} dimensions ({text}).",
            "A single three-dimensional volume is needed.",
            "Split the series and give the one volume to be read.",
        )
    return sizes[0], sizes[1], sizes[2]


def require_size(shape: tuple[int, int, int], max_voxels: int, name: str) -> None:
    """Refuse sizes beyond ``max_voxels``; called on the header, before memory is taken."""
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > max_voxels:
        raise InputRefused(
            "too-large",
            f"The header of {name} promises {shape[0]} x {shape[1]} x {shape[2]} = {voxels:,} voxels.",
            f"At most {max_voxels:,} voxels are read.",
            "Crop the scan to neck and chest; from Python, read_volume takes a larger max_voxels.",
        )


def require_bytes(promised: int, held: int, compressed: bool, name: str) -> None:
    """Refuse a file whose ``held`` data bytes cannot hold the ``promised`` ones."""
    most = held * _MAX_DEFLATE_RATIO + 1024 if compressed else held
    if promised > most:
        raise InputRefused(
            "truncated",
            f"{name} holds {held:,} bytes of {'compressed ' if compressed else ''}data, too few for the "
            f"{promised:,} bytes that its header promises.",
            "The whole file is needed.",
            "The file is cut off or its header is wrong; copy or export it again.",
        )


def require_scalar(dtype: np.dtype[Any], name: str) -> None:
    """Refuse colour and complex voxels."""
    if dtype.fields is not None or dtype.kind == "V":
        raise refuse_colour(name)
    if dtype.kind == "c":
        raise InputRefused(
            "complex",
            f"{name} holds complex numbers.",
            "One real value a voxel is needed (HU for a CT).",
            "Give the reconstructed magnitude image.",
        )
    if dtype.kind not in "iufb":
        raise InputRefused(
            "voxel-type",
            f"{name} holds voxels of type {dtype}.",
            "Integers or real numbers are needed.",
            "Export the scan with 16-bit integer voxels.",
        )


def refuse_colour(name: str, components: int = 3) -> InputRefused:
    return InputRefused(
        "colour",
        f"{name} has {components} values at each voxel (a colour or vector image).",
        "One value a voxel is needed (HU for a CT).",
        "Give the original scan, not a picture of it.",
    )


def require_affine(affine: np.ndarray, name: str) -> None:
    """Refuse a 4x4 affine whose spacing or directions cannot be interpreted."""
    matrix = np.asarray(affine, float)[:3]
    if not np.isfinite(matrix).all():
        raise InputRefused(
            "geometry-invalid",
            f"The header of {name} has a position or spacing that is not a number.",
            "Spacing, directions and position must be finite.",
            "Export the scan again from its DICOM files.",
        )
    spacing = np.linalg.norm(matrix[:, :3], axis=0)
    require_spacing(spacing.tolist(), name)
    if abs(np.linalg.det(matrix[:, :3] / spacing)) < 0.1:
        raise InputRefused(
            "geometry-invalid",
            f"The header of {name} gives axes that lie in one plane (a singular affine).",
            "Three independent directions are needed.",
            "Export the scan again from its DICOM files.",
        )


def require_spacing(spacing: Sequence[float], name: str) -> None:
    """Refuse spacing that is zero, negative, not a number, or not of this world."""
    values = [float(s) for s in spacing]
    if all(np.isfinite(s) and 1e-3 <= s <= 100.0 for s in values):
        return
    raise InputRefused(
        "spacing-invalid",
        f"The header of {name} gives a voxel spacing of {' x '.join(f'{s:g}' for s in values)} mm.",
        "The spacing must be positive, at least 0.001 mm and at most 100 mm.",
        "Export the scan again from its DICOM files, or correct the header.",
    )


def require_slices(shape: tuple[int, int, int], name: str) -> None:
    """Refuse canonical shapes with fewer than four slices, rows or columns."""
    if shape[0] < MIN_SLICES:
        raise InputRefused(
            "too-few-slices",
            f"{name} has {shape[0]} axial slices.",
            f"At least {MIN_SLICES} are needed.",
            "Give the whole scan from the neck to the chest.",
        )
    if min(shape[1:]) < MIN_SLICES:
        raise InputRefused(
            "too-small",
            f"{name} has axial slices of {shape[1]} x {shape[2]} voxels.",
            f"At least {MIN_SLICES} x {MIN_SLICES} are needed.",
            "Give the original scan.",
        )


def count_non_finite(array: np.ndarray) -> int:
    """Number of NaN and infinite voxels, counted slice by slice so that no copy is made."""
    if array.dtype.kind != "f":
        return 0
    return int(sum(plane.size - np.count_nonzero(np.isfinite(plane)) for plane in array))


def require_finite(array: np.ndarray, name: str) -> None:
    count = count_non_finite(array)
    if count:
        raise InputRefused(
            "non-finite",
            f"{name} has {count:,} {'voxel that is' if count == 1 else 'voxels that are'} not a number "
            f"(NaN or infinite), of {array.size:,}.",
            "Every voxel must have a value.",
            "Export the scan again; do not fill such voxels with a guess.",
        )


def require_variation(array: np.ndarray, name: str) -> None:
    """Refuse an image with one value everywhere."""
    first = array.flat[0]
    if any(bool((plane != first).any()) for plane in array):
        return
    raise InputRefused(
        "constant",
        f"Every voxel of {name} has the value {float(first):g}.",
        "An image of a patient is needed.",
        "The export went wrong; export the scan again.",
    )

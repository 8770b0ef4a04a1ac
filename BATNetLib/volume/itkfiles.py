"""NRRD and MetaImage files through SimpleITK, after their text header has been judged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused
from . import checks
from .nifti import refuse_truncated
from .textheader import TextHeader, read_metaimage, read_nrrd


def read_header(path: Path, max_voxels: int) -> dict[str, Any]:
    """What the header says, checked: ``shape``, ``oriented`` and the ``fields`` as written."""
    name = path.name
    is_nrrd = path.suffix.lower() in {".nrrd", ".nhdr"}
    header: TextHeader = read_nrrd(path) if is_nrrd else read_metaimage(path)
    if header.components != 1:
        if any(key.startswith("Segment0_") for key in header.fields):
            raise InputRefused(
                "segments-overlap",
                f"{name} holds {header.components} layers of segments that overlap.",
                "One label at each voxel is needed.",
                "Export the wanted segment from 3D Slicer as a label map.",
            )
        raise checks.refuse_colour(name, header.components)
    shape = checks.squeeze_shape(header.sizes, name)
    checks.require_size(shape, max_voxels, name)
    if header.data_bytes is not None:
        checks.require_bytes(
            math.prod(shape) * header.voxel_bytes, header.data_bytes, header.compressed, name
        )
    if header.spacing is not None:
        checks.require_spacing(header.spacing[:3], name)
    return {"shape": shape, "oriented": header.oriented, "fields": header.fields}


def read_image(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, Any]:
    """Voxels in file axes (a view), 4x4 affine (file index to LPS mm), and the image that owns the voxels."""
    import SimpleITK as sitk

    name = path.name
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise refuse_truncated(name) from error
    array = sitk.GetArrayViewFromImage(image)
    array = array.reshape(shape[::-1]).transpose(2, 1, 0)
    dim = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dim, dim)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    checks.require_affine(affine, name)
    return array, affine, image

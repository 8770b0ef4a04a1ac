"""Scans as a reader sees them: on their own grid, without resampling, and without nibabel.

``volume.read_volume`` serves networks: it resamples oblique scans and reads NIfTI with nibabel. Here the
voxels stay those of the file, and SimpleITK, which 3D Slicer brings, reads the headers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.casefolder import ending
from ..dataset.scans import NAMES as MASK_WORDS
from ..dataset.scans import binary
from ..errors import InputRefused
from ..events import Events
from ..volume import Volume, checks, dicom
from ..volume.files import _as_canonical, _in_case_folder
from ..volume.masks import _placed
from ..volume.orient import Kind, shear_degrees
from ..volume.values import as_hounsfield, as_labels
from .grids import volume_on_own_grid
from .plainnifti import is_nifti, read_voxels

#: More than this from a right angle cannot be shown or painted on as a box of voxels.
_MOST_SHEAR = 0.5


def read_scan_file(
    path: Path,
    *,
    kind: Kind = "ct",
    axes: str | None = None,
    series: str | None = None,
    events: Events | None = None,
) -> Volume:
    """A volume (NIfTI, NRRD, MetaImage) or DICOM series on its own grid in canonical axis order.

    ``kind`` as in ``read_volume``. ``axes``: "header" trusts a header that says nothing, "zyx" takes the
    array as it is; the authors' case folders are recognised. Such array files have no place in the patient
    and mostly no spacing: they get a grid along the patient's axes (``facts["axes"]`` is then "zyx", and
    ``facts["spacing_unknown"]`` tells whether voxels of 1 mm are only assumed).

    Raises ``InputRefused``: "orientation-unknown", "gantry-tilt", "unknown-format", and what damaged files
    are refused with; ``UsageError`` ("axes-contradicted").
    """
    events = events or Events()
    events.check()
    if not path.exists():
        raise InputRefused(
            "missing",
            f"{path.name} does not exist.",
            "The files of the case must be there.",
            "Check the path; a drive that is not connected is a common cause.",
        )
    facts: dict[str, Any] = {"axes": "header", "spacing_unknown": False}
    if path.is_dir() or ending(path.name) is None:
        found = dicom.read_series(
            path, series=series, accept_gaps=False, kind=kind, max_voxels=checks.MAX_VOXELS, events=events
        )
        name, array, affine, facts = found.name, found.array, found.affine, found.facts
    else:
        name = path.name
        array, affine = _image(path, axes, events)
        if is_array_file(path, affine, axes):
            facts["axes"] = "zyx"
            placed = _as_canonical(array, affine, True, facts, name)
            return Volume(_judged(placed.array, kind, name), placed.grid, None, facts)
    events.check()
    checks.require_affine(affine, name)
    shear = shear_degrees(affine)
    if shear > _MOST_SHEAR:
        raise InputRefused(
            "gantry-tilt",
            f"The slices of {name} are sheared by {shear:.1f} degrees (gantry tilt).",
            "Slices stacked at right angles are needed to paint on.",
            "Reconstruct the scan without tilt.",
        )
    volume = volume_on_own_grid(array, affine)
    return Volume(_judged(volume.array, kind, name), volume.grid, volume.source, facts)


def is_array_file(path: Path, affine: np.ndarray, axes: str | None) -> bool:
    """Whether a file holds [slice, row, column] and no place: said so, or known by the authors' layout.

    ``affine``: 4x4, file index to LPS mm.
    """
    identity = bool(np.abs(affine - np.diag([-1.0, -1.0, 1.0, 1.0])).max() < 1e-6)
    return axes == "zyx" or (axes is None and identity and _in_case_folder(path))


def _judged(values: np.ndarray, kind: Kind, name: str) -> np.ndarray:
    """The voxels in the type that their kind has; refuses what cannot be used."""
    if kind != "map":
        checks.require_finite(values, name)
    if kind == "ct":
        checks.require_variation(values, name)
        values = as_hounsfield(values, name)
    elif kind == "mask":
        values = as_labels(values, name)
    return values


def read_layout(path: Path) -> Volume | None:
    """How the voxels of a volume file lie, from its header alone: a ``Volume`` of zeros that take no memory.

    None for DICOM (a stack of files has no layout of its own), for array files of the authors and for files
    that cannot be read.
    """
    place = read_place(path)
    if place is None or is_array_file(path, place[1], None):
        return None
    return volume_on_own_grid(np.broadcast_to(np.uint8(0), place[0]), place[1])


def read_place(path: Path) -> tuple[tuple[int, int, int], np.ndarray] | None:
    """Shape in file axes and 4x4 affine (file index to LPS mm) of a volume file; None as ``read_layout``."""
    import SimpleITK as sitk

    if path.is_dir() or ending(path.name) is None:
        return None
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = _three(reader.GetSize(), path.name)
        affine = _affine(reader)
        checks.require_affine(affine, path.name)
    except (RuntimeError, InputRefused):
        return None
    return shape, affine


def read_mask_beside(path: Path, ct: Volume, role: str, *, events: Events | None = None) -> Volume:
    """A dataset's mask ("adipose", "brown" or "lungs") on the CT's grid and in its file axes; uint8.

    Raises ``InputRefused`` ("other-grid", "mask-values") and as ``read_scan_file``.
    """
    as_array = (ct.facts or {}).get("axes") == "zyx"
    mask = read_scan_file(path, kind="mask", axes="zyx" if as_array else "header", events=events)
    if not ct.grid.same_place(mask.grid):
        mask = _placed(mask, ct) or mask
    ct.require_same_grid(mask, MASK_WORDS[role])
    array = mask.array
    if array.dtype != np.uint8:
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        if low < 0 or high > 255:
            raise InputRefused(
                "mask-values",
                f"The {MASK_WORDS[role]} has voxels from {low} to {high}.",
                "Only 0 to 255 can be interpreted.",
                "Give a label map.",
            )
        array = array.astype(np.uint8)
    return Volume(binary(mask.with_array(array), role).array, ct.grid, ct.source)


def _image(path: Path, axes: str | None, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Voxels in file axes (a copy) and 4x4 affine, file index to LPS mm."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        checks.require_size(_three(reader.GetSize(), path.name), checks.MAX_VOXELS, path.name)
        if reader.GetNumberOfComponents() != 1:
            raise checks.refuse_colour(path.name, reader.GetNumberOfComponents())
        affine = _affine(reader)
        if axes is None and _says_nothing(reader, affine) and not is_array_file(path, affine, axes):
            raise _no_place(path.name)
        if is_nifti(path):
            return read_voxels(path, events), affine
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path.name, str(error)) from error
    shape = _three(image.GetSize(), path.name)
    return sitk.GetArrayFromImage(image).reshape(shape[::-1]).transpose(2, 1, 0), affine


def _affine(header: Any) -> np.ndarray:
    """4x4, file index to LPS mm, of a SimpleITK image or of a reader that has read the header."""
    dimension = header.GetDimension()
    affine = np.eye(4)
    direction = np.array(header.GetDirection()).reshape(dimension, dimension)[:3, :3]
    affine[:3, :3] = direction * np.array(header.GetSpacing()[:3])
    affine[:3, 3] = header.GetOrigin()[:3]
    return affine


def _three(size: tuple[int, ...], name: str) -> tuple[int, int, int]:
    return checks.squeeze_shape(size, name)


def _says_nothing(reader: Any, affine: np.ndarray) -> bool:
    """Whether the header tells nothing of the patient: no code, or the identity that programs fill in."""
    codes = [reader.GetMetaData(k) for k in ("qform_code", "sform_code") if reader.HasMetaDataKey(k)]
    if codes and all(code == "0" for code in codes):
        return True
    identities = (np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0]))
    return any(bool(np.abs(affine - identity).max() < 1e-6) for identity in identities)


def _no_place(name: str) -> InputRefused:
    return InputRefused(
        "orientation-unknown",
        f"The header of {name} does not say how the voxels lie in the patient.",
        "Left and right, and the spacing, must be known before anybody paints.",
        "Export the scan again from its DICOM files. If it is one of the BATNet authors' array files, say "
        "axes zyx in a list; if the header is right as it stands, say axes header.",
    )


def _unreadable(name: str, why: str) -> InputRefused:
    if "orthonormal" in why:
        return InputRefused(
            "gantry-tilt",
            f"The axes of {name} are not at right angles (gantry tilt, or a damaged header).",
            "Slices stacked at right angles are needed to paint on.",
            "Reconstruct the scan without tilt, or export it again.",
        )
    return InputRefused(
        "unreadable",
        f"{name} cannot be read: it ends early, is damaged, or its header is not that of its format.",
        "A readable NIfTI, NRRD or MetaImage volume, or a DICOM series, is needed.",
        "Copy or export it again.",
    )

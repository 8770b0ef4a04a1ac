"""Reading a scan, a mask or a map from a file or a DICOM folder into canonical axes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputRefused, UsageError
from ..events import Events
from . import checks, dicom, itkfiles, nifti
from .geometry import Grid, Source, Volume
from .instances import is_dicom_file
from .orient import Kind, reorder, to_canonical
from .values import as_hounsfield, as_labels

Axes = Literal["zyx", "header"]

#: Endings that are read, as told to the user.
FORMATS = ".nii, .nii.gz, .nrrd, .seg.nrrd, .mha, .mhd, or a DICOM folder"

_STAGES = {"ct": "Reading the scan", "mask": "Reading a mask", "map": "Reading a map"}

#: File names of the published case folders (image, lungs, fat, brown fat).
_CASE_IMAGE = "image.nii.gz"
_CASE_MASKS = ("lobe.nii.gz", "fat_mask.nii.gz", "brown_fat_mask.nii.gz")


def read_volume(
    path: str | Path,
    *,
    axes: Axes | None = None,
    series: str | int | None = None,
    accept_gaps: bool = False,
    accept_tilt: bool = False,
    kind: Kind = "ct",
    max_voxels: int = checks.MAX_VOXELS,
    events: Events | None = None,
) -> Volume:
    """Read NIfTI, NRRD, MetaImage or a DICOM series into canonical axes.

    Parameters
    ----------
    path : a file, a DICOM folder (searched with its subfolders), or one DICOM file, which stands for
        its series in the same folder.
    axes : ``None`` trusts a header that says where the voxels are and refuses one that does not.
        ``"zyx"``: the array is [slice, row, column] in canonical order whatever the header says, as in
        the files of the BATNet authors (recognised without it only inside their case folders).
        ``"header"``: trust even a header that looks as if nobody had filled it in.
    series : SeriesInstanceUID, its end, or the number in ``list_series``, where a folder holds several.
    accept_gaps : resample unevenly spaced DICOM slices onto an even grid instead of refusing them.
    accept_tilt : straighten a sheared (gantry-tilted) grid instead of refusing it.
    kind : ``"ct"`` (finite, not constant; int16 where every value is a whole number that fits, else int32
        or float32), ``"mask"`` (whole numbers, uint8 where they fit; nearest neighbour when resampled) or
        ``"map"`` (any scalar image such as PET or a probability; NaN is allowed and counted in
        ``facts["non_finite"]``).
    max_voxels : larger headers are refused before memory is taken.

    Returns
    -------
    Volume whose ``source`` leads back to the file's own grid. ``facts``: ``format``, ``kind``, ``axes``,
    ``stored_type``, ``file_shape``, ``obliquity_degrees``, ``resampled`` (None or reason, degrees,
    interpolation), ``spacing_unknown``; for DICOM also ``StudyInstanceUID``, ``SeriesInstanceUID``,
    ``FrameOfReferenceUID``, ``modality``, ``contrast_agent`` (bool), ``slice_thickness_mm``, ``kernel``,
    ``kvp``, ``slice_spacings_mm``. Never names of patients or files.

    Raises
    ------
    InputRefused
        For everything that cannot be interpreted safely; nothing is guessed.
    UsageError
        For options that contradict each other or the file.
    """
    path = Path(path)
    events = events or Events()
    events.check()
    if axes not in (None, "zyx", "header"):
        raise UsageError(
            "axes-unknown",
            f"The axis order {axes!r} was asked for.",
            "It can be zyx (the BATNet authors' arrays) or header.",
            "Leave it out for an ordinary scan.",
        )
    try:
        reader = _reader(path)
        if reader is None:
            if axes == "zyx":
                raise UsageError(
                    "axes-contradicted",
                    "The axis order zyx was given for a DICOM series.",
                    "DICOM files say themselves where each slice lies.",
                    "Leave the axis order out.",
                )
            found = dicom.read_series(
                path,
                series=series,
                accept_gaps=accept_gaps,
                kind=kind,
                max_voxels=max_voxels,
                events=events,
            )
            name = found.name
            volume = to_canonical(
                found.array,
                found.affine,
                kind=kind,
                name=name,
                facts=found.facts,
                events=events,
                accept_tilt=accept_tilt,
                files=found.files,
            )
        else:
            name = path.name
            _require_no_series(name, series)
            with events.stage(_STAGES[kind]):
                volume = reader(path, axes, kind, accept_tilt, max_voxels, events)
    except PermissionError as error:
        raise InputRefused(
            "no-permission",
            f"{path.name} may not be read by this user.",
            "Permission to read the scan is needed.",
            "Change the permissions or copy the scan.",
        ) from error
    except MemoryError as error:
        raise InputRefused(
            "memory",
            f"There was not enough memory to hold {path.name}.",
            "The whole scan must fit into memory.",
            "Close other programs or crop the scan to neck and chest.",
        ) from error
    return _judge(volume, kind, name)


def _require_no_series(name: str, series: str | int | None) -> None:
    """An option that has no effect would be taken for one that had it."""
    if series is not None:
        raise UsageError(
            "series-without-dicom",
            f"A DICOM series was named, but {name} is one volume in one file.",
            "Series are chosen in DICOM folders.",
            "Leave the series out, or give the DICOM folder.",
        )


def _judge(volume: Volume, kind: Kind, name: str) -> Volume:
    """Check the voxels and settle their type."""
    array = volume.array
    checks.require_slices(volume.grid.shape, name)
    facts = dict(volume.facts or {})
    facts["kind"] = kind
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if kind == "map":
        facts["non_finite"] = checks.count_non_finite(array)
    else:
        checks.require_finite(array, name)
    if kind == "ct":
        checks.require_variation(array, name)
        array = as_hounsfield(array, name)
    elif kind == "mask":
        array = as_labels(array, name)
    return Volume(array, volume.grid, volume.source, facts)


_Reader = Callable[[Path, Axes | None, Kind, bool, int, Events], Volume]


def _reader(path: Path) -> _Reader | None:
    """The reader for a path, None for DICOM; refuses what is missing, empty or of unknown format."""
    name = path.name
    if not path.exists():
        raise InputRefused(
            "missing",
            f"{name or 'The input'} does not exist.",
            "A scan file or a DICOM folder is needed.",
            "Check the path; a drive that is not connected is a common cause.",
        )
    if path.is_dir():
        return None
    if path.stat().st_size == 0:
        raise InputRefused(
            "empty-file",
            f"{name} is empty (0 bytes).",
            "A scan file is needed.",
            "Copy or export the file again.",
        )
    lower = name.lower()
    if lower.endswith((".nii", ".nii.gz")):
        return _read_nifti
    if lower.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return _read_itk
    if is_dicom_file(path):
        return None
    raise InputRefused(
        "unknown-format",
        f"{name} is not in a format that is read here.",
        f"Scans are read from {FORMATS}.",
        "Export the scan in one of these formats.",
    )


def _read_nifti(
    path: Path, axes: Axes | None, kind: Kind, accept_tilt: bool, max_voxels: int, events: Events
) -> Volume:
    image, head = nifti.read_header(path, max_voxels)
    case_folder = axes is None and _in_case_folder(path) and _is_identity(nifti.RAS_TO_LPS @ head["affine"])
    axes = "zyx" if case_folder else axes
    _require_oriented(path.name, head["oriented"], head["affine"], axes)
    array = nifti.read_voxels(image, path, head["shape"], events)
    facts = _facts("nifti", axes, head["dtype"], head["shape"])
    if axes == "zyx":
        facts["layout"] = "case-folder" if case_folder else None
        return _as_canonical(array, head["affine"], head["oriented"], facts, path.name)
    return to_canonical(
        array,
        head["affine"],
        kind=kind,
        name=path.name,
        facts=facts,
        events=events,
        accept_tilt=accept_tilt,
    )


def _read_itk(
    path: Path, axes: Axes | None, kind: Kind, accept_tilt: bool, max_voxels: int, events: Events
) -> Volume:
    head = itkfiles.read_header(path, max_voxels)
    array, affine, image = itkfiles.read_image(path, head["shape"])
    _require_oriented(path.name, head["oriented"], affine, axes)
    facts = _facts(
        "nrrd" if path.suffix.lower() in {".nrrd", ".nhdr"} else "metaimage", axes, array.dtype, head["shape"]
    )
    if axes == "zyx":
        volume = _as_canonical(array, affine, head["oriented"], facts, path.name)
    else:
        volume = to_canonical(
            array,
            affine,
            kind=kind,
            name=path.name,
            facts=facts,
            events=events,
            accept_tilt=accept_tilt,
        )
    if volume.array.base is not None and np.shares_memory(volume.array, array):
        volume = volume.with_array(volume.array.copy())
    del image  # it owns the memory of ``array`` until here
    return volume


def _facts(
    format_name: str, axes: Axes | None, dtype: np.dtype[Any], shape: tuple[int, int, int]
) -> dict[str, Any]:
    return {
        "format": format_name,
        "axes": axes or "header",
        "stored_type": str(dtype.newbyteorder("=")),
        "file_shape": list(shape),
        "resampled": None,
        "spacing_unknown": False,
    }


def _as_canonical(
    array: np.ndarray, affine: np.ndarray, oriented: bool, facts: dict[str, Any], name: str
) -> Volume:
    """A file that already holds [slice, row, column] in canonical order, whatever its header says."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if oriented and not np.allclose(np.abs(affine[:3, :3]), np.diag(spacing), atol=1e-4):
        raise UsageError(
            "axes-contradicted",
            f"The axis order zyx was given, but the header of {name} gives directions of its own.",
            "zyx is for array files whose header says nothing (identity affine).",
            "Leave the axis order out.",
        )
    if oriented and np.abs(affine[:3, 3]).max() > 1e-3:
        raise UsageError(
            "axes-contradicted",
            f"The axis order zyx was given, but the header of {name} places it in the patient.",
            "zyx is for array files whose header says nothing (identity affine).",
            "Leave the axis order out.",
        )
    shape = (array.shape[0], array.shape[1], array.shape[2])
    source = Source(Grid(shape, affine), (0, 1, 2), (False, False, False))
    facts["spacing_unknown"] = bool(np.allclose(spacing, 1.0))
    facts["obliquity_degrees"] = 0.0
    return Volume(reorder(array, source), Grid.canonical(shape, spacing), source, facts)


def _is_identity(affine: np.ndarray) -> bool:
    return bool(np.abs(affine - np.eye(4)).max() < 1e-6)


def _require_oriented(name: str, oriented: bool, affine: np.ndarray, axes: Axes | None) -> None:
    """Refuse a header that tells nothing about the patient: left and right would be a matter of luck.

    An identity affine is what programs write that do not know where the voxels are, so it counts as
    saying nothing, in LPS (ITK) as well as in RAS (NIfTI) terms.
    """
    if axes == "zyx" or (axes == "header" and oriented):
        return
    if oriented and not _is_identity(affine) and not _is_identity(nifti.RAS_TO_LPS @ affine):
        return
    what = "an identity affine" if oriented else "no orientation"
    raise InputRefused(
        "orientation-unknown",
        f"The header of {name} has {what}: it does not say how the voxels lie in the patient.",
        "Left and right, front and back, and the spacing must be known.",
        "Export the scan again from its DICOM files. If it is one of the BATNet authors' array files "
        "(slices head first, rows front to back, columns from the patient's right), say --axes zyx; "
        "if the header is right as it stands, say --axes header.",
    )


def _in_case_folder(path: Path) -> bool:
    """Whether a NIfTI lies in a case folder as published: image.nii.gz with at least one of its masks."""
    if path.name not in (_CASE_IMAGE, *_CASE_MASKS):
        return False
    folder = path.parent
    return (folder / _CASE_IMAGE).is_file() and any((folder / mask).is_file() for mask in _CASE_MASKS)

"""DICOM series: found and listed from their headers, picked by the user where there are several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused, UsageError
from ..events import Events
from . import checks
from .orient import Kind
from .pixels import quiet, read_planes
from .slices import Slice, stack_slices

#: Header elements that are read; names, birth dates and numbers of patients are not among them.
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope", "RescaleIntercept",
    "ConvolutionKernel", "KVP", "ContrastBolusAgent", "SeriesNumber",
]  # fmt: skip

_ENDINGS = {".dcm", ".ima"}

_NO_CONTRAST = {"", "NO", "NONE", "N", "NO CONTRAST", "WITHOUT", "W/O", "N/A", "0"}


@dataclass(frozen=True)
class Series:
    """One series of a folder, as far as a user may see it. ``number`` counts from 1 in a fixed order
    (by series number, then UID). ``problem``: why it is no volume (such as "localizer"), or None."""

    number: int
    uid: str
    modality: str
    slices: int
    rows: int
    columns: int
    slice_thickness_mm: float | None
    problem: str | None
    instances: tuple[Any, ...] = field(repr=False, default=())

    def words(self) -> str:
        thickness = f"{self.slice_thickness_mm:g} mm" if self.slice_thickness_mm else "unknown thickness"
        problem = f", {self.problem}" if self.problem else ""
        return (
            f"{self.number}: {self.modality}, {self.slices} images of {self.columns} x {self.rows}, "
            f"{thickness}, UID ...{self.uid[-12:]}{problem}"
        )


@dataclass(frozen=True)
class SeriesVoxels:
    """Voxels of a series in file axes (column, row, slice along the slice normal), with affine to LPS mm."""

    name: str
    array: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]
    files: tuple[str, ...]


def is_dicom_file(path: Path) -> bool:
    """Whether a file has the DICOM mark behind its preamble (or a DICOM ending without one)."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (path.suffix.lower() in _ENDINGS and len(start) == 132)


def list_series(path: str | Path, *, events: Events | None = None) -> list[Series]:
    """The image series below a folder (or in the folder of one DICOM file), in a fixed order.

    Raises ``InputRefused`` when there is no DICOM image.
    """
    path = Path(path)
    events = events or Events()
    if not path.exists():
        raise InputRefused(
            "missing",
            f"{path.name} does not exist.",
            "A DICOM folder is needed.",
            "Check the path.",
        )
    groups: dict[str, list[Any]] = {}
    others = 0
    damaged: list[str] = []
    for file, header in _headers(path, events):
        if header is None:
            damaged.append(file.name)
        elif "Rows" not in header or "Columns" not in header:
            others += 1
        else:
            groups.setdefault(str(header.SeriesInstanceUID), []).append(header)
    if not groups:
        raise _no_images(path, others, len(damaged))
    if damaged:
        events.warning(
            "files-damaged",
            f"{len(damaged)} DICOM files could not be read and were left out: {', '.join(damaged[:3])}"
            f"{', ...' if len(damaged) > 3 else ''}.",
        )
    found = []
    ordered = sorted(groups.items(), key=lambda item: (_integer(item[1][0].get("SeriesNumber")), item[0]))
    for number, (uid, headers) in enumerate(ordered, 1):
        first = headers[0]
        found.append(
            Series(
                number=number,
                uid=uid,
                modality=str(first.get("Modality") or "unknown"),
                slices=len(headers),
                rows=int(first.get("Rows") or 0),
                columns=int(first.get("Columns") or 0),
                slice_thickness_mm=_number(first.get("SliceThickness")),
                problem=_problem(headers),
                instances=tuple(headers),
            )
        )
    return found


def read_series(
    path: Path,
    *,
    series: str | int | None,
    accept_gaps: bool,
    kind: Kind,
    max_voxels: int,
    events: Events,
) -> SeriesVoxels:
    """Read one series; see ``files.read_volume`` for the options and refusals."""
    chosen = _choose(path, series, kind, events)
    name = f"DICOM series ...{chosen.uid[-12:]}"
    if chosen.problem:
        raise InputRefused(
            "not-a-volume",
            f"{name} is no volume: {chosen.problem}.",
            "A stack of parallel slices with positions is needed.",
            "Choose the reconstructed axial series.",
        )
    if kind == "ct" and chosen.modality != "CT":
        raise InputRefused(
            "not-ct",
            f"{name} is of modality {chosen.modality}.",
            "A CT is needed.",
            "Choose the CT series; other modalities are read as maps (for example as PET).",
        )
    slices = [
        Slice(
            file=str(header.filename),
            position=_vector(header, "ImagePositionPatient", 3),
            orientation=_vector(header, "ImageOrientationPatient", 6),
            spacing=_vector(header, "PixelSpacing", 2),
            rows=int(header.Rows),
            columns=int(header.Columns),
            slope=_scale(header, "RescaleSlope", 1.0),
            intercept=_scale(header, "RescaleIntercept", 0.0),
            frame=str(header.get("FrameOfReferenceUID") or ""),
        )
        for header in chosen.instances
        if not _is_localizer(header)
    ]
    stack = stack_slices(slices, accept_gaps=accept_gaps, name=name)
    shape = stack.shape
    checks.require_size(shape, max_voxels, name)
    if shape[2] < checks.MIN_SLICES:
        checks.require_slices((shape[2], shape[1], shape[0]), name)
    array = read_planes(stack, name=name, events=events)
    first = chosen.instances[0]
    agent = str(first.get("ContrastBolusAgent") or "").strip().upper()
    kernel = first.get("ConvolutionKernel")
    facts: dict[str, Any] = {
        "format": "dicom",
        "axes": "header",
        "stored_type": str(array.dtype),
        "file_shape": list(shape),
        "spacing_unknown": False,
        "StudyInstanceUID": str(first.get("StudyInstanceUID") or "") or None,
        "SeriesInstanceUID": chosen.uid,
        "FrameOfReferenceUID": slices[0].frame or None,
        "modality": chosen.modality,
        "contrast_agent": agent not in _NO_CONTRAST,
        "slice_thickness_mm": chosen.slice_thickness_mm,
        "kernel": kernel
        if isinstance(kernel, str) or kernel is None
        else "/".join(str(part) for part in kernel),
        "kvp": _number(first.get("KVP")),
        "slices": len(slices),
        "slice_spacings_mm": stack.spacings,
        "gaps_resampled": stack.uneven,
    }
    if stack.uneven:
        events.warning(
            "gaps-resampled",
            f"The slices of {name} lie unevenly ({', '.join(f'{s:g}' for s in stack.spacings)} mm apart) "
            f"and were interpolated onto an even grid of {stack.step_mm:.4g} mm.",
        )
    files = () if stack.uneven else tuple(part.file for part in stack.slices)
    return SeriesVoxels(name, array, stack.affine, facts, files)


def _choose(path: Path, series: str | int | None, kind: Kind, events: Events) -> Series:
    found = list_series(path, events=events)
    if series is not None:
        text = str(series).strip()
        matching = [s for s in found if text == str(s.number)] if text.isdigit() and len(text) < 6 else []
        matching = (
            matching or [s for s in found if s.uid == text] or [s for s in found if s.uid.endswith(text)]
        )
        if text and len(matching) == 1:
            return matching[0]
        raise UsageError(
            "series-unknown",
            f"The series {text!r} names {len(matching)} of {len(found)} series. {_listing(found)}",
            "Exactly one series must be named.",
            "Give its number or its UID.",
        )
    if path.is_file():
        mine = [s for s in found for header in s.instances if Path(str(header.filename)) == path]
        if mine:
            return mine[0]
        raise _no_images(path, 0, 1)
    usable = [s for s in found if not s.problem and (kind != "ct" or s.modality == "CT")]
    if len(usable) == 1:
        return usable[0]
    if len(found) == 1:
        return found[0]
    raise InputRefused(
        "several-series",
        f"The folder holds {len(found)} series, {len(usable)} of which could be meant. {_listing(found)}",
        "One series must be chosen.",
        "Name it by its number or UID (--series).",
    )


def _listing(found: list[Series]) -> str:
    shown = "; ".join(s.words() for s in found[:20])
    return f"{shown}{'; ...' if len(found) > 20 else ''}."


def _headers(path: Path, events: Events) -> Iterator[tuple[Path, Any]]:
    """DICOM files with their headers; None for a header that is cut off or damaged."""
    pydicom = _pydicom()
    for file in _candidates(path):
        events.check()
        if not is_dicom_file(file):
            if file.suffix.lower() in _ENDINGS:
                yield file, None
            continue
        try:
            with quiet():
                header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS), force=True)
            complete = "SeriesInstanceUID" in header and "SOPInstanceUID" in header
            if "Image Storage" in header.SOPClassUID.name and not ("Rows" in header and "Columns" in header):
                complete = False  # the header ends in its middle
        except Exception:  # pydicom raises many kinds for damaged files; all mean the same here
            complete = False
        yield file, header if complete else None


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise InputRefused(
            "package-missing",
            "The Python package pydicom is not installed.",
            "It is needed to read DICOM files.",
            "Install it with: python -m pip install 'pydicom>=3.0.2'.",
        ) from error
    return pydicom


def _candidates(path: Path) -> Iterator[Path]:
    """Files of a folder tree, or of the folder of a file, in a fixed order; links to folders not followed."""
    if path.is_file():
        yield from (p for p in sorted(path.parent.iterdir()) if p.is_file() and not p.name.startswith("."))
        return
    for folder, below, files in os.walk(path):
        below[:] = sorted(d for d in below if not d.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name != "DICOMDIR":
                yield Path(folder) / name


def _no_images(path: Path, others: int, damaged: int) -> InputRefused:
    if path.is_file():
        return InputRefused(
            "unreadable",
            f"{path.name} holds no DICOM image that can be read.",
            "A DICOM image of the series is needed.",
            "Give the folder of the CT series.",
        )
    scans = sorted(
        p.name
        for p in path.iterdir()
        if p.name.lower().endswith((".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"))
    )
    remedy = (
        f"Give the scan file itself, such as {scans[0]}." if scans else "Give the folder of the CT series."
    )
    what = f"{others} DICOM objects that are no images" if others else "no DICOM image"
    what += f" and {damaged} DICOM files that cannot be read" if damaged else ""
    return InputRefused(
        "no-images",
        f"The folder {path.name} holds {what}.",
        "A folder with the DICOM images of a series is needed.",
        remedy,
    )


def _problem(headers: list[Any]) -> str | None:
    first = headers[0]
    if any(_integer(h.get("NumberOfFrames"), 1) > 1 for h in headers):
        return "enhanced multi-frame DICOM (convert it to classic DICOM or NIfTI first)"
    if all(_is_localizer(h) for h in headers):
        return "localizer"
    if _integer(first.get("SamplesPerPixel"), 1) != 1:
        return "colour images"
    if any(not h.get("ImagePositionPatient") or not h.get("ImageOrientationPatient") for h in headers):
        return "images without a position in the patient"
    if len(headers) < checks.MIN_SLICES:
        return f"only {len(headers)} images"
    return None


def _is_localizer(header: Any) -> bool:
    kinds = header.get("ImageType")
    return kinds is not None and "LOCALIZER" in [
        str(k).upper() for k in ([kinds] if isinstance(kinds, str) else kinds)
    ]


def _vector(header: Any, key: str, count: int) -> tuple[float, ...]:
    try:
        values = tuple(float(v) for v in header.get(key) or ())
    except (TypeError, ValueError):
        values = ()
    if len(values) != count or not np.isfinite(values).all():
        raise InputRefused(
            "geometry-invalid",
            f"{Path(str(header.filename)).name} has no valid {key}.",
            "Each DICOM slice must tell its position, directions and pixel spacing.",
            "Export the series again from the archive.",
        )
    return values


def _scale(header: Any, key: str, default: float) -> float:
    value = header.get(key)
    if value is None or value == "":
        return default
    number = _number(value)
    if number is None or not np.isfinite(number) or (key == "RescaleSlope" and number == 0):
        raise InputRefused(
            "rescale-invalid",
            f"{Path(str(header.filename)).name} has no valid {key}.",
            "Slope and intercept must be finite and the slope not zero.",
            "Export the series again from the archive.",
        )
    return number


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _integer(value: Any, default: int = 0) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default

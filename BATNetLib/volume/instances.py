"""The header of one DICOM image as plain values; names, birth dates and patient numbers are never read."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputRefused
from ..events import Events

_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "Modality", "ImageType", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope",
    "RescaleIntercept", "ConvolutionKernel", "KVP", "ContrastBolusAgent", "SeriesNumber",
]  # fmt: skip

_ENDINGS = {".dcm", ".ima"}

_NO_CONTRAST = {"", "NO", "NONE", "N", "NO CONTRAST", "WITHOUT", "W/O", "N/A", "0"}


@dataclass(frozen=True)
class Instance:
    """One image. Vectors are as long as the header has them (none where it has none); numbers that cannot
    be read are NaN, absent ones None or the standard's default. ``rows`` is 0 for objects without pixels.
    """

    file: str
    study_uid: str
    series_uid: str
    frame_uid: str
    modality: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    samples: int
    frames: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    slice_thickness_mm: float | None
    slope: float
    intercept: float
    kernel: str | None
    kvp: float | None
    contrast_agent: bool
    series_number: int

    @property
    def localizer(self) -> bool:
        return "LOCALIZER" in self.image_type


def is_dicom_file(path: Path) -> bool:
    """Whether a file has the DICOM mark behind its preamble (or a DICOM ending without one)."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (path.suffix.lower() in _ENDINGS and len(start) == 132)


def read_instances(path: Path, events: Events) -> Iterator[tuple[Path, Instance | None]]:
    """The DICOM files below a folder, or in the folder of a file; None for a damaged header."""
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
                instance = _plain(header, file)
        except Exception:  # pydicom raises many kinds for damaged files; all mean the same here
            instance = None
        yield file, instance


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of pydicom, which name whole paths and patients; what matters is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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


def _plain(header: Any, file: Path) -> Instance | None:
    """Plain values of a header, decoded now; None where it ends in its middle."""
    if "SeriesInstanceUID" not in header or "SOPInstanceUID" not in header:
        return None
    rows, columns = _integer(header, "Rows", 0), _integer(header, "Columns", 0)
    if "Image Storage" in header.SOPClassUID.name and not (rows > 0 and columns > 0):
        return None
    return Instance(
        file=str(file),
        study_uid=_text(header, "StudyInstanceUID"),
        series_uid=_text(header, "SeriesInstanceUID"),
        frame_uid=_text(header, "FrameOfReferenceUID"),
        modality=_text(header, "Modality") or "unknown",
        image_type=tuple(text.upper() for text in _texts(header, "ImageType")),
        rows=rows,
        columns=columns,
        samples=_integer(header, "SamplesPerPixel", 1),
        frames=_integer(header, "NumberOfFrames", 1),
        position=_vector(header, "ImagePositionPatient"),
        orientation=_vector(header, "ImageOrientationPatient"),
        pixel_spacing=_vector(header, "PixelSpacing"),
        slice_thickness_mm=_finite(header, "SliceThickness"),
        slope=_number(header, "RescaleSlope", 1.0),
        intercept=_number(header, "RescaleIntercept", 0.0),
        kernel="/".join(_texts(header, "ConvolutionKernel")) or None,
        kvp=_finite(header, "KVP"),
        contrast_agent=_text(header, "ContrastBolusAgent").upper() not in _NO_CONTRAST,
        series_number=_integer(header, "SeriesNumber", 0),
    )


def _value(header: Any, key: str) -> Any:
    try:
        return header.get(key)
    except Exception:  # an element that cannot be decoded counts as one that cannot be read
        return math.nan


def _texts(header: Any, key: str) -> list[str]:
    value = _value(header, key)
    if value is None or isinstance(value, float):
        return []
    return [str(part).strip() for part in ([value] if isinstance(value, str) else value)]


def _text(header: Any, key: str) -> str:
    parts = _texts(header, key)
    return parts[0] if parts else ""


def _number(header: Any, key: str, default: float) -> float:
    value = _value(header, key)
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _finite(header: Any, key: str) -> float | None:
    number = _number(header, key, math.nan)
    return number if math.isfinite(number) else None


def _integer(header: Any, key: str, default: int) -> int:
    number = _number(header, key, float(default))
    return int(number) if math.isfinite(number) else default


def _vector(header: Any, key: str) -> tuple[float, ...]:
    value = _value(header, key)
    try:
        return tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return ()

"""Pixels of DICOM slices: decoded, rescaled slice by slice, stacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputRefused
from ..events import Events
from .instances import quiet
from .slices import Slice, Stack
from .values import whole_number_type


def read_planes(stack: Stack, *, name: str, events: Events) -> np.ndarray:
    """Voxels in file axes (column, row, slice): int16 or int32 where the rescaled values are whole numbers,
    else float32. Uneven stacks are interpolated linearly between the true positions."""
    whole = all(s.slope.is_integer() and s.intercept.is_integer() for s in stack.slices)
    n = len(stack.slices)
    planes = np.empty((n, stack.shape[1], stack.shape[0]), np.int16 if whole else np.float32)
    with events.stage("Reading the scan", n) as stage:
        for index, part in enumerate(stack.slices):
            values = _read_plane(part)
            if whole:
                wanted = whole_number_type(int(values.min()), int(values.max()), name)
                if wanted.itemsize > planes.dtype.itemsize:
                    planes = planes.astype(wanted)
            planes[index] = values
            stage.advance()
    if stack.uneven:
        planes = _interpolate(planes, stack)
    return planes.transpose(2, 1, 0)


def _interpolate(planes: np.ndarray, stack: Stack) -> np.ndarray:
    out = np.empty((stack.shape[2], *planes.shape[1:]), planes.dtype)
    wanted = stack.along_mm[0] + np.arange(stack.shape[2]) * stack.step_mm
    where = np.interp(wanted, stack.along_mm, np.arange(len(planes)))
    for index, at in enumerate(where):
        below = min(int(at), len(planes) - 2)
        weight = np.float32(at - below)
        mixed = planes[below] * (1 - weight) + planes[below + 1] * weight
        out[index] = np.rint(mixed) if out.dtype.kind == "i" else mixed
    return out


def _read_plane(part: Slice) -> np.ndarray:
    """Rescaled values [row, column] of one image: int64 where slope and intercept are whole numbers."""
    import pydicom

    file = Path(part.file)
    try:
        with quiet():
            dataset = pydicom.dcmread(file, force=True)
            syntax = getattr(dataset.file_meta, "TransferSyntaxUID", None)
            if syntax is None:  # an old file without a preamble: the standard's default encoding
                syntax = dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            compressed = syntax.is_compressed and not syntax.is_deflated
    except Exception as error:  # pydicom raises many kinds for damaged files; all mean the same here
        raise _unreadable(file.name, "cannot be read to its end") from error
    if "PixelData" not in dataset:
        raise _unreadable(file.name, "holds no pixel data")
    if compressed:
        return _read_compressed(file, part)
    try:
        with quiet():
            stored = dataset.pixel_array
    except Exception as error:
        raise _unreadable(file.name, "has fewer pixels than its header promises, or damaged ones") from error
    if stored.shape != (part.rows, part.columns):
        raise _unreadable(file.name, f"holds pixels of shape {stored.shape}")
    if part.slope.is_integer() and part.intercept.is_integer():
        return stored.astype(np.int64) * int(part.slope) + int(part.intercept)
    return stored * part.slope + part.intercept


def _read_compressed(file: Path, part: Slice) -> np.ndarray:
    """Compressed pixels through SimpleITK (GDCM), which rescales by itself."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        values = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise InputRefused(
            "cannot-decode",
            f"The compressed pixels of {file.name} cannot be decoded.",
            "JPEG, JPEG-LS, JPEG 2000 and RLE compression are understood.",
            "Export the series uncompressed (explicit VR little endian).",
        ) from error
    values = values.reshape(values.shape[-2:]) if values.size == part.rows * part.columns else values
    if values.shape != (part.rows, part.columns):
        raise _unreadable(file.name, f"holds pixels of shape {values.shape}")
    return values


def _unreadable(file: str, what: str) -> InputRefused:
    return InputRefused(
        "pixels-unreadable",
        f"The DICOM file {file} {what}.",
        "Every slice must be complete.",
        "Copy or export the series again.",
    )

"""DICOM series: found and listed from their headers, picked by the user where there are several."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputRefused, UsageError
from ..events import Events
from . import checks
from .instances import Instance, read_instances
from .orient import Kind
from .pixels import read_planes
from .slices import Slice, stack_slices


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
    instances: tuple[Instance, ...] = field(repr=False, default=())

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
    groups: dict[str, list[Instance]] = {}
    others = 0
    damaged: list[str] = []
    for file, instance in read_instances(path, events):
        if instance is None:
            damaged.append(file.name)
        elif instance.rows < 1:
            others += 1
        else:
            groups.setdefault(instance.series_uid, []).append(instance)
    if not groups:
        raise _no_images(path, others, len(damaged))
    if damaged:
        events.warning(
            "files-damaged",
            f"{len(damaged)} DICOM files could not be read and were left out: {', '.join(damaged[:3])}"
            f"{', ...' if len(damaged) > 3 else ''}.",
        )
    ordered = sorted(groups.values(), key=lambda group: (group[0].series_number, group[0].series_uid))
    return [
        Series(
            number=number,
            uid=group[0].series_uid,
            modality=group[0].modality,
            slices=len(group),
            rows=group[0].rows,
            columns=group[0].columns,
            slice_thickness_mm=group[0].slice_thickness_mm,
            problem=_problem(group),
            instances=tuple(group),
        )
        for number, group in enumerate(ordered, 1)
    ]


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
    slices = [_slice(instance) for instance in chosen.instances if not instance.localizer]
    stack = stack_slices(slices, accept_gaps=accept_gaps, name=name)
    shape = stack.shape
    checks.require_size(shape, max_voxels, name)
    if shape[2] < checks.MIN_SLICES:
        checks.require_slices((shape[2], shape[1], shape[0]), name)
    array = read_planes(stack, name=name, events=events)
    first = chosen.instances[0]
    facts: dict[str, Any] = {
        "format": "dicom",
        "axes": "header",
        "stored_type": str(array.dtype),
        "file_shape": list(shape),
        "spacing_unknown": False,
        "StudyInstanceUID": first.study_uid or None,
        "SeriesInstanceUID": chosen.uid,
        "FrameOfReferenceUID": slices[0].frame or None,
        "modality": chosen.modality,
        "contrast_agent": first.contrast_agent,
        "slice_thickness_mm": chosen.slice_thickness_mm,
        "kernel": first.kernel,
        "kvp": first.kvp,
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
        mine = [s for s in found for instance in s.instances if Path(instance.file) == path]
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


def _problem(instances: list[Instance]) -> str | None:
    """Why a series is no volume, or None."""
    if any(i.frames > 1 for i in instances):
        return "enhanced multi-frame DICOM (convert it to classic DICOM or NIfTI first)"
    if all(i.localizer for i in instances):
        return "localizer"
    if any(i.samples != 1 for i in instances):
        return "colour images"
    if any(not i.position or not i.orientation for i in instances):
        return "images without a position in the patient"
    if len(instances) < checks.MIN_SLICES:
        return f"only {len(instances)} images"
    return None


def _slice(instance: Instance) -> Slice:
    """Geometry and scaling of an image; refuses what is missing or cannot be read."""
    file = Path(instance.file).name
    for what, values, count in (
        ("ImagePositionPatient", instance.position, 3),
        ("ImageOrientationPatient", instance.orientation, 6),
        ("PixelSpacing", instance.pixel_spacing, 2),
    ):
        if len(values) != count or not all(math.isfinite(v) for v in values):
            raise InputRefused(
                "geometry-invalid",
                f"{file} has no valid {what}.",
                "Each DICOM slice must tell its position, directions and pixel spacing.",
                "Export the series again from the archive.",
            )
    if not (math.isfinite(instance.slope) and math.isfinite(instance.intercept)) or instance.slope == 0:
        raise InputRefused(
            "rescale-invalid",
            f"{file} has a rescale slope of {instance.slope:g} and an intercept of {instance.intercept:g}.",
            "Both must be finite and the slope not zero.",
            "Export the series again from the archive.",
        )
    return Slice(
        file=instance.file,
        position=instance.position,
        orientation=instance.orientation,
        spacing=instance.pixel_spacing,
        rows=instance.rows,
        columns=instance.columns,
        slope=instance.slope,
        intercept=instance.intercept,
        frame=instance.frame_uid,
    )

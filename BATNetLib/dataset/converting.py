"""Training data from one layout to another, into a new folder; what would be lost is said before.

"volumes": NIfTI with geometry, a folder per case. "folders": the authors' case folders; their arrays
[slice, row, column], here with a header that says where they lie, so nothing is lost. "slices": 8-bit PNG.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..batch.names import kept_names
from ..errors import BATNetError, InputRefused, UsageError
from ..events import Events
from ..volume import Grid, Volume, write_volume
from ..workfiles import whole_folder
from .cases import FOLDERS, SLICES, VOLUMES, Dataset, TrainingCase
from .inner import Inner
from .layouts import DATA_MASK, DATA_PNG
from .manifest import write_manifest
from .scans import Scan, read_scan
from .slices import approximate_hu, read_slices, write_slices

LAYOUTS = (VOLUMES, FOLDERS, SLICES)
_FOLDER_NAMES = {"ct": "image", "lungs": "lobe", "adipose": "fat_mask", "brown": "brown_fat_mask"}
_VOLUME_NAMES = {"ct": "ct", "lungs": "lungs", "adipose": "adipose", "brown": "brown"}
_NO_SPLIT = "train"
LOSS = {
    SLICES: "8-bit PNG slices keep HU from -300 to 200 only, in steps of 2 HU; the rest of the HU, the size "
    "of the voxels, brown-fat masks and lung masks are lost.",
    VOLUMES: "PNG slices hold HU from -300 to 200 only, in steps of 2 HU: the CT that is made of them shows "
    "air and lung as -300 and bone as 200.",
}


@dataclass
class Converted:
    """``written``: names of cases; ``refused``: case to refusal; ``lost``: what was lost, in sentences."""

    written: list[str] = field(default_factory=list)
    refused: dict[str, BATNetError] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        refused = {case: error.as_dict() for case, error in self.refused.items()}
        return {"written": self.written, "refused": refused, "lost": self.lost}


def convert(
    dataset: Dataset,
    out: str | os.PathLike[str],
    layout: str,
    *,
    accept_loss: bool = False,
    spacing: Sequence[float] | None = None,
    replace_out: bool = False,
    events: Events | None = None,
) -> Converted:
    """Write all cases in another layout into ``out`` (whole or not at all), with a manifest.

    Parameters
    ----------
    layout : "volumes", "folders" or "slices".
    accept_loss : must be said where HU or masks would be lost (see ``LOSS``).
    spacing : mm along (slice, row, column), for cases whose files do not say it.

    A case that cannot be converted is refused by name; the others go on. Raises ``UsageError`` for an unknown
    layout or an existing ``out``, ``InputRefused`` ("conversion-loses") where something would be lost and
    ``accept_loss`` is not said, and where no case could be converted.
    """
    events = events or Events()
    if layout not in LAYOUTS:
        raise UsageError(
            "layout-unknown",
            f"The layout {layout!r} was asked for.",
            f"Known are {', '.join(LAYOUTS)}.",
            "Choose one of these; cached patches are made by 'dataset patches'.",
        )
    if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        raise UsageError(
            "spacing", "The spacing given is not three positive numbers.", "mm are needed.", "Correct it."
        )
    result = Converted(lost=_lost(dataset, layout))
    if result.lost and not accept_loss:
        raise InputRefused(
            "conversion-loses",
            " ".join(result.lost),
            "Nothing is thrown away without being asked for.",
            "Say --accept-loss if this is what you want, or choose another layout.",
        )
    dataset.require_apart(out)
    out = Path(out)
    folders = kept_names([case.as_found() for case in dataset.cases])
    made: list[TrainingCase] = []
    with whole_folder(out, replace=replace_out) as tmp, events.stage("convert", len(dataset.cases)) as stage:
        for case in dataset.cases:
            try:
                made.append(_convert(case, tmp, folders[case.case], layout, spacing, Inner(events)))
                result.written.append(case.case)
            except (InputRefused, UsageError) as error:
                result.refused[case.case] = error
            stage.advance()
        if not made:
            raise next(iter(result.refused.values()))
        write_manifest(replace(dataset, cases=tuple(made)), tmp / "manifest.csv")
    return result


def _lost(dataset: Dataset, layout: str) -> list[str]:
    from_slices = any(case.has_slices and not case.has_scan for case in dataset.cases)
    if layout == SLICES:
        return [LOSS[SLICES]] if any(case.has_scan for case in dataset.cases) else []
    return [LOSS[VOLUMES]] if from_slices else []


def _convert(
    case: TrainingCase,
    tmp: Path,
    name: str,
    layout: str,
    spacing: Sequence[float] | None,
    events: Events,
) -> TrainingCase:
    """Write one case; the case as it lies now."""
    if case.refusal is not None:
        raise case.refusal
    if not case.has_scan and not case.has_slices:
        raise InputRefused(
            "patches-only",
            "The case holds cached patches only.",
            "Patches are resized pieces; a scan cannot be put together from them.",
            "Convert the scan that they were made from.",
        )
    plain = replace(case, layout=layout, series=None, members=(), axes=None)
    if layout == SLICES:
        folder = tmp / "seg_data" / re.sub(r"[^\w-]+", "_", case.split or _NO_SPLIT) / name
        _as_slices(case, folder, events)
        files = {"slices": folder / DATA_PNG, "slice_masks": folder / DATA_MASK}
        return replace(plain, files=files)
    scan = _as_scan(case, spacing, events)
    names = _FOLDER_NAMES if layout == FOLDERS else _VOLUME_NAMES
    folder = tmp / name
    folder.mkdir(parents=True)
    files = {}
    for role, called in names.items():
        volume = getattr(scan, role)
        if volume is not None:
            events.check()
            files[role] = folder / f"{called}.nii.gz"
            if layout == FOLDERS:
                _write_array(volume, files[role])
            else:
                write_volume(volume, files[role])
    return replace(plain, files=files)


def _as_slices(case: TrainingCase, folder: Path, events: Events) -> None:
    if case.has_scan:
        scan = read_scan(case, ("adipose",), events)
        if scan.adipose is None:
            raise InputRefused(
                "adipose-missing",
                "The case has no adipose mask.",
                "Slices are kept with the mask of adipose tissue.",
                "Add the mask.",
            )
        images, masks = scan.ct.array, scan.adipose.array
    else:
        images, masks = read_slices(case, events)
    write_slices(folder, images, masks, events)


def _as_scan(case: TrainingCase, spacing: Sequence[float] | None, events: Events) -> Scan:
    """The case as volumes with a known size of voxels."""
    if case.has_scan:
        scan = read_scan(case, events=events)
        if scan.spacing_known:
            return scan
        grid = _grid(scan.ct.array, spacing)
        parts = {"ct": scan.ct, "adipose": scan.adipose, "brown": scan.brown, "lungs": scan.lungs}
        return Scan(**{role: Volume(v.array, grid) for role, v in parts.items() if v is not None})
    images, masks = read_slices(case, events)
    grid = _grid(images, spacing)
    return Scan(Volume(approximate_hu(images), grid), Volume(masks, grid))


def _grid(array: np.ndarray, spacing: Sequence[float] | None) -> Grid:
    if spacing is None:
        raise InputRefused(
            "spacing-unknown",
            "The files do not say how large a voxel is.",
            "Volumes say it, and millilitres depend on it.",
            "Say --spacing SLICE ROW COLUMN in mm; nothing is invented.",
        )
    a, b, c = array.shape
    return Grid.canonical((a, b, c), spacing)


def _write_array(volume: Volume, path: Path) -> None:
    """The canonical array itself, as the authors' programs expect it, under a header that tells the truth."""
    import nibabel as nib

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.affine
    image = nib.Nifti1Image(np.ascontiguousarray(volume.array), to_ras)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)

"""A phantom as a case folder on disk, as users and the published code keep theirs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...errors import UsageError
from ...volume import write_volume
from ...volume.geometry import Volume
from ...workfiles import whole_folder
from .make import Phantom

#: "geometry": ordinary NIfTI files that say where the voxels are. "arrays": as the published code keeps
#: its cases, arrays [slice, row, column] under an identity affine, so spacing and sides are lost.
LAYOUTS = ("geometry", "arrays")


def write_phantom(
    phantom: Phantom, folder: str | os.PathLike[str], layout: str = "geometry", *, replace: bool = False
) -> Path:
    """Write ``image``, ``lobe``, ``fat_mask``, ``brown_fat_mask`` (and ``pet``) .nii.gz; returns the folder.

    Raises ``UsageError`` for an unknown layout or where ``folder`` exists and ``replace`` is not said,
    ``OutputRefused`` where it cannot be written.
    """
    if layout not in LAYOUTS:
        raise UsageError(
            "layout-unknown",
            f"The layout {layout!r} was asked for.",
            f"Known are {', '.join(LAYOUTS)}.",
            "Choose one of these.",
        )
    files: dict[str, Volume] = {
        "image": phantom.ct,
        "lobe": phantom.lungs,
        "fat_mask": phantom.adipose,
        "brown_fat_mask": phantom.brown,
    }
    if phantom.pet is not None and layout == "geometry":
        files["pet"] = phantom.pet
    write = write_volume if layout == "geometry" else _write_bare
    with whole_folder(folder, replace=replace) as tmp:
        for name, volume in files.items():
            write(volume, tmp / f"{name}.nii.gz")
    return Path(folder)


def _write_bare(volume: Volume, path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(volume.array, np.eye(4)), path)

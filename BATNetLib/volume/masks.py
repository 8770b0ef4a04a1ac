"""Masks that belong to a CT: same grid, whole-number labels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..errors import InputRefused
from ..events import Events
from .checks import MAX_VOXELS
from .files import Axes, read_volume
from .geometry import Volume


def read_mask(
    path: str | Path,
    ct: Volume,
    *,
    name: str,
    labels: Collection[int] | None = None,
    allow_empty: bool = False,
    max_voxels: int = MAX_VOXELS,
    events: Events | None = None,
) -> Volume:
    """Read a mask onto the grid of ``ct``; uint8 labels in canonical axes.

    ``name``: what the user calls it, such as "lung mask". ``labels``: the values allowed beside 0, None
    for any from 1 to 255. Raises ``InputRefused``: another grid ("other-grid"), fractions, negative
    values, values that are not in ``labels`` or above 255 ("mask-values"), no voxel at all
    ("mask-empty", unless ``allow_empty``), and everything that ``read_volume`` refuses.
    """
    # The grid of the CT decides whether the mask lies right, so a header like the CT's own is good enough.
    axes: Axes = "zyx" if (ct.facts or {}).get("axes") == "zyx" else "header"
    tilted = ((ct.facts or {}).get("resampled") or {}).get("reason") == "gantry-tilt"
    volume = read_volume(
        path, axes=axes, kind="mask", accept_tilt=tilted, max_voxels=max_voxels, events=events
    )
    if not ct.grid.same_place(volume.grid) and Path(path).name.lower().endswith(".seg.nrrd"):
        volume = _placed(volume, ct) or volume
    ct.require_same_grid(volume, name)
    array = volume.array
    low, high = int(array.min()), int(array.max())
    values = np.unique(array) if low >= 0 and high <= 255 else np.array([low, high])
    wrong = [
        int(v) for v in values if v < 0 or v > 255 or (labels is not None and v != 0 and v not in labels)
    ]
    if wrong:
        allowed = "0 to 255" if labels is None else ", ".join(str(v) for v in sorted({0, *labels}))
        listed = ", ".join(str(v) for v in wrong[:10]) + (", ..." if len(wrong) > 10 else "")
        raise InputRefused(
            "mask-values",
            f"The {name} has voxels of {listed}.",
            f"Only {allowed} can be interpreted.",
            f"Give a label map with these values as the {name}, not an image.",
        )
    if high == 0 and not allow_empty:
        raise InputRefused(
            "mask-empty",
            f"The {name} is empty: no voxel is marked.",
            "At least one voxel must be marked.",
            f"Give the {name} of this CT, or leave it out.",
        )
    return Volume(array.astype(np.uint8, copy=False), ct.grid, ct.source, volume.facts)


def _placed(mask: Volume, ct: Volume) -> Volume | None:
    """A cropped segmentation of 3D Slicer laid into the CT's grid, voxel on voxel; None where its voxels
    are not the CT's or marked ones lie outside the CT."""
    steps = np.abs(mask.grid.affine[:3, :3] - ct.grid.affine[:3, :3]) * np.array(mask.grid.shape)
    offset = np.linalg.solve(ct.grid.affine, mask.grid.affine[:, 3])[:3]
    if steps.max() > 0.01 or np.abs(offset - np.rint(offset)).max() > 0.01:
        return None
    first = np.rint(offset).astype(int)
    low = np.maximum(first, 0)
    high = np.minimum(first + mask.grid.shape, ct.grid.shape)
    if (high <= low).any():
        return None
    inside = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
    if np.count_nonzero(mask.array) != np.count_nonzero(mask.array[inside]):
        return None
    array = np.zeros(ct.grid.shape, mask.array.dtype)
    array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = mask.array[inside]
    return Volume(array, ct.grid, ct.source, mask.facts)

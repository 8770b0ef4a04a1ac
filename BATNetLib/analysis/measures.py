"""What is measured on the fat: volume, HU and, with PET, SUV; in total, by side and by patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..brown.patches import Box
from ..pet import patch_activity
from ..volume import Grid, Volume
from ..volume.orient import resample
from .places import place
from .result import AdiposeFacts, PatchResult


def adipose_facts(
    ct: Volume, fat: Volume, cut: int, segmented: tuple[int, int], boxes: Sequence[Box]
) -> AdiposeFacts:
    """Volume and mean HU of the fat above ``cut`` (first slice that no longer counts).

    ``boxes``: the 32 patch boxes; the sides meet where the innermost ones do. Without boxes there are no
    sides.
    """
    inside = fat.array[:cut] > 0
    hu = ct.array[:cut]
    sides: dict[str, dict[str, float | None]] = {}
    if boxes:
        middle = max(box.end[2] for box in boxes[: len(boxes) // 2])
        for side, columns in (("right", slice(None, middle)), ("left", slice(middle, None))):
            volume, mean = _measure(inside[:, :, columns], hu[:, :, columns], ct)
            sides[side] = {"volume_ml": volume, "mean_hu": mean}
    volume, mean = _measure(inside, hu, ct)
    return AdiposeFacts(volume, mean, sides, segmented)


def patch_results(
    ct: Volume, fat: Volume, cut: int, boxes: Sequence[Box], probabilities: np.ndarray, pet: Volume | None
) -> list[PatchResult]:
    """One result per patch, authors' order; fat from ``cut`` on does not count."""
    results = []
    for index, (box, probability) in enumerate(zip(boxes, probabilities, strict=True)):
        inside = fat.array[box.slices] > 0
        inside[max(0, cut - box.start[0]) :] = False
        volume, mean = _measure(inside, ct.array[box.slices], ct)
        uptake = None if pet is None else _uptake(ct, inside, box, pet)
        results.append(PatchResult(place(index), box, float(probability), volume, mean, uptake))
    return results


def _measure(inside: np.ndarray, hu: np.ndarray, ct: Volume) -> tuple[float | None, float | None]:
    """Millilitres (None where the file does not say how large a voxel is) and mean HU (None without fat)."""
    voxels = int(np.count_nonzero(inside))
    volume = None if (ct.facts or {}).get("spacing_unknown") else voxels * ct.voxel_ml
    return volume, float(hu[inside].mean(dtype=np.float64)) if voxels else None


def _uptake(ct: Volume, inside: np.ndarray, box: Box, pet: Volume) -> dict[str, float] | None:
    """SUV at the fat voxels of one box, measured as ``BATNetLib.pet`` does; None beyond the PET."""
    total = int(np.count_nonzero(inside))
    if not total:
        return None
    # Only the box is resampled: a PET on the grid of a whole CT takes hundreds of megabytes.
    affine = ct.grid.affine.copy()
    affine[:3, 3] = ct.grid.points(np.array(box.start, float))
    values = pet.array.astype(np.float32, copy=False)
    suv = resample(values, pet.grid, Grid(inside.shape, affine), nearest=False, fill=np.nan)
    whole = Box((0, 0, 0), inside.shape)
    activity = patch_activity(suv, [whole], inside)[0]
    if activity.suv_max is None or activity.suv_mean is None:
        return None
    return {
        "suv_max": activity.suv_max,
        "suv_mean": activity.suv_mean,
        "covered": activity.voxels / total,
    }

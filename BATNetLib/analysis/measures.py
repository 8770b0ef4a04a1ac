"""What is measured on the fat: volume, HU and, with PET, SUV; in total, by side and by patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..brown.patches import Box
from ..volume import Volume
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
    """SUV at the fat voxels of one box, linear between the PET's voxels; None where the PET does not reach.

    Half a PET voxel beyond its outermost centres still belongs to it.
    """
    voxels = np.argwhere(inside) + box.start
    if not len(voxels):
        return None
    inverse = np.linalg.inv(pet.grid.affine)
    where = ct.grid.points(voxels) @ inverse[:3, :3].T + inverse[:3, 3]
    reached = ((where >= -0.5) & (where <= np.array(pet.grid.shape) - 0.5)).all(axis=1)
    if not reached.any():
        return None
    suv = ndimage.map_coordinates(pet.array.astype(np.float32), where[reached].T, order=1, mode="nearest")
    return {
        "suv_max": float(suv.max()),
        "suv_mean": float(suv.mean(dtype=np.float64)),
        "covered": float(reached.mean()),
    }

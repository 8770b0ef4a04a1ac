"""How well two masks agree: Dice, surfaces, volume.

Surfaces are the voxels of a mask that touch a voxel outside it by a face. Each counts with the area of
those faces in mm2, so that thick slices do not make the surface inside the slices count too much.
Distances run between voxel centres in mm. They come from SimpleITK's Euclidean distance map (Maurer et al.
2003): it is with Slicer already, knows the spacing and uses all cores; MONAI would bring torch along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BOTH, EMPTY_BOTH, EMPTY_TRUTH, EMPTY_PREDICTION = "both", "both-empty", "truth-empty", "prediction-empty"

#: How the surface measures are defined, for reports.
HD95_DEFINITION = (
    "HD95: for each of the two surfaces the distance to the other that 95 % of its area keeps within; the "
    "larger of the two, in mm. Surface voxels count with the area of their outer faces."
)
NSD_DEFINITION = (
    "Normalised surface distance: the share of both surfaces together, by area, that lies within the "
    "tolerance of the other surface (1 = all of it)."
)


@dataclass(frozen=True)
class Overlap:
    """Agreement of a predicted with a true mask.

    ``state``: "both" (both have voxels), "both-empty", "truth-empty" or "prediction-empty". ``dice`` and
    ``nsd``: 0..1, 0 where exactly one mask is empty, None where both are. ``hd95_mm``: None unless both
    have voxels. ``truth_ml``, ``predicted_ml``: volumes.
    """

    state: str
    dice: float | None
    nsd: float | None
    hd95_mm: float | None
    truth_ml: float
    predicted_ml: float

    @property
    def error_ml(self) -> float:
        """Predicted minus true volume."""
        return self.predicted_ml - self.truth_ml


def compare_masks(
    truth: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float], *, tolerance_mm: float
) -> Overlap:
    """Compare two boolean masks [slice, row, column]; ``spacing``: mm along these axes.

    ``tolerance_mm``: distance up to which surfaces count as the same in ``nsd`` (inclusive). Raises
    ``ValueError`` for masks of different shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"masks of shape {truth.shape} and {predicted.shape}")
    truth, predicted = truth.astype(bool, copy=False), predicted.astype(bool, copy=False)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    n_truth, n_predicted = int(np.count_nonzero(truth)), int(np.count_nonzero(predicted))
    truth_ml, predicted_ml = n_truth * voxel_ml, n_predicted * voxel_ml
    if not n_truth and not n_predicted:
        return Overlap(EMPTY_BOTH, None, None, None, 0.0, 0.0)
    if not n_truth or not n_predicted:
        state = EMPTY_PREDICTION if n_truth else EMPTY_TRUTH
        return Overlap(state, 0.0, 0.0, None, truth_ml, predicted_ml)
    dice = 2 * int(np.count_nonzero(truth & predicted)) / (n_truth + n_predicted)
    box = _box(truth | predicted)
    nsd, hd95 = _surfaces(truth[box], predicted[box], spacing, tolerance_mm)
    return Overlap(BOTH, dice, nsd, hd95, truth_ml, predicted_ml)


def _surfaces(
    truth: np.ndarray, predicted: np.ndarray, spacing: tuple[float, float, float], tolerance_mm: float
) -> tuple[float, float]:
    # A rim of background: a mask that ends at the border of the box has its surface there.
    truth, predicted = np.pad(truth, 1), np.pad(predicted, 1)
    area_truth, area_predicted = face_area(truth, spacing), face_area(predicted, spacing)
    far_truth = _distance(area_predicted > 0, spacing)[area_truth > 0]
    far_predicted = _distance(area_truth > 0, spacing)[area_predicted > 0]
    weight_truth = area_truth[area_truth > 0].astype(float)
    weight_predicted = area_predicted[area_predicted > 0].astype(float)
    # Distances are float32; a tolerance of exactly n voxels must include them.
    near = tolerance_mm + 1e-4
    within = weight_truth[far_truth <= near].sum() + weight_predicted[far_predicted <= near].sum()
    hd95 = max(_reached(far_truth, weight_truth, 0.95), _reached(far_predicted, weight_predicted, 0.95))
    return float(within / (weight_truth.sum() + weight_predicted.sum())), hd95


def face_area(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """mm2 of the faces by which each voxel of ``mask`` touches a voxel outside it, float32 of its shape.

    The outermost layer of ``mask`` must be empty.
    """
    area = np.zeros(mask.shape, np.float32)
    for axis, step in enumerate(spacing):
        face = float(np.prod(spacing)) / step
        for shift in (1, -1):
            area += face * (mask & ~np.roll(mask, shift, axis))
    return area


def _distance(surface: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """mm from each voxel to the nearest voxel of ``surface``, float32."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(tuple(float(s) for s in reversed(spacing)))
    found = sitk.SignedMaurerDistanceMap(
        image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    # Every voxel of the surface touches a voxel that is none, so the border the map starts from is all of it.
    return np.maximum(sitk.GetArrayViewFromImage(found), 0.0)


def _reached(distances: np.ndarray, weights: np.ndarray, part: float) -> float:
    """Smallest distance within which at least ``part`` of the weight lies."""
    order = np.argsort(distances, kind="stable")
    cumulated = np.cumsum(weights[order])
    index = int(np.searchsorted(cumulated, part * cumulated[-1] * (1 - 1e-12)))
    return float(distances[order][min(index, len(order) - 1)])


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)

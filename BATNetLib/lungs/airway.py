"""The trachea and the main bronchi: air inside the body that is not lung."""

from __future__ import annotations

import numpy as np

from .. import morphology
from ..body import Body

#: Well-ventilated air: an open airway of 8 mm or more reaches this on blocks of 2.5 mm.
OPEN_AIR_HU = -800.0
#: Cross-section of a trachea in an axial slice; a wide adult one has about 500 mm2.
TRACHEA_MM2 = (30.0, 800.0)
#: How far from the body's midline the trachea may lie; goitres and collapsed lobes push it.
OFF_MIDLINE_MM = 40.0
#: A run of round sections this long is a trachea and not a gas bubble in the oesophagus.
SHORTEST_MM = 20.0
#: Upper bound of trachea and main bronchi together; a grown region above it has leaked into a lung.
LARGEST_ML = 120.0


def find_airway(body: Body, deep_lung: np.ndarray) -> np.ndarray:
    """bool blocks of trachea and main bronchi; all False where no trachea is seen.

    ``deep_lung``: bool blocks that are certainly lung. The trachea is the longest run of round
    sections of open air near the midline; from there the airway grows through air of ever stricter
    HU until the region stays small and out of the deep lung.
    """
    slices = np.nonzero(deep_lung.any(axis=(1, 2)))[0]
    # Below the middle of the lungs there is bowel gas, and no trachea.
    lowest = int(np.median(slices)) + 1 if len(slices) else None
    trachea = trachea_run(body, lowest)
    if not trachea.any():
        return trachea
    coarse = body.coarse
    for limit in (-700.0, -750.0, -800.0, -850.0, -880.0, -910.0, -930.0, -950.0):
        labels, _ = morphology.components(body.air & ((coarse.array < limit) | trachea))
        grown = np.isin(labels, np.unique(labels[trachea]))
        if grown.sum() * coarse.voxel_ml <= LARGEST_ML and not (grown & deep_lung).any():
            return grown
    return trachea


def trachea_run(body: Body, lowest: int | None = None) -> np.ndarray:
    """bool blocks of the longest run of trachea-like sections, all False where there is none.

    ``lowest``: first block slice that is not looked at, None to look at all.
    """
    from scipy import ndimage

    coarse = body.coarse
    dz, dy, dx = coarse.spacing
    air = body.air & (coarse.array < OPEN_AIR_HU)
    air[len(air) if lowest is None else lowest :] = False
    labels, count = morphology.slice_components(air)
    if not count:
        return np.zeros_like(air)
    areas = np.bincount(labels.ravel()) * dy * dx
    keep = np.zeros(count + 1, bool)
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, cols = place[1], place[2]
        height, width = (rows.stop - rows.start) * dy, (cols.stop - cols.start) * dx
        centre = (cols.start + cols.stop - 1) / 2.0
        keep[label] = (
            TRACHEA_MM2[0] <= areas[label] <= TRACHEA_MM2[1]
            and max(height, width) <= 3.0 * min(height, width)
            and areas[label] >= 0.45 * height * width
            and abs(centre - body.middle) * dx <= OFF_MIDLINE_MM
        )
    runs, _ = morphology.components(keep[labels])
    longest, best = 0.0, 0
    for label, place in enumerate(ndimage.find_objects(runs), start=1):
        length = (place[0].stop - place[0].start) * dz
        if length > longest:
            longest, best = length, label
    if longest < SHORTEST_MM:
        return np.zeros_like(air)
    return runs == best

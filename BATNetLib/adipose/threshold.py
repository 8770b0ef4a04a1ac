"""Adipose tissue by a HU range: the method of stage 1 that needs no model, and says so."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .. import morphology
from ..body import Body, find_body, refine
from ..errors import InputRefused, UsageError
from ..events import Events
from ..volume.geometry import Volume

#: Adipose tissue on CT without contrast, in HU, both ends included.
HU_RANGE = (-190.0, -30.0)
#: Connected parts smaller than this are noise, streaks and blurred edges.
SMALLEST_MM3 = 100.0
#: At the skin and around gas, air and tissue blur into values of fat over about this distance.
BLUR_MM = 2.0
#: Midway between gas and fat; everything below inside the body counts as gas.
GAS_HU = -400.0
#: Stool and lung vessels lie between bubbles and alveoli no further apart than twice this.
BETWEEN_GAS_MM = 3.0
#: Cortical bone; a closed ring of it holds marrow, which has the HU of fat and is none.
BONE_HU = 200.0
#: Noise and thin places open a ring of cortex by less than this.
CORTEX_GAP_MM = 10.0
#: The humeral head and a vertebra are smaller in an axial slice; the rib cage is larger.
LARGEST_MARROW_MM2 = 3000.0


def adipose_by_threshold(
    ct: Volume,
    hu_range: tuple[float, float] = HU_RANGE,
    *,
    body: Body | None = None,
    min_component_mm3: float = SMALLEST_MM3,
    until_slice: int | None = None,
    events: Events | None = None,
) -> Volume:
    """Mask of the voxels inside the body with ``hu_range[0] <= HU <= hu_range[1]``; uint8, 1 = adipose.

    Left out are: a rim of 2 mm at the skin and around gas (lungs, airways, bowel), where air and tissue
    blur into values of fat; what lies between gas bubbles; marrow inside bone; connected parts smaller
    than ``min_component_mm3`` (mm3, 6-neighbourhood); slices from ``until_slice`` on. ``body`` is the
    result of ``find_body`` where it is there already. ``facts["adipose"]`` of the result names the
    method and its values, so that no reader takes the mask for a network's.

    Raises ``UsageError`` ("hu-range", "min-component", "until-slice") and ``InputRefused`` ("no-body",
    "adipose-empty").
    """
    low, high = _checked(hu_range, min_component_mm3)
    stop = ct.array.shape[0] if until_slice is None else int(until_slice)
    if stop < 1:
        raise UsageError(
            "until-slice",
            f"Adipose tissue was asked for above slice {stop}.",
            "At least one slice is needed.",
            "Check the lung mask: the cut plane follows from it.",
        )
    stop = min(stop, ct.array.shape[0])
    events = events or Events()
    with events.stage("Adipose tissue by HU range", 4) as stage:
        body = body or find_body(ct)
        stage.advance()
        mask = np.zeros(ct.array.shape, np.uint8)
        box = _box(body, stop + math.ceil(BLUR_MM / ct.spacing[0]))
        voxels = body.coarse.voxels(box)
        near, hu = body.cropped(box), ct.array[voxels]
        # One array is narrowed down step by step: each would take a byte for every voxel.
        fat = refine(near.mask, near.coarse, hu > GAS_HU)
        gas = fat & (hu < GAS_HU)
        gas |= near.coarse.enlarge(_between_gas(near))
        fat = morphology.erode(fat, ct.spacing, BLUR_MM)
        fat &= ~morphology.dilate(gas, ct.spacing, BLUR_MM)
        del gas
        stage.advance()
        fat &= (hu >= low) & (hu <= high)
        fat &= ~near.coarse.enlarge(_marrow(hu, near))
        stage.advance()
        fat[stop:] = False
        mask[voxels] = morphology.drop_small(fat, min_component_mm3 / (ct.voxel_ml * 1000.0))
    if not mask.any():
        raise InputRefused(
            "adipose-empty",
            f"No adipose tissue was found: no connected part of {min_component_mm3:g} mm3 inside the body "
            f"has {low:g} to {high:g} HU.",
            "Adipose tissue above the cut plane is needed.",
            "Check that the CT is in Hounsfield units and covers neck and axillae, or take another HU range.",
        )
    said = {"method": "hu-threshold", "hu_range": [low, high], "min_component_mm3": float(min_component_mm3)}
    return replace(ct, array=mask, facts={**(ct.facts or {}), "adipose": said})


def _checked(hu_range: tuple[float, float], smallest: float) -> tuple[float, float]:
    low, high = (float(v) for v in hu_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            "hu-range",
            f"The HU range runs from {low:g} to {high:g}.",
            "The lower end must be below the upper one.",
            f"Adipose tissue lies at {HU_RANGE[0]:.0f} to {HU_RANGE[1]:.0f} HU on CT without contrast.",
        )
    if not (math.isfinite(smallest) and smallest >= 0):
        raise UsageError(
            "min-component",
            f"The smallest part to keep was given as {smallest:g} mm3.",
            "It must be 0 mm3 or more.",
            f"The usual value is {SMALLEST_MM3:g} mm3.",
        )
    return low, high


def _box(body: Body, stop: int) -> tuple[slice, slice, slice]:
    """Blocks around the body, from the first slice to slice ``stop``."""
    depth = min(-(-stop // body.coarse.factors[0]), len(body.mask))
    _, rows, columns = morphology.box_around(body.mask, body.coarse.spacing, 3.0 * BLUR_MM)
    return slice(0, depth), rows, columns


def _between_gas(body: Body) -> np.ndarray:
    """bool blocks between gas: stool, lung vessels."""
    spacing = body.coarse.spacing
    return morphology.closed(body.air, spacing, BETWEEN_GAS_MM) & body.mask


def _marrow(hu: np.ndarray, body: Body) -> np.ndarray:
    """bool blocks of marrow: what bone encloses in an axial slice."""
    coarse, gap = body.coarse, CORTEX_GAP_MM / 2
    # Cortex may be thinner than a block: one voxel of it is enough, and gaps in it are closed.
    bone = coarse.touched_by(hu > BONE_HU) & body.mask
    ring = morphology.closed(bone, coarse.spacing, gap)
    holes, count = morphology.slice_components(~ring)
    areas = np.bincount(holes.ravel(), minlength=count + 1) * coarse.spacing[1] * coarse.spacing[2]
    enclosed = areas <= LARGEST_MARROW_MM2
    enclosed[0] = False
    marrow = enclosed[holes]
    # Closing narrowed the hole. Bone is left out: its blocks would take along fat that lies against it.
    return marrow | (morphology.dilate(marrow, coarse.spacing, gap) & ring & ~bone)

"""PET on the CT's grid, and the mask of a criterion there."""

from __future__ import annotations

import numpy as np

from .. import morphology
from ..errors import InputRefused
from ..events import Events
from ..volume import Grid, Volume
from ..volume.orient import resample
from .bodysize import Patient
from .criteria import Criterion

#: How the PET gets onto the CT's grid, as told in every result.
INTERPOLATION = "linear (SimpleITK), from the PET's voxels to the centres of the CT's; none beyond the PET"
#: Parts of a mask hang together where voxels share a face.
CONNECTIVITY = "voxels that share a face"
#: Less of the body than this covered by PET is warned of.
COVERED_SHARE = 0.99
_SLAB = 32  # slices


def resample_to_ct(suv: Volume, ct: Volume, *, events: Events | None = None) -> Volume:
    """SUV at the voxel centres of ``ct``: float32, NaN where the PET does not reach.

    Linear interpolation; the outermost PET voxels count to their outer edge. Where the CT is coarser
    than the PET, values are sampled, not averaged. Raises ``InputRefused`` ("pet-no-overlap"); warns where
    both come from DICOM with different frames of reference.
    """
    events = events or Events()
    frames = [(v.facts or {}).get("FrameOfReferenceUID") for v in (ct, suv)]
    if all(frames) and frames[0] != frames[1]:
        events.warning(
            "pet-other-frame",
            "CT and PET have different frames of reference: that they lie in register is not known. Check "
            "their overlay before you use any number.",
        )
    values = suv.array.astype(np.float32, copy=False)
    array = np.empty(ct.array.shape, np.float32)
    starts = range(0, len(array), _SLAB)
    with events.stage("PET onto the CT's grid", len(starts)) as stage:
        for start in starts:  # slab by slab, so that a wish to stop is heard
            slab = array[start : start + _SLAB]
            affine = ct.grid.affine.copy()
            affine[:3, 3] += affine[:3, 0] * start
            target = Grid((slab.shape[0], slab.shape[1], slab.shape[2]), affine)
            slab[:] = resample(values, suv.grid, target, nearest=False, fill=np.nan)
            stage.advance()
    if np.isnan(array).all():
        raise InputRefused(
            "pet-no-overlap",
            "The PET and the CT do not overlap anywhere in patient space.",
            "Both must show the same part of the same patient in one coordinate system.",
            "Check that PET and CT belong together; register them first if they come from different studies.",
        )
    return Volume(array, ct.grid, ct.source, dict(suv.facts or {}) | {"interpolation": INTERPOLATION})


def covered_share(suv_on_ct: np.ndarray, body: np.ndarray) -> float:
    """Share of the voxels of ``body`` (bool) at which there is a PET value; 0 for an empty body."""
    total = int(np.count_nonzero(body))
    return float(np.count_nonzero(~np.isnan(suv_on_ct[body])) / total) if total else 0.0


def criterion_mask(
    criterion: Criterion, ct: Volume, suv_on_ct: Volume, patient: Patient, adipose: Volume | None = None
) -> np.ndarray:
    """bool on the CT's grid: voxels that fulfil ``criterion``.

    Raises ``InputRefused``: "pet-adipose-missing" where the criterion needs an adipose mask, or the name
    of what is missing of the patient.
    """
    if criterion.within == "adipose" and adipose is None:
        raise InputRefused(
            "pet-adipose-missing",
            f"The criterion {criterion.title} counts only inside an adipose mask, and there is none.",
            "An adipose mask of this CT is needed.",
            "Give it with --adipose, for example adipose.seg.nrrd of an analysis.",
        )
    out = np.empty(ct.array.shape, bool)
    for index in range(len(out)):  # slice by slice: no copies of a whole scan
        out[index] = criterion.matches(ct.array[index], suv_on_ct.array[index], patient)
    if criterion.within == "adipose":
        assert adipose is not None
        out &= adipose.array > 0
    return out


def clean(
    mask: np.ndarray,
    spacing: tuple[float, float, float],
    *,
    largest_only: bool = False,
    min_volume_mm3: float = 0.0,
) -> np.ndarray:
    """``mask`` without the parts below ``min_volume_mm3``, or with its largest part only.

    Parts are sets of voxels that share faces. A part of exactly the minimum stays.
    """
    if not mask.any() or not (largest_only or min_volume_mm3 > 0):
        return mask
    voxel_mm3 = float(np.prod(spacing))
    if min_volume_mm3 > voxel_mm3:
        mask = morphology.drop_small(mask, min_volume_mm3 / voxel_mm3)
    return morphology.largest_component(mask) if largest_only else mask

"""A lung mask that the user brings: is it one, and does it belong to this CT?"""

from __future__ import annotations

import numpy as np

from ..body import Body, find_body
from ..errors import InputRefused
from ..events import Events
from ..volume.geometry import Volume
from .search import LEFT, RIGHT, name_sides

#: Both lungs of an adult hold 2 to 8 L; children, single lungs and cut-off lungs less.
VOLUME_ML = (100.0, 12000.0)
#: Mean HU of normal lungs is about -850 to -700, of heavily consolidated ones about -400.
DENSE_HU = -400.0
#: Above this the mask does not lie on lungs at all.
NOT_LUNG_HU = -200.0
#: Lobes, segments and airway labels of usual tools stay below this number of labels.
MOST_LABELS = 64


def check_lungs(
    lungs: Volume, ct: Volume, events: Events | None = None, *, body: Body | None = None
) -> Volume:
    """The user's lung mask as ``find_lungs`` would give it: uint8, 1 = patient's right, 2 = left.

    Any whole-number labels are taken: one for both lungs, one per lung, or one per lobe. Which side is
    which follows from where the voxels lie, not from the numbers, because tools disagree on them.

    Raises ``InputRefused``: "other-grid", "mask-values", "mask-empty", "lungs-volume", "lungs-hu".
    Warns "lungs-dense" for a mean between -400 and -200 HU, "one-lung" where one side is missing.
    """
    events = events or Events()
    ct.require_same_grid(lungs, "lung mask")
    mask = _labels(lungs.array) != 0
    if not mask.any():
        raise InputRefused(
            "mask-empty",
            "The lung mask is empty: none of its voxels is set.",
            "A mask with both lungs is needed.",
            "Pick the right mask, or leave it out and let the lungs be found from the CT.",
        )
    volume = np.count_nonzero(mask) * ct.voxel_ml
    low, high = VOLUME_ML
    # The authors' array files do not say how large a voxel is: millilitres would be invented.
    known = not (ct.facts or {}).get("spacing_unknown")
    if known and not low <= volume <= high:
        raise InputRefused(
            "lungs-volume",
            f"The lung mask holds {volume:.0f} mL.",
            f"Lungs on a chest CT hold {low:.0f} to {high:.0f} mL.",
            "Pick the mask of the lungs, or leave it out and let the lungs be found from the CT.",
        )
    mean = float(ct.array[mask].mean(dtype=np.float64))
    if mean > NOT_LUNG_HU:
        raise InputRefused(
            "lungs-hu",
            f"The CT has {mean:.0f} HU on average inside the lung mask.",
            f"Lungs lie below {DENSE_HU:.0f} HU on average.",
            "Check that mask and CT belong together and that the CT is in Hounsfield units.",
        )
    if mean > DENSE_HU:
        events.warning(
            "lungs-dense",
            f"The CT has {mean:.0f} HU on average inside the lung mask; lungs usually lie below "
            f"{DENSE_HU:.0f} HU. Check the mask.",
        )
    body = body or find_body(ct)
    blocks = name_sides(body.coarse.shrink_mask(mask), body)
    sides = ct.with_array(_spread(mask, body.coarse.enlarge(blocks)))
    for side, name in ((RIGHT, "right"), (LEFT, "left")):
        if not (sides.array == side).any():
            events.warning("one-lung", f"The lung mask has no lung on the patient's {name} side.")
    return sides


def _labels(array: np.ndarray) -> np.ndarray:
    """``array`` if it holds the labels of a mask, else a refusal."""
    if array.dtype == bool:
        return array
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _values("values that are not finite numbers")
    low, high = float(array.min()), float(array.max())
    if low < 0:
        raise _values(f"values down to {low:g}")
    if array.dtype.kind == "f" and (array != np.rint(array)).any():
        raise _values("values that are not whole numbers")
    # A mask has few labels; distinct values are counted by a table, sorting all voxels takes seconds.
    if high > 65535:
        raise _values(f"values up to {high:g}")
    distinct = int(np.count_nonzero(np.bincount(array.ravel().astype(np.uint16))))
    if distinct > MOST_LABELS:
        raise _values(f"{distinct} different values")
    return array


def _values(found: str) -> InputRefused:
    return InputRefused(
        "mask-values",
        f"The lung mask holds {found}.",
        "A mask holds 0 outside and one whole number per lung or lobe.",
        "Pick the mask itself, not an image or a probability map.",
    )


def _spread(mask: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """``sides`` on every voxel of ``mask``; voxels that no block covers take the side they lie on."""
    out = np.where(mask, sides, 0).astype(np.uint8)
    missed = mask & (out == 0)
    if missed.any():
        columns = [np.nonzero((out == side).any(axis=(0, 1)))[0] for side in (RIGHT, LEFT)]
        middle = (
            np.mean([c.mean() for c in columns if len(c)]) if any(map(len, columns)) else mask.shape[2] / 2
        )
        z, y, x = np.nonzero(missed)
        out[z, y, x] = np.where(x < middle, RIGHT, LEFT)
    return out

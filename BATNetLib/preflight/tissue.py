"""Is the adipose mask one that a person can have?"""

from __future__ import annotations

import numpy as np

from ..volume.geometry import Volume
from .mirror import mirror_axis
from .report import BLOCK, WARN, Finding
from .view import View


def tissue(view: View, adipose: Volume) -> list[Finding]:
    """Volume, sides and HU of the adipose mask above the cut plane.

    Raises ``InputRefused`` ("other-grid") where the mask lies on another grid than the CT.
    """
    view.ct.require_same_grid(adipose, "adipose mask")
    limits = view.limits
    stop = min(view.slices, max(0, view.cut)) if view.lungs is not None else view.slices
    mask = adipose.array[:stop] != 0
    volume = float(np.count_nonzero(mask)) * view.ct.voxel_ml
    if not volume:
        sentence = f"There is no adipose tissue above the cut plane (slices 0 to {stop - 1})."
        advice = "Check the adipose mask and the lung mask; without fat there is nothing to classify."
        return [Finding("adipose-empty", BLOCK, sentence, advice, {"volume_ml": 0.0})]
    findings = []
    low, high = limits.adipose_ml_warn
    # Without the size of a voxel there are no millilitres to judge.
    if not (view.ct.facts or {}).get("spacing_unknown") and not low <= volume <= high:
        sentence = (
            f"The adipose tissue above the cut plane has {volume:.0f} mL; usual are {low:.0f} to {high:.0f}."
        )
        advice = "Look at the mask: it may miss fat or hold other tissue."
        findings.append(Finding("adipose-volume", WARN, sentence, advice, {"volume_ml": volume}))
    findings += _sides(view, mask)
    mean = float(view.ct.array[:stop][mask].mean(dtype=np.float64))
    low, high = limits.adipose_hu_warn
    if not low <= mean <= high:
        sentence = f"The adipose tissue has {mean:.0f} HU on average; usual are {low:.0f} to {high:.0f} HU."
        advice = "Look at the mask, and check whether contrast medium was given."
        findings.append(Finding("adipose-hu", WARN, sentence, advice, {"mean_hu": mean}))
    return findings


def _sides(view: View, mask: np.ndarray) -> list[Finding]:
    """Volumes left and right of the body's own midline."""
    limits = view.limits
    axis = mirror_axis(view.hu, view.body.mask, view.spacing, view.level)
    columns = mask.shape[2]
    middle = (columns - 1) / 2.0 + (axis.offset_mm / view.ct.spacing[2] if axis else 0.0)
    profile = np.count_nonzero(mask, axis=(0, 1)) * view.ct.voxel_ml
    of_left = np.clip(np.arange(columns) - middle + 0.5, 0.0, 1.0)
    left = float((profile * of_left).sum())
    right = float(profile.sum()) - left
    balance = min(left, right) / max(left, right)
    if balance >= limits.adipose_balance_warn:
        return []
    level = BLOCK if balance < limits.adipose_balance_block else WARN
    sentence = (
        f"The adipose tissue above the cut plane has {right:.0f} mL on the patient's right and {left:.0f} mL "
        "on the left."
    )
    advice = "Look at the mask: both sides are compared, and one of them may be missing or cut off."
    values = {"right_ml": right, "left_ml": left, "balance": balance}
    return [Finding("adipose-one-sided", level, sentence, advice, values)]

"""Does the scan reach from the neck to the axillae, and are there lungs to place the cut by?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lungs import LEFT, RIGHT
from .report import BLOCK, WARN, Finding
from .view import View


def coverage(view: View) -> list[Finding]:
    """Neck above the lung apex, axillae below it, cut plane inside the scan. Needs lungs."""
    first, last = view.extent
    dz = view.ct.spacing[0]
    return [
        *_neck(view, first * dz),
        *_axillae(view, first, last),
        *_ends(view, first, last),
        *lung_sizes(view),
    ]


def _neck(view: View, above: float) -> list[Finding]:
    limits = view.limits
    if above >= limits.above_apex_mm_warn:
        return []
    block = above < limits.above_apex_mm_block
    bound = limits.above_apex_mm_block if block else limits.above_apex_mm_warn
    where = f"starts {above:.0f} mm above the lung apex" if above else "starts within the lungs"
    sentence = (
        f"The scan {where}; at least {bound:g} mm above them are needed, where cervical and supraclavicular "
        "fat lies."
    )
    advice = (
        "Take a scan that starts in the neck."
        if block
        else "Read the result as one on the fat that is in the image: part of the neck is missing."
    )
    return [Finding("apex-missing", BLOCK if block else WARN, sentence, advice, {"above_apex_mm": above})]


def _axillae(view: View, first: int, last: int) -> list[Finding]:
    limits = view.limits
    dz = view.ct.spacing[0]
    below = (min(view.cut, view.slices) - first) * dz
    values: dict[str, Any] = {"below_apex_mm": below, "cut_slice": view.cut, "slices": view.slices}
    findings = []
    if view.cut >= view.slices:
        sentence = (
            f"The cut plane at slice {view.cut} lies below the last of {view.slices} slices: nothing "
            f"would be cut (lungs from slice {first} to {last})."
        )
        advice = "Check the lung mask; take a scan that holds the chest, without the whole head."
        findings.append(Finding("cut-outside", BLOCK, sentence, advice, values))
    if below < limits.below_apex_mm_warn:
        block = below < limits.below_apex_mm_block
        bound = limits.below_apex_mm_block if block else limits.below_apex_mm_warn
        sentence = (
            f"Between lung apex and cut plane lie {below:.0f} mm; less than {bound:g} mm. "
            "Axillary fat lies there."
        )
        advice = "Take a scan that goes further down, so that the lungs end inside it."
        findings.append(Finding("axilla-missing", BLOCK if block else WARN, sentence, advice, values))
    return findings


def _ends(view: View, first: int, last: int) -> list[Finding]:
    """Lungs cut off at the bottom: the cut plane follows from where they seem to end."""
    if last < view.slices - 1:
        return []
    shown = (last - first + 1) * view.ct.spacing[0]
    sentence = (
        f"The lungs go on below the last slice; {shown:.0f} mm of them are in the image. "
        "The cut plane therefore lies higher than in a scan of the whole chest."
    )
    advice = "Compare only with scans of the same extent, or take one of the whole chest."
    return [Finding("lungs-cut-off", WARN, sentence, advice, {"lung_mm": shown, "cut_slice": view.cut})]


def lung_sizes(view: View) -> list[Finding]:
    """Volumes of both lungs."""
    assert view.lungs is not None
    ml = view.body.coarse.voxel_ml
    right, left = (float(np.count_nonzero(view.lungs == side)) * ml for side in (RIGHT, LEFT))
    values = {"right_ml": right, "left_ml": left}
    findings = []
    if min(right, left) < view.limits.lung_balance_warn * max(right, left):
        sentence = f"The right lung has {right:.0f} mL, the left one {left:.0f} mL."
        advice = "Check the lung mask. One lung may be missing, collapsed or filled with fluid."
        findings.append(Finding("one-lung", WARN, sentence, advice, values))
    ends_inside = view.extent[1] < view.slices - 1 and view.extent[0] > 0
    if ends_inside and right + left < view.limits.lung_ml_warn:
        sentence = (
            f"Both lungs together have {right + left:.0f} mL; less than {view.limits.lung_ml_warn:.0f} mL."
        )
        advice = "Check the lung mask: the cut plane follows from it."
        findings.append(Finding("small-lungs", WARN, sentence, advice, values))
    return findings

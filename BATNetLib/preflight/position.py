"""How the patient lies in the image: midline, roll, arms, what the field of view cuts off."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import morphology
from .mirror import mirror_axis
from .report import BLOCK, NOTE, WARN, Finding
from .view import View

#: A part beside the trunk of this size in a slice is an arm; fingers and tubes are smaller.
_ARM_MM2 = 1200.0


def position(view: View) -> list[Finding]:
    return [*_midline(view), *_field_of_view(view), *_arms(view)]


def _midline(view: View) -> list[Finding]:
    limits = view.limits
    axis = mirror_axis(view.hu, view.body.mask, view.spacing, view.level)
    if axis is None:
        return []
    findings = []
    if abs(axis.offset_mm) >= limits.off_centre_mm_note:
        side = "left" if axis.offset_mm > 0 else "right"
        sentence = (
            f"The body's midline lies {abs(axis.offset_mm):.0f} mm from the image's centre column, to the "
            f"patient's {side}. The networks mirror at that column."
        )
        level = WARN if abs(axis.offset_mm) >= limits.off_centre_mm_warn else NOTE
        advice = "Shift the image so that the midline lies in its centre, if the result looks one-sided."
        findings.append(Finding("off-centre", level, sentence, advice, {"offset_left_mm": axis.offset_mm}))
    if abs(axis.roll_degrees) >= limits.roll_degrees_note:
        side = "left" if axis.roll_degrees > 0 else "right"
        sentence = (
            f"The body is rolled by {abs(axis.roll_degrees):.0f} degrees, the patient's {side} side lower."
        )
        level = WARN if abs(axis.roll_degrees) >= limits.roll_degrees_warn else NOTE
        advice = "Rotate the image about its long axis, if the result looks one-sided."
        findings.append(Finding("rolled", level, sentence, advice, {"roll_left_degrees": axis.roll_degrees}))
    if axis.agreement < limits.symmetry_warn:
        sentence = (
            f"Body and mirror image agree to {axis.agreement:.2f} (1 = wholly); less than "
            f"{limits.symmetry_warn:g}. The patches of both sides may not face each other."
        )
        advice = "Look at the pairs of patches one by one."
        findings.append(Finding("asymmetric", WARN, sentence, advice, {"agreement": axis.agreement}))
    return findings


def _field_of_view(view: View) -> list[Finding]:
    """Share of the body's outline, above the cut plane, that the edge of the image makes."""
    limits = view.limits
    body = view.body.mask[: view.counted]
    # Column by column from front to back: lungs that the edge of the image opens are no outline.
    front = np.maximum.accumulate(body, axis=1)
    body = front & np.maximum.accumulate(body[:, ::-1], axis=1)[:, ::-1]
    edge = np.zeros(body.shape, bool)
    edge[:, 0] = edge[:, -1] = edge[:, :, 0] = edge[:, :, -1] = True
    # Scanners fill what lies outside a round field of view with values below those of air.
    edge |= morphology.dilate(view.hu[: view.counted] < -1300.0, view.spacing, 0.0)
    edge &= body
    free = (body & ~morphology.erode(body, view.spacing, 0.0)) & ~edge
    share = float(np.count_nonzero(edge)) / max(1, np.count_nonzero(edge) + np.count_nonzero(free))
    if share < limits.cut_body_note:
        return []
    values: dict[str, Any] = {"share": share, "slices_share": float(np.mean(edge.any(axis=(1, 2))))}
    sentence = (
        f"{100 * share:.0f} % of the body's outline above the cut plane lies on the edge of the image, in "
        f"{100 * values['slices_share']:.0f} % of the slices."
    )
    if share >= limits.cut_body_block:
        level, advice = BLOCK, "Take a reconstruction with a field of view that holds both shoulders."
    else:
        level = WARN if share >= limits.cut_body_warn else NOTE
        advice = "Fat outside the field of view does not count; a larger reconstruction would show it."
    return [Finding("body-cut", level, sentence, advice, values)]


def _arms(view: View) -> list[Finding]:
    """Parts with bone beside the largest one in the slices above the cut plane."""
    labels, count = morphology.slice_components(view.solid_parts)
    if not count:
        return []
    hu = view.hu[: view.counted]
    number = np.bincount(labels.ravel(), minlength=count + 1)
    area = number * view.spacing[1] * view.spacing[2]
    bony = np.bincount(labels[hu > 250.0], minlength=count + 1) > 0
    mean = np.bincount(labels.ravel(), hu.ravel(), minlength=count + 1) / np.maximum(1, number)
    arm = (area >= _ARM_MM2) & bony & (mean > -120.0) & (mean < 250.0)
    arm[0] = False
    numbers = [_beside(plane, arm, area) for plane in labels]
    with_arms = np.array([n > 0 for n in numbers])
    length = float(with_arms.sum()) * view.spacing[0]
    if length < 10.0:
        return []
    most = int(np.percentile([n for n in numbers if n > 0], 90))
    sentence = (
        f"Beside neck and trunk lie up to {most} separate part(s) with bone, in {length:.0f} mm of the "
        "slices above the cut plane: arms."
    )
    advice = "Their fat counts as adipose tissue and widens the box that the patches are cut from."
    return [Finding("arms", NOTE, sentence, advice, {"parts": most, "length_mm": length})]


def _beside(plane: np.ndarray, arm: np.ndarray, area: np.ndarray) -> int:
    """Number of arms in a slice of labelled parts: beside the largest part, not behind it as the table is."""
    here = np.unique(plane)
    here = here[here > 0]
    if len(here) < 2:
        return 0
    trunk = here[area[here].argmax()]
    back = np.nonzero(plane == trunk)[0].max()
    others = [label for label in here if label != trunk and arm[label]]
    return sum(int(np.nonzero(plane == label)[0].mean() <= back) for label in others)

"""Do the axes run as the file says? Anatomy is asked, because headers are wrong at times."""

from __future__ import annotations

import numpy as np

from .. import morphology
from ..lungs import LEFT, RIGHT
from ..lungs.airway import trachea_run
from .report import BLOCK, WARN, Finding
from .view import View

#: Share of its bounding box that a lung fills in a slice: round at the apex, a crescent at the base.
_ROUND = 0.45
#: Stretch of lung, from its end, whose shape is looked at.
_END_MM = 40.0
#: Sternum and collar bones count too, so a small distance says nothing.
_SPINE_DOUBT_MM = 3.0
_CHECK_AXES = "Check the orientation in the file's header; give a scan whose axes are right."


def orientation(view: View) -> list[Finding]:
    """Head first, front first, heart on the left. Needs lungs."""
    return [*_head_first(view), *_front_first(view), *_heart_left(view)]


def _head_first(view: View) -> list[Finding]:
    """Two witnesses: the trachea lies above the middle of the lungs; the upper end of a lung is round."""
    assert view.lungs is not None
    dz = view.spacing[0]
    profile = (view.lungs > 0).sum(axis=(1, 2))
    middle = float((profile * np.arange(len(profile))).sum() / profile.sum())
    votes: list[bool] = []
    values: dict[str, float] = {}
    run = trachea_run(view.body)
    if run.any():
        slices = np.nonzero(run.any(axis=(1, 2)))[0]
        above = (middle - float(slices.mean())) * dz
        values["trachea_above_lungs_mm"] = above
        if abs(above) > 4.0:
            votes.append(above > 0)
    top, bottom = _end_shapes(view.lungs, view.spacing)
    values.update({name: v for name, v in (("upper_end_fill", top), ("lower_end_fill", bottom)) if v == v})
    if top == top and bottom == bottom:
        if (top > _ROUND) != (bottom > _ROUND):
            votes.append(top > _ROUND)
    elif top == top:
        votes.append(top > _ROUND)
    elif bottom == bottom:
        votes.append(bottom <= _ROUND)
    if not votes or all(votes):
        return []
    words = []
    if "trachea_above_lungs_mm" in values:
        above = values["trachea_above_lungs_mm"]
        place = "above" if above > 0 else "below"
        words.append(f"the trachea lies {abs(above):.0f} mm {place} the middle of the lungs")
    for name, end in (("upper_end_fill", "first"), ("lower_end_fill", "last")):
        if name in values:
            shape = "round as an apex" if values[name] > _ROUND else "a crescent as a base"
            words.append(f"towards the {end} slice the lungs are {shape}")
    sentence = f"The slices seem to run from feet to head: {'; '.join(words)}."
    if any(votes):
        sentence = f"It is unsure whether the slices run from head to feet: {'; '.join(words)}."
    return [Finding("upside-down", WARN if any(votes) else BLOCK, sentence, _CHECK_AXES, values)]


def _end_shapes(lungs: np.ndarray, spacing: morphology.Spacing) -> tuple[float, float]:
    """Share of its bounding box that a lung fills near its first and its last slice; nan where cut off."""
    slices = np.nonzero(lungs.any(axis=(1, 2)))[0]
    first, last = int(slices[0]), int(slices[-1])
    depth = max(1, int(_END_MM / spacing[0]))
    ends = (
        (first, range(first, min(last, first + depth))),
        (last, range(max(first, last - depth) + 1, last + 1)),
    )
    shapes = []
    for end, planes in ends:
        if end in (0, len(lungs) - 1):
            shapes.append(float("nan"))
            continue
        fills = [_fill(lungs[z] == side, spacing) for z in planes for side in (RIGHT, LEFT)]
        seen = [f for f in fills if f is not None]
        shapes.append(float(np.mean(seen)) if seen else float("nan"))
    return shapes[0], shapes[1]


def _fill(plane: np.ndarray, spacing: morphology.Spacing) -> float | None:
    """Area over bounding box, None below 3 cm2."""
    rows, columns = np.nonzero(plane)
    if len(rows) * spacing[1] * spacing[2] < 300.0:
        return None
    return len(rows) / float((np.ptp(rows) + 1) * (np.ptp(columns) + 1))


def _front_first(view: View) -> list[Finding]:
    """The spine lies behind the middle of the lungs."""
    assert view.lungs is not None
    dx = view.spacing[2]
    planes = np.nonzero(view.lungs.any(axis=(1, 2)))[0]
    sides = [np.nonzero((view.lungs == side).any(axis=(0, 1)))[0] for side in (RIGHT, LEFT)]
    if not len(sides[0]) or not len(sides[1]):
        return []
    centre = (sides[0].mean() + sides[1].mean()) / 2.0
    columns = slice(max(0, int(centre - 35.0 / dx)), int(centre + 35.0 / dx) + 1)
    bone = view.body.mask[planes][:, :, columns] & _bone(view.hu[planes][:, :, columns], view.spacing)
    if np.count_nonzero(bone) * view.body.coarse.voxel_ml < 20.0:
        return []
    behind = float(np.nonzero(bone)[1].mean() - np.nonzero(view.lungs)[1].mean()) * view.spacing[1]
    if behind > -_SPINE_DOUBT_MM:
        return []
    sentence = (
        f"The rows seem to run from back to front: the bone of the midline lies {-behind:.0f} mm in front of "
        "the middle of the lungs, where the spine cannot be."
    )
    return [Finding("front-to-back", BLOCK, sentence, _CHECK_AXES, {"spine_behind_lungs_mm": behind})]


def _bone(hu: np.ndarray, spacing: morphology.Spacing) -> np.ndarray:
    """bool: above 200 HU, but not the heart or the aorta with contrast medium, which are wide and even."""
    from scipy import ndimage

    even = (hu > 100.0) & (ndimage.maximum_filter(hu, 3) - ndimage.minimum_filter(hu, 3) < 80.0)
    blood = morphology.dilate(morphology.opened(even, spacing, 8.0), spacing, 8.0)
    return (hu > 200.0) & ~blood


def _heart_left(view: View) -> list[Finding]:
    """The heart lies more to the left. Only a warning: disease moves it, and some hearts lie right."""
    assert view.lungs is not None
    first, last = view.extent
    if last >= view.slices - 1:
        return []  # the heart is not wholly in the image
    step = view.body.coarse.factors[0]
    planes = slice((first + (last - first) // 2) // step, (first + (last - first) * 4 // 5) // step)
    heart = view.between_lungs[planes] & (view.hu[planes] > -20.0)
    if np.count_nonzero(heart) * view.body.coarse.voxel_ml < 100.0:
        return []
    outer = np.nonzero((view.lungs[planes] > 0).any(axis=(0, 1)))[0]
    shift = float(np.nonzero(heart)[2].mean() - (outer[0] + outer[-1]) / 2.0) * view.spacing[2]
    if shift >= -view.limits.heart_mm_warn:
        return []
    sentence = (
        f"What lies between the lungs at the height of the heart is shifted by {-shift:.0f} mm to the "
        "patient's right; the heart should be on the left."
    )
    advice = "Check that left and right are not exchanged. A collapsed lung or situs inversus looks the same."
    return [Finding("left-right", WARN, sentence, advice, {"heart_left_mm": shift})]

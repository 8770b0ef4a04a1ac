"""A first brown-fat mask for a reader to correct: fat AND uptake by a named criterion.

Where there is no PET nothing is proposed, unless the reader chooses "HU range only" in so many words: HU
alone tells brown fat from other fat badly (brown -67 +- 8, white -94 +- 10 HU without contrast agent).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import InputRefused, UsageError
from ..events import Events
from ..pet.bodysize import Patient
from ..pet.criteria import Criterion, choose, load_criteria
from ..pet.masks import resample_to_ct
from ..volume.geometry import Volume

#: What the choice is called wherever it is offered.
HU_ONLY = "HU range only"


class Proposal(NamedTuple):
    """``mask``: uint8 0/1 on the CT's grid. ``ml``: its volume. ``words``: what was done and what to mind, in
    sentences for the reader."""

    mask: Volume
    ml: float
    words: str


def origin(criterion: Criterion | str | None) -> str:
    """What the record of a save calls a proposal: "proposal barcist"; None stands for HU alone."""
    if criterion is None:
        return "proposal hu-only"
    return f"proposal {criterion if isinstance(criterion, str) else criterion.name}"


def propose(
    ct: Volume,
    fat: Volume | None,
    suv: Volume | None,
    criterion: Criterion | str,
    *,
    patient: Patient | None = None,
    events: Events | None = None,
) -> Proposal:
    """Voxels of ``fat`` that fulfil ``criterion`` in ``ct`` (HU) and ``suv`` (SUVbw).

    ``suv`` lies on the CT's grid or on its own, from which it is then interpolated linearly; to propose
    several times resample once (``pet.resample_to_ct``). Where the PET does not reach, nothing is proposed.
    ``criterion``: one of ``pet.load_criteria``, or its name. ``patient``: weight, height and sex, for
    criteria on lean mass. The limit to fat holds for every criterion, also for those that count anywhere.

    Raises ``InputRefused``: "propose-no-pet" without a PET, "propose-no-fat" without a fat mask or with an
    empty one, "pet-no-overlap", "other-grid", or by the name of what is missing of the patient;
    ``UsageError`` ("criterion-unknown").
    """
    rule = choose(load_criteria(), [criterion])[0] if isinstance(criterion, str) else criterion
    if suv is None:
        raise InputRefused(
            "propose-no-pet",
            f"There is no PET, so {rule.title} cannot be assessed.",
            "A proposal needs uptake: fat alone does not tell brown from white.",
            f'Load the PET of this CT, paint by hand, or choose "{HU_ONLY}" knowing that it is no finding.',
        )
    inside = _fat_voxels(ct, fat)
    patient = patient or Patient()
    cutoff = rule.cutoff_bw(patient)  # what is missing is said before anything is interpolated
    if not ct.grid.same_place(suv.grid):
        suv = resample_to_ct(suv, ct, events=events)
    uptake = suv.array.reshape(-1)[inside]
    chosen = rule.matches(ct.array.reshape(-1)[inside], uptake, patient)
    mask, ml = _mask(ct, inside[chosen])
    words = f"Proposed by {rule.title} inside the fat mask: {_amount(ml)} ({rule.words()}"
    words += ")." if rule.lean_mass is None else f"; SUVbw {cutoff:.2f} for this patient)."
    uncovered = float(np.count_nonzero(np.isnan(uptake))) / len(inside)
    if uncovered > 0.01:
        words += f" The PET does not reach {uncovered:.0%} of the fat; nothing was proposed there."
    words += " Uptake in fat need not be brown fat: correct it."
    return Proposal(mask, ml, words)


def propose_hu_only(ct: Volume, fat: Volume | None, hu_range: tuple[float, float]) -> Proposal:
    """Voxels of ``fat`` within ``hu_range`` (both ends included), for a reader who chose "HU range only".

    Raises ``InputRefused`` ("propose-no-fat", "other-grid") and ``UsageError`` ("hu-range").
    """
    low, high = (float(v) for v in hu_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            "hu-range",
            f"The HU range runs from {low:g} to {high:g}.",
            "The lower end must be below the upper one.",
            "Brown fat without contrast lies at about -67 HU with a spread of 8, white fat at -94 with 10.",
        )
    inside = _fat_voxels(ct, fat)
    hu = ct.array.reshape(-1)[inside]
    mask, ml = _mask(ct, inside[(hu >= low) & (hu <= high)])
    words = (
        f"{HU_ONLY}: {_amount(ml)} of the fat mask with {low:g} to {high:g} HU. No uptake was looked at, so "
        "this is no finding of brown fat: correct it."
    )
    return Proposal(mask, ml, words)


def _fat_voxels(ct: Volume, fat: Volume | None) -> np.ndarray:
    """Flat indices of the fat mask's voxels: few, so that a threshold can be moved live."""
    found = np.empty(0, np.intp)
    if fat is not None:
        ct.require_same_grid(fat, "fat mask")
        found = np.flatnonzero(fat.array)
    if not len(found):
        raise InputRefused(
            "propose-no-fat",
            "There is no fat mask." if fat is None else "The fat mask is empty.",
            "A proposal stays inside fat.",
            "Load the fat mask, or make one: by the network of BATNet or by its HU range.",
        )
    return found


def _mask(ct: Volume, voxels: np.ndarray) -> tuple[Volume, float]:
    array = np.zeros(ct.grid.shape, np.uint8)
    array.reshape(-1)[voxels] = 1
    return ct.with_array(array), len(voxels) * ct.voxel_ml


def _amount(ml: float) -> str:
    return "nothing" if ml == 0 else f"{ml:.1f} mL"

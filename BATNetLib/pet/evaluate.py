"""One PET/CT: a mask and a table for every criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..body import body_mask, find_body
from ..errors import InputRefused
from ..events import Events
from ..volume import Volume
from .criteria import Criterion
from .masks import CONNECTIVITY, COVERED_SHARE, clean, covered_share, criterion_mask, resample_to_ct
from .metrics import Measurer, Row
from .midplane import MidPlane, find_midplane
from .read import Pet
from .suv import mean_suv_warning


@dataclass(frozen=True)
class PetOptions:
    """``largest_only``: keep the largest connected part of each mask. ``min_volume_mm3``: drop smaller
    parts. ``lean_mass``: formula of SULmax. ``midline_mm``: LPS x of the plane between right and left, else
    it is found from the body. ``strict``: a criterion that cannot be assessed is refused instead of left
    out with its reason."""

    largest_only: bool = False
    min_volume_mm3: float = 0.0
    lean_mass: str = "janmahasatian"
    midline_mm: float | None = None
    strict: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "largest_only": self.largest_only,
            "min_volume_mm3": self.min_volume_mm3,
            "connectivity": CONNECTIVITY,
            "lean_mass_of_sul_max": self.lean_mass,
        }


@dataclass(frozen=True)
class Assessment:
    """One criterion on one PET/CT. ``mask``: uint8 on the CT's grid, None where it could not be assessed,
    with ``problem`` saying why. ``cutoff_bw``: its cut-off as SUVbw for this patient."""

    criterion: Criterion
    mask: Volume | None
    cutoff_bw: float | None
    rows: tuple[Row, ...] = ()
    problem: dict[str, object] | None = None


@dataclass
class PetResult:
    """All criteria of one PET/CT. ``suv``: SUVbw on the CT's grid (NaN beyond the PET). ``body_mean_suv``:
    mean SUVbw of the body that the PET covers, None where it covers none; ``covered``: share of the body."""

    ct: Volume
    pet: Pet
    suv: Volume
    assessments: list[Assessment]
    midplane: MidPlane
    options: PetOptions
    body_mean_suv: float | None
    covered: float
    adipose: Volume | None = None
    depots: Volume | None = None
    warnings: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> list[Row]:
        return [row for assessment in self.assessments for row in assessment.rows]


def evaluate(
    ct: Volume,
    pet: Pet,
    criteria: Sequence[Criterion],
    *,
    adipose: Volume | None = None,
    depots: Volume | None = None,
    depot_names: Mapping[int, str] | None = None,
    options: PetOptions | None = None,
    events: Events | None = None,
) -> PetResult:
    """Masks and tables of ``criteria`` on ``ct`` (HU) and ``pet`` (SUVbw on any grid in the same place).

    ``adipose``: mask, ``depots``: labels, both on the CT's grid. A criterion that cannot be assessed (no
    adipose mask, no height for SUL) is left out with its reason, or refused with ``options.strict``; where
    none can be assessed the first reason is raised. Raises ``InputRefused`` also for other grids, no
    overlap, no body in the CT.
    """
    options, events = options or PetOptions(), events or Events()
    for volume, name in ((adipose, "adipose mask"), (depots, "depot label map")):
        if volume is not None:
            ct.require_same_grid(volume, name)
    before = len(events.warnings)
    if (ct.facts or {}).get("contrast_agent") and any(c.hu is not None for c in criteria):
        events.warning(
            "pet-ct-contrast",
            "The CT was made with contrast agent, which raises the HU of fat with vessels: HU limits made "
            "for CT without contrast leave part of the brown fat out.",
        )
    suv = resample_to_ct(pet.suv, ct, events=events)
    with events.stage("Body and mid-plane", 1):
        body = find_body(ct)
        midplane = (
            find_midplane(ct, body, events) if options.midline_mm is None else MidPlane.at(options.midline_mm)
        )
        inside = body_mask(ct, body).array.view(bool)
        covered = covered_share(suv.array, inside)
        mean = float(np.nanmean(suv.array[inside], dtype=np.float64)) if covered else None
    _remarks(events, midplane, covered, mean)

    masks: list[tuple[Criterion, np.ndarray | None, InputRefused | None]] = []
    with events.stage("Criteria", len(criteria)) as stage:
        union = np.zeros(ct.array.shape, bool)
        for criterion in criteria:
            try:
                mask = criterion_mask(criterion, ct, suv, pet.factors.patient, adipose)
            except InputRefused as problem:
                if options.strict:
                    raise
                masks.append((criterion, None, problem))
                text = f"{criterion.title} was not assessed. {problem.found}"
                events.warning("pet-criterion-not-assessable", text)
            else:
                mask = clean(
                    mask,
                    ct.spacing,
                    largest_only=options.largest_only,
                    min_volume_mm3=options.min_volume_mm3,
                )
                union |= mask
                masks.append((criterion, mask, None))
            stage.advance()
    problems = [problem for _, _, problem in masks if problem is not None]
    if problems and len(problems) == len(masks):
        raise problems[0]

    with events.stage("Measures", len(masks)) as stage:
        measurer = Measurer(
            ct,
            suv,
            union,
            midplane.plane,
            lean_ratio=_lean_ratio(pet, options),
            depots=depots,
            depot_names=depot_names,
            events=events,
        )
        assessments = []
        for criterion, found, reason in masks:
            if found is None:
                assert reason is not None
                assessments.append(Assessment(criterion, None, None, problem=reason.as_dict()))
            else:
                assessments.append(
                    Assessment(
                        criterion,
                        ct.with_array(found.view(np.uint8)),
                        criterion.cutoff_bw(pet.factors.patient),
                        tuple(measurer.rows(criterion.name, found)),
                    )
                )
            stage.advance()
    return PetResult(
        ct, pet, suv, assessments, midplane, options, mean, covered, adipose, depots,
        warnings=events.warnings[before:], seconds=dict(events.seconds),
    )  # fmt: skip


def _remarks(events: Events, midplane: MidPlane, covered: float, mean: float | None) -> None:
    if midplane.plane is None:
        events.warning(
            "pet-no-midplane",
            f"Right and left are not told apart: the body has no mid-plane. {midplane.why} "
            "Give the plane with --midline.",
        )
    if covered < COVERED_SHARE:
        events.warning(
            "pet-partial-cover",
            f"The PET covers {covered:.0%} of the body in the CT; nothing is counted where it does not "
            "reach.",
        )
    remark = None if mean is None else mean_suv_warning(mean)
    if remark is not None:
        events.warning(*remark)


def _lean_ratio(pet: Pet, options: PetOptions) -> float | None:
    try:
        return pet.factors.patient.lean_ratio(options.lean_mass)
    except InputRefused:
        return None

"""Evaluation of adipose masks against true ones, per case and over the cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..events import Events
from ..volume.files import Axes
from .cohort import by_pseudonym, patients_of, read_patients, require_predictions
from .intervals import RESAMPLES, SEED, Estimate, few_patients, mean_and_median
from .masks import MaskFile, find_masks, read_pair
from .overlap import BOTH, EMPTY_BOTH, EMPTY_PREDICTION, EMPTY_TRUTH, Overlap, compare_masks

TOLERANCE_MM = 2.0
#: What made a mask that no model made.
METHODS = {"hu-threshold": "none, the masks are by HU threshold", "given": "none, the masks were given"}
#: Measures of a case: name, title, unit.
MEASURES = (
    ("dice", "Dice", ""),
    ("nsd", "Normalised surface distance", ""),
    ("hd95_mm", "HD95", "mm"),
    ("error_ml", "Volume error, predicted − true", "mL"),
    ("absolute_error_ml", "Volume error, absolute", "mL"),
    ("error_percent", "Volume error, relative", "%"),
)


@dataclass(frozen=True)
class MaskOptions:
    """``tolerance_mm`` of the normalised surface distance; ``label``: value that counts, None for any one;
    ``axes``: of masks whose header says none; ``whole_scan``: also count slices that a run of ours did not
    look at; ``allow_missing``: go on without some predictions."""

    tolerance_mm: float = TOLERANCE_MM
    label: int | None = None
    axes: Axes | None = None
    whole_scan: bool = False
    allow_missing: bool = False
    resamples: int = RESAMPLES
    seed: int = SEED


@dataclass(frozen=True)
class CaseOverlap:
    """One case; ``slices``: the range that was compared, None for all."""

    case_id: str
    patient: str
    overlap: Overlap
    spacing: tuple[float, float, float]
    slices: tuple[int, int] | None

    def measures(self) -> dict[str, float | None]:
        """Values by the names of ``MEASURES``; None where not defined."""
        o = self.overlap
        relative = 100 * o.error_ml / o.truth_ml if o.truth_ml else None
        return {
            "dice": o.dice,
            "nsd": o.nsd,
            "hd95_mm": o.hd95_mm,
            "error_ml": o.error_ml,
            "absolute_error_ml": abs(o.error_ml),
            "error_percent": relative,
        }


@dataclass
class MaskEvaluation:
    """``cases`` by id; ``missing``: ids without a prediction; ``models``: names of the models of a batch with
    the number of cases; ``demonstration``: whether one of them was trained on phantoms."""

    options: MaskOptions
    cases: list[CaseOverlap]
    missing: list[str]
    patients_given: bool
    models: dict[str, int] = field(default_factory=dict)
    demonstration: bool = False

    def of_state(self, *states: str) -> list[CaseOverlap]:
        return [case for case in self.cases if case.overlap.state in states]

    def summary(self) -> dict[str, tuple[Estimate, Estimate]]:
        """Mean and median of each measure over the cases in which both masks have voxels."""
        return {name: self._over(name, BOTH) for name, _, _ in MEASURES}

    def dice_with_misses(self) -> tuple[Estimate, Estimate]:
        """Dice where a missed or invented mask counts as 0; cases with two empty masks stay out."""
        return self._over("dice", BOTH, EMPTY_TRUTH, EMPTY_PREDICTION)

    def agreement(self) -> dict[str, float] | None:
        """Bland-Altman over cases with both masks: bias and limits (bias -+ 1.96 SD), mL; None below 3."""
        errors = [case.overlap.error_ml for case in self.of_state(BOTH)]
        if len(errors) < 3:
            return None
        bias, spread = float(np.mean(errors)), float(np.std(errors, ddof=1))
        return {"bias_ml": bias, "low_ml": bias - 1.96 * spread, "high_ml": bias + 1.96 * spread}

    def counts(self) -> dict[str, int]:
        states = (BOTH, EMPTY_BOTH, EMPTY_TRUTH, EMPTY_PREDICTION)
        return {state: len(self.of_state(state)) for state in states}

    def _over(self, name: str, *states: str) -> tuple[Estimate, Estimate]:
        chosen = self.of_state(*states)
        values = [(case.measures()[name], case.patient) for case in chosen]
        known = [(value, patient) for value, patient in values if value is not None]
        return mean_and_median(
            [v for v, _ in known],
            [p for _, p in known],
            resamples=self.options.resamples,
            seed=self.options.seed,
        )


def evaluate_adipose(
    truth: Path,
    predicted: Path,
    options: MaskOptions | None = None,
    *,
    patients: Path | None = None,
    key: Path | None = None,
    events: Events | None = None,
) -> MaskEvaluation:
    """Compare the masks of two sources (see ``find_masks``) case by case.

    ``patients``: CSV with ``case_id`` and ``patient``; a column ``patient`` of a truth CSV counts as well;
    else each case is a patient of its own. ``key``: the key of a batch under pseudonyms, when the truth has
    the names; results then carry the pseudonyms.

    Where a prediction comes with our ``analysis.json`` only the slices that the run looked at are compared,
    unless ``options.whole_scan``. Raises ``InputRefused`` and ``UsageError``.
    """
    options, events = options or MaskOptions(), events or Events()
    if not 0 < options.tolerance_mm < 100:
        raise UsageError(
            "tolerance",
            f"The tolerance is {options.tolerance_mm:g} mm.",
            "It must be above 0 and below 100 mm.",
            "Choose about the difference between two readers, for example 2.",
        )
    known = read_patients(patients)
    true, found = find_masks(truth), find_masks(predicted)
    if key is not None:
        ids = by_pseudonym({*true, *known}, key)
        true = {ids[name]: mask for name, mask in true.items()}
        known = {ids[name]: patient for name, patient in known.items()}
    both, missing = require_predictions(true, found, allow_missing=options.allow_missing, events=events)
    told = {case_id: known.get(case_id) or true[case_id].patient for case_id in both}
    patient, given = patients_of(both, told)
    result = MaskEvaluation(options, [], missing, given)
    few_patients(len(set(patient.values())), events)
    with events.stage("compare masks", len(both)) as stage:
        for case_id in both:
            result.cases.append(
                _compare(case_id, patient[case_id], true[case_id], found[case_id], options, events)
            )
            _note_model(result, found[case_id].passport)
            stage.advance()
    return result


def _compare(
    case_id: str, patient: str, truth: MaskFile, predicted: MaskFile, options: MaskOptions, events: Events
) -> CaseOverlap:
    # A reader's own stages and warnings would repeat for every case.
    quiet = _Forwarding(events)
    true, found = read_pair(
        truth, predicted, case_id=case_id, label=options.label, axes=options.axes, events=quiet
    )
    slices = None if options.whole_scan else predicted.slices
    if slices is not None and slices == (0, true.array.shape[0]):
        slices = None
    part = slice(None) if slices is None else slice(*slices)
    overlap = compare_masks(
        true.array[part], found.array[part], true.spacing, tolerance_mm=options.tolerance_mm
    )
    return CaseOverlap(case_id, patient, overlap, true.spacing, slices)


class _Forwarding(Events):
    """Silent, but stops when the run is asked to stop."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def check(self) -> None:
        self._events.check()


def _note_model(result: MaskEvaluation, passport: Mapping[str, Any]) -> None:
    if not passport:
        return
    model = (passport.get("models") or {}).get("adipose") or {}
    method = (passport.get("method") or {}).get("adipose")
    name = model.get("name") or METHODS.get(str(method), "not told")
    sha = f", SHA-256 {model['sha256'][:12]}" if model.get("sha256") else ""
    result.models[f"{name}{sha}"] = result.models.get(f"{name}{sha}", 0) + 1
    result.demonstration |= bool(model.get("demonstration"))

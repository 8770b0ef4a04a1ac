"""How good the trained model is on validation and test patients, with intervals, as ``evaluate`` tells it.

Cases and patients are called by numbers (``caseids``), so that what comes out can be handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..analysis.passport import plain
from ..brown.patches import IGNORED
from ..dataset.cases import TrainingCase
from ..dataset.inner import Inner
from ..device import choose_device
from ..errors import BATNetError, Cancelled, InputRefused
from ..evaluation.adipose import CaseOverlap, MaskEvaluation, MaskOptions
from ..evaluation.brown import ScoreEvaluation, Scores, evaluate_scores
from ..evaluation.calibration import brier
from ..evaluation.intervals import Estimate, few_patients
from ..evaluation.overlap import compare_masks
from ..evaluation.roc import auc_delong
from ..events import Events
from ..models.loading import LoadedModel
from .caseids import case_ids, numbered, unnaming
from .contract import Parts, StageTraining
from .predicting import read_fat_case

#: What a card tells of each part: key, title, unit.
ADIPOSE_METRICS = (
    ("dice", "Dice, mean", ""),
    ("dice_with_misses", "Dice, a missed or invented mask counts 0, mean", ""),
    ("nsd", "Normalised surface distance at 2 mm, mean", ""),
    ("hd95_mm", "HD95, median", "mm"),
    ("absolute_error_ml", "Volume error, absolute, median", "mL"),
)
BROWN_METRICS = (
    ("auc", "AUC of cases, DeLong", ""),
    ("auc_bootstrap", "AUC of cases, bootstrap", ""),
    ("patch_auc", "AUC of patches", ""),
    ("brier", "Brier score", ""),
    ("calibration_slope", "Calibration slope", ""),
    ("calibration_in_the_large", "Calibration in the large", ""),
)
#: Measures of which the median says more than the mean.
_MEDIANS = ("hd95_mm", "absolute_error_ml")
#: Refusals of a case that the training itself left out.
_LEFT_OUT = ("mask-missing", "too-few-slices")
#: What can be told without knowing how large a voxel is.
_WITHOUT_LENGTHS = ("dice", "dice_with_misses")


@dataclass
class Measured:
    """Figures of one part of the split.

    ``part``: "validation" or "test". ``metrics``: name to estimate, those of ``ADIPOSE_METRICS`` or
    ``BROWN_METRICS`` that are defined. ``states``: of stage 1 how many masks were empty, of stage 2 how many
    cases of each label. ``warnings``: sentences. ``evaluation``: for ``evaluation.save``, None where the
    cases do not allow it.
    """

    part: str
    cases: int
    patients: int
    patients_given: bool
    metrics: dict[str, Estimate]
    states: dict[str, int]
    warnings: list[dict[str, str]] = field(default_factory=list)
    evaluation: MaskEvaluation | ScoreEvaluation | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return plain(
            {
                "part": self.part,
                "cases": self.cases,
                "patients": self.patients,
                "patients_given": self.patients_given,
                "metrics": {name: vars(estimate) for name, estimate in self.metrics.items()},
                "states": self.states,
                "warnings": self.warnings,
            }
        )


def measure(
    part: str,
    stage: StageTraining,
    model: LoadedModel,
    parts: Parts,
    *,
    patients_known: bool = False,
    device: str = "auto",
    events: Events | None = None,
) -> Measured | None:
    """Let ``model`` answer all cases of ``part`` ("validation" or "test") and measure it; None without cases.

    ``patients_known``: whether the data say who the patients are, even where each has one case.
    Raises ``BATNetError`` where a case can no longer be read, ``Cancelled``.
    """
    events = events or Events()
    inner = Inner(events, tell=False)
    if stage.stage == "adipose":
        if not getattr(parts, part):
            return None
        cases = getattr(parts, part)
        given = patients_known or _patients_given(cases)
        found = _measure_adipose(part, cases, model, parts, given, device, events, inner)
    else:
        if not getattr(stage, f"{part}_cases", None):
            return None
        given = patients_known or _patients_given(getattr(stage, f"{part}_cases"))
        found = _measure_brown(part, stage, model, parts, given, device, events, inner)
    plain_words = unnamed(parts)
    found.warnings = [{**warning, "text": plain_words(warning["text"])} for warning in inner.warnings]
    return found


def unnamed(parts: Parts) -> Callable[[str], str]:
    """Takes the names of cases and patients of ``parts`` out of a text."""
    everybody = [*parts.train, *parts.validation, *parts.test]
    return unnaming(case_ids(parts), (case.patient for case in everybody))


def metrics_of(stage: str) -> tuple[tuple[str, str, str], ...]:
    """Key, title and unit of the figures of a stage."""
    return ADIPOSE_METRICS if stage == "adipose" else BROWN_METRICS


# --- stage 1


def _measure_adipose(
    part: str,
    cases: Sequence[TrainingCase],
    model: LoadedModel,
    parts: Parts,
    given: bool,
    device: str,
    events: Events,
    inner: Events,
) -> Measured:
    from ..adipose.segment import segment_adipose

    ids = case_ids(parts)
    patients = numbered((case.patient for case in cases), "patient", parts.sha256)
    result = MaskEvaluation(MaskOptions(), [], [], given)
    known, left_out = True, 0
    with events.stage(f"measure on {part}", len(cases)) as stage:
        for case in sorted(cases, key=lambda case: ids[case.case]):
            try:
                fat = read_fat_case(case, inner)
                mask = segment_adipose(fat.ct, model, device=device, events=inner).mask.array > 0
            except InputRefused as error:
                if error.code not in _LEFT_OUT:
                    raise
                left_out += 1
                stage.advance()
                continue
            tolerance = result.options.tolerance_mm
            overlap = compare_masks(fat.truth, mask, fat.ct.spacing, tolerance_mm=tolerance)
            known &= fat.spacing_known
            name, patient = ids[case.case], patients[case.patient]
            result.cases.append(CaseOverlap(name, patient, overlap, fat.ct.spacing, None))
            stage.advance()
    if left_out:
        inner.warning(
            "cases-left-out", f"{left_out} of {len(cases)} cases have no adipose mask or too few slices."
        )
    measured = {case.patient for case in result.cases}
    result.models = {_title(model): len(result.cases)}
    result.demonstration = model.entry.demonstration
    few_patients(len(measured), inner)
    estimates = result.summary() | {"dice_with_misses": result.dice_with_misses()}
    metrics = {name: estimates[name][1 if name in _MEDIANS else 0] for name, *_ in ADIPOSE_METRICS}
    if not known:
        inner.warning(
            "spacing-unknown",
            "Some cases do not say how large a voxel is: distances and volumes are not told.",
        )
        metrics = {name: metrics[name] for name in _WITHOUT_LENGTHS}
    return Measured(
        part,
        len(result.cases),
        len(measured),
        given,
        metrics,
        result.counts(),
        # The tables and figures of an evaluation tell millimetres throughout.
        evaluation=result if known and result.cases else None,
    )


# --- stage 2


def _measure_brown(
    part: str,
    stage: Any,
    model: LoadedModel,
    parts: Parts,
    given: bool,
    device: str,
    events: Events,
    inner: Events,
) -> Measured:
    cases = getattr(stage, f"{part}_cases")
    ids = case_ids(parts)
    patients = numbered((case.patient for case in cases), "patient", parts.sha256)
    target = choose_device(device)
    network = model.network.to(target)
    rows = []
    with events.stage(f"measure on {part}", len(cases)) as progress:
        for case in sorted(cases, key=lambda case: ids[case.case]):
            rows += stage.validate(network, 0, 1, inner, [case])
            progress.advance()
    scores = Scores(
        [ids[row["case"]] for row in rows],
        np.array([row["label"] for row in rows], int),
        np.array([row["probability"] for row in rows], float),
        [patients[row["patient"]] for row in rows],
    )
    labels = np.concatenate([row["patch_labels"] for row in rows])
    chances = np.concatenate([row["patch_probabilities"] for row in rows])
    return _scored(part, scores, labels, chances, given, model, inner)


def _scored(
    part: str,
    scores: Scores,
    patch_labels: np.ndarray,
    patch_chances: np.ndarray,
    given: bool,
    model: LoadedModel,
    events: Events,
) -> Measured:
    result: ScoreEvaluation | None = None
    try:
        result = evaluate_scores(scores, patients_given=given, events=events)
        result.models = {_title(model): len(scores.ids)}
        result.demonstration = model.entry.demonstration
        metrics = dict(result.metrics)
    except InputRefused as error:
        events.warning(error.code, f"{error.found} {error.wanted}")
        squared = brier(scores.labels, scores.probabilities)
        metrics = {"brier": Estimate(squared, n=len(scores.ids), note="one label only")}
    counts = patch_labels != IGNORED
    if len(set(patch_labels[counts].tolist())) == 2:
        found = auc_delong(patch_labels[counts], patch_chances[counts])
        # Patches of a case resemble each other: DeLong's interval would be far too narrow.
        metrics["patch_auc"] = Estimate(found.value, n=found.n, note="patches of a case depend on each other")
    positive = int(scores.labels.sum())
    return Measured(
        part,
        len(scores.ids),
        len(set(scores.patients)),
        given,
        {name: metrics[name] for name, *_ in BROWN_METRICS if name in metrics},
        {"with brown fat": positive, "without brown fat": len(scores.ids) - positive},
        evaluation=result,
    )


def _patients_given(cases: Sequence[Any]) -> bool:
    """Whether anything but the names of the cases said who the patients are."""
    return any(case.patient != case.case for case in cases)


def _title(model: LoadedModel) -> str:
    return f"{model.entry.name}, SHA-256 {model.sha256[:12]}" if model.sha256 else model.entry.name


def refusal_words(error: Exception) -> str:
    """Why something could not be measured, as a sentence. Raises ``Cancelled`` again."""
    if isinstance(error, Cancelled):
        raise error
    if isinstance(error, BATNetError):
        return f"{error.found} {error.remedy}"
    return f"BATNet itself failed ({type(error).__name__})."

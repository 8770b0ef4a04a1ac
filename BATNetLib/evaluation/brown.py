"""Evaluation of brown-fat probabilities against labels, and the comparison of two models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputRefused, UsageError
from ..events import Events
from . import calibration as cal
from .baseline import Baseline, covariates, cross_validated
from .calibration import Bin, NetBenefit
from .cohort import by_pseudonym, patients_of, read_patients, require_predictions
from .intervals import RESAMPLES, SEED, Estimate, bootstrapped, draws, few_patients, patient_index, share
from .roc import Comparison, auc_bootstrap, auc_delong, compare, roc_curve, strata_of
from .tables import Table, count_of, listed, numbers, read_table

#: Thresholds of the decision curve.
THRESHOLDS = np.round(np.arange(0.01, 1.0, 0.01), 2)


@dataclass(frozen=True)
class ScoreOptions:
    """``threshold``: fixed beforehand, probabilities from it on count as positive; None: no yes or no.
    Column names are those of the tables."""

    threshold: float | None = None
    bins: int = cal.BINS
    prediction: str = "prediction"
    label: str = "label"
    patient: str = "patient"
    allow_missing: bool = False
    resamples: int = RESAMPLES
    seed: int = SEED


@dataclass(frozen=True)
class Scores:
    """Cases of the comparison. ``ids``; ``labels`` 0/1 [n]; ``probabilities`` [n]; ``patients`` by name."""

    ids: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    patients: list[str]


@dataclass
class ScoreEvaluation:
    """All that is told of one model, and of a second one and the baseline where they were given.

    ``metrics``: name to estimate. ``confusion``: true/false positive/negative at the threshold.
    ``not_assessable``: ids for which the method gave no probability, ``missing``: ids without a row.
    """

    options: ScoreOptions
    scores: Scores
    patients_given: bool
    metrics: dict[str, Estimate]
    bins: list[Bin]
    benefit: NetBenefit
    confusion: dict[str, int] | None
    not_assessable: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    second: np.ndarray | None = None
    second_name: str = ""
    second_auc: Estimate | None = None
    comparison: Comparison | None = None
    baseline: Baseline | None = None
    baseline_auc: Estimate | None = None
    baseline_comparison: Comparison | None = None
    models: dict[str, int] = field(default_factory=dict)
    demonstration: bool = False

    @property
    def patient_count(self) -> int:
        return len(set(self.scores.patients))

    @property
    def repeated(self) -> bool:
        """Whether a patient has several cases."""
        return self.patient_count < len(self.scores.ids)

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        return roc_curve(self.scores.labels, self.scores.probabilities)


def evaluate_brown(
    predictions: Path,
    options: ScoreOptions | None = None,
    *,
    labels: Path | None = None,
    second: str | None = None,
    baseline: Path | None = None,
    patients: Path | None = None,
    key: Path | None = None,
    events: Events | None = None,
) -> ScoreEvaluation:
    """Evaluate the probabilities of a table or of a batch.

    Parameters
    ----------
    predictions : CSV with ``case_id`` and ``prediction``, or the output folder of a batch.
    labels : CSV with ``case_id`` and ``label``; None where ``predictions`` has the label too.
    second : another model on the same cases: a column of ``predictions``, or a CSV or batch like it.
    baseline : CSV with ``case_id`` and age, sex, bmi (any of them); columns of the labels or predictions are
        used only when their file is named here.
    patients : CSV with ``case_id`` and ``patient``; else the column ``patient`` of labels or predictions.
    key : the key of a batch under pseudonyms, when the labels have the names.

    Raises ``UsageError`` and ``InputRefused`` in words, naming the cases.
    """
    options, events = options or ScoreOptions(), events or Events()
    _require_options(options)
    table = _predictions(predictions, options)
    truth = table if labels is None else read_table(labels, needed=[options.label])
    if labels is None and options.label not in table.columns:
        raise UsageError(
            "labels-missing",
            f"{table.name} has no column {options.label}.",
            "The truth is needed: 1 for brown fat, 0 for none.",
            "Name a CSV with case_id and label: --labels FILE.",
        )
    known = read_patients(patients)
    if key is not None and labels is not None:
        ids_of = by_pseudonym({*truth.rows, *known}, key)
        truth = Table(truth.name, truth.columns, {ids_of[n]: row for n, row in truth.rows.items()})
        known = {ids_of[n]: patient for n, patient in known.items()}
    both, missing = require_predictions(
        truth.rows, table.rows, allow_missing=options.allow_missing, events=events
    )
    ids, unassessed = _assessed(table, both, options, events)
    scores, given = _scores(table, truth, ids, known, options)
    result = evaluate_scores(scores, options, patients_given=given, events=events)
    result.not_assessable, result.missing = unassessed, missing
    _note_models(result, table)
    if second is not None:
        _compare(result, table, second, events)
    if baseline is not None:
        _add_baseline(result, baseline, key, events)
    return result


def evaluate_scores(
    scores: Scores,
    options: ScoreOptions | None = None,
    *,
    patients_given: bool = True,
    events: Events | None = None,
) -> ScoreEvaluation:
    """Evaluate probabilities that are in memory. ``patients_given``: whether patients were told.

    Raises ``InputRefused`` ("one-class") where labels of one kind only are there.
    """
    options, events = options or ScoreOptions(), events or Events()
    _require_both_classes({int(label) for label in scores.labels}, len(scores.ids))
    with events.stage("statistics"):
        return _evaluate(scores, patients_given, options, events)


def _require_both_classes(present: set[int], cases: int) -> None:
    if len(present) < 2:
        label = next(iter(present), None)
        found = f"All {cases} cases have" if cases > 1 else "The one case has"
        raise InputRefused(
            "one-class",
            f"{found} label {label} only." if cases else "No case has both label and probability.",
            "Cases with and without brown fat are needed: nothing can be told apart otherwise.",
            "Add cases of the other class.",
        )


def _require_options(options: ScoreOptions) -> None:
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise UsageError(
            "threshold",
            f"The threshold is {options.threshold:g}.",
            "It must lie between 0 and 1 and be fixed before the labels are seen.",
            "Choose one from other data, or leave it out.",
        )
    if not 2 <= options.bins <= 100:
        raise UsageError("bins", f"{options.bins} bins were asked for.", "2 to 100 are possible.", "Take 10.")


def _predictions(source: Path, options: ScoreOptions) -> Table:
    path = source / "results.csv" if source.is_dir() else source
    if source.is_dir() and not path.is_file():
        raise UsageError(
            "not-a-batch",
            f"'{source.name}' holds no results.csv.",
            "The output folder of a batch, or a CSV, is needed.",
            "Check the path.",
        )
    return read_table(path, needed=[options.prediction])


def _assessed(
    table: Table, ids: list[str], options: ScoreOptions, events: Events
) -> tuple[list[str], list[str]]:
    """Ids with a probability, and those that a method ended without one for."""
    empty = [c for c in ids if not table.rows[c].get(options.prediction, "")]
    # "Not assessable" is an outcome of ours and no gap in a table; other empty cells are.
    gaps = [c for c in empty if table.rows[c].get("outcome") != "not-assessable"]
    if gaps and not options.allow_missing:
        raise InputRefused(
            "predictions-missing",
            f"{count_of(gaps, 'case')} of {len(ids)} in {table.name} without a prediction: {listed(gaps)}.",
            "Every labelled case needs a probability: leaving out what failed flatters the method.",
            "Add them, or say --allow-missing: they are then counted and named in the report.",
        )
    if empty:
        events.warning(
            "not-assessed",
            f"{count_of(empty, 'case')} had no probability and did not count: {listed(empty)}.",
        )
    return [c for c in ids if c not in set(empty)], empty


def _scores(
    table: Table, truth: Table, ids: list[str], known: dict[str, str], options: ScoreOptions
) -> tuple[Scores, bool]:
    label = numbers(truth, options.label, ids)
    wrong = [c for c in ids if label[c] not in (0.0, 1.0)]
    if wrong:
        raise InputRefused(
            "labels-invalid",
            f"{count_of(wrong, 'case')} with a label that is neither 0 nor 1: {listed(wrong)}.",
            "1 means brown fat, 0 means none.",
            "Correct the labels; leave cases out whose truth is not known (such as -1).",
        )
    probability = _probabilities(table, options.prediction, ids)
    _require_both_classes({int(label[c]) for c in ids}, len(ids))
    told = {
        c: known.get(c) or truth.rows[c].get(options.patient) or table.rows[c].get(options.patient)
        for c in ids
    }
    patient, given = patients_of(ids, told)
    return (
        Scores(
            ids,
            np.array([int(label[c]) for c in ids]),
            np.array([probability[c] for c in ids]),
            [patient[c] for c in ids],
        ),
        given,
    )


def _probabilities(table: Table, column: str, ids: list[str]) -> dict[str, float]:
    found = numbers(table, column, ids)
    outside = [c for c in ids if not 0 <= found[c] <= 1]
    if outside:
        raise InputRefused(
            "predictions-outside",
            f"{count_of(outside, 'case')} of {table.name} with a {column} outside 0 to 1: {listed(outside)}.",
            "Probabilities are needed, not scores or percent.",
            "Convert them; logits become probabilities by 1 / (1 + exp(-x)).",
        )
    return found


def _evaluate(scores: Scores, given: bool, options: ScoreOptions, events: Events) -> ScoreEvaluation:
    y, p = scores.labels, scores.probabilities
    patient, count = patient_index(scores.patients)
    slope, large = cal.recalibration(y, p)
    bins = cal.calibration_bins(y, p, options.bins)
    squared = _resampled(y, patient, options, lambda w: (w @ (p - y) ** 2) / w.sum(1))
    metrics = {
        "auc": auc_delong(y, p),
        "auc_bootstrap": auc_bootstrap(y, p, patient, resamples=options.resamples, seed=options.seed),
        "brier": bootstrapped(cal.brier(y, p), squared, count, len(y)),
        "calibration_slope": slope,
        "calibration_in_the_large": large,
        "ece": Estimate(
            cal.expected_calibration_error(bins), n=len(y), note=f"{options.bins} bins of equal width"
        ),
    }
    result = ScoreEvaluation(
        options, scores, given, metrics, bins, cal.net_benefit(y, p, THRESHOLDS), confusion=None
    )
    if options.threshold is not None:
        _at_threshold(result, patient, count)
    few_patients(count, events)
    if result.repeated:
        events.warning(
            "repeated-patients",
            f"{len(y)} cases come from {count} patients: the intervals by DeLong and Wald take cases for "
            "independent and are too narrow; go by the bootstrap.",
        )
    elif not given and len(y) == count:
        events.warning("patients-not-told", "No patients were told: each case counted as another patient.")
    return result


def _at_threshold(result: ScoreEvaluation, patient: np.ndarray, patients: int) -> None:
    """Sensitivity and specificity; Wilson where cases are independent, else the bootstrap of patients."""
    y, options = result.scores.labels, result.options
    called = result.scores.probabilities >= options.threshold
    cells = {
        "true_positive": int((called & (y == 1)).sum()),
        "false_negative": int((~called & (y == 1)).sum()),
        "false_positive": int((called & (y == 0)).sum()),
        "true_negative": int((~called & (y == 0)).sum()),
    }
    result.confusion = cells
    tp, fn, fp, tn = cells.values()
    shares = {
        "sensitivity": (tp, tp + fn, called, y == 1),
        "specificity": (tn, tn + fp, ~called, y == 0),
        "positive_predictive_value": (tp, tp + fp, y == 1, called),
        "negative_predictive_value": (tn, tn + fn, y == 0, ~called),
    }
    for name, (part, whole, hit, among) in shares.items():
        estimate = share(part, whole)
        if result.repeated and whole:
            weighed = _resampled(y, patient, options, lambda w, h=hit, a=among: _ratio(w @ (h & a), w @ a))
            weighed = weighed[np.isfinite(weighed)]
            estimate = bootstrapped(part / whole, weighed, patients, whole)
        result.metrics[name] = estimate


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return part / whole


def _resampled(y: np.ndarray, patient: np.ndarray, options: ScoreOptions, statistic) -> np.ndarray:  # type: ignore[no-untyped-def]
    strata = strata_of(y, patient)
    parts = draws(patient, strata, resamples=options.resamples, seed=options.seed)
    return np.concatenate([statistic(weights) for weights in parts])


def _compare(result: ScoreEvaluation, table: Table, second: str, events: Events) -> None:
    column, options, ids = second.casefold(), result.options, result.scores.ids
    if column in table.columns:
        found = _probabilities(table, column, ids)
        result.second_name = column
    else:
        if not Path(second).exists():
            raise UsageError(
                "comparison-unknown",
                f"'{Path(second).name}' is neither a column of {table.name} nor a file or folder.",
                f"Columns there: {', '.join(c for c in table.columns if c)}.",
                "Name one of them, or a CSV or batch like the first.",
            )
        other = _predictions(Path(second), options)
        absent = [c for c in ids if not other.rows.get(c, {}).get(options.prediction)]
        if absent:
            raise InputRefused(
                "comparison-missing",
                f"The second model lacks {count_of(absent, 'case')}: {listed(absent)}.",
                "Two models are compared on the same cases.",
                "Add them, or take them out of the labels for both.",
            )
        found = _probabilities(other, options.prediction, ids)
        result.second_name = Path(second).stem if Path(second).is_file() else Path(second).name
    result.second = np.array([found[c] for c in ids])
    result.second_auc = auc_delong(result.scores.labels, result.second)
    with events.stage("comparison of two models"):
        result.comparison = _against(result, result.second)


def _against(result: ScoreEvaluation, other: np.ndarray) -> Comparison:
    patient, _ = patient_index(result.scores.patients)
    return compare(
        result.scores.labels,
        result.scores.probabilities,
        other,
        patient,
        resamples=result.options.resamples,
        seed=result.options.seed,
    )


def _add_baseline(result: ScoreEvaluation, path: Path, key: Path | None, events: Events) -> None:
    table = read_table(path)
    if key is not None and not set(result.scores.ids) <= set(table.rows):
        ids_of = by_pseudonym(table.rows, key)
        table = Table(table.name, table.columns, {ids_of[n]: row for n, row in table.rows.items()})
    values, names = covariates(table, result.scores.ids)
    patient, _ = patient_index(result.scores.patients)
    y = result.scores.labels
    with events.stage("baseline"):
        result.baseline = cross_validated(values, y, patient, names, seed=result.options.seed)
    result.baseline_auc = auc_delong(y, result.baseline.probabilities)
    result.baseline_comparison = _against(result, result.baseline.probabilities)


def _note_models(result: ScoreEvaluation, table: Table) -> None:
    """Models and demonstration flag of a batch's ``results.csv``."""
    for case_id in result.scores.ids:
        row = table.rows[case_id]
        if row.get("brown_model"):
            name = f"{row['brown_model']}, SHA-256 {row.get('brown_sha256', '')}"
            result.models[name] = result.models.get(name, 0) + 1
        result.demonstration |= row.get("demonstration") == "yes"

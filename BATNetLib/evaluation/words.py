"""What the numbers of an evaluation are called, what they mean, and how they were made, in sentences."""

from __future__ import annotations

from .adipose import MaskEvaluation
from .brown import ScoreEvaluation
from .calibration import CLIP
from .intervals import Estimate
from .overlap import HD95_DEFINITION, NSD_DEFINITION

TITLES = {
    "auc": "AUC, DeLong",
    "auc_bootstrap": "AUC, bootstrap",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "calibration_in_the_large": "Calibration in the large",
    "ece": "Expected calibration error",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "positive_predictive_value": "Positive predictive value",
    "negative_predictive_value": "Negative predictive value",
    "second_auc": "AUC of the second model, DeLong",
    "auc_difference_to_second": "AUC, model − second, DeLong",
    "auc_difference_to_second_bootstrap": "AUC, model − second, bootstrap",
    "baseline_auc": "AUC of the baseline, DeLong",
    "auc_difference_to_baseline": "AUC, model − baseline, DeLong",
    "auc_difference_to_baseline_bootstrap": "AUC, model − baseline, bootstrap",
}
MEANINGS = {
    "auc": "chance that a case with brown fat has the higher probability; 0.5 is guessing",
    "auc_bootstrap": "the same, with patients drawn again",
    "brier": "mean squared error of the probability; 0 is perfect",
    "calibration_slope": "1 is right; below 1 the probabilities are too extreme",
    "calibration_in_the_large": "log odds; 0 is right, above 0 they are too low on the whole",
    "ece": "mean distance of prediction and observed share",
    "sensitivity": "of the cases with brown fat, called positive",
    "specificity": "of the cases without, called negative",
    "positive_predictive_value": "at the share of brown fat in this cohort only",
    "negative_predictive_value": "at the share of brown fat in this cohort only",
    "second_auc": "on the same cases",
    "auc_difference_to_second": "paired, on the same cases",
    "auc_difference_to_second_bootstrap": "the same patients drawn for both",
    "baseline_auc": "cross-validated by patient",
    "auc_difference_to_baseline": "paired, on the same cases",
    "auc_difference_to_baseline_bootstrap": "the same patients drawn for both",
}


def estimate_words(estimate: Estimate, digits: int = 3) -> str:
    """Such as "0.812"; a dash where it is not defined."""
    return _number(estimate.value, digits)


def interval_words(estimate: Estimate, digits: int = 3) -> str:
    """Such as "0.74 to 0.88", or why there is none."""
    if estimate.low is None or estimate.high is None:
        return estimate.note or "–"
    return f"{_number(estimate.low, digits)} to {_number(estimate.high, digits)}"


def p_words(p: float | None) -> str:
    """Such as "p = 0.031" or "p < 0.001"."""
    if p is None:
        return "no p value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def mask_notes(result: MaskEvaluation) -> list[str]:
    """How the numbers of an adipose evaluation were made."""
    options = result.options
    notes = [
        "Means and medians are over cases in which both masks have voxels; empty ones are told apart and "
        "never averaged in, except in the line that says so. "
        f"Intervals: 95 %, percentiles of {options.resamples} resamples of patients "
        f"(seed {options.seed}); all scans of a patient are drawn together.",
        f"{NSD_DEFINITION} Tolerance here: {options.tolerance_mm:g} mm.",
        HD95_DEFINITION,
        "Bland-Altman limits are bias ± 1.96 standard deviations of the differences between cases.",
    ]
    if any(case.slices is not None for case in result.cases):
        notes.append(
            "Where a prediction says which slices it looked at (above the lung cut), only these were "
            "compared in both masks; --whole-scan counts all."
        )
    if not result.patients_given:
        notes.append("No patients were told: each case counted as another patient.")
    return notes


def score_notes(result: ScoreEvaluation) -> list[str]:
    """How the numbers of a brown-fat evaluation were made."""
    options = result.options
    notes = [
        f"Intervals are 95 %. Bootstrap: {options.resamples} resamples of patients, stratified by label "
        f"(seed {options.seed}), percentiles; all scans of a patient are drawn together. "
        "AUC variance and paired test: DeLong 1988, computed as in Sun and Xu 2014. Shares: Wilson"
        + (", here the bootstrap, since patients have several scans." if result.repeated else "."),
        f"Calibration: logistic regression of the label on the log odds of the prediction (moved {CLIP:g} "
        f"away from 0 and 1). Error and curve: {options.bins} bins of equal width.",
        "Net benefit = TP/n − FP/n · pt/(1 − pt). It means something only for calibrated probabilities.",
    ]
    if options.threshold is None:
        notes.append(
            "No threshold was fixed beforehand, so there is no sensitivity or specificity: one chosen on "
            "the same cases would flatter the model."
        )
    if result.baseline is not None:
        notes.append(
            f"Baseline: logistic regression of {', '.join(result.baseline.columns)} (scikit-learn, L2 "
            f"with C = 1), {result.baseline.folds} folds of whole patients; each case is predicted by a fit "
            "that did not see its patient."
        )
    return notes


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")

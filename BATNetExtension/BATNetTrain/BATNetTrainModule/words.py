"""States, stages and figures of a training in words."""

from __future__ import annotations

from typing import Any

from BATNetSlicer.job_contract import Progress
from BATNetSlicer.texts import _


def stage_words(progress: Progress) -> str:
    """A stage of the engine with its steps: "Looking at the cases: 3 of 40"."""
    titles = {
        "find cases": _("Looking for cases"),
        "check cases": _("Looking at the cases"),
        "read training cases": _("Reading the cases to train on"),
        "read validation cases": _("Reading the cases to validate on"),
        "compare images": _("Looking for copies"),
        "dry run": _("Computing one batch"),
    }
    title = titles.get(progress.name, progress.name[:1].upper() + progress.name[1:])
    if progress.total and progress.total > 1:
        return _("{stage}: {done} of {total}").format(stage=title, done=progress.done, total=progress.total)
    return _("{stage} ...").format(stage=title)


def training_words(stage: str) -> str:
    """A stage of the method."""
    words = {"adipose": _("Stage 1: find the fat"), "brown": _("Stage 2: judge brown fat")}
    return words.get(stage, stage)


def state_words(state: str, liveness: str) -> str:
    """Where a run stands."""
    if liveness == "lost":
        return _("ended without a word")
    words = {
        "starting": _("starting"),
        "running": _("running"),
        "validating": _("validating"),
        "stopping": _("stopping"),
        "stopped": _("stopped"),
        "done": _("done"),
        "failed": _("failed"),
    }
    return words.get(state, state)


def figure_words(name: str) -> str:
    """A figure of the log in words; unknown ones keep their name, without its underscores."""
    words = {
        "loss": _("Loss"),
        "train_loss": _("Training loss"),
        "validation_loss": _("Validation loss"),
        "dice": _("Dice"),
        "dice_lowest": _("Lowest Dice"),
        "auc": _("AUC"),
        "case_auc": _("AUC of cases"),
        "patch_auc": _("AUC of patches"),
        "nsd": _("Surface Dice"),
        "hd95_mm": _("95 % Hausdorff distance, mm"),
        "accuracy": _("Accuracy"),
        "brier": _("Brier score"),
    }
    return words.get(name) or name.replace("_", " ").capitalize()


def number(value: Any) -> str:
    """A figure with four digits; a dash where there is none."""
    return "–" if not isinstance(value, int | float) or value != value else f"{value:.4g}"

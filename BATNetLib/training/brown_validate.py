"""How well stage 2 does on cases it was not trained on: figures of each case, and over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..brown.patches import IGNORED
from ..events import Events
from .brown_data import LabelledCase, PatchMemory
from .brown_loss import BrownLoss

#: Figures of a validation.
FIGURES = ("auc", "patch_auc", "brier", "validation_loss", "case_loss")


def case_figures(
    network: nn.Module, cases: Sequence[LabelledCase], memory: PatchMemory, loss: BrownLoss, events: Events
) -> list[dict[str, Any]]:
    """A row of plain values for each case.

    ``case``, ``patient``, ``label``, ``probability``; ``case_loss`` and ``patch_loss`` with the weights they
    count with (``case_weight``, ``patch_weight``); ``patch_labels``, ``patch_probabilities``: 32 each, in the
    authors' order. ``network`` in evaluation mode; it runs on the device it lies on.
    """
    device = next(network.parameters()).device
    rows = []
    with events.stage("validate", len(cases)) as stage, torch.inference_mode():
        for case in cases:
            x = torch.from_numpy(network_input(memory, case))[None].to(device)
            case_logits, patch_logits = network(x[:, 0], x[:, 1])
            rows.append(_row(case, case_logits.double().cpu(), patch_logits.double().cpu(), loss))
            stage.advance()
    return rows


def network_input(memory: PatchMemory, case: LabelledCase) -> np.ndarray:
    """float32 [2 sides, 16, 2 channels, 32, 32, 32], as an analysis gives it to the network."""
    found = memory.read(case)
    return as_input(found.ct, found.mask)


def as_input(ct: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Patches [32, 32, 32, 32] as float32 [2 sides, 16, 2 channels, 32, 32, 32]."""
    both = np.empty((2, len(ct) // 2, 2, *ct.shape[1:]), np.float32)
    both[:, :, 0] = ct.reshape(2, -1, *ct.shape[1:])
    both[:, :, 1] = mask.reshape(2, -1, *ct.shape[1:])
    return both


def _row(case: LabelledCase, case_logits: Any, patch_logits: Any, loss: BrownLoss) -> dict[str, Any]:
    chances = [torch.softmax(logits, -1)[0, ..., 1].numpy() for logits in (case_logits, patch_logits)]
    surprise = -torch.log_softmax(patch_logits[0], -1).numpy()
    weight = loss.weight_of_patches(case.labels.tolist())
    counted = [
        loss.patch_weights[label] * surprise[index, label]
        for index, label in enumerate(case.labels.tolist())
        if label != IGNORED
    ]
    return {
        "case": case.case,
        "patient": case.patient,
        "label": case.label,
        "probability": float(chances[0]),
        "case_loss": float(-torch.log_softmax(case_logits[0], -1)[case.label]),
        "case_weight": loss.weight_of_cases([case.label]),
        "patch_loss": float(sum(counted) / weight) if weight else 0.0,
        "patch_weight": weight,
        "patch_labels": case.labels.tolist(),
        "patch_probabilities": [float(value) for value in chances[1]],
    }


def summary(rows: Sequence[dict[str, Any]], loss: BrownLoss) -> dict[str, float | None]:
    """The ``FIGURES`` over rows of ``case_figures``.

    ``auc`` over cases, ``patch_auc`` over all patches that are not ignored (None where one class is missing),
    ``brier`` over cases, ``validation_loss`` as in training, ``case_loss`` its part of the cases.
    """
    if not rows:
        return dict.fromkeys(FIGURES)
    labels = np.array([row["label"] for row in rows])
    chance = np.array([row["probability"] for row in rows])
    patch_labels = np.concatenate([row["patch_labels"] for row in rows])
    patch_chance = np.concatenate([row["patch_probabilities"] for row in rows])
    counts = patch_labels != IGNORED
    of_cases = _mean(rows, "case")
    of_patches = _mean(rows, "patch")
    return {
        "auc": _auc(labels, chance),
        "patch_auc": _auc(patch_labels[counts], patch_chance[counts]),
        "brier": _number(np.mean((chance - labels) ** 2)),
        "validation_loss": _number(loss.case * of_cases + loss.patch * of_patches),
        "case_loss": _number(of_cases),
    }


def _mean(rows: Sequence[dict[str, Any]], of: str) -> float:
    weights = np.array([row[f"{of}_weight"] for row in rows])
    values = np.array([row[f"{of}_loss"] for row in rows])
    return float(weights @ values / weights.sum()) if weights.sum() else 0.0


def _auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    from ..evaluation import auc_delong

    if len(set(labels.tolist())) < 2 or not np.isfinite(scores).all():
        return None
    return auc_delong(labels, scores).value


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None

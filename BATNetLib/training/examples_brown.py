"""Examples of stage 2: the probabilities of a case and of its 32 patches beside their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..device import choose_device
from ..events import Events
from ..models.loading import LoadedModel
from .brown_data import LabelledCase
from .caseids import case_ids
from .examples import MOST_CASES, Budget
from .pictures import patch_picture


def write_cases(
    run: Path, stage: Any, model: LoadedModel, device: str, folder: Path, budget: Budget
) -> tuple[str, list[dict[str, Any]]]:
    """Write a picture of each example into ``folder``; the part of the split and a record of each case."""
    part = "validation" if stage.validation_cases else "train"
    cases: Sequence[LabelledCase] = getattr(stage, f"{part}_cases")
    ids = case_ids(stage.parts)
    network = model.network.to(choose_device(device))
    records: list[dict[str, Any]] = []
    budget.begin()
    for case in choose(cases, ids):
        if records and budget.over():
            break
        (row,) = stage.validate(network, 0, 1, Events(), [case])
        name = ids[case.case]
        chances = np.array(row["patch_probabilities"])
        values = stage.memory.read(case)
        picture = f"{name}.png"
        (folder / picture).write_bytes(patch_picture(values.ct, values.mask, chances, case.labels))
        records.append(
            {
                "id": name,
                "label": int(case.label),
                "probability": round(float(row["probability"]), 6),
                "patch_labels": [int(label) for label in case.labels],
                "patch_probabilities": [round(float(value), 6) for value in chances],
                "pictures": [picture],
                "files": {},
            }
        )
    return part, records


def choose(cases: Sequence[LabelledCase], ids: dict[str, str]) -> list[LabelledCase]:
    """Up to ``MOST_CASES``: with brown fat and without in turn, as far as there are both."""
    ordered = sorted(cases, key=lambda case: ids[case.case])
    kinds = [[c for c in ordered if c.label], [c for c in ordered if not c.label]]
    found: list[LabelledCase] = []
    while len(found) < MOST_CASES and any(kinds):
        for kind in kinds:
            if kind and len(found) < MOST_CASES:
                found.append(kind.pop(0))
    return found

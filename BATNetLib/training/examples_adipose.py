"""Examples of stage 1: a few slices spread over the fat of a case, with the true and the predicted mask.

The slices of a case become one small volume whose slice distance is the step between them, so that CT,
truth and prediction lie over each other, and over the whole scan, at the right place of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..adipose.slabs import slab_indices, window_to_uint8
from ..dataset.cases import TrainingCase
from ..dataset.inner import Inner
from ..device import choose_device
from ..errors import BATNetError, Cancelled
from ..events import Events
from ..models.loading import LoadedModel
from ..volume import Grid, Volume, write_volume
from .caseids import case_ids
from .contract import Parts, StageTraining
from .examples import MOST_CASES, Budget
from .pictures import around, mask_picture
from .predicting import predict_slab, read_fat_case

#: Slices of a case that are predicted, and how many of them are drawn.
MOST_SLICES, MOST_PICTURES = 8, 3


@dataclass(frozen=True)
class Example:
    """A case, read once. ``slices``: their numbers from the top; ``slabs``: uint8 [n, 5, rows, columns];
    ``ct``: HU, int16 [n, rows, columns] on a grid of their own; ``truth``: bool of its shape."""

    id: str
    slices: tuple[int, ...]
    slabs: np.ndarray
    ct: Volume
    truth: np.ndarray
    spacing_known: bool


#: Examples of the run at work, kept because every new best shows the same ones.
_KEPT: dict[Path, tuple[str, list[Example]]] = {}


def write_cases(
    run: Path, stage: StageTraining, model: LoadedModel, device: str, folder: Path, budget: Budget
) -> tuple[str, list[dict[str, Any]]]:
    """Write pictures and volumes into ``folder``; the part of the split and a record of each case."""
    if run not in _KEPT:
        _KEPT.clear()
        _KEPT[run] = _choose(stage.parts, budget)
    part, examples = _KEPT[run]
    budget.begin()
    target = choose_device(device)
    network = model.network.to(target)
    records = []
    for example in examples:
        found = np.zeros(example.truth.shape, bool)
        done: list[int] = []
        # From the middle outwards, so that a short time shows the middle of the fat.
        for index in _from_the_middle(len(example.slices)):
            if done and budget.over():
                break
            found[index] = predict_slab(network, example.slabs[index], target)
            done.append(index)
        records.append(_write_case(example, found, sorted(done), folder))
        if budget.over():
            break
    return part, records


def _choose(parts: Parts, events: Events) -> tuple[str, list[Example]]:
    part = "validation" if parts.validation else "train"
    cases = getattr(parts, part)
    ids = case_ids(parts)
    examples: list[Example] = []
    refusal: BATNetError | None = None
    for case in sorted(cases, key=lambda case: ids[case.case]):
        if len(examples) == MOST_CASES:
            break
        try:
            examples.append(_read(case, ids[case.case], events))
        except Cancelled:
            raise
        except BATNetError as error:
            refusal = error
    if refusal is not None and not examples:
        raise refusal
    return part, examples


def _read(case: TrainingCase, name: str, events: Events) -> Example:
    fat = read_fat_case(case, Inner(events, tell=False))
    total = len(fat.truth)
    marked = np.flatnonzero(fat.truth.any(axis=(1, 2)))
    first, last = (int(marked[0]), int(marked[-1])) if len(marked) else (0, total - 1)
    step = max(1, -(-(last - first + 1) // MOST_SLICES))
    slices = range(first, last + 1, step)
    hu = fat.ct.array
    slabs = np.stack([window_to_uint8(hu[slab_indices(total)[index]]) for index in slices])
    affine = fat.ct.grid.affine.copy()
    affine[:3, 3] = fat.ct.grid.points(np.array([[first, 0, 0]]))[0]
    affine[:3, 0] *= step
    values = np.clip(np.rint(hu[first : last + 1 : step]), -32768, 32767).astype(np.int16)
    ct = Volume(values, Grid((len(slices), *hu.shape[1:]), affine))
    truth = fat.truth[first : last + 1 : step].copy()
    return Example(name, tuple(slices), slabs, ct, truth, fat.spacing_known)


def _write_case(example: Example, found: np.ndarray, done: list[int], folder: Path) -> dict[str, Any]:
    volumes = {"ct": example.ct.array, "truth": example.truth, "prediction": found}
    files = {}
    # What there was no time for lies at the ends and is cut off.
    first, last = done[0], done[-1]
    grid = example.ct.grid
    affine = grid.affine.copy()
    affine[:3, 3] = grid.points(np.array([[first, 0, 0]]))[0]
    part = Grid((last - first + 1, *grid.shape[1:]), affine)
    for role, array in volumes.items():
        files[role] = f"{example.id}-{role}.nrrd"
        write_volume(Volume(array[first : last + 1], part), folder / files[role])
    pictures = []
    # One part of the image for all slices of a case: they stay comparable.
    spacing = grid.spacing[1:]
    shown = around(np.any(example.truth, axis=0), spacing)
    for number in _spread(done, MOST_PICTURES):
        name = f"{example.id}-slice-{example.slices[number]:04d}.png"
        planes = (example.ct.array[number], example.truth[number], found[number])
        (folder / name).write_bytes(mask_picture(*planes, spacing, shown))
        pictures.append(name)
    truth, predicted = example.truth[first : last + 1], found[first : last + 1]
    both = int(np.count_nonzero(truth)) + int(np.count_nonzero(predicted))
    return {
        "id": example.id,
        "slices": [example.slices[number] for number in range(first, last + 1)],
        "dice": round(2 * int(np.count_nonzero(truth & predicted)) / both, 4) if both else None,
        "spacing_known": example.spacing_known,
        "pictures": pictures,
        "files": files,
    }


def _from_the_middle(count: int) -> list[int]:
    """0 .. count-1, neighbours of those before, so that any beginning of it is without a gap."""
    middle = (count - 1) // 2
    return sorted(range(count), key=lambda index: (abs(index - middle), index))


def _spread(values: list[int], most: int) -> list[int]:
    if len(values) <= most:
        return values
    return [values[round(n * (len(values) - 1) / (most - 1))] for n in range(most)]

"""How well the patches of unseen phantoms are told apart: results of a batch against the true brown fat."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..brown.patches import IGNORED, extract_patches
from ..dataset.inner import Inner
from ..errors import BATNetError
from ..evaluation import Estimate, auc_delong
from ..events import Events
from ..volume import read_mask, read_volume


def patch_auc(scans: Path, brown: Path, results: Path, events: Events) -> Estimate:
    """AUC over all patches of all cases that are not ignored.

    ``scans``, ``brown``: CT and true brown-fat mask of each case, named by it. ``results``: folder of the
    batch. A patch is labelled as in training, over the fat that the batch found. No interval is told: patches
    of a case depend on each other. Raises what reading raises.
    """
    labels, chances = [], []
    cases = sorted(path for path in (results / "cases").iterdir() if path.is_dir())
    with events.stage("compare patches", len(cases)) as stage:
        for case in cases:
            quiet = Inner(events, tell=False)
            ct = read_volume(scans / f"{case.name}.nii.gz", events=quiet)
            fat = read_mask(case / "adipose.seg.nrrd", ct, name="adipose mask", events=quiet)
            truth = read_mask(
                brown / f"{case.name}.nii.gz", ct, name="brown-fat mask", allow_empty=True, events=quiet
            )
            # The mask ends at the lung cut already.
            patches = extract_patches(ct.array, fat.array, truth.array)
            assert patches.left_labels is not None and patches.right_labels is not None
            labels.append(np.concatenate([patches.left_labels, patches.right_labels]))
            chances.append(_probabilities(case / "patches.csv"))
            stage.advance()
    label, chance = np.concatenate(labels), np.concatenate(chances)
    counts = label != IGNORED
    if len(set(label[counts].tolist())) < 2:
        return Estimate(None, n=int(counts.sum()), note="all patches are of one kind")
    value = auc_delong(label[counts], chance[counts]).value
    return Estimate(value, n=int(counts.sum()), note="patches of a case depend on each other")


def _probabilities(table: Path) -> np.ndarray:
    """Probability of each of the 32 patches, in the authors' order."""
    with table.open(encoding="utf-8", newline="") as file:
        found = {int(row["patch"]): float(row["probability"]) for row in csv.DictReader(file)}
    if sorted(found) != list(range(32)):
        raise BATNetError(
            "demo-batch-failed",
            f"'{table.name}' of a phantom names {len(found)} patches.",
            "A probability for each of 32 patches is expected.",
            "This is a defect of ours; please report it.",
        )
    return np.array([found[patch] for patch in range(32)])

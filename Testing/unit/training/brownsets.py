"""Small cohorts for stage 2: patients whose patches differ plainly, quickly made."""

from __future__ import annotations

import numpy as np

from BATNetLib.dataset import open_dataset
from BATNetLib.dataset.split import Split
from BATNetLib.events import Events
from BATNetLib.training.contract import Parts, Workspace
from BATNetLib.volume import Grid, Volume, write_volume

SHAPE, SPACING = (12, 24, 48), (3.0, 3.0, 3.0)


class Heard(Events):
    """Events that remember the codes of warnings."""

    @property
    def codes(self):
        return [entry["code"] for entry in self.warnings]


def arrays(seed=0, brown=0.0):
    """CT (HU), adipose, brown and lung mask. ``brown``: share of the fat on the patient's left (high columns)
    that is brown, 30 HU denser than the rest."""
    rng = np.random.default_rng(seed)
    fat = np.zeros(SHAPE, bool)
    fat[:, 2:-2, 2:-2] = True
    marked = np.zeros(SHAPE, bool)
    if brown:
        marked[:, :, 26:] = fat[:, :, 26:] & (rng.random((*SHAPE[:2], SHAPE[2] - 26)) < brown)
    hu = np.where(fat, -100, 40) + 30 * marked + rng.normal(0, 8, SHAPE)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[6:, 8:16, 10:20], lungs[6:, 8:16, 28:38] = 1, 2
    return {
        "image": hu.astype(np.int16),
        "fat_mask": fat.astype(np.uint8),
        "brown_fat_mask": marked.astype(np.uint8),
        "lobe": lungs,
    }


def write_case(folder, seed=0, brown=0.0, without=()):
    for name, array in arrays(seed, brown).items():
        if name not in without:
            write_volume(Volume(array, Grid.canonical(SHAPE, SPACING)), folder / f"{name}.nii.gz")
    return folder


def cohort(folder, shares=(0.0, 0.5, 0.0, 0.3, 0.0, 0.9), without=()):
    """A data set of one case for each share of brown fat."""
    for index, share in enumerate(shares):
        write_case(folder / f"p{index}", index, share, without)
    return open_dataset(folder)


def parts(dataset, validation=2, bins=None):
    """The last ``validation`` cases are validated on, the others are trained on."""
    cases = dataset.cases
    where = {c.case: "train" for c in cases[:-validation]} | {
        c.case: "validation" for c in cases[-validation:]
    }
    words = bins or {case.case: () for case in cases}
    split = Split("parts", 0, {"train": 0.7, "validation": 0.3}, dict(where), where, words, dataset.digest())
    return Parts(cases[:-validation], cases[-validation:], split=split)


def workspace(tmp_path):
    return Workspace(tmp_path / "cache")

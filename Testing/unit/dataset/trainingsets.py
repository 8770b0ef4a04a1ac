"""Small made-up patients as files: noise with a ring of fat, some of it brown, in any layout."""

from __future__ import annotations

import numpy as np

from BATNetLib.dataset.cases import TrainingCase
from BATNetLib.dataset.findings import CaseFacts
from BATNetLib.volume import Grid, Volume, write_volume

SHAPE = (12, 32, 48)
SPACING = (3.0, 2.0, 2.0)


def patient(seed=0, share=0.2, shape=SHAPE):
    """CT (int16 HU), adipose and brown-fat mask (uint8) in canonical axes. ``share``: brown of the fat."""
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.linspace(-1, 1, shape[1]), np.linspace(-1, 1, shape[2]), indexing="ij")
    radius = np.hypot(rows, columns)
    fat = np.broadcast_to((radius > 0.6) & (radius < 0.95), shape).copy()
    inside = np.broadcast_to(radius < 0.95, shape)
    hu = np.where(fat, -100, np.where(inside, 50, -1000)) + rng.normal(0, 12, shape)
    marked = fat & (columns < np.quantile(columns[fat[0]], share)) if share else np.zeros(shape, bool)
    return hu.astype(np.int16), fat.astype(np.uint8), marked.astype(np.uint8)


def volume(array, spacing=SPACING):
    return Volume(array, Grid.canonical(array.shape, spacing))


def write_scan(folder, seed=0, share=0.2, names=("ct", "adipose", "brown"), ending=".nii.gz", **changed):
    """A scan with masks in a folder. ``names``: files of CT, adipose, brown (None leaves one out).
    ``changed``: other voxels for one of ct, adipose, brown."""
    ct, fat, marked = patient(seed, share)
    arrays = {"ct": ct, "adipose": fat, "brown": marked, **changed}
    for name, array in zip(names, arrays.values(), strict=True):
        if name is not None:
            write_volume(volume(array), folder / f"{name}{ending}")
    return folder


def write_png(folder, seed=0, images=None, masks=None):
    """PNG slices with masks of 0 and 255 in a case folder."""
    from PIL import Image

    from BATNetLib.adipose.slabs import window_to_uint8

    ct, fat, _ = patient(seed)
    images = window_to_uint8(ct) if images is None else images
    masks = fat * 255 if masks is None else masks
    for name, stack in (("data_png", images), ("data_mask", masks)):
        (folder / name).mkdir(parents=True)
        for index, plane in enumerate(stack):
            Image.fromarray(plane).save(folder / name / f"{index}.png")
    return folder


def facts(case, who=None, brown=0.0, fat=100.0, centre="", **more):
    """What an examination would say of a case, without files."""
    made = TrainingCase(case, who or case, "volumes", centre=centre)
    return CaseFacts(made, unit="mL", fat=fat, brown=brown, **more)

"""Training samples from phantoms: slabs with masks for stage 1, labelled patch pairs for stage 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...adipose.slabs import slab_indices, window_to_uint8
from ...brown.patches import PATCH_SIZE, case_label, extract_patches
from .make import Phantom, make_phantom

#: How brown fat is spread over training cases; "none" about as often as any.
BROWN_CYCLE = ("both", "none", "left", "none", "both", "none", "right")


def slab_samples(
    seed: int, spacing: tuple[float, float, float] | None, size: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` slabs of a phantom: uint8 [count, 5, h, w] windowed as published, bool masks [count, h, w].

    Half of the slabs are marbled: the borders of tissues of a phantom are cleaner than those of people,
    so fat streaks are mixed into muscle and strands into fat, with the mask following.
    """
    rng = np.random.default_rng([seed, 10])
    phantom = make_phantom(
        seed,
        brown=BROWN_CYCLE[seed % len(BROWN_CYCLE)],
        size=size,
        spacing=spacing,
        noise=float(rng.uniform(4, 24)),
    )
    indices = slab_indices(len(phantom.ct.array))
    chosen = rng.choice(len(indices), min(count, len(indices)), replace=False)
    slabs, masks = [], []
    for index in chosen:
        hu = phantom.ct.array[indices[index]].astype(np.float32)
        fat = phantom.adipose.array[indices[index]] > 0
        if rng.random() < 0.5:
            hu, fat = marble(hu, fat, phantom.ct.spacing[2], rng)
        hu += np.float32(rng.normal(0, 4))
        slabs.append(window_to_uint8(hu))
        masks.append(fat[2])
    return np.stack(slabs), np.stack(masks)


def marble(
    hu: np.ndarray, fat: np.ndarray, pixel_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mix streaks of fat into soft tissue and of soft tissue into fat, over a stack [slices, h, w]."""
    # A table top is thin, a muscle is not: only soft tissue with some body is marbled.
    soft = ndimage.binary_opening((hu > -20) & (hu < 120) & ~fat, np.ones((1, 3, 3)), iterations=2)
    white = float(np.median(hu[fat])) if fat.any() else -100.0
    for region, other, is_fat in ((soft, white - 50.0, True), (fat, 50.0 - white, False)):
        grain = rng.uniform(1.5, 5.0) / pixel_mm
        field = ndimage.gaussian_filter(
            rng.standard_normal(hu.shape, dtype=np.float32), (1.0, grain, grain * rng.uniform(0.4, 1.0))
        )
        field /= field.std() + 1e-6
        share = np.clip((field - np.float32(rng.uniform(1.0, 2.0))) * 3 + 0.5, 0, 1) * region
        hu = hu + share * np.float32(other)
        fat = (fat | (share > 0.5)) if is_fat else (fat & ~(share > 0.5))
    return hu, fat


@dataclass(frozen=True)
class CaseSample:
    """Patches of a case, small in memory. ``ct``: float16 [2, 16, 32, 32, 32], sides in the authors' order,
    ``mask``, ``brown``: bool of the same shape, adipose tissue and brown fat, ``labels``: int8 [2, 16] of
    -1, 0, 1, ``label``: of the case."""

    ct: np.ndarray
    mask: np.ndarray
    brown: np.ndarray
    labels: np.ndarray
    label: int


def case_sample(seed: int, adipose: np.ndarray | None = None) -> CaseSample:
    """The labelled patches of training case ``seed``, over ``adipose`` or over a mask near the true one."""
    phantom = case_phantom(seed)
    if adipose is None:
        adipose = imperfect_mask(phantom, np.random.default_rng([seed, 11]))
    return as_sample(phantom, adipose)


def case_phantom(seed: int) -> Phantom:
    """The phantom of training case ``seed``: mostly 3 mm voxels, each twelfth with finer ones in plane."""
    rng = np.random.default_rng([seed, 12])
    fine = rng.random() < 1 / 12
    return make_phantom(
        seed,
        brown=BROWN_CYCLE[seed % len(BROWN_CYCLE)],
        spacing=(3.0, 1.5, 1.5) if fine else None,
        noise=float(rng.uniform(4, 18)),
    )


def imperfect_mask(phantom: Phantom, rng: np.random.Generator) -> np.ndarray:
    """The adipose mask as a segmentation might give it: true, by noisy HU, thinned, or with stray voxels."""
    fat = phantom.adipose.array > 0
    kind = rng.integers(4)
    if kind == 1:
        hu = phantom.ct.array
        fat = ndimage.binary_dilation(fat, np.ones((1, 3, 3))) & (hu > -190) & (hu < -30)
    elif kind == 2:
        fat = fat & ~((rng.random(fat.shape, dtype=np.float32) < 0.1) & ~ndimage.binary_erosion(fat))
    elif kind == 3:
        fat = fat.copy()
        body = np.argwhere(phantom.ct.array > -300)
        z, y, x = body[rng.integers(len(body), size=20)].T
        fat[z, y, x] = True
    return fat


def as_sample(phantom: Phantom, adipose: np.ndarray) -> CaseSample:
    """The patches of ``phantom`` over the mask ``adipose`` (canonical axes), with their labels."""
    patches = extract_patches(phantom.ct.array, adipose, phantom.brown.array, phantom.lungs.array)
    assert patches.left_labels is not None and patches.right_labels is not None
    sides = np.stack([patches.left, patches.right])
    labels = np.stack([patches.left_labels, patches.right_labels]).astype(np.int8)
    brown = np.stack([_nearest(phantom.brown.array[box.slices]) for box in patches.boxes])
    return CaseSample(
        ct=sides[:, :, 0].astype(np.float16),
        mask=sides[:, :, 1] > 0,
        brown=brown.reshape(sides[:, :, 1].shape) > 0,
        labels=labels,
        label=case_label(labels),
    )


def _nearest(mask: np.ndarray) -> np.ndarray:
    """A block of a mask in the size of a patch, as the patches are cut: corner-aligned, nearest."""
    zoom = [PATCH_SIZE / n for n in mask.shape]
    return ndimage.zoom(mask, zoom, order=0, mode="nearest", grid_mode=False)

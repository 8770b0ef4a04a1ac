"""From painted tissues to images: HU with blur and noise, and an activity image as PET sees it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...volume.geometry import Grid, Volume
from .anatomy import Anatomy
from .canvas import (
    AIR,
    AIRWAY,
    BLOOD,
    CORTEX,
    FAT,
    FOAM,
    GLAND,
    LUNG_LEFT,
    LUNG_RIGHT,
    MARROW,
    MUSCLE,
    SKIN,
    TABLE,
    Frame,
)

#: Millimetres between voxel centres of the PET, (slice, row, column), and its sharpness.
PET_SPACING = (3.27, 4.07, 4.07)
PET_FWHM_MM = 6.0


def hu_of_tissues(anatomy: Anatomy) -> np.ndarray:
    """Mean HU of each label, float32."""
    table = np.zeros(13, np.float32)
    for label, value in {
        AIR: -1000.0,
        SKIN: 15.0,
        FAT: anatomy.white_hu,
        MUSCLE: anatomy.muscle_hu,
        CORTEX: 680.0,
        MARROW: 210.0,
        LUNG_RIGHT: anatomy.lung_hu,
        LUNG_LEFT: anatomy.lung_hu,
        BLOOD: anatomy.blood_hu,
        AIRWAY: -995.0,
        GLAND: anatomy.muscle_hu + 4,
        TABLE: 40.0,
        FOAM: -930.0,
    }.items():
        table[label] = value
    return table


def slice_hu(
    labels: np.ndarray, brown: np.ndarray, anatomy: Anatomy, frame: Frame, z_mm: float, table: np.ndarray
) -> np.ndarray:
    """HU of one slice, float32 [h, w]: ``labels`` uint8, ``brown`` share of brown fat 0..1."""
    hu = table[labels]
    mild = anatomy.fat_waves.plane(z_mm, frame.rows, frame.columns)
    fine = anatomy.tissue_waves.plane(z_mm, frame.rows, frame.columns)
    fat = labels == FAT
    hu += np.where(fat, 3.0 * mild + 3.0 * fine + brown * (anatomy.brown_hu - anatomy.white_hu), 0)
    soft = (labels == MUSCLE) | (labels == GLAND)
    lung = (labels == LUNG_RIGHT) | (labels == LUNG_LEFT)
    bone = labels == MARROW
    # The lower (dependent) lung holds more blood.
    sag = frame.rows.astype(np.float32)[:, None] * np.float32(0.25)
    hu += soft * (6 * fine) + lung * (18 * fine + sag) + bone * (40 * fine)
    return hu


def blur_and_noise(hu: np.ndarray, spacing: tuple[float, float, float], anatomy: Anatomy, seed: int) -> None:
    """Blur ``hu`` (float32 [slice, row, column], in place) like a soft kernel and add correlated noise."""
    # Below half a voxel a sampled Gaussian does nothing; a coarse voxel has averaged already.
    sigma = [max(0.42, anatomy.blur_mm / s) for s in spacing[1:]]
    rng = np.random.default_rng([seed, 2])
    depth, height, width = hu.shape
    grain = [max(0.4, 0.75 / s) for s in spacing[1:]]
    # A bank of noise slices that is shifted and mirrored anew for every slice of the image.
    bank = rng.standard_normal((min(depth, 12), height, width), dtype=np.float32)
    for plane in bank:
        ndimage.gaussian_filter(plane, grain, output=plane, mode="wrap", truncate=3)
    bank *= anatomy.noise_hu / bank.std()
    previous: np.ndarray | None = None
    for index in range(depth):
        ndimage.gaussian_filter(hu[index], sigma, output=hu[index], mode="nearest", truncate=3)
        noise = bank[rng.integers(len(bank))]
        if rng.random() < 0.5:
            noise = noise[::-1]
        noise = np.roll(noise, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
        # Neighbouring slices share part of their noise, as overlapping reconstructions do.
        noise = noise if previous is None else 0.35 * previous + 0.937 * noise
        previous = noise
        hu[index] += noise


def pet_image(labels: np.ndarray, brown: np.ndarray, grid: Grid, anatomy: Anatomy, seed: int) -> Volume:
    """SUV on a coarser grid over the same patient: float32 Volume; hot where fat is brown.

    ``labels`` uint8 and ``brown`` bool on ``grid``. Activity is averaged into the voxels of the PET,
    blurred to a full width at half maximum of 6 mm and given noise that grows with the square root.
    """
    uptake = np.zeros(13, np.float32)
    uptake[[SKIN, FAT, MUSCLE, CORTEX, MARROW, BLOOD, GLAND]] = (0.3, 0.25, 0.65, 0.5, 1.0, 1.5, 1.1)
    uptake[[LUNG_RIGHT, LUNG_LEFT]] = 0.45
    spacing = grid.spacing
    counts = [max(1, int(n * s / p)) for n, s, p in zip(grid.shape, spacing, PET_SPACING, strict=True)]
    edges = []
    for axis, count in enumerate(counts):
        # Voxels of the CT that each PET voxel averages; PET voxels lie in the middle of the field.
        margin = (grid.shape[axis] * spacing[axis] - count * PET_SPACING[axis]) / 2
        starts = (margin + np.arange(count + 1) * PET_SPACING[axis]) / spacing[axis]
        edges.append(np.clip(np.round(starts).astype(int), 0, grid.shape[axis]))
    suv = np.zeros(counts, np.float32)
    for index in range(counts[0]):
        first, last = edges[0][index], max(edges[0][index] + 1, edges[0][index + 1])
        last = min(last, grid.shape[0])
        first = min(first, last - 1)
        activity = uptake[labels[first:last]]
        activity[brown[first:last]] = anatomy.suv
        plane = activity.mean(axis=0)
        plane = np.stack([_mean(plane, a, b) for a, b in zip(edges[1][:-1], edges[1][1:], strict=True)])
        suv[index] = np.stack(
            [_mean(plane.T, a, b) for a, b in zip(edges[2][:-1], edges[2][1:], strict=True)], axis=1
        )
    sigma = [PET_FWHM_MM / 2.355 / p for p in PET_SPACING]
    suv = ndimage.gaussian_filter(suv, sigma, mode="nearest")
    rng = np.random.default_rng([seed, 3])
    suv += rng.standard_normal(suv.shape, dtype=np.float32) * np.sqrt(suv) * np.float32(0.08)
    np.clip(suv, 0, None, out=suv)
    affine = np.eye(4)
    directions = grid.affine[:3, :3] / np.array(spacing)
    affine[:3, :3] = directions * np.array(PET_SPACING)
    first_centre = [
        (grid.shape[a] * spacing[a] - counts[a] * PET_SPACING[a]) / 2 + PET_SPACING[a] / 2 - spacing[a] / 2
        for a in range(3)
    ]
    affine[:3, 3] = grid.affine[:3, 3] + directions @ np.array(first_centre)
    return Volume(suv, Grid((counts[0], counts[1], counts[2]), affine))


def _mean(array: np.ndarray, first: int, last: int) -> np.ndarray:
    first = min(first, len(array) - 1)
    return array[first : max(first + 1, last)].mean(axis=0)

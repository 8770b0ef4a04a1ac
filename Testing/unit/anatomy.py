"""A synthetic patient of plain shapes, whose lungs, midline and fat are known exactly.

Unlike the phantoms of ``BATNetLib.dataset`` it knows nothing of the library, and every part of it can be
moved: that is what tests of lungs, HU method and preflight need.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from BATNetLib.volume.geometry import Grid, Volume

AIR, LUNG, FAT, MUSCLE, BONE, MARROW = -1000.0, -850.0, -100.0, 50.0, 600.0, -80.0
SHAPE = (100, 96, 128)
MM = 3.0


@dataclass(frozen=True)
class Patient:
    """mm. ``roll``: degrees, the patient's left side lower. ``shift``: to the patient's left."""

    shape: tuple[int, int, int] = SHAPE
    spacing: tuple[float, float, float] = (MM, MM, MM)
    apex: float = 70.0  #: first slice to the top of the lungs
    roll: float = 0.0
    shift: float = 0.0
    arms_up: bool = False
    blood: float = 40.0
    touching: bool = False  #: lungs that meet in front of the heart
    noise: float = 12.0
    table: bool = True
    right_lung: float = 1.0  #: size of the patient's right lung, 0 = none
    seed: int = 0
    extra: tuple[str, ...] = field(default=())  #: "gas" bowel, "metal", "fatless"


@lru_cache(maxsize=24)
def build(patient: Patient) -> tuple[Volume, np.ndarray, np.ndarray]:
    """CT (float32 HU), lungs (0, 1 right, 2 left), true fat (bool). Shared between tests: do not write."""
    z, y, x = _axes(patient)
    hu = np.full(patient.shape, AIR, np.float32)
    below = z - patient.apex
    # Neck, shoulders, trunk: half width and half depth of an ellipse, by height.
    widen = 1.0 / (1.0 + np.exp(-(z - patient.apex + 15.0) / 9.0))
    half_x, half_y = 58.0 + 82.0 * widen, 58.0 + 32.0 * widen
    body = (x / half_x) ** 2 + (y / half_y) ** 2 < 1
    inner = (x / (half_x - 14.0)) ** 2 + (y / (half_y - 14.0)) ** 2 < 1
    if patient.arms_up:
        for side in (-1, 1):
            arm = (x - side * 125) ** 2 + (y - 5) ** 2
            up = arm + 0 * z < 26.0**2
            body |= up & (z < patient.apex + 10)
            inner |= (arm < 20.0**2) & (z < patient.apex + 10)
    skin = (x / (half_x - 2.0)) ** 2 + (y / (half_y - 2.0)) ** 2 >= 1
    fatless = "fatless" in patient.extra
    fat = body & ~inner & ~(skin & body)
    hu[body] = MUSCLE
    if not fatless:
        hu[fat] = FAT
    # Axillary and supraclavicular fat between muscles.
    for side in (-1, 1):
        pad = ((x - side * 75) / 22) ** 2 + ((y + 12) / 18) ** 2 + ((below + 8) / 14) ** 2 < 1
        pad &= inner & body
        if not fatless:
            hu[pad] = FAT
            fat = fat | pad
    if patient.arms_up:
        for side in (-1, 1):
            bone = ((x - side * 125) ** 2 + (y - 5) ** 2 < 9.0**2) & (z < patient.apex)
            hu[bone] = BONE
            fat = fat & ~bone

    lungs = np.zeros(patient.shape, np.uint8)
    taper = np.sqrt(np.clip(below / 70.0, 0.0, 1.0))
    dome_top = patient.apex + 150.0
    for label, side in ((1, -1), (2, 1)):
        size = patient.right_lung if label == 1 else 1.0
        if not size:
            continue
        gap = 58.0 if not patient.touching else 47.0
        lung = ((x - side * gap) / (46.0 * taper * size + 1e-3)) ** 2 + (
            y / (66.0 * taper * size + 1e-3)
        ) ** 2 < 1
        dome = ((x - side * 58) / 62.0) ** 2 + ((y + 14) / 72.0) ** 2 + ((z - dome_top - 90) / 90.0) ** 2 < 1
        lung &= (below > 0) & ~dome & (z < dome_top + 62)
        heart = ((x - 22) / 40.0) ** 2 + ((y + 26) / 34.0) ** 2 + ((z - patient.apex - 125) / 45.0) ** 2 < 1
        if not patient.touching:
            lung &= ~heart
        lung &= inner & body & (lungs == 0)
        lungs[lung] = label
    heart = ((x - 22) / 40.0) ** 2 + ((y + 26) / 34.0) ** 2 + ((z - patient.apex - 125) / 45.0) ** 2 < 1
    aorta = (x - 6) ** 2 + (y + 20) ** 2 < 13.0**2
    vessels = (heart | (aorta & (below > 25) & (below < 125))) & body & (lungs == 0)
    hu[vessels] = patient.blood
    fat = fat & ~vessels
    hu[lungs > 0] = LUNG
    fat = fat & (lungs == 0)
    # Vessels of the lungs: thin strands that belong to them.
    strands = (np.abs(y - 20) < 2.0) & (np.abs(z % 30.0 - 15.0) < 2.0)
    hu[strands & (lungs > 0)] = 30.0

    spine = x**2 + (y - 38) ** 2
    hu[(spine < 17.0**2) & body] = BONE
    hu[(spine < 13.0**2) & body] = MARROW
    fat = fat & (spine >= 17.0**2)
    lungs[np.broadcast_to(spine < 17.0**2, lungs.shape)] = 0
    trachea = x**2 + (y - 8) ** 2
    inside = trachea < 9.0**2
    windpipe = inside & (below < 85) & body
    wall = (trachea < 13.0**2) & ~inside & (below < 85) & body
    hu[wall & (lungs == 0)] = MUSCLE
    hu[windpipe] = AIR + 10
    lungs[windpipe | wall] = 0
    fat = fat & ~(windpipe | wall)
    if "gas" in patient.extra:
        stomach = ((x - 50) / 32) ** 2 + ((y + 40) / 26) ** 2 + ((z - dome_top - 45) / 22) ** 2 < 1
        hu[stomach & body & (lungs == 0)] = AIR + 15
        fat = fat & ~stomach
    if "metal" in patient.extra:
        hu[((x - 30) ** 2 + (y + 60) ** 2 + (below - 20) ** 2 < 7.0**2) & body] = 3071.0
    if patient.table:
        top = (y > half_y.max() + 4) & (y < half_y.max() + 9) & (np.abs(x) < 170)
        hu[np.broadcast_to(top, hu.shape)] = 80.0
        foam = (y > half_y.max() + 9) & (y < half_y.max() + 16) & (np.abs(x) < 170)
        hu[np.broadcast_to(foam, hu.shape)] = -950.0
    if patient.noise:
        rng = np.random.default_rng(patient.seed)
        hu += rng.normal(0, patient.noise, hu.shape).astype(np.float32)
    volume = as_volume(hu, patient.spacing)
    return volume, lungs, fat


def _axes(patient: Patient) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mm from the first slice, and from the body's axis, the roll and the shift taken out."""
    shape, spacing = patient.shape, patient.spacing
    z = (np.arange(shape[0], dtype=np.float32) * spacing[0])[:, None, None]
    y = ((np.arange(shape[1], dtype=np.float32) - (shape[1] - 1) / 2) * spacing[1])[None, :, None]
    x = ((np.arange(shape[2], dtype=np.float32) - (shape[2] - 1) / 2) * spacing[2])[
        None, None, :
    ] - patient.shift
    angle = np.deg2rad(patient.roll)
    if patient.roll:
        x, y = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return z, y, x


def ct(**changes: Any) -> Volume:
    return build(Patient(**changes))[0]


def lungs_of(**changes: Any) -> np.ndarray:
    return build(Patient(**changes))[1]


def fat_of(**changes: Any) -> np.ndarray:
    return build(Patient(**changes))[2]


def as_volume(array: np.ndarray, spacing: tuple[float, float, float] = (MM, MM, MM), **facts: Any) -> Volume:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = -spacing[0], spacing[1], spacing[2], 1.0
    return Volume(array, Grid(array.shape, affine), facts=facts or None)


def changed(volume: Volume, array: np.ndarray, **facts: Any) -> Volume:
    """Other voxels, of any shape, with the spacing of ``volume``."""
    return as_volume(np.ascontiguousarray(array), volume.spacing, **facts)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))

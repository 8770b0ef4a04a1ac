"""Small made-up cases for the work of readers, on grids of any orientation."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from BATNetLib.annotation import Record, volume_on_own_grid
from BATNetLib.volume import Volume

#: Grids by name: degrees of yaw, pitch, roll; file axes; left-handed or not.
GRIDS = {
    "straight": ((0, 0, 0), (0, 1, 2), False),
    "a little oblique": ((2, -1, 1), (0, 1, 2), False),
    "oblique": ((12, -7, 9), (0, 1, 2), False),
    "steep": ((38, 10, -20), (0, 1, 2), False),
    "left-handed": ((0, 0, 0), (0, 1, 2), True),
    "oblique and left-handed": ((12, -7, 9), (0, 1, 2), True),
    "coronal": ((3, 2, -2), (0, 2, 1), False),
    "sagittal and left-handed": ((-5, 4, 8), (2, 0, 1), True),
}
SIZE = (17, 14, 11)


def affine_of(name: str) -> np.ndarray:
    """4x4, file index to LPS mm."""
    angles, axes, left_handed = GRIDS[name]
    directions = Rotation.from_euler("zxy", angles, degrees=True).as_matrix()[:, list(axes)]
    if (np.linalg.det(directions) < 0) != left_handed:
        directions[:, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = directions * (0.8, 0.9, 2.5)
    affine[:3, 3] = (-103.25, 57.5, 17.125)
    return affine


def ct_on(name: str = "straight", seed: int = 0) -> Volume:
    """A CT (int16 noise about fat and muscle) on a grid, never resampled."""
    rng = np.random.default_rng(seed)
    array = np.where(rng.random(SIZE) < 0.5, -95, 40) + rng.normal(0, 9, SIZE)
    return volume_on_own_grid(array.astype(np.int16), affine_of(name))


def mask_of(ct: Volume, seed: int = 0, share: float = 0.2) -> Volume:
    """Some voxels of a CT."""
    rng = np.random.default_rng(1000 + seed)
    return ct.with_array(rng.random(ct.array.shape) < share)


def in_file_axes(volume: Volume) -> np.ndarray:
    from BATNetLib.annotation.grids import on_own_grid

    return on_own_grid(volume)[0]


def save(store, case="P01", reader="anna", seed=0, **record):
    """A version with a mask of its own."""
    return store.save(case, reader, mask_of(ct_on(), seed), record=Record(**record))

"""The random patient behind a phantom: size, posture, fat, depots. Sampling it on a grid is another step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Mean HU of white and of brown adipose tissue without contrast; spread between patients.
#: Brown -67 +- 8 and white -94 +- 10 HU in 124 patients; the spreads are narrowed so that both keep apart.
WHITE_HU, BROWN_HU = (-98.0, 5.0), (-68.0, 4.0)


@dataclass(frozen=True)
class Depot:
    """An ellipsoid in which fat can be brown; ``centre`` and ``half`` axes: (x, y, z), average body."""

    name: str
    side: str
    centre: tuple[float, float, float]
    half: tuple[float, float, float]


@dataclass(frozen=True)
class Waves:
    """A smooth random field, unit variance: plane waves, so that any slice of it is one matrix product.

    ``vectors``: [n, 3] radians per mm along (slice, row, column). ``phases``: [n].
    """

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, wavelength_mm: float, count: int = 24) -> Waves:
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = wavelength_mm * rng.uniform(0.7, 1.6, (count, 1))
        return cls(2 * np.pi * direction / length, rng.uniform(0, 2 * np.pi, count))

    def plane(self, z: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """float32 [rows, columns] of the field at slice position ``z`` mm; all coordinates in mm."""
        r = np.outer(rows, self.vectors[:, 1]) + (self.phases + z * self.vectors[:, 0])
        c = np.outer(columns, self.vectors[:, 2])
        norm = np.sqrt(2 / len(self.phases))
        left = np.hstack([np.cos(r), -np.sin(r)]).astype(np.float32) * np.float32(norm)
        return left @ np.hstack([np.cos(c), np.sin(c)]).astype(np.float32).T


@dataclass(frozen=True)
class Anatomy:
    """One patient. Lengths in mm, angles in radians, in the coordinates of the average body."""

    scale: tuple[float, float, float]
    roll: float
    lean: float
    offset: tuple[float, float]
    bend_mm: float
    bend_phase: tuple[float, ...]
    arms_up: bool
    arm_shift: tuple[float, float]
    fat_mm: float
    fat_front: float
    fat_side: float
    muscle: float
    apex_shift: tuple[float, float]
    rib_phase: float
    symmetry: float
    depots: tuple[Depot, ...]
    white_hu: float
    brown_hu: float
    muscle_hu: float
    blood_hu: float
    lung_hu: float
    noise_hu: float
    blur_mm: float
    suv: float
    vessels: np.ndarray
    fat_waves: Waves
    tissue_waves: Waves
    brown_waves: Waves

    def bending(self, rows: np.ndarray, columns: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
        """Small smooth shifts (x, y) in mm that keep the anatomy from being drawn with a ruler."""
        p = self.bend_phase
        half = self.bend_mm / 2
        shift_x = half * (np.sin(rows / 38 + z / 61 + p[0]) + np.sin(rows / 17 + z / 47 + p[1]) * 0.4)
        shift_y = half * (np.sin(columns / 43 + z / 71 + p[2]) + np.sin(columns / 21 - z / 37 + p[3]) * 0.4)
        return shift_x.astype(np.float32), shift_y.astype(np.float32)


def random_anatomy(
    seed: int, brown: str = "both", symmetry: float | None = None, noise: float | None = None
) -> Anatomy:
    """The patient of ``seed``. The body is the same whatever ``brown``, ``symmetry`` and ``noise`` are."""
    rng = np.random.default_rng([seed, 0])
    size = rng.normal(1.0, 0.035)
    scale = tuple(float(np.clip(size + rng.normal(0, 0.02), 0.9, 1.1)) for _ in range(3))
    fat_mm = float(np.clip(rng.lognormal(np.log(9.0), 0.45), 4.0, 26.0))
    fields = {
        "scale": scale,
        "roll": float(np.radians(np.clip(rng.normal(0, 1.5), -4, 4))),
        "lean": float(np.clip(rng.normal(0, 0.012), -0.04, 0.04)),
        "offset": (float(np.clip(rng.normal(-8, 5), -20, 5)), float(np.clip(rng.normal(0, 4), -10, 10))),
        "bend_mm": float(rng.uniform(1.5, 4.0)),
        "bend_phase": tuple(rng.uniform(0, 2 * np.pi, 4).tolist()),
        "arms_up": bool(rng.random() < 0.45),
        "arm_shift": tuple(rng.normal(0, 4, 2).tolist()),
        "fat_mm": fat_mm,
        "fat_front": float(rng.uniform(0.1, 0.6)),
        "fat_side": float(rng.normal(0, 0.05)),
        "muscle": float(np.clip(rng.normal(1.0, 0.1), 0.75, 1.25)),
        "apex_shift": tuple(rng.uniform(0, 8, 2).tolist()),
        "rib_phase": float(rng.uniform(0, 24)),
        "white_hu": float(np.clip(rng.normal(*WHITE_HU), -112, -88)),
        "brown_hu": float(np.clip(rng.normal(*BROWN_HU), -76, -60)),
        "muscle_hu": float(rng.normal(54, 4)),
        "blood_hu": float(rng.normal(42, 3)),
        "lung_hu": float(rng.normal(-850, 15)),
        "blur_mm": float(rng.uniform(0.6, 1.0)),
        "suv": float(np.clip(rng.lognormal(np.log(5.5), 0.4), 3.0, 14.0)),
        "vessels": _lung_vessels(rng),
        "fat_waves": Waves.random(rng, 45.0),
        "tissue_waves": Waves.random(rng, 14.0),
        "brown_waves": Waves.random(rng, 13.0),
    }
    drawn_noise = float(np.clip(rng.lognormal(np.log(11.0), 0.3), 5, 22))
    # Its own generator: what the depots draw must not move anything of the body.
    rng = np.random.default_rng([seed, 1])
    drawn_symmetry = float(rng.uniform(0.5, 1.0))
    symmetry = drawn_symmetry if symmetry is None else symmetry
    return Anatomy(
        **fields,  # type: ignore[arg-type]
        noise_hu=drawn_noise if noise is None else noise,
        symmetry=symmetry,
        depots=_depots(rng, brown, symmetry),
    )


#: Depots on the patient's left: name, centre, half axes (x, y, z); how far each may wander.
_SITES = (
    ("supraclavicular", (74.0, 8.0, -10.0), (31.0, 26.0, 32.0)),
    ("cervical", (50.0, 16.0, -48.0), (17.0, 20.0, 30.0)),
    ("axillary", (122.0, 2.0, 55.0), (24.0, 26.0, 36.0)),
    ("mediastinal", (17.0, -38.0, 75.0), (13.0, 16.0, 26.0)),
)


def _depots(rng: np.random.Generator, brown: str, symmetry: float) -> tuple[Depot, ...]:
    depots = []
    extent = rng.uniform(0.8, 1.15)
    for name, centre, half in _SITES:
        share = rng.uniform(0.85, 1.1) if name == "supraclavicular" else rng.uniform(0.4, 1.0)
        wander = rng.normal(0, 3, (2, 3))
        unequal = rng.uniform(-1, 1) * (1 - symmetry) * 0.5
        for number, (side, sign) in enumerate((("right", -1.0), ("left", 1.0))):
            if brown not in ("both", side):
                continue
            shift = wander[0] * symmetry + wander[number] * (1 - symmetry)
            grow = extent * share * (1 + sign * unequal)
            x, y, z = np.add(centre, shift)
            a, b, c = (float(h * grow) for h in half)
            depots.append(Depot(name, side, (sign * float(x), float(y), float(z)), (a, b, c)))
    return tuple(depots)


def _lung_vessels(rng: np.random.Generator, per_side: int = 70) -> np.ndarray:
    """Rods [n, 7] of (start xyz, end xyz, radius) that branch from the hila into the lungs."""
    rods = []
    for sign in (-1.0, 1.0):
        hilum = np.array([sign * 34.0, 14.0, 112.0])
        outward = [(1.0, 0.3, -1.2), (1.0, -0.8, -0.3), (1.0, 0.8, 0.1), (0.6, -0.4, 1.2), (0.8, 0.7, 1.0)]
        tips = [(hilum, np.multiply((sign, 1.0, 1.0), way), 5.0) for way in outward]
        for _ in range(per_side):
            start, direction, radius = tips.pop(0)
            for _ in range(2):
                turn = direction + rng.normal(0, 0.5, 3)
                turn[0] = sign * max(sign * turn[0], -0.2)
                turn /= np.linalg.norm(turn)
                end = start + turn * rng.uniform(18, 38)
                rods.append([*start, *end, radius])
                tips.append((end, turn, max(radius * 0.76, 1.0)))
    return np.array(rods, np.float32)

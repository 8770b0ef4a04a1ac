"""The plane about which a body is most like its mirror image, from coarse to fine.

Every plane is judged by the same figure: with f the clipped HU of the body (0 outside it) at points p and
g = f at their mirror images, the score is 2 sum(f g) / (sum f^2 + sum g^2), which is 1 for perfect
symmetry. Points whose mirror image lies outside the image say nothing and are left out, at a small price:
a field of view that cuts one arm off must not pull the plane to its own middle, and a plane at the edge,
where little is left to compare, must not win.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..body import Body
from ..volume.geometry import Grid
from .plane import normal_of

#: HU below and above which tissue differences say nothing about symmetry.
WINDOW = (-250.0, 150.0)
_ROLLS = np.radians(np.arange(-24.0, 25.0, 6.0))
_YAWS = np.radians(np.arange(-12.0, 13.0, 6.0))
_SHIFTS_MM = np.arange(-45.0, 46.0, 9.0)
#: Blocks per point along each axis, points looked at, and the price of points without a counterpart: the
#: score is multiplied by the counted share of the body raised to this. It keeps a stack of 30 slices from
#: turning out of itself; at the finest level a high price would move the plane by half a millimetre.
_COARSE = (4, 3_000, 0.15)
_LEVELS = ((2, 4_000, 0.15), (1, 20_000, 0.03))
_CANDIDATES = 3
#: mm that move a point at this distance as far as the angle does: brings both to one scale.
_ARM_MM = 100.0


@dataclass(frozen=True)
class Found:
    """``normal``, ``point``: of the plane, LPS mm. ``score``: 0..1 as told above. ``symmetry``: share of the
    body (all of it) that overlaps with its mirror image. ``correlation``: of the counted points' values with
    those at their mirror images (-1..1); ``residual_hu``: their mean |difference|. ``counted``: share of the
    body whose mirror image lies inside the image."""

    point: np.ndarray
    normal: np.ndarray
    score: float
    symmetry: float
    correlation: float
    residual_hu: float
    counted: float

    @property
    def roll_degrees(self) -> float:
        return math.degrees(math.atan2(self.normal[1], self.normal[0]))

    @property
    def yaw_degrees(self) -> float:
        return math.degrees(math.asin(max(-1.0, min(1.0, self.normal[2]))))


def search(body: Body, grid: Grid, check: Callable[[], None]) -> Found:
    """The best plane for ``body``, found on its blocks; ``grid``: of the CT; ``check`` may raise to stop."""
    image = _image(body)
    affine = _block_affine(body, grid)
    coarse = _Level(image, affine, *_COARSE)
    centre = coarse.centre
    tried = []
    for roll, yaw in itertools.product(_ROLLS, _YAWS):
        check()
        tried += [
            (coarse.score(np.array([roll, yaw, shift]), centre), (roll, yaw, shift)) for shift in _SHIFTS_MM
        ]
    tried.sort(key=lambda t: -t[0])
    starts = [np.array(place) for place in _apart([place for _, place in tried])]
    for factor, points, power in _LEVELS:
        level = _Level(image, affine, factor, points, power)
        refined = []
        for start in starts:
            check()
            refined.append(_climb(level, centre, start, 6.0 * factor))
        refined.sort(key=lambda r: -r[0])
        starts = [refined[0][1]]
    roll, yaw, shift = starts[0]
    normal = normal_of(roll, yaw)
    point = centre + shift * normal
    return level.describe(point, normal, refined[0][0])


def _image(body: Body) -> np.ndarray:
    """float32 0..1 in the body, 0 outside it; lungs are darker than fat and brighter than nothing."""
    low, high = WINDOW
    inside = (np.clip(body.coarse.array, low, high) - low + 50.0) / (high - low + 50.0)
    return np.where(body.mask, inside, 0.0).astype(np.float32)


def _block_affine(body: Body, grid: Grid) -> np.ndarray:
    """4x4 from block indices to LPS mm: the centre of block i lies at voxel i * factor + (factor - 1) / 2."""
    factors = np.array(body.coarse.factors, float)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.affine[:3, 3] + grid.affine[:3, :3] @ ((factors - 1) / 2.0)
    affine[:3, :3] = grid.affine[:3, :3] * factors
    return affine


def _apart(places: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """The first few places that are no neighbours of a better one."""
    chosen: list[tuple[float, float, float]] = []
    for place in places:
        near = any(
            abs(place[0] - c[0]) < 0.12 and abs(place[1] - c[1]) < 0.12 and abs(place[2] - c[2]) < 10
            for c in chosen
        )
        if not near:
            chosen.append(place)
        if len(chosen) == _CANDIDATES:
            break
    return chosen


def _climb(level: _Level, centre: np.ndarray, start: np.ndarray, step_mm: float) -> tuple[float, np.ndarray]:
    """Best score and (roll, yaw, shift) near ``start`` by the simplex of Nelder and Mead (1965)."""
    from scipy.optimize import minimize

    scale = np.array([1 / _ARM_MM, 1 / _ARM_MM, 1.0])
    simplex = np.vstack([np.zeros(3), np.eye(3) * step_mm])
    found = minimize(
        lambda x: -level.score(start + x * scale, centre),
        np.zeros(3),
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.04, "fatol": 1e-7, "maxfev": 120},
    )
    return -float(found.fun), start + found.x * scale


class _Level:
    """The body at one resolution and the points at which planes are judged."""

    def __init__(self, image: np.ndarray, affine: np.ndarray, factor: int, points: int, power: float) -> None:
        from scipy import ndimage

        # Blurred so that a shift by a fraction of a block changes the score smoothly.
        smooth = ndimage.gaussian_filter(image, 0.5 * factor + 0.2, mode="nearest", truncate=3.0)
        if not (smooth[::factor, ::factor, ::factor] > 0.02).any():
            factor = 1  # a body of a few slices may lie between the ones that are taken
        self.image = smooth[::factor, ::factor, ::factor]
        self.power = power
        self.affine = affine.copy()
        self.affine[:3, :3] *= factor
        self.inverse = np.linalg.inv(self.affine)
        places = np.argwhere(self.image > 0.02)
        if len(places) > points:
            # Evenly through the body, and the same for the same body.
            places = places[np.random.default_rng(0).choice(len(places), points, replace=False)]
        self.indices = places.astype(float)
        self.values = self.image[tuple(places.T)].astype(float)
        self.energy = float((self.values**2).sum())
        self.points = self.indices @ self.affine[:3, :3].T + self.affine[:3, 3]
        self.limits = np.array(self.image.shape) - 0.5
        self.centre = np.average(self.points, axis=0, weights=self.values)

    def score(self, place: np.ndarray, centre: np.ndarray) -> float:
        """Score of the plane (roll, yaw, shift along its normal from ``centre``)."""
        normal = normal_of(place[0], place[1])
        counted, mirrored = self._mirrored(centre + place[2] * normal, normal)
        own = float((self.values[counted] ** 2).sum())
        both = own + float((mirrored**2).sum())
        price = (own / self.energy) ** self.power
        return price * 2.0 * float(self.values[counted] @ mirrored) / both if both else 0.0

    def describe(self, point: np.ndarray, normal: np.ndarray, score: float) -> Found:
        counted, mirrored = self._mirrored(point, normal)
        edge = 0.06  # half of the darkest body value: the outline after blurring
        body = self.values > edge
        overlap = int(np.count_nonzero(body[counted] & (mirrored > edge)))
        unit = WINDOW[1] - WINDOW[0] + 50.0
        inside = self.values[counted]
        residual, correlation = math.inf, 0.0
        if len(inside) > 1 and min(np.ptp(inside), np.ptp(mirrored)) > 0:
            residual = float(np.abs(inside - mirrored).mean()) * unit
            correlation = float(np.corrcoef(inside, mirrored)[0, 1])
        total = max(1, int(np.count_nonzero(body)))
        share = float(np.count_nonzero(counted & body)) / total
        return Found(point, normal, score, overlap / total, correlation, residual, share)

    def _mirrored(self, point: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """bool [points]: mirror image inside the image; and the values there, of those alone."""
        from scipy import ndimage

        # Mirroring in index space: an index moves along one direction by its distance from the plane.
        away = (self.points - point) @ normal
        direction = self.inverse[:3, :3] @ normal
        there = self.indices - 2.0 * away[:, None] * direction
        counted = ((there > -0.5) & (there < self.limits)).all(axis=1)
        values = ndimage.map_coordinates(self.image, there[counted].T, order=1, mode="nearest")
        return counted, values.astype(float)

"""One axial slice to paint tissue labels on, with patient coordinates at every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy

#: Labels of the tissues a phantom is painted with.
AIR, SKIN, FAT, MUSCLE, CORTEX, MARROW, LUNG_RIGHT, LUNG_LEFT, BLOOD, AIRWAY, GLAND, TABLE, FOAM = range(13)

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Frame:
    """In-plane millimetres of the pixels of every slice: ``rows`` [h], ``columns`` [w], image centre 0."""

    rows: np.ndarray
    columns: np.ndarray

    @property
    def pixel(self) -> tuple[float, float]:
        return float(self.rows[1] - self.rows[0]), float(self.columns[1] - self.columns[0])


class Canvas:
    """Labels of one slice.

    ``x``: millimetres to the patient's left of the midline, ``y``: to posterior of the middle of the
    chest, ``z``: below the apex of the lungs; all on the scale of the average body, after the roll,
    offset and gentle bending of this patient were taken out. ``labels``: uint8 [h, w].
    """

    def __init__(self, frame: Frame, anatomy: Anatomy, below_apex: float) -> None:
        self.frame, self.anatomy = frame, anatomy
        self.z = below_apex / anatomy.scale[0]
        self.labels = np.full((len(frame.rows), len(frame.columns)), AIR, np.uint8)
        rows = (frame.rows - anatomy.offset[0]).astype(np.float32)[:, None]
        columns = (frame.columns - anatomy.offset[1] - anatomy.lean * below_apex).astype(np.float32)
        bend_x, bend_y = anatomy.bending(rows, columns, below_apex)
        cos, sin = np.float32(np.cos(anatomy.roll)), np.float32(np.sin(anatomy.roll))
        self.x = (columns * cos + rows * sin + bend_x) / np.float32(anatomy.scale[2])
        self.y = (rows * cos - columns * sin + bend_y) / np.float32(anatomy.scale[1])

    def window(self, x: float, y: float, radius: float) -> Window:
        """Pixels that hold the disc about (x, y), all in the units of ``self.x``, with room for bending."""
        anatomy = self.anatomy
        across, along = x * anatomy.scale[2], y * anatomy.scale[1]
        cos, sin = np.cos(anatomy.roll), np.sin(anatomy.roll)
        column = across * cos - along * sin + anatomy.offset[1] + anatomy.lean * self.z * anatomy.scale[0]
        row = across * sin + along * cos + anatomy.offset[0]
        reach = radius * max(anatomy.scale) + anatomy.bend_mm + 1.0
        return _span(self.frame.rows, row, reach), _span(self.frame.columns, column, reach)

    def ellipse(
        self, x: float, y: float, a: float, b: float, angle: float = 0.0
    ) -> tuple[Window, np.ndarray]:
        """Where an ellipse can be, and its radius there (1 on its edge): half axes ``a`` (x) and ``b`` (y).

        ``angle``: degrees by which its first axis turns towards posterior.
        """
        window = self.window(x, y, max(a, b) * 1.3)
        u, v = self.x[window] - np.float32(x), self.y[window] - np.float32(y)
        if angle:
            c, s = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
            u, v = u * c + v * s, v * c - u * s
        return window, np.sqrt((u / np.float32(a)) ** 2 + (v / np.float32(b)) ** 2)

    def paint(
        self, window: Window, mask: np.ndarray, label: int, over: tuple[int, ...] | None = None
    ) -> None:
        """Set ``label`` where ``mask`` holds, on the labels ``over`` (None: on anything)."""
        part = self.labels[window]
        if over is not None:
            allowed = part == over[0]
            for other in over[1:]:
                allowed |= part == other
            mask = mask & allowed
        part[mask] = label

    def disc(
        self,
        x: float,
        y: float,
        a: float,
        b: float,
        label: int,
        *,
        angle: float = 0.0,
        over: tuple[int, ...] | None = None,
        core: tuple[int, float] | None = None,
    ) -> None:
        """Paint an ellipse; ``core`` = (label, share of the radius) paints its inside differently."""
        if a <= 0 or b <= 0:
            return
        window, radius = self.ellipse(x, y, a, b, angle)
        self.paint(window, radius < 1, label, over)
        if core:
            self.paint(window, radius < core[1], core[0], (label,))


def _span(coordinates: np.ndarray, centre: float, reach: float) -> slice:
    step = coordinates[1] - coordinates[0]
    first = int(np.floor((centre - reach - coordinates[0]) / step))
    last = int(np.ceil((centre + reach - coordinates[0]) / step))
    return slice(max(0, first), max(0, min(len(coordinates), last + 1)))


def distance_to_ellipsoid(
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
) -> np.ndarray:
    """About the distance to an ellipsoid's surface, negative inside; centre and half axes as (x, y, z)."""
    u, v = (
        (x - np.float32(centre[0])) / np.float32(half[0]),
        (y - np.float32(centre[1])) / np.float32(half[1]),
    )
    w = np.float32((z - centre[2]) / half[2])
    radius = np.sqrt(u * u + v * v + w * w + np.float32(1e-6))
    slope = np.sqrt(
        (u / np.float32(half[0])) ** 2 + (v / np.float32(half[1])) ** 2 + (w / np.float32(half[2])) ** 2
    )
    return (radius - 1) * radius / (slope + np.float32(1e-6))


def distance_to_rod(
    x: np.ndarray,
    y: np.ndarray,
    z: float,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: tuple[float, float],
) -> np.ndarray:
    """Distance to a rod with round ends, negative inside; ``radius`` at its start and at its end."""
    axis = np.subtract(end, start)
    along = (
        (x - np.float32(start[0])) * np.float32(axis[0])
        + (y - np.float32(start[1])) * np.float32(axis[1])
        + np.float32((z - start[2]) * axis[2])
    ) / np.float32(axis @ axis)
    along = np.clip(along, 0, 1)
    dx = x - (np.float32(start[0]) + along * np.float32(axis[0]))
    dy = y - (np.float32(start[1]) + along * np.float32(axis[1]))
    dz = np.float32(z) - (np.float32(start[2]) + along * np.float32(axis[2]))
    return np.sqrt(dx * dx + dy * dy + dz * dz) - (
        np.float32(radius[0]) + along * np.float32(radius[1] - radius[0])
    )


def blend(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Smooth union of two distances: like the minimum, with a fillet of about ``width`` millimetres."""
    h = np.clip(np.float32(0.5) + (b - a) / np.float32(2 * width), 0, 1)
    return b + (a - b) * h - np.float32(width) * h * (1 - h)

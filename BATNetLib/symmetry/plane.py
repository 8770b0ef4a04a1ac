"""A plane between the patient's right and left that may be tilted, and what mirrors about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import InputRefused
from ..volume.geometry import Grid, Volume

Side = Literal["right", "left"]
Vector = tuple[float, float, float]

#: A plane turned further than this is no longer one between right and left.
STEEPEST_DEGREES = 60.0
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class MirrorPlane:
    """Plane through ``point`` at right angles to the unit ``normal``, which points to the patient's left.

    Both in LPS mm. ``symmetry``: share of the body that overlaps with its mirror image (0..1);
    ``correlation``: of the tissues inside the body with their mirror image (1 = alike); ``residual_hu``:
    mean absolute difference of these in HU, on blocks of 2.5 mm and clipped to -250..150 HU. All three are
    None where nobody measured them. ``found``: whether
    the plane is as the search found it; False once it was placed, moved or turned by hand.

    Angles: ``roll_degrees`` is the turn about the head-foot axis, positive where the patient's left side
    lies lower (more posterior); ``yaw_degrees`` the turn about the front-back axis, positive where the left
    side lies higher (more superior). Nodding turns the plane within itself and has no angle.
    """

    point: Vector
    normal: Vector
    symmetry: float | None = None
    correlation: float | None = None
    residual_hu: float | None = None
    found: bool = False

    def __post_init__(self) -> None:
        length = math.sqrt(sum(v * v for v in self.normal))
        if not all(map(math.isfinite, (*self.point, *self.normal))) or not 0.999 < length < 1.001:
            raise ValueError("a plane needs a finite point and a normal of length 1")

    # --- making one
    @staticmethod
    def from_angles(
        point: np.ndarray | Vector, roll_degrees: float = 0.0, yaw_degrees: float = 0.0, **quality: Any
    ) -> MirrorPlane:
        """Plane through ``point`` (LPS mm) with these angles. Raises ``InputRefused`` ("mirror-steep")."""
        if max(abs(roll_degrees), abs(yaw_degrees)) > STEEPEST_DEGREES:
            raise InputRefused(
                "mirror-steep",
                f"The mirror plane would be turned by {roll_degrees:.0f} and {yaw_degrees:.0f} degrees.",
                f"Beyond {STEEPEST_DEGREES:.0f} degrees it no longer lies between right and left.",
                "Turn it less.",
            )
        normal = normal_of(math.radians(roll_degrees), math.radians(yaw_degrees))
        return MirrorPlane(_vector(point), _vector(normal), **quality)

    @staticmethod
    def middle_of(ct: Volume) -> MirrorPlane:
        """The upright plane through the image's centre: where a user starts when none was found."""
        centre = ct.grid.points((np.array([ct.grid.shape]) - 1) / 2.0)[0]
        return MirrorPlane.from_angles(centre)

    # --- angles and sides
    @property
    def roll_degrees(self) -> float:
        return math.degrees(math.atan2(self.normal[1], self.normal[0]))

    @property
    def yaw_degrees(self) -> float:
        return math.degrees(math.asin(max(-1.0, min(1.0, self.normal[2]))))

    @property
    def matrix_lps(self) -> np.ndarray:
        """4x4 float64 that mirrors homogeneous LPS mm; its own inverse."""
        n = np.array(self.normal)
        matrix = np.eye(4)
        matrix[:3, :3] -= 2.0 * np.outer(n, n)
        matrix[:3, 3] = 2.0 * (n @ np.array(self.point)) * n
        return matrix

    @property
    def matrix_ras(self) -> np.ndarray:
        """4x4 float64 that mirrors homogeneous RAS mm (Slicer's world); its own inverse."""
        return _LPS_TO_RAS @ self.matrix_lps @ _LPS_TO_RAS

    def distance(self, points: np.ndarray) -> np.ndarray:
        """mm from the plane of LPS points [..., 3]: positive to the patient's left, negative to the right."""
        return (np.asarray(points, float) - self.point) @ np.array(self.normal)

    def reflect(self, points: np.ndarray) -> np.ndarray:
        """Mirror images of LPS points [..., 3] in mm."""
        points = np.asarray(points, float)
        return points - 2.0 * self.distance(points)[..., None] * np.array(self.normal)

    def reflect_ras(self, points: np.ndarray) -> np.ndarray:
        """Mirror images of RAS points [..., 3] in mm."""
        return self.reflect(np.asarray(points, float) * (-1.0, -1.0, 1.0)) * (-1.0, -1.0, 1.0)

    def on_side(self, grid: Grid, side: Side) -> np.ndarray:
        """bool of the grid's shape: voxel centres on the patient's ``side``; those in the plane are on
        neither."""
        normal = np.array(self.normal)
        step = grid.affine[:3, :3].T @ normal
        a, b, c = (np.arange(n) * s for n, s in zip(grid.shape, step, strict=True))
        far = float((grid.affine[:3, 3] - self.point) @ normal)
        along = (a[:, None] + b[None, :] + far)[:, :, None] + c
        return along > 1e-6 if side == "left" else along < -1e-6

    def mirrored_view(self, slice_to_ras: np.ndarray, *, flipped: bool = True) -> np.ndarray:
        """SliceToRAS (4x4) of a second view that shows the mirror image of the view ``slice_to_ras``.

        A point of the second view lies at the mirror place of the same point of the first. With
        ``flipped`` the axes across and through the view run as in the mirror: both views look alike, and
        the matrix is left-handed. Without, the view's first axis is turned back: left and right are seen as
        in the first view, the matrix is right-handed, and a point at x lies opposite to the one at -x.
        """
        matrix = self.matrix_ras @ np.asarray(slice_to_ras, float)
        return matrix if flipped else matrix @ np.diag([-1.0, 1.0, 1.0, 1.0])

    # --- moving by hand
    def moved(self, left_mm: float) -> MirrorPlane:
        """The plane shifted along its normal, ``left_mm`` mm to the patient's left; quality unknown."""
        point = np.array(self.point) + left_mm * np.array(self.normal)
        return MirrorPlane(_vector(point), self.normal)

    def turned(self, roll_degrees: float = 0.0, yaw_degrees: float = 0.0) -> MirrorPlane:
        """The plane turned about its ``point`` by these angles; quality unknown.

        Raises ``InputRefused`` ("mirror-steep").
        """
        return MirrorPlane.from_angles(
            self.point, self.roll_degrees + roll_degrees, self.yaw_degrees + yaw_degrees
        )

    def words(self) -> str:
        """Such as "Mid-plane placed by hand: roll 6.9, yaw 0.4 degrees.", and how alike both sides are."""
        how = "found from the body" if self.found else "placed by hand"
        angles = f"roll {self.roll_degrees:.1f}, yaw {self.yaw_degrees:.1f} degrees".replace("-", "−")
        if self.symmetry is None:
            return f"Mid-plane {how}: {angles}."
        return f"Mid-plane {how}: {angles}; {self.symmetry:.0%} of the body overlaps with its mirror image."

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, read again by ``from_dict``."""
        return {
            "point_lps_mm": [round(v, 4) for v in self.point],
            "normal_lps": [round(v, 8) for v in self.normal],
            "roll_degrees": round(self.roll_degrees, 3),
            "yaw_degrees": round(self.yaw_degrees, 3),
            "symmetry": None if self.symmetry is None else round(self.symmetry, 4),
            "correlation": None if self.correlation is None else round(self.correlation, 4),
            "residual_hu": None if self.residual_hu is None else round(self.residual_hu, 2),
            "found": self.found,
        }

    @staticmethod
    def from_dict(facts: Mapping[str, Any]) -> MirrorPlane:
        """The plane that ``as_dict`` wrote. Raises ``InputRefused`` ("mirror-record")."""
        try:
            normal = np.asarray(facts["normal_lps"], float)
            if not normal.any():
                raise ValueError("no direction")
            return MirrorPlane(
                _vector(facts["point_lps_mm"]),
                _vector(normal / np.linalg.norm(normal)),
                facts.get("symmetry"),
                facts.get("correlation"),
                facts.get("residual_hu"),
                bool(facts.get("found")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputRefused(
                "mirror-record",
                "The record's mirror plane cannot be read.",
                "A point and a normal of three numbers each are needed.",
                "Let the plane be found again.",
            ) from error


def normal_of(roll: float, yaw: float) -> np.ndarray:
    """Unit normal, LPS, towards the patient's left, for angles in radians."""
    return np.array([math.cos(yaw) * math.cos(roll), math.cos(yaw) * math.sin(roll), math.sin(yaw)])


def grid_of_box(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    """The grid of a box of voxels of ``grid``."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    a, b, c = (side.stop - side.start for side in box)
    return Grid((a, b, c), affine)


def _vector(values: Any) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z

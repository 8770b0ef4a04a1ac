"""Where readers disagree: connected regions that some have marked and others not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..annotation.mirrorplane import MirrorPlane
from ..errors import UsageError
from ..morphology import box_around
from ..volume.geometry import Grid, Volume

#: Readers whose masks are told apart voxel by voxel.
MOST_READERS = 8


@dataclass(frozen=True)
class Region:
    """Voxels that hang together by faces, on one side, marked by the same readers.

    ``number``: 1 is the largest. ``has``, ``lacks``: readers who marked it and who did not. ``side``:
    "right" or "left" of the patient, None where no plane is known. ``centroid``: LPS mm; ``inside``: LPS mm
    of the region's voxel nearest to it, where a view can jump to. ``ml``: volume; ``voxels``: their number.
    """

    number: int
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    side: str | None
    centroid: tuple[float, float, float]
    inside: tuple[float, float, float]
    ml: float
    voxels: int

    def words(self) -> str:
        """Such as "2.4 mL on the left: anna has it, ben does not"."""
        where = "" if self.side is None else f" on the {self.side}"
        verb = "has" if len(self.has) == 1 else "have"
        other = "does" if len(self.lacks) == 1 else "do"
        return f"{self.ml:.2f} mL{where}: {_listed(self.has)} {verb} it, {_listed(self.lacks)} {other} not"

    def as_dict(self) -> dict[str, Any]:
        return {
            "region": self.number,
            "side": self.side,
            "ml": round(self.ml, 4),
            "voxels": self.voxels,
            "has": list(self.has),
            "lacks": list(self.lacks),
            "centroid_lps_mm": [round(v, 2) for v in self.centroid],
            "inside_lps_mm": [round(v, 2) for v in self.inside],
        }


@dataclass
class Disagreement:
    """All regions of a case, largest first.

    ``labels``: int32 on ``grid``, the number of the region of each voxel, 0 where the readers agree or the
    region is too small to be listed. ``small``: bool, voxels of such small regions; ``small_regions`` and
    ``small_ml``: how many and how much. ``readers``: in the order asked for. ``agreed_ml``: marked by all.
    """

    readers: tuple[str, ...]
    grid: Grid
    regions: list[Region]
    labels: np.ndarray
    small: np.ndarray
    small_regions: int = 0
    small_ml: float = 0.0
    agreed_ml: float = 0.0
    smallest_ml: float = 0.0
    by_number: dict[int, Region] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_number = {region.number: region for region in self.regions}

    def at(self, point_lps: np.ndarray | tuple[float, float, float]) -> Region | None:
        """The region at a place (LPS mm), for a click; None where there is none."""
        inverse = np.linalg.inv(self.grid.affine)
        place = np.rint(inverse[:3, :3] @ np.asarray(point_lps, float) + inverse[:3, 3]).astype(int)
        if (place < 0).any() or (place >= self.grid.shape).any():
            return None
        return self.by_number.get(int(self.labels[tuple(place)]))

    def mask(self, number: int) -> np.ndarray:
        """bool: the voxels of a region."""
        return self.labels == number


def find_regions(
    masks: Mapping[str, Volume], *, plane: MirrorPlane | None = None, smallest_ml: float = 0.0
) -> Disagreement:
    """Where the masks (above 0 = marked) of two or more readers differ, by region.

    A region holds voxels that share faces, lie on one side of ``plane`` and are marked by the same readers,
    so that each is one question with one answer. Regions below ``smallest_ml`` are not listed but counted.

    Raises ``UsageError`` ("agreement-readers") for fewer than two readers or more than eight, and
    ``InputRefused`` ("other-grid") where a mask lies on another grid.
    """
    from scipy import ndimage

    readers = tuple(masks)
    if not 2 <= len(readers) <= MOST_READERS:
        raise UsageError(
            "agreement-readers",
            f"Masks of {len(readers)} reader{'s' if len(readers) != 1 else ''} were given.",
            f"Two to {MOST_READERS} can be compared.",
            "Choose the readers to compare.",
        )
    first = masks[readers[0]]
    for name in readers[1:]:
        first.require_same_grid(masks[name], f"mask of {name}")
    pattern = np.zeros(first.grid.shape, np.uint8)
    for bit, name in enumerate(readers):
        pattern |= (masks[name].array > 0).astype(np.uint8) << bit
    everybody = (1 << len(readers)) - 1
    agreed_ml = float(np.count_nonzero(pattern == everybody)) * first.voxel_ml
    differs = (pattern > 0) & (pattern < everybody)
    labels = np.zeros(pattern.shape, np.int32)
    small = np.zeros(pattern.shape, bool)
    nothing = Disagreement(
        readers, first.grid, [], labels, small, agreed_ml=agreed_ml, smallest_ml=smallest_ml
    )
    if not differs.any():
        return nothing
    box = box_around(differs, first.spacing, 0.0)
    codes = np.where(differs[box], pattern[box], 0).astype(np.int16)
    if plane is not None:
        # Voxels exactly in the plane count as right, so that none is on no side.
        codes += np.where(plane.on_side(_part(first.grid, box), "left") & (codes > 0), 256, 0).astype(
            np.int16
        )
    parts: list[tuple[int, int, int, int]] = []  # size, code, first label, own label
    inner = np.zeros(codes.shape, np.int32)
    used = 0
    for code in np.unique(codes[codes > 0]):
        found, count = ndimage.label(codes == code)
        sizes = np.bincount(found.ravel(), minlength=count + 1)
        inner[found > 0] = found[found > 0] + used
        parts += [(int(sizes[i]), int(code), used + i, i) for i in range(1, count + 1)]
        used += count
    # Largest first; equal ones in the order of their first voxel, which is the same on every computer.
    parts.sort(key=lambda p: (-p[0], p[2]))
    voxel_ml = first.voxel_ml
    listed = [p for p in parts if p[0] * voxel_ml >= smallest_ml - 1e-9]
    renamed = np.zeros(used + 1, np.int32)
    for number, part in enumerate(listed, start=1):
        renamed[part[2]] = number
    labels[box] = renamed[inner]
    small[box] = (inner > 0) & (labels[box] == 0)
    boxes = ndimage.find_objects(labels[box])
    origin = np.array([side.start for side in box])
    regions = []
    for number, (size, code, _, _) in enumerate(listed, start=1):
        own = boxes[number - 1]
        start = origin + [side.start for side in own]
        places = np.argwhere(labels[box][own] == number) + start
        points = first.grid.points(places)
        centroid = points.mean(axis=0)
        nearest = points[int(np.argmin(((points - centroid) ** 2).sum(axis=1)))]
        marked = [bool(code & (1 << bit)) for bit in range(len(readers))]
        regions.append(
            Region(
                number,
                tuple(n for n, has in zip(readers, marked, strict=True) if has),
                tuple(n for n, has in zip(readers, marked, strict=True) if not has),
                None if plane is None else ("left" if code & 256 else "right"),
                _point(centroid),
                _point(nearest),
                size * voxel_ml,
                size,
            )
        )
    left_out = parts[len(listed) :]
    return Disagreement(
        readers, first.grid, regions, labels, small, len(left_out),
        sum(p[0] for p in left_out) * voxel_ml, agreed_ml, smallest_ml,
    )  # fmt: skip


def _part(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    a, b, c = (side.stop - side.start for side in box)
    return Grid((a, b, c), affine)


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

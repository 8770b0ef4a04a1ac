"""Where readers disagree: connected regions that some have marked and others not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import UsageError
from ..morphology import box_around
from ..symmetry import MirrorPlane, grid_of_box
from ..volume.geometry import Grid, Volume

#: Readers whose masks are told apart voxel by voxel.
MOST_READERS = 8
#: Beside one bit per reader: the voxel lies on the patient's left.
_LEFT = 256


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
    result = Disagreement(
        readers,
        first.grid,
        [],
        np.zeros(pattern.shape, np.int32),
        np.zeros(pattern.shape, bool),
        agreed_ml=float(np.count_nonzero(pattern == everybody)) * first.voxel_ml,
        smallest_ml=smallest_ml,
    )
    differs = (pattern > 0) & (pattern < everybody)
    if not differs.any():
        return result
    box = box_around(differs, first.spacing, 0.0)
    codes = np.where(differs[box], pattern[box], 0).astype(np.int16)
    if plane is not None:
        # Voxels exactly in the plane count as right, so that none is on no side.
        on_left = plane.on_side(grid_of_box(first.grid, box), "left")
        codes[on_left & (codes > 0)] += _LEFT
    _fill_in(result, codes, box, sided=plane is not None)
    return result


def _fill_in(
    result: Disagreement, codes: np.ndarray, box: tuple[slice, slice, slice], *, sided: bool
) -> None:
    """Regions of equal ``codes`` (int16, above 0 in dispute) of the part ``box`` into ``result``."""
    from scipy import ndimage

    places, numbers, parts, listed = _numbered(codes, result.smallest_ml / result.grid.voxel_ml)
    inner = np.zeros(codes.shape, np.int32)
    inner.reshape(-1)[places] = numbers
    result.labels[box] = inner
    unlisted = np.zeros(codes.shape, bool)
    unlisted.reshape(-1)[places[numbers == 0]] = True
    result.small[box] = unlisted
    origin = np.array([side.start for side in box])
    for number, around in enumerate(ndimage.find_objects(inner), start=1):
        size, code = parts[number - 1]
        start = origin + [side.start for side in around]
        points = result.grid.points(np.argwhere(inner[around] == number) + start)
        centroid = points.mean(axis=0)
        nearest = points[int(np.argmin(((points - centroid) ** 2).sum(axis=1)))]
        has = tuple(name for bit, name in enumerate(result.readers) if code & (1 << bit))
        lacks = tuple(name for name in result.readers if name not in has)
        side = ("left" if code & _LEFT else "right") if sided else None
        ml = size * result.grid.voxel_ml
        region = Region(number, has, lacks, side, _point(centroid), _point(nearest), ml, size)
        result.regions.append(region)
        result.by_number[number] = region
    result.small_regions = len(parts) - listed
    result.small_ml = sum(size for size, _ in parts[listed:]) * result.grid.voxel_ml


def _numbered(
    codes: np.ndarray, smallest_voxels: float
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], int]:
    """Flat indices of the voxels in dispute, the number of the region of each (0 = too small), size and code
    of all regions from the largest on, and how many of these are large enough."""
    from scipy import ndimage

    # Voxels in dispute are few: after labelling, only they are looked at.
    places = np.flatnonzero(codes)
    code_of = codes.reshape(-1)[places]
    label_of = np.zeros(len(places), np.int64)
    parts: list[tuple[int, int, int]] = []
    used = 0
    for code in np.unique(code_of):
        found, count = ndimage.label(codes == code)
        own = code_of == code
        labels = found.reshape(-1)[places[own]]
        sizes = np.bincount(labels, minlength=count + 1)
        label_of[own] = labels + used
        parts += [(int(sizes[i]), int(code), used + i) for i in range(1, count + 1)]
        used += count
    # Equal ones by who has them, then by their first voxel: the same order on every computer.
    parts.sort(key=lambda part: (-part[0], part[2]))
    listed = sum(part[0] >= smallest_voxels - 1e-6 for part in parts)
    renamed = np.zeros(used + 1, np.int32)
    renamed[[part[2] for part in parts[:listed]]] = np.arange(1, listed + 1)
    return places, renamed[label_of], [(size, code) for size, code, _ in parts], listed


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

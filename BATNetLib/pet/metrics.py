"""Numbers of a mask on PET/CT: per side and depot, and per patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from ..events import Events
from ..symmetry import MirrorPlane
from ..volume import Volume
from .peak import peak_map

SIDES = ("both", "right", "left")


@dataclass(frozen=True)
class Row:
    """One line of the table. ``region``: "total" or a depot; ``side``: "both", "right" or "left".

    Volume in mL, HU, SUV by body weight; ``sul_max`` by the formula of the table; ``glycolysis`` = volume x
    SUVmean, mL. ``asymmetry`` = (left - right) / (left + right) of the volumes, on rows of both sides.
    ``result``: "measured"; "none found", then every number but the volume (0) is None; or "not assessable",
    then the volume is None too: the sides of a body without a mid-plane.
    """

    criterion: str
    region: str
    side: str
    result: str
    volume_ml: float | None
    suv_mean: float | None = None
    suv_max: float | None = None
    suv_peak: float | None = None
    sul_max: float | None = None
    glycolysis: float | None = None
    mean_hu: float | None = None
    asymmetry: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Measurer:
    """Measures masks on one CT and its PET; the sphere means behind SUVpeak are computed once.

    ``ct`` (HU), ``suv``: SUVbw on the CT's grid, NaN beyond the PET. ``plane``: between right and
    left, None where there is none; a voxel centred exactly on it counts as left.
    ``lean_ratio``: lean body mass / weight for SULmax, None where unknown. ``depots``: labels on the CT's
    grid, named by ``depot_names``; ``union``: voxels in any mask that will be measured.
    """

    def __init__(
        self,
        ct: Volume,
        suv: Volume,
        union: np.ndarray,
        plane: MirrorPlane | None,
        *,
        lean_ratio: float | None = None,
        depots: Volume | None = None,
        depot_names: Mapping[int, str] | None = None,
        events: Events | None = None,
    ) -> None:
        self.ct, self.suv, self.depots = ct, suv, depots
        self.lean_ratio = lean_ratio
        self._left_of = None if plane is None else _form(plane, ct)
        self.depot_names = dict(depot_names or {})
        for value in () if depots is None else np.unique(depots.array).tolist():
            if value:
                self.depot_names.setdefault(int(value), f"depot {value:g}")
        self.peaks = peak_map(suv.array, ct.spacing, union, (events or Events()).check)

    def rows(self, criterion: str, mask: np.ndarray) -> list[Row]:
        """The lines of one mask (bool on the CT's grid): total, then each depot; both sides, right, left."""
        regions: dict[str, int | None] = {"total": None}
        if self.depots is not None:
            regions |= {name: label for label, name in self.depot_names.items()}
        sums = {(region, side): _Sum() for region in regions for side in SIDES}
        for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
            self._add_slice(index, mask[index], regions, sums)
        rows = []
        for region in regions:
            right, left = (sums[region, side].voxels for side in ("right", "left"))
            for side in SIDES:
                if side != "both" and self._left_of is None:
                    rows.append(Row(criterion, region, side, "not assessable", None))
                    continue
                found = sums[region, side]
                numbers = self._numbers(found)
                if side == "both" and right + left:
                    numbers["asymmetry"] = (left - right) / (left + right)
                result = "measured" if found.voxels else "none found"
                rows.append(Row(criterion, region, side, result, **numbers))
        return rows

    def _add_slice(
        self,
        index: int,
        mask: np.ndarray,
        regions: Mapping[str, int | None],
        sums: dict[tuple[str, str], _Sum],
    ) -> None:
        """Add the voxels of one slice to the sums of their regions and sides."""
        row, column = np.nonzero(mask)
        hu, suv = self.ct.array[index, row, column], self.suv.array[index, row, column]
        peak = self.peaks(index, row, column)
        sides = {"both": np.ones(len(row), bool)}
        if self._left_of is not None:
            a = self._left_of
            left = a[0] * index + a[1] * row + a[2] * column + a[3] >= 0
            sides |= {"right": ~left, "left": left}
        labels = None if self.depots is None else self.depots.array[index, row, column]
        for region, label in regions.items():
            inside = None if label is None or labels is None else labels == label
            for side, chosen in sides.items():
                if inside is not None:
                    chosen = chosen & inside
                if chosen.any():
                    sums[region, side].add(hu[chosen], suv[chosen], peak[chosen])

    def _numbers(self, found: _Sum) -> dict[str, Any]:
        if not found.voxels:
            return {"volume_ml": 0.0}
        volume, mean = found.voxels * self.ct.voxel_ml, found.suv / found.voxels
        return {
            "volume_ml": volume,
            "suv_mean": mean,
            "suv_max": found.suv_max,
            "suv_peak": found.suv_peak,
            "sul_max": None if self.lean_ratio is None else found.suv_max * self.lean_ratio,
            "glycolysis": volume * mean,
            "mean_hu": found.hu / found.voxels,
        }


def _form(plane: MirrorPlane, ct: Volume) -> np.ndarray:
    """Numbers a: a voxel [slice, row, column] lies a[:3] . voxel + a[3] mm to the left of the plane."""
    normal, affine = np.array(plane.normal), ct.grid.affine
    return np.append(normal @ affine[:3, :3], normal @ (affine[:3, 3] - np.array(plane.point)))


@dataclass
class _Sum:
    """What the voxels of one region and side add up to."""

    voxels: int = 0
    hu: float = 0.0
    suv: float = 0.0
    suv_max: float = -np.inf
    suv_peak: float = -np.inf

    def add(self, hu: np.ndarray, suv: np.ndarray, peak: np.ndarray) -> None:
        self.voxels += len(hu)
        self.hu += float(hu.sum(dtype=np.float64))
        self.suv += float(suv.sum(dtype=np.float64))
        self.suv_max = max(self.suv_max, float(suv.max()))
        self.suv_peak = max(self.suv_peak, float(peak.max()))


class HasSlices(Protocol):
    """A box of voxels, such as ``brown.patches.Box``."""

    @property
    def slices(self) -> tuple[slice, slice, slice]: ...


@dataclass(frozen=True)
class PatchActivity:
    """SUVbw of the adipose tissue of one patch; None where it has none that the PET covers.

    ``voxels``: adipose voxels with a PET value.
    """

    index: int
    suv_max: float | None
    suv_mean: float | None
    voxels: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def patch_activity(
    suv_on_ct: np.ndarray, boxes: Sequence[HasSlices], adipose: np.ndarray
) -> list[PatchActivity]:
    """PET activity of each patch, to stand beside the network's probability of the same patch.

    ``suv_on_ct``: SUVbw [slice, row, column] on the CT's grid, NaN beyond the PET (``resample_to_ct``).
    ``boxes``: the patches in the authors' order. ``adipose``: mask of the same shape. The order is kept.
    """
    found = []
    for index, box in enumerate(boxes):
        values = suv_on_ct[box.slices][adipose[box.slices] > 0]
        values = values[~np.isnan(values)].astype(np.float64)
        if len(values):
            found.append(PatchActivity(index, float(values.max()), float(values.mean()), len(values)))
        else:
            found.append(PatchActivity(index, None, None, 0))
    return found

"""Numbers of a mask on PET/CT: per side and depot, and per patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

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

    ``ct`` (HU), ``suv``: SUVbw on the CT's grid, NaN beyond the PET. ``midline_mm``: LPS x of the plane
    between right and left, None where there is none; a voxel centred exactly on it counts as left.
    ``lean_ratio``: lean body mass / weight for SULmax, None where unknown. ``depots``: labels on the CT's
    grid, named by ``depot_names``; ``union``: voxels in any mask that will be measured.
    """

    def __init__(
        self,
        ct: Volume,
        suv: Volume,
        union: np.ndarray,
        midline_mm: float | None,
        *,
        lean_ratio: float | None = None,
        depots: Volume | None = None,
        depot_names: Mapping[int, str] | None = None,
    ) -> None:
        self.ct, self.suv, self.depots = ct, suv, depots
        self.midline_mm, self.lean_ratio = midline_mm, lean_ratio
        self.depot_names = dict(depot_names or {})
        for value in () if depots is None else np.unique(depots.array).tolist():
            if value:
                self.depot_names.setdefault(int(value), f"depot {value:g}")
        self.peaks = peak_map(suv.array, ct.spacing, union)

    def rows(self, criterion: str, mask: np.ndarray) -> list[Row]:
        """The lines of one mask (bool on the CT's grid): total, then each depot; both sides, right, left."""
        where = np.flatnonzero(mask)
        left = self._is_left(where)
        hu = self.ct.array.ravel()[where].astype(np.float64)
        suv = self.suv.array.ravel()[where].astype(np.float64)
        peak = self.peaks(where)
        regions: list[tuple[str, np.ndarray]] = [("total", np.ones(len(where), bool))]
        if self.depots is not None:
            labels = self.depots.array.ravel()[where]
            regions += [(name, labels == value) for value, name in self.depot_names.items()]
        rows = []
        for region, inside in regions:
            for side in SIDES:
                if side != "both" and left is None:
                    rows.append(Row(criterion, region, side, "not assessable", None))
                    continue
                chosen = inside
                if side != "both" and left is not None:
                    chosen = inside & (left if side == "left" else ~left)
                numbers = self._numbers(hu[chosen], suv[chosen], peak[chosen])
                if side == "both":
                    numbers["asymmetry"] = _asymmetry(inside, left)
                result = "measured" if chosen.any() else "none found"
                rows.append(Row(criterion, region, side, result, **numbers))
        return rows

    def _numbers(self, hu: np.ndarray, suv: np.ndarray, peak: np.ndarray) -> dict[str, Any]:
        volume = len(suv) * self.ct.voxel_ml
        if not len(suv):
            return {"volume_ml": 0.0}
        mean, highest = float(suv.mean()), float(suv.max())
        return {
            "volume_ml": volume,
            "suv_mean": mean,
            "suv_max": highest,
            "suv_peak": float(peak.max()),
            "sul_max": None if self.lean_ratio is None else highest * self.lean_ratio,
            "glycolysis": volume * mean,
            "mean_hu": float(hu.mean()),
        }

    def _is_left(self, where: np.ndarray) -> np.ndarray | None:
        if self.midline_mm is None:
            return None
        affine = self.ct.grid.affine
        x = np.full(len(where), affine[0, 3])
        for axis, index in enumerate(np.unravel_index(where, self.ct.grid.shape)):
            x += affine[0, axis] * index
        return np.asarray(x >= self.midline_mm)


def _asymmetry(inside: np.ndarray, left: np.ndarray | None) -> float | None:
    """(left - right) / (left + right) of the voxels ``inside``; None without sides or voxels."""
    total = int(inside.sum())
    if left is None or not total:
        return None
    return (2 * int((inside & left).sum()) - total) / total


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

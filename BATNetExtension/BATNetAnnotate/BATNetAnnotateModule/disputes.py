"""What the readers' comparison has written, and the regions they see differently, ready to be decided."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from BATNetSlicer.masks import Cropped, cropped
from BATNetSlicer.texts import _

#: Regions that are smaller are counted, not listed; as the engine does by itself.
SMALLEST_ML = 0.05


@dataclass(frozen=True)
class RegionRow:
    """A region in dispute. ``inside``: RAS mm of a voxel of it. ``key``: case and number."""

    case: str
    number: int
    side: str
    ml: float
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    inside: tuple[float, float, float]

    @property
    def key(self) -> tuple[str, int]:
        return self.case, self.number


@dataclass
class Comparison:
    """``decisions``: key of a region to whether it is brown fat."""

    folder: Path
    summary: Mapping[str, Any]
    regions: list[RegionRow]
    decisions: dict[tuple[str, int], bool] = field(default_factory=dict)

    @property
    def readers(self) -> tuple[str, ...]:
        return tuple(self.summary["readers"])

    def versions(self, case: str) -> dict[str, int]:
        """Reader to the version that was compared."""
        return {str(name): int(number) for name, number in self.summary["versions"][case].items()}

    def decided_cases(self) -> list[str]:
        """Cases with regions in dispute of which all are decided."""
        cases = dict.fromkeys(row.case for row in self.regions)
        return [c for c in cases if all(r.key in self.decisions for r in self.regions if r.case == c)]


def read_comparison(folder: Path) -> Comparison:
    """What ``batnet agreement`` has written into ``folder``."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    with (folder / "regions.csv").open(encoding="utf-8", newline="") as file:
        rows = [_row(cells) for cells in csv.DictReader(file)]
    rows.sort(key=lambda row: (-row.ml, row.case, row.number))
    return Comparison(folder, summary, rows)


def _row(cells: Mapping[str, str]) -> RegionRow:
    from BATNetLib.batch.words import plain_cell

    x, y, z = (float(cells[f"inside_{axis}"]) for axis in "xyz")
    has, lacks = (
        tuple(name for name in plain_cell(cells[kind]).split("; ") if name) for kind in ("has", "lacks")
    )
    return RegionRow(
        plain_cell(cells["case_id"]),
        int(cells["region"]),
        cells["side"],
        float(cells["ml"]),
        has,
        lacks,
        (-x, -y, z),
    )


def table_of(summary: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows for the panel: measure, readers, value with its 95 % interval, number of cases or scores."""
    tolerance = f"{summary['options']['tolerance_mm']:g}"
    titles = {
        "dice": _("Dice"),
        "surface_dice": _("Surface Dice ({mm} mm)").format(mm=tolerance),
        "hd95_mm": _("HD95 (mm)"),
    }
    rows = []
    for entry in summary["masks"]:
        names = " / ".join(entry["readers"])
        rows += [(title, names, *_numbers(entry[key]["mean"], 2)) for key, title in titles.items()]
    volumes = {
        "ICC(2,1)": _("Volume: ICC(2,1)"),
        "bias": _("Volume: bias (mL)"),
        "lower limit": _("Volume: lower limit (mL)"),
        "upper limit": _("Volume: upper limit (mL)"),
    }
    for entry in summary["volumes"]:
        digits = 2 if entry["measure"] == "ICC(2,1)" else 1
        title = volumes.get(entry["measure"], entry["measure"])
        rows.append((title, " / ".join(entry["readers"]), *_numbers(entry, digits)))
    weights = {"linear": _("Scores: kappa, linear"), "quadratic": _("Scores: kappa, quadratic")}
    for entry in summary["scores"]:
        if entry["group"] == "all depots":
            names = " / ".join(entry["readers"]) if entry["readers"] else _("all pairs")
            rows.append((weights[entry["weights"]], names, *_numbers(entry, 2)))
            if entry["prevalence"] and entry["weights"] == "linear":
                shares = ["/".join(f"{100 * s:.0f}" for s in side) for side in entry["prevalence"]]
                rows.append((_("Scores 0/1/2 (%)"), names, "; ".join(shares), str(entry["n"])))
    return rows


def _numbers(estimate: Mapping[str, Any], digits: int) -> tuple[str, str]:
    """Value with interval, and how many it rests on; why there is none where there is none."""
    if estimate["value"] is None:
        return str(estimate.get("note") or "–"), str(estimate["n"])
    text = f"{estimate['value']:.{digits}f}"
    if estimate["low"] is not None:
        text += f" ({estimate['low']:.{digits}f} … {estimate['high']:.{digits}f})"
    return text.replace("-", "−"), str(estimate["n"])


# --- masks of the readers


def masks_of(store: Any, case: str, versions: Mapping[str, int]) -> dict[str, Any]:
    """Reader to mask (``Volume``) as it was compared; raises ``InputRefused`` for a damaged version."""
    return {reader: _read(store, case, reader, number)[0] for reader, number in versions.items()}


def shown_masks(store: Any, case: str, versions: Mapping[str, int]) -> dict[str, Cropped]:
    """Reader to mask on the voxels of the CT's node, to be shown."""
    from BATNetLib.annotation.grids import to_slicer

    found = masks_of(store, case, versions)
    return {reader: cropped(to_slicer(mask)[0] > 0) for reader, mask in found.items()}


def write_adjudicated(
    store: Any, case: str, versions: Mapping[str, int], choices: Mapping[int, bool], by: str
) -> Any:
    """Make the final mask of a case from what was decided, and keep it. Returns the version."""
    from BATNetLib.agreement import adjudicate, find_regions, save_adjudicated

    reads = {reader: _read(store, case, reader, number) for reader, number in versions.items()}
    masks = {reader: mask for reader, (mask, _record) in reads.items()}
    records = [record for _mask, record in reads.values()]
    found = find_regions(masks, plane=_plane(records), smallest_ml=SMALLEST_ML)
    result = adjudicate(masks, found, choices, by=by, rest="majority")
    ct = {record.ct for record in records if record.ct}
    return save_adjudicated(
        store,
        case,
        result,
        versions=versions,
        ct=ct.pop() if len(ct) == 1 else None,
        midplane=next((record.midplane for record in records if record.midplane), None),
    )


def _read(store: Any, case: str, reader: str, number: int) -> tuple[Any, Any]:
    from BATNetLib.errors import InputRefused

    for version in store.versions(case, reader):
        if version.number == number:
            brown, _fat, record = store.read(version)
            return brown, record
    raise InputRefused(
        "version-gone",
        _("Version {number} of {reader} is no longer there.").format(number=number, reader=reader),
        _("The reads that were compared are needed."),
        _("Compare the readers again."),
    )


def _plane(records: list[Any]) -> Any:
    """The mid-plane by which the engine told the sides: of the first reader who has one."""
    from BATNetLib.errors import InputRefused
    from BATNetLib.symmetry import MirrorPlane

    for record in records:
        if record.midplane:
            try:
                return MirrorPlane.from_dict(record.midplane)
            except InputRefused:
                continue
    return None


def voxels_of(mask: Cropped) -> int:
    return int(np.count_nonzero(mask.array))

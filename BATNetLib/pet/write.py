"""The result folder of a PET/CT: masks, table, passport, picture."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..events import Events
from ..volume import Volume, hash_voxels, write_volume
from .evaluate import Assessment, PetResult
from .masks import INTERPOLATION
from .metrics import Row
from .peak import DEFINITION
from .preview import preview

SCHEMA_VERSION = 1
TABLE, PASSPORT, PICTURE, SUV_FILE = "pet.csv", "pet.json", "preview.png", "suv_on_ct.nii.gz"

#: Heads of the table with their units, in the order of the columns.
_COLUMNS = {
    "criterion": "criterion",
    "region": "region",
    "side": "side",
    "result": "result",
    "volume_ml": "volume_ml",
    "suv_mean": "suv_mean",
    "suv_max": "suv_max",
    "suv_peak": "suv_peak",
    "sul_max": "sul_max",
    "glycolysis": "glycolysis_ml",
    "mean_hu": "mean_hu",
    "asymmetry": "asymmetry_l_r",
}


def save(result: PetResult, folder: Path, *, keep_suv: bool = False, events: Events | None = None) -> None:
    """Write ``result`` into the existing ``folder`` (one of ``workfiles.whole_folder``).

    ``<criterion>.nii.gz``: uint8 mask on the grid of the CT's own file; ``pet.csv``: a line for each
    criterion, region and side, numbers that do not exist left empty; ``pet.json``: the passport, without
    file names, dates and names; ``preview.png``; ``suv_on_ct.nii.gz`` with ``keep_suv`` (NaN beyond the PET).
    """
    events = events or Events()
    with events.stage("Writing", len(result.assessments) + 3) as stage:
        for assessment in result.assessments:
            if assessment.mask is not None:
                write_volume(
                    assessment.mask,
                    folder / f"{assessment.criterion.name}.nii.gz",
                    like=result.ct,
                    kind="mask",
                )
            stage.advance()
        if keep_suv:
            write_volume(result.suv, folder / SUV_FILE, like=result.ct, kind="map")
        stage.advance()
        write_table(result, folder / TABLE)
        text = json.dumps(passport(result), indent=2, ensure_ascii=True, allow_nan=False)
        (folder / PASSPORT).write_text(text + "\n", encoding="ascii")
        stage.advance()
        preview(result).save(folder / PICTURE)
        stage.advance()


def write_table(result: PetResult, path: Path) -> None:
    """``pet.csv``; a criterion that could not be assessed has one line that says so."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(_COLUMNS.values()))
        writer.writeheader()
        for assessment in result.assessments:
            if assessment.mask is None:
                reason = str((assessment.problem or {})["code"])
                writer.writerow(
                    {
                        "criterion": assessment.criterion.name,
                        "region": "total",
                        "side": "both",
                        "result": f"not assessable ({reason})",
                    }
                )
            for row in assessment.rows:
                writer.writerow({_COLUMNS[f.name]: _cell(getattr(row, f.name)) for f in fields(Row)})


def passport(result: PetResult) -> dict[str, Any]:
    """``result`` as plain JSON values; numbers that do not exist are null."""
    inputs = {"ct": result.ct, "pet_suv": result.pet.suv, "adipose": result.adipose, "depots": result.depots}
    return {
        "schema_version": SCHEMA_VERSION,
        "statement": RESEARCH_USE_ONLY,
        "software": {"name": "BATNet for 3D Slicer", "version": __version__},
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": {name: _input(volume) for name, volume in inputs.items() if volume is not None},
        "suv": result.pet.factors.as_dict(),
        "interpolation": INTERPOLATION,
        "suv_peak": DEFINITION,
        "suv_max": "highest SUV at a voxel centre of the CT's grid, after interpolation",
        "glycolysis": "volume in mL x SUVmean",
        "asymmetry": "(left - right) / (left + right) of the volumes; sides are the patient's",
        "midplane": result.midplane.as_dict(),
        "options": result.options.as_dict(),
        "body": {"mean_suv": result.body_mean_suv, "covered_by_pet": round(result.covered, 4)},
        "criteria": [_criterion(assessment) for assessment in result.assessments],
        "warnings": result.warnings,
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
    }


def _criterion(assessment: Assessment) -> dict[str, Any]:
    return {
        **assessment.criterion.as_dict(),
        "rule": assessment.criterion.words(),
        "cutoff_suv_bw": assessment.cutoff_bw,
        "mask": None if assessment.mask is None else f"{assessment.criterion.name}.nii.gz",
        "problem": assessment.problem,
        "rows": [row.as_dict() for row in assessment.rows],
    }


def _input(volume: Volume) -> dict[str, Any]:
    facts = volume.facts or {}
    grid = volume.source.grid if volume.source else volume.grid
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    return {
        "format": facts.get("format", "memory"),
        "sha256_voxels": hash_voxels(volume),
        "shape": list(grid.shape),
        "spacing_mm": [round(s, 6) for s in grid.spacing],
        "uids": {name: facts[name] for name in uids if facts.get(name)},
        "slice_spacings_mm": facts.get("slice_spacings_mm"),
        "gaps_resampled": facts.get("gaps_resampled", False),
        "resampled": facts.get("resampled"),
    }


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.4f}"

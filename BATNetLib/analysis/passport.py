"""The passport of a result, ``analysis.json``: what was found, from what, by what, and how.

Its form is described in ``Resources/schemas/analysis.schema.json``. It holds no file names (unless asked
for), no folders and no names of patients; numbers that do not exist are null.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import RESEARCH_USE_ONLY, __version__
from ..volume import Grid, Volume, hash_voxels
from .places import box_facts
from .result import Analysis, PatchResult

SCHEMA_VERSION = 1
SOFTWARE = "BATNet for 3D Slicer"
DEMONSTRATION = "Demonstration model, trained on phantoms: its numbers mean nothing for patients."
#: Said in every output that rests on such a mask, so that it is never taken for the network's.
HU_THRESHOLD = "Adipose mask by HU threshold, not by the network."


def passport(analysis: Analysis) -> dict[str, Any]:
    """``analysis`` as plain JSON values, in the order in which people read them."""
    options = analysis.options
    brown = analysis.models.get("brown")
    facts = {
        "schema_version": SCHEMA_VERSION,
        "statement": RESEARCH_USE_ONLY,
        "demonstration": DEMONSTRATION if analysis.demonstration else None,
        "software": {"name": SOFTWARE, "version": __version__, "commit": git_commit()},
        "created": analysis.created,
        "case": {
            "id": options.pseudonym,
            "outcome": analysis.outcome,
            "probability": analysis.probability,
            "calibrated": bool(brown and brown["calibrated"]),
            "operating_point": (analysis.decision or {}).get("operating_point"),
            "decision": _decision(analysis),
            "reasons": [reason.as_dict() for reason in analysis.reasons],
        },
        "method": {
            "adipose": analysis.method,
            "hu_range": list(options.hu_range) if analysis.method == "hu-threshold" else None,
        },
        "inputs": _inputs(analysis),
        "model": brown,
        "models": analysis.models,
        "patches": [_patch(patch, analysis) for patch in analysis.patches],
        "adipose": _adipose(analysis),
        "lungs": _lungs(analysis),
        "attention": _attention(analysis),
        "preflight": analysis.preflight.as_dict() if analysis.preflight else None,
        "overrides": analysis.overrides,
        "warnings": analysis.warnings,
        "device": analysis.devices,
        "precision": analysis.precision,
        "path": analysis.path,
        "seconds": {name: round(value, 3) for name, value in analysis.seconds.items()},
        "options": _options(analysis),
    }
    return plain(facts)


def plain(value: Any) -> Any:
    """``value`` in plain JSON types; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)


def axis_codes(grid: Grid) -> str:
    """Three letters: where each array axis points to (L/R, P/A, S/I), by its largest direction cosine."""
    letters = []
    for column in grid.affine[:3, :3].T:
        axis = int(np.abs(column).argmax())
        letters.append(("L", "P", "S")[axis] if column[axis] > 0 else ("R", "A", "I")[axis])
    return "".join(letters)


def attention_resolution(analysis: Analysis) -> dict[str, list[float]] | None:
    """Smallest and largest edge of an attention cell in mm along slices, rows and columns."""
    if analysis.attention is None:
        return None
    extents = np.array([np.subtract(box.end, box.start) for box in analysis.boxes])
    edges = extents * np.array(analysis.ct.spacing) / analysis.attention.cells
    return {"min": np.round(edges.min(0), 2).tolist(), "max": np.round(edges.max(0), 2).tolist()}


@cache
def git_commit() -> str | None:
    """The commit of the sources where they are a git checkout, read without running git."""
    folder = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head[:40]
        name = head[5:]
        loose = folder / name
        if loose.is_file():
            return loose.read_text(encoding="ascii").strip()[:40]
        for line in (folder / "packed-refs").read_text(encoding="ascii").splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        pass
    return None


def _decision(analysis: Analysis) -> dict[str, Any] | None:
    if analysis.decision is None:
        return None
    return {key: value for key, value in analysis.decision.items() if key != "operating_point"}


def _inputs(analysis: Analysis) -> dict[str, Any]:
    return {
        what: _input(volume) | {"name": analysis.names.get(what)} for what, volume in analysis.given.items()
    }


def _input(volume: Volume) -> dict[str, Any]:
    grid = volume.source.grid if volume.source else volume.grid
    facts = volume.facts or {}
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    return {
        "format": facts.get("format", "memory"),
        "sha256_voxels": hash_voxels(volume),
        "shape": list(grid.shape),
        "spacing_mm": [round(s, 6) for s in grid.spacing],
        "axes": axis_codes(grid),
        "uids": {name: facts[name] for name in uids if facts.get(name)},
        "facts": {key: value for key, value in facts.items() if key not in (*uids, "format")},
    }


def _patch(patch: PatchResult, analysis: Analysis) -> dict[str, Any]:
    place = patch.place
    box = box_facts(patch.box, analysis.ct)
    return {
        "index": place.index,
        "pair": place.pair,
        "side": place.side,
        "place": place.words,
        "level": place.level,
        "depth": place.depth,
        "lateral": place.lateral,
        "partner": place.partner,
        "probability": patch.probability,
        "adipose_ml": _rounded(patch.adipose_ml, 4),
        "mean_hu": _rounded(patch.mean_hu, 2),
        "pet": patch.pet,
        "box": box["lps_mm"],
        "box_voxels": box["voxels"],
        "box_input_voxels": box["input_voxels"],
    }


def _adipose(analysis: Analysis) -> dict[str, Any] | None:
    facts = analysis.adipose_facts
    if facts is None:
        return None
    return {
        "volume_ml": _rounded(facts.volume_ml, 3),
        "mean_hu": facts.mean_hu,
        "sides": facts.sides,
        "segmented_slices": list(facts.slices),
        "note": "Volumes count fat above the lung cut only; slices outside the segmented range are empty.",
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _lungs(analysis: Analysis) -> dict[str, Any] | None:
    lungs = analysis.lungs
    if lungs is None:
        return None
    rows, columns = analysis.ct.array.shape[1:]
    # The plane between the last slice that counts and the first that does not, at the image's centre.
    middle = analysis.ct.grid.points(np.array([[lungs.cut - 0.5, (rows - 1) / 2, (columns - 1) / 2]]))[0]
    return {
        "origin": lungs.origin,
        "zmin": lungs.first,
        "zmax": lungs.last,
        "cut_slice": lungs.cut,
        "cut_lps_mm": np.round(middle, 3).tolist(),
    }


def _attention(analysis: Analysis) -> dict[str, Any] | None:
    if analysis.attention is None:
        return None
    return {
        "stage": analysis.attention.stage,
        "cells_per_patch_edge": analysis.attention.cells,
        "resolution_mm": attention_resolution(analysis),
        "empty": not bool(analysis.attention.values.any()),
        "note": "What the network looked at, not where brown fat is.",
    }


def _options(analysis: Analysis) -> dict[str, Any]:
    options = analysis.options.as_dict()
    for key in ("adipose_model", "brown_model"):
        # A model may be named by its path; folders do not belong into a result.
        options[key] = Path(options[key]).name
    return options

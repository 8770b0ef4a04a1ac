"""Preparing patches offline: cut once, kept beside a note, made again only where something changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..batch.names import kept_names
from ..brown.patches import extract_patches
from ..errors import BATNetError, InputRefused, UsageError
from ..events import Events
from ..volume import hash_voxels
from ..workfiles import whole_folder
from .cases import PATCHES, Dataset, TrainingCase
from .inner import Inner, in_order
from .layouts import PATCH_FILES
from .manifest import write_manifest
from .patchfiles import NOTE_FILE, PRECISIONS, SOURCES, file_hash, read_note, stale, write_patches
from .scans import read_scan

MANIFEST = "manifest.csv"


@dataclass
class Prepared:
    """What became of each case, by name. ``made``: to why (new, or what was stale); ``kept``: as they were;
    ``refused``: to the refusal."""

    made: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    refused: dict[str, BATNetError] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        refused = {case: error.as_dict() for case, error in self.refused.items()}
        return {"made": self.made, "kept": self.kept, "refused": refused}


def prepare_patches(
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    precision: str = "float32",
    again: bool = False,
    workers: int = 1,
    events: Events | None = None,
) -> Prepared:
    """Cut the labelled patches of all cases into ``out``, a folder per case, with a manifest.

    Parameters
    ----------
    out : patches that are there and not stale are kept.
    precision : "float32", or "float16": values rounded by at most 0.05 HU, smaller files (NIfTI knows no
        half precision, so both are stored as float32).
    again : make all of them again.
    workers : cases cut at the same time, in threads; each holds a scan in memory.

    A case that cannot be cut is refused by name and the others go on. Raises ``UsageError`` for an unknown
    precision, without a case that has a scan, and where ``out`` holds inputs or other things than patches,
    ``OutputRefused`` where it cannot be written.
    """
    events = events or Events()
    out = Path(out)
    if precision not in PRECISIONS:
        raise UsageError(
            "precision-unknown",
            f"The precision {precision!r} was asked for.",
            f"Known are {', '.join(PRECISIONS)}.",
            "Choose one of these.",
        )
    cases = [case for case in dataset.cases if case.has_scan or case.refusal]
    if not any(case.has_scan for case in cases):
        raise UsageError(
            "no-scans",
            f"'{dataset.name}' holds no case with a scan.",
            "Patches are cut from a CT with its adipose and brown-fat masks.",
            "Name the folder that holds the scans.",
        )
    dataset.require_apart(out)
    folders = kept_names([case.as_found() for case in cases])
    for folder in folders.values():
        _require_ours(out / folder)
    result = Prepared()

    def one(case: TrainingCase) -> str | InputRefused | UsageError | None:
        try:
            return _prepare(case, out / folders[case.case], precision, again, Inner(events))
        except (InputRefused, UsageError) as error:
            return error

    with events.stage("prepare patches", len(cases)) as stage:
        for case, became in zip(cases, in_order(one, cases, workers, stage), strict=True):
            if became is None:
                result.kept.append(case.case)
            elif isinstance(became, str):
                result.made[case.case] = became
            else:
                result.refused[case.case] = became
    _write_list(dataset, out, folders, result)
    return result


def with_patches(dataset: Dataset, out: str | os.PathLike[str]) -> Dataset:
    """The cases with the patches that lie for them in ``out``, so that a check compares both."""
    out = Path(out)
    folders = kept_names([case.as_found() for case in dataset.cases])
    cases = []
    for case in dataset.cases:
        files = {role: out / folders[case.case] / name for role, name in PATCH_FILES.items()}
        there = {role: path for role, path in files.items() if path.is_file()}
        cases.append(replace(case, files={**case.files, **there}))
    return replace(dataset, cases=tuple(cases))


def _prepare(case: TrainingCase, folder: Path, precision: str, again: bool, events: Events) -> str | None:
    """Make the patches of a case where needed; why they were made, None where they are kept."""
    if case.refusal is not None:
        raise case.refusal
    why: str | None = "new"
    if folder.exists():
        why = "asked for" if again else stale(folder, case, events)
        if why is None and (read_note(folder) or {}).get("precision") != precision:
            why = "The patches were kept with another precision."
    if why is None:
        return None
    for role in ("adipose", "brown"):
        if role not in case.files:
            raise InputRefused(
                f"{role}-missing",
                f"The case has no {'brown-fat' if role == 'brown' else role} mask.",
                "Labelled patches need the CT, its adipose mask and its brown-fat mask.",
                "Add the mask; an empty brown-fat mask stands for a case without brown fat.",
            )
    scan = read_scan(case, [role for role in SOURCES if role in case.files], events)
    assert scan.adipose is not None and scan.brown is not None
    events.check()
    patches = extract_patches(
        scan.ct.array, scan.adipose.array, scan.brown.array, None if scan.lungs is None else scan.lungs.array
    )
    volumes = {role: getattr(scan, role) for role in SOURCES if role in case.files}
    made_from = {
        role: {"voxels": hash_voxels(volume), **file_hash(case.files[role])}
        for role, volume in volumes.items()
    }
    with whole_folder(folder, replace=True) as tmp:
        write_patches(tmp, patches, made_from, precision)
    return why


def _require_ours(folder: Path) -> None:
    """Only folders that hold patches and nothing else are ever replaced."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.is_file() or names - {*PATCH_FILES.values(), NOTE_FILE}:
        raise UsageError(
            "output-not-patches",
            f"'{folder.name}' is there already and holds other things than patches.",
            "A folder of patches is replaced when they are stale; nothing else is.",
            "Choose another folder with --out.",
        )


def _write_list(dataset: Dataset, out: Path, folders: Mapping[str, str], result: Prepared) -> None:
    """The manifest of the cases that have patches, with their patients, centres and splits."""
    there = {*result.made, *result.kept}
    cases = [
        replace(
            case,
            layout=PATCHES,
            files={role: out / folders[case.case] / name for role, name in PATCH_FILES.items()},
            series=None,
            axes=None,
            members=(),
        )
        for case in dataset.cases
        if case.case in there
    ]
    write_manifest(replace(dataset, cases=tuple(cases)), out / MANIFEST)

"""Masks that training cases of stage 2 lack or that are exchanged: lungs found, fat as stage 1 sees it.

In an analysis the fat mask comes from stage 1 and everything below the lungs' cut plane is dropped. Patches
of a training case without a lung mask would cover the whole scan, which is another picture than the network
will be asked about; so lungs are found for it, as for a patient.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..batch.names import kept_names
from ..dataset.cases import TrainingCase
from ..dataset.inner import Inner
from ..dataset.scans import read_ct
from ..errors import InputRefused
from ..events import Events
from ..lungs import cut_plane, find_lungs
from ..volume import Volume, hash_file, read_mask, write_volume
from ..workfiles import whole_folder

if TYPE_CHECKING:
    from ..models import LoadedModel

NOTE_FILE = "made-from.json"
LUNGS, ADIPOSE = "lungs.nii.gz", "adipose.nii.gz"


def with_masks(
    cases: Sequence[TrainingCase],
    place: Path,
    events: Events,
    segmenter: LoadedModel | None = None,
    device: str = "auto",
) -> list[TrainingCase]:
    """The same cases with lung masks from ``place`` where they have none and, with ``segmenter`` (a model of
    stage 1), its adipose masks in place of the true ones.

    Masks that are there and were made from the same scan by the same means are kept. Only cases with a scan
    and a brown-fat mask are looked at. Where no lungs are seen the case goes without a cut plane, with a
    warning. Raises ``InputRefused`` where a scan cannot be read, ``OutputRefused``, ``Cancelled``.
    """
    chosen = [c for c in cases if c.has_scan and "brown" in c.files and c.refusal is None]
    needed = [c for c in chosen if segmenter is not None or "lungs" not in c.files]
    if not needed:
        return list(cases)
    folders = kept_names([case.as_found() for case in cases])
    made: dict[str, TrainingCase] = {}
    uncut = []
    with events.stage("masks of training cases", len(needed)) as stage:
        for case in needed:
            folder = place / folders[case.case]
            _make(case, folder, segmenter, device, Inner(events, tell=False))
            new = {"lungs": folder / LUNGS, "adipose": folder / ADIPOSE}
            made[case.case] = replace(
                case, files={**case.files, **{role: path for role, path in new.items() if path.is_file()}}
            )
            if "lungs" not in made[case.case].files:
                uncut.append(case.case)
            stage.advance()
    if uncut:
        events.warning(
            "lungs-not-found",
            f"No lungs were seen in {len(uncut)} of {len(chosen)} cases ({', '.join(uncut[:5])}): their "
            "patches are laid over all fat of the scan, not over that above the lungs' cut plane. Add lung "
            "masks.",
        )
    return [made.get(case.case, case) for case in cases]


def _make(
    case: TrainingCase, folder: Path, segmenter: LoadedModel | None, device: str, events: Events
) -> None:
    """Fill ``folder`` with the lung mask the case lacks and with the adipose mask of ``segmenter``."""
    wanted = {
        "schema": 1,
        "software": __version__,
        "ct": _fingerprint(case.files["ct"]),
        "lungs": _fingerprint(case.files["lungs"]) if "lungs" in case.files else "found",
        "adipose": None if segmenter is None else segmenter.sha256,
    }
    if _note(folder) == wanted:
        return
    ct = read_ct(case, events)
    lungs = _lungs(case, ct, events)
    with whole_folder(folder, replace=True) as tmp:
        if lungs is not None and "lungs" not in case.files:
            write_volume(lungs, tmp / LUNGS, like=ct, kind="mask")
        if segmenter is not None:
            from ..adipose.segment import segment_adipose

            until = None if lungs is None else cut_plane(lungs.array)
            found = segment_adipose(ct, segmenter, until_slice=until, device=device, events=events)
            write_volume(found.mask, tmp / ADIPOSE, like=ct, kind="mask")
        (tmp / NOTE_FILE).write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _lungs(case: TrainingCase, ct: Volume, events: Events) -> Volume | None:
    if "lungs" in case.files:
        return read_mask(case.files["lungs"], ct, name="lung mask", events=events)
    try:
        return find_lungs(ct, events)
    except InputRefused as error:
        if error.code in ("no-lungs", "no-body"):
            return None
        raise


def _note(folder: Path) -> Any:
    try:
        return json.loads((folder / NOTE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of all files of a DICOM folder in the order of their names."""
    if path.is_file():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(hash_file(file).encode())
    return digest.hexdigest()

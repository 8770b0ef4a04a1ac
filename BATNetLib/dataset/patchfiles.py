"""Cached patches: the authors' four files of a case, with a note of what they were made from.

The authors keep labels as uint8, which turns -1 (ignored) into 255 and so into a positive case; here they
are int8. The note (``ct_at_patches.json``) lets a later run see that a scan, a mask or the geometry of the
patches has changed since.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..batch.folders import LEFT_PATCH, RIGHT_PATCH
from ..batch.patchcase import read_patches
from ..brown.patches import (
    BLOCKS,
    IGNORED,
    NEGATIVE,
    PATCH_SIZE,
    POSITIVE,
    POSITIVE_FRACTION,
    WINDOW,
    Patches,
    case_label,
)
from ..errors import InputRefused, UsageError
from ..events import Events
from ..volume import hash_file, hash_voxels
from .cases import TrainingCase
from .layouts import LEFT_LABEL, PATCH_FILES, RIGHT_LABEL
from .scans import read_scan

NOTE_FILE = "ct_at_patches.json"
#: What the patches are cut and labelled by; "version" counts changes of the code that change the values.
GEOMETRY: dict[str, Any] = {
    "version": 1,
    "blocks": list(BLOCKS),
    "patch_size": PATCH_SIZE,
    "window_hu": list(WINDOW),
    "positive_fraction": POSITIVE_FRACTION,
}
#: How exactly CT values are kept. NIfTI knows no half precision: "float16" rounds the values (by at most
#: 0.05 HU) and stores them as float32, which packs into smaller files.
PRECISIONS = ("float32", "float16")
#: What patches are made from, in this order.
SOURCES = ("ct", "adipose", "brown", "lungs")
_LABELS = (IGNORED, NEGATIVE, POSITIVE)
#: -1 kept as uint8.
_LOST = 255


def write_patches(
    folder: Path, patches: Patches, made_from: Mapping[str, Mapping[str, str]], precision: str = "float32"
) -> None:
    """Write the four files and the note into ``folder``. ``made_from``: as ``sources_of`` gives it."""
    import nibabel as nib

    if precision not in PRECISIONS:
        raise UsageError(
            "precision-unknown",
            f"The precision {precision!r} was asked for.",
            f"Known are {', '.join(PRECISIONS)}.",
            "Choose one of these.",
        )
    assert patches.left_labels is not None and patches.right_labels is not None
    labels = [np.asarray(side, np.int8) for side in (patches.left_labels, patches.right_labels)]
    values = {LEFT_PATCH: patches.left, RIGHT_PATCH: patches.right}
    for name, value in values.items():
        kept = value.astype(np.float16).astype(np.float32) if precision == "float16" else value
        nib.save(nib.Nifti1Image(kept, np.eye(4)), folder / name)
    for name, side in zip((LEFT_LABEL, RIGHT_LABEL), labels, strict=True):
        nib.save(nib.Nifti1Image(side, np.eye(4)), folder / name)
    note = {
        "schema": 1,
        "kind": "BATNet patches",
        "software": __version__,
        "geometry": GEOMETRY,
        "precision": precision,
        "made_from": {role: dict(made_from[role]) for role in SOURCES if role in made_from},
        "labels": {"left": labels[0].tolist(), "right": labels[1].tolist()},
        "case_label": case_label(np.concatenate(labels)),
        "cut": patches.cut,
        "files": {name: hash_file(folder / name) for name in PATCH_FILES.values()},
    }
    (folder / NOTE_FILE).write_text(json.dumps(note, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def sources_of(case: TrainingCase, events: Events | None = None) -> dict[str, dict[str, str]]:
    """Fingerprints of what the patches of a case are made from: role to ``voxels`` and, for a single file,
    ``file`` (SHA-256). Reads the volumes."""
    scan = read_scan(case, [role for role in SOURCES if role in case.files], events)
    volumes = {role: getattr(scan, role) for role in SOURCES}
    return {
        role: {"voxels": hash_voxels(volume), **file_hash(case.files[role])}
        for role, volume in volumes.items()
        if volume is not None
    }


def read_note(folder: Path) -> dict[str, Any] | None:
    """The note beside cached patches; None where there is none that can be read."""
    try:
        note = json.loads((folder / NOTE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and note.get("schema") == 1 else None


def stale(folder: Path, case: TrainingCase | None = None, events: Events | None = None) -> str | None:
    """Why the patches in ``folder`` cannot be trusted, as a sentence; None where they can.

    Looks at the note, the geometry and the files themselves, and, where ``case`` has its scan, at what they
    were made from: files that are as they were are not read further, else voxels are compared, so that a
    file that was only written again does not count. Raises what reading a changed source raises.
    """
    note = read_note(folder)
    if note is None:
        return "Nothing says what the patches were made from."
    if note.get("geometry") != GEOMETRY:
        return "The patches were cut by other rules than those of this version."
    files = note.get("files") or {}
    for name in PATCH_FILES.values():
        if not (folder / name).is_file():
            return f"{name} is missing."
        if files.get(name) != hash_file(folder / name):
            return f"{name} has changed since it was made."
    if case is None or not case.has_scan:
        return None
    before: dict[str, dict[str, str]] = note.get("made_from") or {}
    roles = [role for role in SOURCES if role in case.files]
    if set(roles) != set(before):
        other = ", ".join(sorted(set(roles) ^ set(before)))
        return f"The patches were made from other parts of the case ({other})."
    if all(file_hash(case.files[r]).get("file", "") == before[r].get("file") for r in roles):
        return None
    now = sources_of(case, events)
    changed = [role for role in roles if now[role]["voxels"] != before[role].get("voxels")]
    return (
        f"The voxels of {' and '.join(changed)} have changed since the patches were made."
        if changed
        else None
    )


def load_patches(
    folder: Path,
    case: TrainingCase | None = None,
    *,
    accept_stale: bool = False,
    events: Events | None = None,
) -> Patches:
    """The cached patches of a folder, with labels (int8, -1 kept); ``boxes`` is empty.

    ``case``: where its scan lies, to compare with; without it only the note and the files are looked at.
    Raises ``InputRefused``: "patches-stale" unless ``accept_stale``, damaged or changed files, labels
    that lost their -1 ("labels-uint8").
    """
    why = None if accept_stale else stale(folder, case, events)
    if why is not None:
        raise InputRefused(
            "patches-stale",
            why,
            "Patches must belong to the scan and the masks as they are now.",
            "Make them again with 'batnet dataset patches', or accept them as they are.",
        )
    found = read_patches(folder / LEFT_PATCH, folder / RIGHT_PATCH)
    left, right = (read_labels(folder / name) for name in (LEFT_LABEL, RIGHT_LABEL))
    return Patches(found.left, found.right, left, right, (), (read_note(folder) or {}).get("cut"))


def read_labels(path: Path, *, repair: bool = False) -> np.ndarray:
    """int8 [16] of -1, 0, 1. ``repair``: read 255 of a uint8 file as the -1 that it was.

    Raises ``InputRefused``: damaged, another shape, other values, "labels-uint8" unless ``repair``.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        values = np.asarray(image.dataobj).ravel().astype(float)  # an unsigned -1 would be 255 again
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputRefused(
            "unreadable",
            f"{path.name} is damaged, missing, or not a NIfTI file.",
            "A whole NIfTI file of 16 labels is needed.",
            "Make the patches again from the CT.",
        ) from error
    if values.shape != (16,):
        raise InputRefused(
            "labels-shape",
            f"{path.name} holds {values.size} values.",
            "One label for each of 16 patches is needed.",
            "Make the patches again from the CT.",
        )
    lost = values == _LOST
    if lost.any() and not repair:
        raise InputRefused(
            "labels-uint8",
            f"{path.name} holds 255 for {int(lost.sum())} patches: it is the label -1 (ignored), kept as an "
            "unsigned number, as the published code does.",
            "Read as it is, 255 would turn the case positive.",
            "Make the patches again with 'batnet dataset patches', or read them with 255 taken for -1.",
        )
    values = np.where(lost, IGNORED, values)
    if not np.isin(values, _LABELS).all():
        raise InputRefused(
            "labels-values",
            f"{path.name} holds labels other than -1, 0 and 1.",
            "-1 is ignored, 0 negative, 1 positive.",
            "Make the patches again from the CT.",
        )
    return values.astype(np.int8)


def file_hash(path: Path) -> dict[str, str]:
    """``{"file": SHA-256}`` of a single file, nothing for a folder of DICOM files."""
    return {"file": hash_file(path)} if path.is_file() else {}

"""Reading the next case ahead: decoded once into a scratch folder, from which it opens at once.

The scratch folder belongs to the program, lies on a local disk, and never takes more than was allowed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..batch.fingerprint import quick_key
from ..errors import BATNetError, Cancelled, InputRefused, OutputRefused
from ..events import Events
from ..volume import Volume
from ..workfiles import output_errors, whole_folder
from .grids import fingerprint
from .keys import folder_key
from .petfiles import called_suv
from .rawnrrd import read_raw, read_raw_for_slicer, write_raw
from .scanfile import read_mask_beside, read_scan_file
from .worklist import WorkItem

NOTE_NAME = "prepared.json"
FORMAT = 1
#: Disk that prepared cases may take together, in bytes, unless the caller says otherwise.
LIMIT_BYTES = 6 << 30
#: Disk that is left free for everybody else.
RESERVE_BYTES = 1 << 30
_PARTIAL_AGE = 3600.0


@dataclass(frozen=True)
class Prepared:
    """A case that was read ahead.

    ``files``: role to an uncompressed NRRD on the grid of its own file: "ct" (HU), "adipose", "brown",
    "lungs" (uint8), "suv" (PET on its own grid, float32) and "suv_on_ct" (the same on the CT's grid, NaN
    outside). ``facts``: plain JSON values: ``ct`` (fingerprint), ``origins`` (role to "dataset mask" or
    "hu-threshold"), ``suv`` ("SUVbw", or None where the PET's unit is not known), ``spacing_unknown``,
    ``refused`` (role to refusal), ``warnings``.
    """

    case: str
    folder: Path
    files: dict[str, Path]
    facts: dict[str, Any]

    def read(self, role: str) -> Volume:
        """The volume of a role; raises ``InputRefused`` ("prepared-damaged")."""
        return read_raw(self.files[role])

    def for_slicer(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """Voxels [k, j, i] and 4x4 IJK-to-RAS matrix for a node; the quickest way to show a case.

        Give the node a display node with its window set before the voxels: the default one looks for a window
        in a histogram of all of them, which takes longer than everything else.
        """
        return read_raw_for_slicer(self.files[role])


def prepare(
    item: WorkItem,
    scratch: Path,
    *,
    limit_bytes: int = LIMIT_BYTES,
    keep: Collection[str] = (),
    fat: bool = True,
    events: Events | None = None,
) -> Prepared:
    """Read a case and write it uncompressed below ``scratch``; one that is there and fresh is given back.

    ``limit_bytes``: what all prepared cases may take together; those used longest ago go first, never those
    of the cases in ``keep``. ``fat``: make an adipose mask by HU range where the case has none.

    Raises ``InputRefused`` for a CT that cannot be read (other files that cannot are named in ``facts``),
    ``OutputRefused`` ("read-ahead-too-large", "disk-full", ...), ``Cancelled``; nothing is left then.
    """
    events = events or Events()
    events.check()
    if item.refusal is not None:
        raise item.refusal
    ready = find_prepared(item, scratch)
    if ready is not None:
        return ready
    _remove_abandoned(scratch)
    shutil.rmtree(_place(item, scratch), ignore_errors=True)  # of files that have changed since
    with events.stage("Read the next case ahead", 5) as stage:
        ct = read_scan_file(item.files["ct"], axes=item.axes, series=item.series, events=events)
        stage.advance()
        facts: dict[str, Any] = {"ct": fingerprint(ct), "origins": {}, "suv": None, "refused": {}}
        facts["spacing_unknown"] = bool((ct.facts or {}).get("spacing_unknown"))
        if facts["spacing_unknown"]:
            events.warning(
                "spacing-unknown",
                "The files of the case do not say how large a voxel is; 1 mm is assumed, so volumes in mL "
                "are not to be used.",
            )
        volumes = {"ct": ct}
        _masks(item, ct, volumes, facts, fat, events)
        stage.advance()
        _pet(item, ct, volumes, facts, events)
        stage.advance()
        facts["warnings"] = events.warnings
        _make_room(scratch, item, sum(v.array.nbytes for v in volumes.values()), limit_bytes, keep)
        folder = _place(item, scratch)
        with whole_folder(folder, replace=True) as beside:
            names = {}
            for role, volume in volumes.items():
                names[role] = f"{role}.nrrd"
                write_raw(volume, beside / names[role], events)
            note = {"format": FORMAT, "case": item.case, "key": _key(item), "files": names, "facts": facts}
            (beside / NOTE_NAME).write_text(json.dumps(note, ensure_ascii=True), encoding="ascii")
            stage.advance()
    return Prepared(item.case, folder, {role: folder / name for role, name in names.items()}, facts)


def find_prepared(item: WorkItem, scratch: Path) -> Prepared | None:
    """What was read ahead for a case, None where it is not there or the case's files have changed since."""
    folder = _place(item, scratch)
    try:
        note = json.loads((folder / NOTE_NAME).read_text(encoding="ascii"))
        if note["format"] != FORMAT or note["case"] != item.case or note["key"] != _key(item):
            return None
        files = {str(role): folder / name for role, name in note["files"].items()}
        if "ct" not in files or not all(path.is_file() for path in files.values()):
            return None
        facts = dict(note["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / NOTE_NAME)  # used just now
    return Prepared(item.case, folder, files, facts)


def discard(scratch: Path) -> None:
    """Remove everything that was read ahead."""
    for folder in _folders(scratch):
        shutil.rmtree(folder, ignore_errors=True)


def bytes_used(scratch: Path) -> int:
    """What all prepared cases take on the disk."""
    return sum(_size(folder) for folder in _folders(scratch))


def _masks(
    item: WorkItem,
    ct: Volume,
    volumes: dict[str, Volume],
    facts: dict[str, Any],
    fat: bool,
    events: Events,
) -> None:
    for role in ("adipose", "brown", "lungs"):
        if role in item.files:
            try:
                volumes[role] = read_mask_beside(item.files[role], ct, role, events=events)
                facts["origins"][role] = "dataset mask"
            except Cancelled:
                raise
            except BATNetError as error:
                facts["refused"][role] = error.as_dict()
    if fat and "adipose" not in volumes:
        from ..adipose.threshold import adipose_by_threshold

        try:
            volumes["adipose"] = ct.with_array(adipose_by_threshold(ct, events=events).array)
            facts["origins"]["adipose"] = "hu-threshold"
        except Cancelled:
            raise
        except BATNetError as error:
            facts["refused"].setdefault("adipose", error.as_dict())


def _pet(
    item: WorkItem, ct: Volume, volumes: dict[str, Volume], facts: dict[str, Any], events: Events
) -> None:
    if "pet" not in item.files:
        return
    from ..pet.masks import resample_to_ct

    try:
        if (ct.facts or {}).get("axes") == "zyx":
            raise _without_place()
        suv, unit = read_pet_of_case(item.files["pet"], events)
        on_ct = resample_to_ct(suv, ct, events=events)
    except Cancelled:
        raise
    except BATNetError as error:
        facts["refused"]["pet"] = error.as_dict()
        return
    facts["suv"] = unit
    volumes["suv"] = suv.with_array(suv.array.astype(np.float32, copy=False))
    volumes["suv_on_ct"] = Volume(on_ct.array, ct.grid, ct.source)


def read_pet_of_case(path: Path, events: Events | None = None) -> tuple[Volume, str | None]:
    """The PET of a case and what its voxels are: "SUVbw", or None for a volume that does not say.

    DICOM is turned into SUVbw by the rules of ``BATNetLib.pet``; a volume with ``suv`` as a word of its name
    is SUVbw already.
    Raises ``InputRefused`` naming what is missing for an SUV.
    """
    from ..pet.read import is_dicom, read_pet

    if is_dicom(path):
        return read_pet(path, events=events).suv, "SUVbw"
    volume = read_scan_file(path, kind="map", axes="header", events=events)
    return volume, "SUVbw" if called_suv(path) else None


def _without_place() -> InputRefused:
    return InputRefused(
        "orientation-unknown",
        "The CT is an array file that does not say where it lies in the patient.",
        "A PET can be laid over a CT only where both have a place.",
        "Export the CT again from its DICOM files.",
    )


def _place(item: WorkItem, scratch: Path) -> Path:
    return scratch / folder_key(item.case)


def _key(item: WorkItem) -> str:
    """Changes with the sizes and times of the case's files and with what a list says of them."""
    return quick_key(item.as_training_case().as_found()) + "".join(
        f" {path.stat().st_mtime_ns}" for role, path in item.files.items() if role == "pet" and path.exists()
    )


def _make_room(scratch: Path, item: WorkItem, needed: int, limit: int, keep: Collection[str]) -> None:
    """Remove cases used longest ago until ``needed`` bytes fit; raises ``OutputRefused``."""
    kept = {folder_key(case) for case in keep} - {folder_key(item.case)}
    with output_errors(scratch.name):
        scratch.mkdir(parents=True, exist_ok=True)
    removable = sorted((f for f in _folders(scratch) if f.name not in kept), key=_last_used)
    while needed + bytes_used(scratch) > limit or shutil.disk_usage(scratch).free < needed + RESERVE_BYTES:
        if not removable:
            raise OutputRefused(
                "read-ahead-too-large",
                f"Reading the case ahead takes {needed / 1e9:.2f} GB, more than may be used.",
                f"{limit / 1e9:.2f} GB may be used, and {RESERVE_BYTES / 1e9:.2f} GB of the disk stay free.",
                "Nothing is lost: the case opens from its own files, only slower. Allow more, or make room.",
            )
        shutil.rmtree(removable.pop(0), ignore_errors=True)


def _folders(scratch: Path) -> list[Path]:
    """Prepared cases, and what is left of some."""
    try:
        return [p for p in scratch.iterdir() if p.is_dir() and ((p / NOTE_NAME).exists() or _is_partial(p))]
    except OSError:
        return []


def _is_partial(folder: Path) -> bool:
    return folder.name.startswith(".") and folder.name.endswith((".partial", ".old"))


def _remove_abandoned(scratch: Path) -> None:
    """What a killed process left half-written long ago."""
    for folder in _folders(scratch):
        if _is_partial(folder) and time.time() - folder.stat().st_mtime > _PARTIAL_AGE:
            shutil.rmtree(folder, ignore_errors=True)


def _last_used(folder: Path) -> float:
    try:
        return (folder / NOTE_NAME).stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
    except OSError:
        return 0

"""Opening a set of training data: which cases there are and how they lie, nothing read but names.

Known are plain folders of scans with masks, the authors' case folders, their PNG slices
(``<split>/<case>/data_png`` beside ``data_mask``), their cached patches, and manifests that name all this.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..analysis.casefolder import CASE_IMAGE, CASE_LUNGS
from ..batch.cases import CT, Case, Found, natural
from ..batch.find import search
from ..batch.folders import LEFT_PATCH, RIGHT_PATCH
from ..errors import UsageError
from ..events import Events
from . import manifest as manifests
from .cases import FOLDERS, PATCHES, SLICES, UNUSABLE, VOLUMES, Dataset, TrainingCase
from .pairs import Pairing

DATA_PNG, DATA_MASK = "data_png", "data_mask"
LEFT_LABEL, RIGHT_LABEL = "ct_at_left_label.nii.gz", "ct_at_right_label.nii.gz"
PATCH_FILES = {"left": LEFT_PATCH, "right": RIGHT_PATCH, "left_label": LEFT_LABEL, "right_label": RIGHT_LABEL}
#: Names of folders that say which split the cases below belong to.
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip
_NO_NAME = ("seg_data",)
MASK_ROLES = ("adipose", "brown")


def open_dataset(
    source: str | os.PathLike[str],
    *,
    manifest: str | os.PathLike[str] | None = None,
    patient_pattern: str | None = None,
    mask_role: str = "adipose",
    events: Events | None = None,
) -> Dataset:
    """The cases of a folder or of a manifest, in a stable order.

    Parameters
    ----------
    source : a folder (a ``manifest.csv`` or ``manifest.json`` in it is used) or a manifest.
    manifest : names the cases of the folder, their patients, centres and splits.
    patient_pattern : regular expression; what its first group (or all of it) matches in the name of a case
        is the patient. Without it and without a manifest every case counts as a patient of its own, but
        the same name below two split folders is one patient.
    mask_role : what a mask called "label" or "mask" is: "adipose" or "brown".

    Raises
    ------
    UsageError : a source that does not exist, a manifest or a pattern that cannot be read, nothing found.
    """
    events = events or Events()
    place = Path(source).expanduser().absolute()
    pattern = _compiled(patient_pattern)
    if mask_role not in MASK_ROLES:
        raise UsageError(
            "mask-role-unknown",
            f"The masks were called {mask_role!r}.",
            f"Known are {' and '.join(MASK_ROLES)}.",
            "Choose one of these.",
        )
    if not place.exists():
        raise UsageError(
            "source-missing",
            f"'{place.name}' does not exist.",
            "A folder with training data or a manifest (CSV or JSON) is needed.",
            "Check the path; a drive that is not connected is a common cause.",
        )
    found = Found()
    known = pattern is not None
    listed = Path(manifest).expanduser().absolute() if manifest else manifests.manifest_of(place)
    if listed is not None:
        rows = list(manifests.read_manifest(listed, place if place.is_dir() else None, found))
        cases = [case for row in rows for case in _of_row(row, found, mask_role, events)]
        known = known or any(row.patient for row in rows)
    else:
        cases = _of_folder(place, found, mask_role, events)
    if pattern is not None:
        cases = [replace(case, patient=_matched(pattern, case)) for case in cases]
    _require_some(cases, place, found)
    cases = _each_named_once(cases)
    return Dataset(place.name, tuple(cases), tuple(found.passed_over), tuple(found.warnings), known)


def _of_folder(folder: Path, found: Found, mask_role: str, events: Events) -> list[TrainingCase]:
    if not folder.is_dir():
        raise UsageError(
            "not-a-dataset",
            f"'{folder.name}' is neither a folder nor a manifest.",
            "A folder with training data, or a manifest (CSV or JSON), is needed.",
            "Name the folder that holds the cases.",
        )
    with events.stage("find cases") as stage:
        scans = Pairing(mask_role, found).pair(search(folder, folder.name or "root", found, stage))
        cases = [_training_case(case) for case in scans]
        cases += _slice_cases(folder, events)
    return sorted(cases, key=lambda case: natural(case.case))


def _of_row(row: manifests.Row, found: Found, mask_role: str, events: Events) -> Iterator[TrainingCase]:
    """The cases that a row of a manifest names: mostly one."""
    if row.case is not None:
        cases = [_training_case(row.case)]
    else:
        assert row.folder is not None
        inside = search(row.folder, row.name, found, None, within=f"{row.name}/")
        cases = [_training_case(case) for case in Pairing(mask_role, found).pair(inside)]
        cases += [replace(case, case=row.name) for case in _slice_cases(row.folder, events)]
        if not cases:
            cases = [_training_case(row.nothing_inside())]
    for case in cases:
        patient = row.patient or _patient(row.name)
        yield replace(
            case,
            patient=patient,
            centre=row.centre,
            split=SPLIT_FOLDERS.get(row.split.lower(), row.split) if row.split else case.split,
            files={**case.files, **row.files},
        )


def _training_case(case: Case) -> TrainingCase:
    files = dict(case.files)
    if "slices" in files:
        layout = SLICES
    elif case.refusal is not None:
        layout = UNUSABLE
    elif case.kind != CT:
        layout = PATCHES
        if "left" in files:
            files = {**_patch_files(files["left"].parent), **files}
    else:
        scan = files["ct"]
        layout = VOLUMES
        if scan.name == CASE_IMAGE:
            layout = FOLDERS if (scan.parent / CASE_LUNGS).is_file() else VOLUMES
            files |= _patch_files(scan.parent)
    return TrainingCase(
        case.name,
        _patient(case.name),
        layout,
        files,
        split=_split(case.name),
        axes=case.axes,
        series=case.series,
        members=case.members,
        refusal=case.refusal,
    )


def _patch_files(folder: Path) -> dict[str, Path]:
    """Cached patches and labels that lie in a case folder."""
    return {role: folder / name for role, name in PATCH_FILES.items() if (folder / name).is_file()}


def _slice_cases(folder: Path, events: Events) -> list[TrainingCase]:
    """The PNG slices below a folder; a case is a folder that holds ``data_png`` or ``data_mask``."""
    cases = []
    visited: set[str] = set()
    for place, below, _ in os.walk(folder, followlinks=True):
        events.check()
        here, real = Path(place), os.path.realpath(place)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        roles = {"slices": DATA_PNG, "slice_masks": DATA_MASK}
        files = {role: here / name for role, name in roles.items() if name in below}
        below[:] = sorted(name for name in below if name not in roles.values() and name[0] != ".")
        if files:
            name = here.relative_to(folder).as_posix()
            name = folder.name if name == "." else name
            cases.append(TrainingCase(name, _patient(name), SLICES, files, split=_split(name)))
    return cases


def _split(name: str) -> str | None:
    return next((SPLIT_FOLDERS[p.lower()] for p in name.split("/")[:-1] if p.lower() in SPLIT_FOLDERS), None)


def _patient(name: str) -> str:
    """The name of a case without the folders that say the split: the same below two splits is one patient."""
    parts = name.split("/")
    kept = [p for p in parts[:-1] if p.lower() not in SPLIT_FOLDERS and p.lower() not in _NO_NAME]
    return "/".join([*kept, parts[-1]])


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise UsageError(
            "pattern-unreadable",
            f"The pattern for patients cannot be read ({error.msg}).",
            "A regular expression is needed, such as ^(P[0-9]+).",
            "Correct it, or name patients in a manifest.",
        ) from error


def _matched(pattern: re.Pattern[str], case: TrainingCase) -> str:
    match = pattern.search(case.case)
    if match is None:
        return case.patient
    return match.group(1) if pattern.groups and match.group(1) else match.group(0)


def _require_some(cases: list[TrainingCase], place: Path, found: Found) -> None:
    if cases:
        return
    why = "; ".join(sorted({entry.why for entry in found.passed_over})[:5])
    raise UsageError(
        "nothing-found",
        f"No case was found in '{place.name}'" + (f"; passed over: {why}." if why else "."),
        "Scans with masks (NIfTI, NRRD, MetaImage), BATNet case folders, PNG slices (data_png beside "
        "data_mask), cached patches, or a manifest are wanted.",
        "Check the folder.",
    )


def _each_named_once(cases: list[TrainingCase]) -> list[TrainingCase]:
    """The same name twice (such as a scan and slices in one folder) gets the layout put behind it."""
    seen: set[str] = set()
    named = []
    for case in cases:
        name, number = case.case, 1
        while name in seen:
            number += 1
            name = f"{case.case} ({case.layout}{'' if number == 2 else f' {number}'})"
        seen.add(name)
        named.append(replace(case, case=name))
    return named

"""Finding cases: in folders that are searched, in lists, as single files; no duplicates, a stable order."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..analysis.casefolder import SCAN_NAMES, ending, stem
from ..errors import UsageError
from ..events import Events, Stage
from .caselist import is_list, read_list
from .cases import CT, Case, Found, natural, unusable
from .dicomtree import DicomTree
from .folders import cases_in_folder
from .output import SETTINGS_FILE
from .rows import PASSPORTS

#: What says that a folder holds readers' annotations.
ANNOTATIONS_FILE = "batnet-annotations.json"
#: A folder that holds one of these is a result of ours, not an input.
_RESULTS = (*PASSPORTS, SETTINGS_FILE, ANNOTATIONS_FILE)


def find_cases(
    sources: Sequence[str | os.PathLike[str]], *, root: Path | None = None, events: Events | None = None
) -> Found:
    """All cases of several sources, in a stable order, each once.

    Parameters
    ----------
    sources : folders (searched with their subfolders), lists (CSV with the column ``case_id``), single
        scan files, or one file of a DICOM series.
    root : folder that relative entries of a list start from; by default the folder of the list.

    Raises
    ------
    UsageError : a source that does not exist, a list that cannot be read, nothing found.
    """
    events = events or Events()
    found = Found()
    cases: list[Case] = []
    with events.stage("find cases") as stage:
        for source in sources:
            path = Path(source).expanduser().absolute()
            if is_list(path):
                cases += _from_list(path, root, found, stage)
            elif path.is_dir():
                cases += search(path, path.name or "root", found, stage)
            elif path.is_file():
                cases += _single(path, found, events)
            else:
                raise UsageError(
                    "source-missing",
                    f"'{path.name}' does not exist.",
                    "A folder, a CSV list or a scan file is needed.",
                    "Check the path; a drive that is not connected is a common cause.",
                )
    found.cases = _each_once(cases, found)
    if not found.cases:
        raise _nothing(sources, found)
    return found


def search(
    folder: Path, called: str, found: Found, stage: Stage | None = None, within: str = ""
) -> list[Case]:
    """The cases below a folder. ``called``: name of a case that is the folder itself; ``within``: put
    before the names of all others."""
    events = stage.events if stage else Events()
    tree = DicomTree(found, events)
    cases: list[Case] = []
    visited: set[str] = set()
    for place, below, names in os.walk(
        folder, followlinks=True, onerror=lambda e: _unreadable(e, folder, found)
    ):
        events.check()
        # Links are followed (archives are full of them), round trips are not.
        real = os.path.realpath(place)
        if real in visited or any(name in names for name in _RESULTS):
            below.clear()
            continue
        visited.add(real)
        below[:] = sorted((name for name in below if not name.startswith(".")), key=natural)
        here = Path(place)
        relative = here.relative_to(folder).as_posix()
        name = called if relative == "." else f"{within}{relative}"
        visible = [n for n in names if not n.startswith(".")]
        new = cases_in_folder(here, visible, name, found)
        if relative == "." and not within:
            # Scans that lie loose in the folder that was named are called by their own names, also when
            # there is one only: it keeps its name when others join it.
            new = [_by_file_name(case) for case in new]
        cases += new
        tree.look(here, visible, name)
        if stage and cases:
            stage.done = len(cases)
            stage.advance(0)
    cases += tree.cases()
    return sorted(cases, key=lambda case: natural(case.name))


def _from_list(path: Path, root: Path | None, found: Found, stage: Stage) -> list[Case]:
    """The cases of a list: entries with files are cases already, folders are searched."""
    cases: list[Case] = []
    for entry in read_list(path, root, found):
        stage.events.check()
        if isinstance(entry, Case):
            cases.append(entry)
            continue
        before = len(found.passed_over)
        inside = search(entry.folder, entry.case_id, found, None, within=f"{entry.case_id}/")
        cases += [replace(case, **entry.changes(case)) for case in inside] or [
            _empty(entry.case_id, found, before)
        ]
        stage.done = len(cases)
        stage.advance(0)
    return cases


def _single(path: Path, found: Found, events: Events) -> list[Case]:
    from ..volume.instances import is_dicom_file

    if not ending(path.name) and is_dicom_file(path):
        tree = DicomTree(found, events)
        tree.look(path.parent, [p.name for p in path.parent.iterdir() if p.is_file()], stem(path.stem))
        mine = [case for case in tree.cases() if path.name in case.members]
        if mine:
            return [replace(mine[0], name=path.parent.name)]
    # What is no scan is refused by the reader, in its words.
    return [Case(stem(path.name), CT, {"ct": path}, layout="scan")]


def _each_once(cases: Iterable[Case], found: Found) -> list[Case]:
    """Drop the same images found twice; give different images of the same name different names."""
    seen: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    kept: list[Case] = []
    for case in cases:
        identity = case.identity
        if identity in seen:
            found.skip(case.name, "the same images were found before", f"'{seen[identity]}'")
            continue
        name = next(name for name in _longer_and_longer(case) if name not in names)
        seen[identity] = name
        names.add(name)
        kept.append(replace(case, name=name))
    return sorted(kept, key=lambda case: natural(case.name))


def _longer_and_longer(case: Case) -> Iterator[str]:
    """Names for a case: its own, then with ever more of its folders in front, then with a number."""
    yield case.name
    if case.primary is not None:
        place = Path(os.path.realpath(case.primary))
        parts = (place if case.members else place.parent).parts[1:]
        own = tuple(case.name.split("/"))
        if parts[-len(own) :] == own:
            parts = parts[: -len(own)]
        yield from ("/".join([*parts[-depth:], case.name]) for depth in range(1, len(parts) + 1))
    yield from (f"{case.name} ({number})" for number in itertools.count(2))


def _empty(case_id: str, found: Found, before: int) -> Case:
    why = "; ".join(f"{skipped.why}" for skipped in found.passed_over[before:][:3])
    return unusable(
        case_id,
        "nothing-to-analyse",
        f"The folder holds no scan that can be analysed{f' ({why})' if why else ''}.",
        "A CT (NIfTI, NRRD, MetaImage or a DICOM series), or the patches of a BATNet case folder, is needed.",
        "Check the folder, or name the file in the column ct.",
    )


def _by_file_name(case: Case) -> Case:
    scan = case.files.get("ct")
    if scan is None or stem(scan.name).lower() in SCAN_NAMES:
        return case
    return replace(case, name=case.name.rpartition("/")[2] if "/" in case.name else stem(scan.name))


def _unreadable(error: OSError, folder: Path, found: Found) -> None:
    place = Path(error.filename or folder)
    found.skip(place.name, f"cannot be opened ({(error.strerror or 'unknown reason').lower()})")


def _nothing(sources: Sequence[str | os.PathLike[str]], found: Found) -> UsageError:
    names = ", ".join(f"'{Path(source).name}'" for source in list(sources)[:3])
    why = "; ".join(sorted({skipped.why for skipped in found.passed_over})[:5])
    return UsageError(
        "nothing-found",
        f"No case was found in {names}" + (f"; passed over: {why}." if why else "."),
        "Scans (NIfTI, NRRD, MetaImage), DICOM series, BATNet case folders, or a CSV with the column case_id "
        "are wanted.",
        "Check the folder; --dry-run lists what is found and what is passed over.",
    )

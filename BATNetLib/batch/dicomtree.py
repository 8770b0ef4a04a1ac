"""DICOM in a search: the CT series of a folder that can be analysed, and why the others cannot."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputRefused
from ..events import Events
from .cases import CT, Case, Found, unusable

if TYPE_CHECKING:
    from ..volume import Series

#: Fewer slices are a scout, a bolus watch or a biopsy control, not a chest.
MIN_SLICES = 16
#: Cosine between the slice normal and the body axis from which on slices count as axial (37 degrees).
_AXIAL = 0.8
#: Files looked at before a folder counts as one without DICOM.
_PROBES = 50


@dataclass
class FoundSeries:
    """A series, in one folder or in several. ``called``: the user's name of its first folder."""

    uid: str
    called: str
    files: list[Path]
    positions: set[tuple[float, ...]]
    problem: str | None
    folders: set[Path] = field(default_factory=set)


class DicomTree:
    """Collects the series of all folders of a search, then tells the cases.

    Headers are read folder by folder, each file once; only names of files and a few facts are kept.
    """

    def __init__(self, found: Found, events: Events) -> None:
        self._found = found
        self._events = events
        self._series: dict[str, FoundSeries] = {}
        self._refused: list[Case] = []

    def look(self, folder: Path, names: Iterable[str], called: str) -> bool:
        """Read the headers of a folder (not of its subfolders); whether it holds DICOM images."""
        from ..volume import list_series
        from ..volume.instances import is_dicom_file

        candidates = [n for n in sorted(names) if _may_be_dicom(n)]
        first = next((folder / n for n in candidates[:_PROBES] if is_dicom_file(folder / n)), None)
        if first is None:
            return False
        try:
            series = list_series(first, events=self._events)
        except InputRefused as error:
            if error.code == "no-images":
                self._found.skip(called, "DICOM objects that are no images")
            else:
                self._refused.append(unusable(called, error.code, error.found, error.wanted, error.remedy))
            return True
        for one in series:
            files = [Path(instance.file) for instance in one.instances]
            positions = {instance.position for instance in one.instances}
            problem = _problem(one)
            self._add(FoundSeries(one.uid, called, files, positions, problem, {folder}))
        return True

    def _add(self, new: FoundSeries) -> None:
        known = self._series.get(new.uid)
        if known is None:
            self._series[new.uid] = new
        elif known.positions & new.positions:
            self._found.skip(
                new.called,
                "the same DICOM series was found before",
                f"series ...{new.uid[-8:]}, '{known.called}'",
            )
        else:
            # One series exported into several folders.
            known.files += new.files
            known.positions |= new.positions
            known.folders |= new.folders
            known.problem = known.problem or new.problem

    def cases(self) -> list[Case]:
        usable: dict[str, list[FoundSeries]] = {}
        for series in self._series.values():
            problem = series.problem
            if problem is None and len(series.files) < MIN_SLICES:
                problem = f"only {len(series.files)} slices, at least {MIN_SLICES} are wanted"
            if problem:
                self._found.skip(series.called, f"DICOM series: {problem}", f"series ...{series.uid[-8:]}")
            else:
                usable.setdefault(series.called, []).append(series)
        return self._refused + [
            _case(series, called if len(group) == 1 else f"{called}/series-{series.uid[-8:]}")
            for called, group in usable.items()
            for series in group
        ]


def _case(series: FoundSeries, name: str) -> Case:
    if len(series.folders) == 1:
        folder = next(iter(series.folders))
    else:
        folder = Path(os.path.commonpath(sorted(series.folders)))
    members = tuple(sorted(str(path.relative_to(folder)) for path in series.files))
    return Case(
        name,
        CT,
        {"ct": folder},
        layout=f"DICOM series of {len(members)} slices",
        series=series.uid,
        members=members,
    )


def _problem(series: Series) -> str | None:
    if series.modality != "CT":
        return f"modality {series.modality}, not CT"
    # How many slices is judged when all folders of the series are known.
    if series.problem and not series.problem.startswith("only "):
        return series.problem
    direction = series.instances[0].orientation
    if len(direction) != 6:
        return "images without a position in the patient"
    a, b, _, d, e, _ = direction
    return None if abs(a * e - b * d) >= _AXIAL else "slices are not axial"


def _may_be_dicom(name: str) -> bool:
    """Files with a DICOM ending, or without one a person would read (archives number their files)."""
    if name.startswith(".") or name.upper() == "DICOMDIR":
        return False
    ending = Path(name).suffix.lower()
    return ending in ("", ".dcm", ".ima", ".dicom") or ending[1:].isdigit() or len(ending) > 5

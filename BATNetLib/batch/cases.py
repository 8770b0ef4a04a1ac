"""What a batch is made of: cases with their files, and what was passed over on the way."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import BATNetError, InputRefused

#: A CT with what belongs to it, ready-made patches of the authors, or an entry that cannot be run.
CT, PATCHES, UNUSABLE = "ct", "patches", "unusable"


@dataclass(frozen=True)
class Case:
    """One case as it was found.

    ``name``: what the user calls it (folder names, or ``case_id`` of a list); unique within ``Found`` and
    never written into results unless names are kept. ``kind``: "ct", "patches" or "unusable". ``files``:
    role to path; roles of a CT are ct, lungs, adipose, brown, those of patches left and right.
    ``members``: for DICOM the files of the series, by name within the folder ``files["ct"]``. ``layout``:
    how it lay, in words. ``named``: roles that a list names for this case, as against found by their file
    names. ``refusal``: why an unusable entry cannot be run.
    """

    name: str
    kind: str
    files: Mapping[str, Path] = field(default_factory=dict)
    layout: str = ""
    axes: str | None = None
    series: str | None = None
    members: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    refusal: InputRefused | None = None

    @property
    def primary(self) -> Path | None:
        """The file or folder that makes this case this case."""
        return self.files.get("ct") or self.files.get("left")

    @property
    def identity(self) -> tuple[str, str]:
        """Two cases with the same identity are the same images."""
        primary = self.primary
        return (os.path.realpath(primary) if primary else f"?{self.name}", self.series or "")

    def as_used(self, fat_masks: bool) -> Case:
        """The case with the files that an analysis uses.

        A mask of fat that merely lies there does not replace what the analysis is asked to find; it is
        taken when a list names it or all of them are wanted (``fat_masks``). Brown-fat masks are to train on.
        """
        unused = {"brown"} | (set() if fat_masks or "adipose" in self.named else {"adipose"})
        return replace(self, files={role: path for role, path in self.files.items() if role not in unused})

    def read_as(self, axes: str | None) -> Case:
        """The case with ``axes`` where it is an array file that nothing else was said of."""
        return (
            self if axes is None or self.axes or self.series or self.kind != CT else replace(self, axes=axes)
        )

    def all_files(self) -> list[tuple[str, Path]]:
        """Role and path of every single file, in a stable order; missing ones are left out."""
        found: list[tuple[str, Path]] = []
        for role, path in sorted(self.files.items()):
            if role == "ct" and self.members:
                found += [(role, path / member) for member in self.members]
            elif path.is_dir():
                found += [(role, file) for file in sorted(path.rglob("*")) if file.is_file()]
            elif path.exists():
                found.append((role, path))
        return found


@dataclass(frozen=True)
class PassedOver:
    """Something that looked like data and is not a case. ``name``: where, as the user knows it; ``why``:
    without names; ``detail``: what else helps the user to find it, which may hold names."""

    name: str
    why: str
    detail: str = ""


@dataclass
class Found:
    """All cases in a stable order, without duplicates, and what was passed over."""

    cases: list[Case] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def skip(self, name: str, why: str, detail: str = "") -> None:
        self.passed_over.append(PassedOver(name, why, detail))


def unusable(name: str, code: str, found: str, wanted: str, remedy: str) -> Case:
    """An entry that was asked for and cannot be run; it ends as a refused case, never silently missing."""
    return Case(name, UNUSABLE, refusal=InputRefused(code, found, wanted, remedy))


def refusal_of(case: Case) -> dict[str, Any]:
    """The refusal of an unusable case as plain JSON values."""
    error: BATNetError | None = case.refusal
    return error.as_dict() if error else {}


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which case-2 comes before case-10."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts]

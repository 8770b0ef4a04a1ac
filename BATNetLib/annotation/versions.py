"""The versions of one reader's work on one case, as they lie in its folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputRefused
from ..volume import Volume, hash_file
from .keys import folder_key
from .maskfile import read_mask_file
from .record import Record

RECORD_NAME = "annotation.json"
#: Says that the read is final; no version is added once it is there.
FINAL_NAME = "final.json"
_FOLDER = re.compile(r"v(\d{4,})")


@dataclass(frozen=True)
class Version:
    """One save. ``number`` counts from 1 in the order of saving. ``record``: its sidecar, None where that is
    damaged. ``damage``: why the version cannot be used (as far as was looked), or None."""

    number: int
    folder: Path
    record: Record | None = None
    damage: InputRefused | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    def file(self, role: str) -> Path | None:
        """Path of the mask ``role`` ("brown" or "adipose"), None where the version has none."""
        facts = self.record.files.get(role) if self.record else None
        return self.folder / facts["name"] if facts else None


def version_name(number: int) -> str:
    return f"v{number:04d}"


def numbers_in(names: list[str]) -> list[int]:
    """Numbers of the versions among the names of a folder, ascending."""
    return sorted(int(match[1]) for name in names if (match := _FOLDER.fullmatch(name)))


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, by one listing; nothing where it does not exist. Raises ``InputRefused``."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputRefused(
            "store-unreadable",
            "The folder of the annotations cannot be read "
            f"({(error.strerror or 'unknown reason').lower().replace('/', ' or ')}).",
            "It must be there and readable.",
            "Check the network, the drive and the permissions.",
        ) from error


def look(folder: Path, number: int, case: str, reader: str) -> Version:
    """Read the sidecar of a version and see that its files are there in full size; nothing is hashed."""
    place = folder / version_name(number)
    record: Record | None = None
    try:
        record = Record.from_json(_bytes(place / RECORD_NAME))
        _require_own(record, number, case, reader)
        for facts in record.files.values():
            _require_size(place / facts["name"], facts["bytes"])
    except InputRefused as damage:
        return Version(number, place, record, damage)
    return Version(number, place, record)


def verified(version: Version) -> Version:
    """The version after its files were read and hashed; ``damage`` says what is wrong."""
    if version.damage is not None or version.record is None:
        return version
    for facts in version.record.files.values():
        path = version.folder / facts["name"]
        try:
            same = hash_file(path) == facts["sha256"]
        except OSError:
            same = False
        if not same:
            return Version(version.number, version.folder, version.record, _changed(path.name))
    return version


def read_masks(version: Version) -> dict[str, Volume]:
    """Role to mask (uint8 0 and 1); raises ``InputRefused`` for a damaged version."""
    if version.damage is not None:
        raise version.damage
    assert version.record is not None
    masks = {}
    for role, facts in version.record.files.items():
        masks[role] = read_mask_file(version.folder / facts["name"], sha256=facts["sha256"])
    return masks


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputRefused(
            "record-missing",
            f"{path.name} of the version is not there or cannot be read.",
            "The record as it was saved is needed.",
            _REMEDY,
        ) from error


def _require_own(record: Record, number: int, case: str, reader: str) -> None:
    """A folder that was copied or renamed by hand is not the version that its name says."""
    own = [record.version, folder_key(record.case), folder_key(record.reader)]
    if own != [number, folder_key(case), folder_key(reader)]:
        raise InputRefused(
            "version-moved",
            "The version says of itself that it is another one (another number, case or reader).",
            "Versions stay in the folder that they were saved in.",
            "Move it back to where it was; copies made by hand are not used.",
        )


def _require_size(path: Path, size: int) -> None:
    try:
        found = path.stat().st_size
    except OSError:
        found = -1
    if found != size:
        raise _changed(path.name)


def _changed(name: str) -> InputRefused:
    return InputRefused(
        "mask-damaged",
        f"{name} of the version is missing or is not what was saved.",
        "The mask as it was saved is needed.",
        _REMEDY,
    )


_REMEDY = "Choose a version before it, which is whole, or restore the file from a backup."

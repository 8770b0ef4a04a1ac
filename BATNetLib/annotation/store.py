"""Where readers' work is kept: every save a new version that is whole, on the disk, and never changed again.

Layout below a folder of the user's choice (never one of inputs)::

    batnet-annotations.json                      says what the folder is
    <case key>/<reader key>/v0007/               brown_fat_mask.nii.gz, fat_mask.nii.gz, annotation.json
    <case key>/<reader key>/reader.json          the names of case and reader
    <case key>/<reader key>/final.json           only for a locked read: which version is final
    dataset.csv                                  manifest for training (``annotation.manifest``)

A version is written into a hidden folder beside, flushed to the disk, and renamed. A folder with files in it
cannot be replaced by a rename, so even without any lock no version can take the place of another.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..batch.find import ANNOTATIONS_FILE
from ..errors import InputRefused, OutputRefused
from ..locking import seconds_since
from ..volume import Volume
from ..workfiles import output_errors, registered
from . import versions as lying
from .caselock import LOCK_NAME, CaseLock
from .durable import flush_file, flush_folder, rename_folder, write_flushed, write_once
from .grids import laid_out_like
from .keys import folder_key
from .maskfile import write_mask
from .record import FILES, Record
from .scanfile import read_layout
from .versions import FINAL_NAME, RECORD_NAME, Version

#: The search for cases passes a folder with this file over.
MARKER_NAME = ANNOTATIONS_FILE
READER_NAME = "reader.json"
FORMAT = "batnet-annotations 1"
#: Start of the names of versions that are being written.
UNFINISHED = ".saving-"
#: Start of the names of files that become a lock, a mark or a clock at once, and are gone then.
_BESIDE = (f".{LOCK_NAME}.", f".{FINAL_NAME}.", f".{READER_NAME}.")
#: Seconds after which what a killed save left behind is removed.
_ABANDONED = 86400.0
#: Seconds that a save waits for another one of the same reader.
_WAIT = 1.0


class Store:
    """The work of all readers below ``root``. Nothing is written before something is saved or locked."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()
        #: Locks that this object's user holds, by the folder of case and reader.
        self.held_locks: dict[Path, CaseLock] = {}

    # --- places
    def folder(self, case: str, reader: str) -> Path:
        """Where the versions of a reader's work on a case lie; raises ``UsageError`` for empty names."""
        return self.root / folder_key(case) / folder_key(reader)

    def make_place(self, case: str, reader: str) -> Path:
        """The folder of a case and a reader, made if need be. Raises ``OutputRefused``."""
        folder = self.folder(case, reader)
        with output_errors(self.root.name):
            folder.mkdir(parents=True, exist_ok=True)
            for path, content in (
                (self.root / MARKER_NAME, {"format": FORMAT}),
                (folder / READER_NAME, {"case": case, "reader": reader}),
            ):
                if not path.exists():
                    write_once(path, content)
        return folder

    def readers(self, case: str) -> list[str]:
        """Names of the readers who have a folder for ``case``: for agreement, never for a reader's view."""
        place = self.root / folder_key(case)
        found = (_names(place / name) for name in sorted(lying.names_in(place)) if name[0] != ".")
        return sorted(names[1] for names in found if names is not None)

    def reads(self) -> Iterator[tuple[str, str]]:
        """Case and reader of all work that is kept, in a stable order."""
        for case_key in sorted(lying.names_in(self.root)):
            if case_key.startswith(".") or not (self.root / case_key).is_dir():
                continue
            for key in sorted(lying.names_in(self.root / case_key)):
                names = _names(self.root / case_key / key)
                if names is not None:
                    yield names

    # --- reading
    def versions(self, case: str, reader: str) -> list[Version]:
        """All versions, oldest first; damaged ones are named in ``damage``. Masks are not hashed here."""
        folder = self.folder(case, reader)
        return [
            lying.look(folder, number, case, reader) for number in lying.numbers_in(lying.names_in(folder))
        ]

    def newest(self, case: str, reader: str) -> Version | None:
        """The last version that is whole (its masks are hashed); damaged ones after it are skipped.

        ``damaged_after`` names those. None where there is no whole version.
        """
        return self._newest(case, reader)[0]

    def damaged_after(self, case: str, reader: str) -> list[Version]:
        """Damaged versions that ``newest`` skips, newest first: to be named to the user."""
        return self._newest(case, reader)[1]

    def draft(self, case: str, reader: str) -> Version | None:
        """The newest version where it is a draft, to be offered again; else None."""
        version = self.newest(case, reader)
        return version if version and version.record and not version.record.finished else None

    def read(self, version: Version) -> tuple[Volume, Volume | None, Record]:
        """Brown fat, adipose tissue or None (uint8 0 and 1 in canonical axes, never resampled), and record.

        Raises ``InputRefused`` where a file is not what was saved.
        """
        masks = lying.read_masks(version)
        assert version.record is not None
        return masks["brown"], masks.get("adipose"), version.record

    def verify(self, case: str, reader: str) -> list[Version]:
        """All versions after reading and hashing every file; ``damage`` names what is wrong."""
        return [lying.verified(version) for version in self.versions(case, reader)]

    def is_locked(self, case: str, reader: str) -> bool:
        """Whether the read is final."""
        folder = self.folder(case, reader)
        numbers = lying.numbers_in(lying.names_in(folder))
        looked = (lying.look(folder, number, case, reader) for number in reversed(numbers))
        return self._final(folder, next((version for version in looked if version.damage is None), None))

    # --- writing
    def save(
        self,
        case: str,
        reader: str,
        brown: Volume,
        *,
        adipose: Volume | None = None,
        record: Record,
        parent: int | None = None,
        ct_file: Path | None = None,
    ) -> Version:
        """Keep a state of the work as a new version; nothing is overwritten, ever.

        Parameters
        ----------
        brown, adipose : masks (bool, or integers 0 and 1) on the CT's own grid, see ``grids``.
        record : what the caller knows (see ``Record``); the rest is filled in.
        parent : the version that the work began with, None for none.
        ct_file : the CT as a volume file; masks on its voxels then get its very axes, whatever order the
            program that they were painted in has put them into. Others are kept as they are: no work is
            refused for it.

        Goes through the ``CaseLock`` that this store's user holds, or takes one for the moment. The version
        is on the disk (fsync) when this returns. Raises ``InputRefused``: "read-locked", "case-locked",
        "lock-lost", "other-grid", "mask-values", "grid-resampled", "record-invalid"; ``OutputRefused``:
        "disk-full", "output-unwritable", "output-name-too-long".
        """
        record = record.checked()
        if adipose is not None:
            brown.require_same_grid(adipose, "adipose mask")
        masks = {"brown": brown} | ({"adipose": adipose} if adipose is not None else {})
        layout = read_layout(ct_file) if ct_file is not None else None
        if layout is not None and layout.grid.same_place(brown.grid):
            masks = {role: laid_out_like(mask, layout) for role, mask in masks.items()}

        def write(folder: Path) -> dict[str, dict[str, Any]]:
            return {
                role: {"name": FILES[role], **write_mask(mask, folder / FILES[role])}
                for role, mask in masks.items()
            }

        with self._working(case, reader):
            former = self._former(case, reader)
            return self._commit(case, reader, record, write, parent, former)

    def finish(self, case: str, reader: str, *, seconds: float = 0.0) -> Version:
        """The newest version again as a new one that is done. ``seconds``: active ones since it was saved."""
        return self._again(case, reader, seconds, status="done")

    def reopen(self, case: str, reader: str) -> Version:
        """The newest version again as a draft. Raises ``InputRefused`` ("read-locked") for a final read."""
        return self._again(case, reader, 0.0, status="draft")

    def lock_final(self, case: str, reader: str) -> Version:
        """The newest version again as the final one: nothing is saved for this case and reader afterwards."""
        with self._working(case, reader):
            version = self._repeat(case, reader, 0.0, status="done", locked=True)
            assert version.record is not None
            facts = {"version": version.number, "time": version.record.time, "files": version.record.files}
            with self._explained():
                write_once(version.folder.parent / FINAL_NAME, facts)
        return version

    # --- inside
    def _newest(self, case: str, reader: str) -> tuple[Version | None, list[Version]]:
        folder = self.folder(case, reader)
        damaged: list[Version] = []
        for number in reversed(lying.numbers_in(lying.names_in(folder))):
            version = lying.verified(lying.look(folder, number, case, reader))
            if version.damage is None:
                return version, damaged
            damaged.append(version)
        return None, damaged

    @staticmethod
    def _final(folder: Path, newest: Version | None) -> bool:
        # A program killed between the final version and the file that says so: the version says it too.
        said = newest is not None and newest.record is not None and newest.record.locked
        return said or (folder / FINAL_NAME).exists()

    @contextlib.contextmanager
    def _working(self, case: str, reader: str) -> Iterator[None]:
        """Under the lock that is held, or one for the moment."""
        held = self.held_locks.get(self.folder(case, reader))
        if held is not None:
            held.refresh()
            yield
            return
        lock = CaseLock(self, case, reader)
        with self._explained():
            lock.acquire(wait=_WAIT)
        try:
            yield
        finally:
            lock.release()

    def _former(self, case: str, reader: str) -> Version | None:
        """The newest whole version; raises "read-locked" where it is final."""
        folder = self.folder(case, reader)
        newest = None if (folder / FINAL_NAME).exists() else self.newest(case, reader)
        if self._final(folder, newest):
            raise InputRefused(
                "read-locked",
                "The read is final: it was locked.",
                "A locked read is not changed any more.",
                "Work on it under another reader's name if it must be looked at again.",
            )
        return newest

    def _again(self, case: str, reader: str, seconds: float, *, status: str) -> Version:
        with self._working(case, reader):
            return self._repeat(case, reader, seconds, status=status)

    def _repeat(self, case: str, reader: str, seconds: float, **changes: Any) -> Version:
        former = self._former(case, reader)
        if former is None or former.record is None:
            raise InputRefused(
                "nothing-saved",
                "Nothing readable was saved for this case and reader.",
                "There must be a version to mark.",
                "Save the case first.",
            )
        record = former.record
        paths = [former.folder / facts["name"] for facts in record.files.values()]

        def copy(folder: Path) -> dict[str, dict[str, Any]]:
            for path in paths:
                shutil.copyfile(path, folder / path.name)
                flush_file(folder / path.name)
            return {role: dict(facts) for role, facts in record.files.items()}

        changed = replace(record, seconds=seconds, **changes).checked()
        return self._commit(case, reader, changed, copy, former.number, former)

    def _commit(
        self,
        case: str,
        reader: str,
        record: Record,
        write: Callable[[Path], dict[str, dict[str, Any]]],
        parent: int | None,
        former: Version | None,
    ) -> Version:
        folder = self.make_place(case, reader)
        self._sweep(folder)
        spent = former.record.seconds_total if former and former.record else 0.0
        with self._explained():
            beside = folder / f"{UNFINISHED}{secrets.token_hex(6)}"
            beside.mkdir()
            with registered(beside):
                record = replace(
                    record,
                    case=case,
                    reader=reader,
                    parent=parent,
                    time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                    seconds_total=round(spent + record.seconds, 3),
                    files=write(beside),
                )
                return self._place(folder, beside, record)

    @staticmethod
    def _place(folder: Path, beside: Path, record: Record) -> Version:
        """Give the finished folder the next free number; somebody without the lock may have taken one."""
        while True:
            number = max(lying.numbers_in(lying.names_in(folder)), default=0) + 1
            record = replace(record, version=number)
            write_flushed(beside / RECORD_NAME, record.as_json())
            flush_folder(beside)
            place = folder / lying.version_name(number)
            if rename_folder(beside, place):
                flush_folder(folder)
                return Version(number, place, record)

    @staticmethod
    def _sweep(folder: Path) -> None:
        """Remove what killed programs left behind long ago; versions are never touched."""
        for name in lying.names_in(folder):
            left = folder / name
            if name.startswith(UNFINISHED) and (seconds_since(left) or 0.0) > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
            elif name.startswith(_BESIDE) and (seconds_since(left) or 0.0) > _ABANDONED:
                with contextlib.suppress(OSError):
                    left.unlink()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Refusals of the operating system in words of saving."""
        try:
            with output_errors(self.root.name):
                yield
        except OutputRefused as refusal:
            if refusal.code == "store-unreachable":
                raise
            raise OutputRefused(
                refusal.code,
                refusal.found,
                "Every save is a new version, written whole or not at all.",
                "Make room, or choose another folder for the annotations, and save again. What is open is "
                "not lost, and the versions saved before are untouched.",
            ) from refusal


def _names(folder: Path) -> tuple[str, str] | None:
    """Case and reader that a folder belongs to."""
    try:
        said = json.loads((folder / READER_NAME).read_text(encoding="utf-8"))
        return str(said["case"]), str(said["reader"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

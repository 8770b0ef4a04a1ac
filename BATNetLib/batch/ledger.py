"""The journal of a batch: what became of each case, safe against a kill at any moment.

Every run (or shard) appends to a journal of its own, one JSON line a case, forced to disk; nobody ever
rewrites a line. So machines that share a folder never write the same file, a torn last line costs
nothing, and what became of ten thousand cases is read from a few files. A finished result folder holds
its own line as well (``batch.json``), so a result whose line was never written is found, not repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..workfiles import output_errors

#: How a case can end.
DONE, REFUSED, FAILED, NOT_ASSESSABLE = "done", "refused", "failed", "not-assessable"
STATUSES = (DONE, NOT_ASSESSABLE, REFUSED, FAILED)
#: Status of a case that has no line yet.
PENDING = "pending"
#: The line of a case inside its result folder.
CASE_FILE = "batch.json"

Record = dict[str, Any]


class Ledger:
    """Records of all cases of an output folder, from all journals; the latest of a case counts.

    A record has at least ``case`` (id), ``status``, ``time`` (seconds since 1970), ``settings``, ``quick``
    and ``content`` (keys of ``fingerprint``), and the values of the result table.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None) -> None:
        self.folder = folder
        self.path = folder / ("journal.jsonl" if shard is None else f"journal-{shard[0]}-of-{shard[1]}.jsonl")
        self.records: dict[str, Record] = {}
        self.damaged = 0
        self._read: dict[Path, int] = {}
        self._file: Any = None

    def refresh(self) -> bool:
        """Read what all journals have gained since the last look; whether that was anything."""
        gained = False
        for path in sorted(self.folder.glob("journal*.jsonl")):
            start = self._read.get(path, 0)
            try:
                if path.stat().st_size <= start:
                    continue
                with path.open("rb") as file:
                    file.seek(start)
                    data = file.read()
            except OSError:
                continue
            # A line without its end is still being written, or was torn by a kill.
            whole, _, _ = data.rpartition(b"\n")
            if not whole:
                continue
            self._read[path] = start + len(whole) + 1
            gained |= self._take(whole.split(b"\n"))
        return gained

    def append(self, record: Record) -> None:
        """Add a record, on disk when this returns. Raises ``OutputRefused`` where that fails."""
        line = json.dumps(record, ensure_ascii=True, allow_nan=False, sort_keys=True).encode() + b"\n"
        with output_errors(self.path.name):
            if self._file is None:
                self._file = self._open()
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        self._keep(record)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def adopt(self, cases_folder: Path, wanted: Iterable[str]) -> list[str]:
        """Take over finished result folders that have no record or a newer one than ours; their ids."""
        adopted = []
        for case_id in wanted:
            record = read_case_file(cases_folder / case_id)
            if record is None or record.get("case") != case_id:
                continue
            known = self.records.get(case_id)
            if known is None or known["time"] < record["time"]:
                self.append(record)
                adopted.append(case_id)
        return adopted

    def _open(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab")
        if file.tell():
            with self.path.open("rb") as before:
                before.seek(-1, os.SEEK_END)
                torn = before.read(1) != b"\n"
            if torn:
                # The torn line becomes a line of its own that nobody understands.
                file.write(b"\n")
        return file

    def _take(self, lines: Iterable[bytes]) -> bool:
        taken = False
        for line in lines:
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                usable = isinstance(record["case"], str) and record["status"] in STATUSES
                record["time"] = float(record["time"])
            except (ValueError, KeyError, TypeError):
                usable = False
            if usable:
                self._keep(record)
                taken = True
            else:
                self.damaged += 1
        return taken

    def _keep(self, record: Record) -> None:
        known = self.records.get(record["case"])
        if known is None or known["time"] <= record["time"]:
            self.records[record["case"]] = record


def read_case_file(folder: Path) -> Record | None:
    """The record inside a result folder; None where there is none that can be read."""
    try:
        record = json.loads((folder / CASE_FILE).read_text(encoding="utf-8"))
        record["time"] = float(record["time"])
        return record if isinstance(record["case"], str) and record["status"] in STATUSES else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_case_file(folder: Path, record: Mapping[str, Any]) -> None:
    """Put the record of a case into its result folder, which is not in its place yet."""
    text = json.dumps(record, ensure_ascii=True, allow_nan=False, sort_keys=True, indent=1)
    (folder / CASE_FILE).write_text(text + "\n", encoding="utf-8")

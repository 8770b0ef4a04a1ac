"""What a results folder of a batch says about its cases; the names come from the key file beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from BATNetSlicer import add_library_to_path
from BATNetSlicer.texts import _


@dataclass(frozen=True)
class BatchCase:
    """``id``: in the results. ``name``: what the user calls it. ``source``: its scan, None where unknown.
    ``status``: done, not-assessable, refused, failed. ``folder``: its result."""

    id: str
    name: str
    status: str
    probability: float | None
    why: str
    source: Path | None
    folder: Path

    def why_not_loaded(self) -> str | None:
        """Why it cannot be loaded for review, in words; None where it can."""
        if self.status not in ("done", "not-assessable"):
            return _("{name} has no result: {why}").format(name=self.name, why=self.why)
        if not self.folder.is_dir():
            return _("The result of {name} is no longer there.").format(name=self.name)
        if self.source is None:
            return _("Where the scan of {name} lies is not known: the key file is missing.").format(
                name=self.name
            )
        if not self.source.exists():
            return _("The scan of {name} is no longer where it was.").format(name=self.name)
        return None

    def scan_file(self) -> Path:
        """The file to load: the scan itself, or the first file of a DICOM folder."""
        if self.source.is_dir():
            files = [p for p in sorted(self.source.rglob("*")) if p.is_file() and not p.name.startswith(".")]
            return files[0]
        return self.source


class BatchCases:
    """Reads the journal as it grows; never writes."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._ledger: Any = None
        self._shown: dict[str, Any] = {}
        self._key: tuple[float, dict[str, tuple[str, str]]] = (0.0, {})

    def is_batch(self) -> bool:
        return (self.out / "state").is_dir()

    def news(self) -> list[BatchCase]:
        """Cases that are new or changed since the last call, in the order of their ids."""
        add_library_to_path()
        from BATNetLib.batch.ledger import Ledger

        if self._ledger is None:
            if not self.is_batch():
                return []
            self._ledger = Ledger(self.out / "state")
        self._ledger.refresh()
        records = self._ledger.records
        changed = [case_id for case_id, record in records.items() if self._shown.get(case_id) is not record]
        for case_id in changed:
            self._shown[case_id] = records[case_id]
        names = self._names()
        return [self._case(records[case_id], names) for case_id in sorted(changed)]

    def case(self, case_id: str) -> BatchCase:
        return self._case(self._ledger.records[case_id], self._names())

    def counts_in_words(self) -> str:
        counts = Counter(
            record["status"] for record in (self._ledger.records if self._ledger else {}).values()
        )
        words = {
            "done": _("{n} done"),
            "not-assessable": _("{n} not assessable"),
            "refused": _("{n} refused"),
            "failed": _("{n} failed"),
        }
        parts = [text.format(n=counts[status]) for status, text in words.items() if counts[status]]
        return ", ".join(parts) or _("No cases.")

    def _case(self, record: Mapping[str, Any], names: Mapping[str, tuple[str, str]]) -> BatchCase:
        case_id = str(record["case"])
        name, source = names.get(case_id, (case_id, ""))
        return BatchCase(
            id=case_id,
            name=name,
            status=str(record["status"]),
            probability=record.get("prediction"),
            why=str(record.get("why") or ""),
            source=Path(source) if source else None,
            folder=self.out / "cases" / case_id,
        )

    def _names(self) -> dict[str, tuple[str, str]]:
        """Case id to (name, path of the scan); read again when the key file has changed."""
        from BATNetLib.batch.names import key_file_of, read_key
        from BATNetLib.errors import BATNetError

        key = key_file_of(self.out)
        try:
            changed = key.stat().st_mtime
            if changed != self._key[0]:
                self._key = (changed, read_key(key))
        except (OSError, BATNetError):
            self._key = (0.0, {})
        return self._key[1]

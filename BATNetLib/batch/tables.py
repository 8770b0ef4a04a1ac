"""``results.csv``, ``summary.json`` and contact sheet: made again, whole, from what became of each case."""

from __future__ import annotations

import csv
import time
from collections import Counter, defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..errors import UsageError
from ..events import Events
from ..workfiles import whole_file
from .cases import natural
from .ledger import PENDING, STATUSES, Ledger, Record
from .output import OutputFolder, write_json
from .rows import COLUMNS, row
from .words import safe_cell

RESULTS, SUMMARY, SHEET = "results.csv", "summary.json", "contact-sheet.html"
#: Seconds between two states of the tables while a batch runs, and how many times longer than the
#: writing itself the pause is at least.
_EVERY = 5.0
_PAUSE = 20.0
#: Up to this many cases the contact sheet is written even when the user waits for a cancelled run to end.
_QUICK_SHEET = 1000


class Tables:
    """The tables of an output folder, over all of its shards."""

    def __init__(self, output: OutputFolder, ledger: Ledger) -> None:
        self.output, self.ledger = output, ledger
        self.changed = False
        self._next = time.monotonic() + _EVERY

    def write_now_and_then(self, events: Events) -> None:
        """Write when something has changed and the last time was long enough ago."""
        if not self.changed or time.monotonic() < self._next:
            return
        started = time.monotonic()
        self.ledger.refresh()
        self.write()
        self.changed = False
        now = time.monotonic()
        self._next = now + max(_EVERY, _PAUSE * (now - started))

    def write(self, *, quickly: bool = False) -> dict[str, Any]:
        """Write all three; ``quickly`` leaves out a contact sheet that takes long. Returns the summary."""
        records = records_of(self.output, self.ledger)
        write_results(self.output.path / RESULTS, records)
        summary = summarise(self.output, records)
        write_json(self.output.path / SUMMARY, summary)
        if not quickly or len(records) <= _QUICK_SHEET:
            from .sheet import write_sheet

            write_sheet(self.output.path / SHEET, records, summary)
        return summary


def collect(out: Path) -> dict[str, Any]:
    """Make the tables of an output folder again, for example when all shards are done; the summary.

    Runs beside shards that are still at work. Raises ``UsageError`` where ``out`` holds no batch.
    """
    output = OutputFolder(Path(out))
    if not output.path.is_dir() or output.settings() is None:
        raise UsageError(
            "not-a-batch",
            f"'{output.path.name}' is not the output folder of a batch.",
            "The folder given as --out to the runs is needed.",
            "Check the path.",
        )
    ledger = Ledger(output.state)
    ledger.refresh()
    return Tables(output, ledger).write()


def records_of(output: OutputFolder, ledger: Ledger) -> list[Record]:
    """All cases in the order of their ids; those of the list without a record are pending."""
    records = dict(ledger.records)
    for case_id in output.case_ids():
        records.setdefault(case_id, {"case": case_id, "status": PENDING})
    return [records[case_id] for case_id in sorted(records, key=natural)]


def write_results(path: Path, records: list[Record]) -> None:
    """UTF-8; no cell is one that a spreadsheet program would execute."""
    with whole_file(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([safe_cell(value) for value in row(record).values()] for record in records)


def summarise(output: OutputFolder, records: list[Record]) -> dict[str, Any]:
    """Counts, versions, options, models and times, as plain JSON values."""
    settings = output.settings() or {}
    statuses = Counter(record["status"] for record in records)
    codes: dict[str, Counter[str]] = defaultdict(Counter)
    same: dict[str, list[str]] = defaultdict(list)
    for record in records:
        if record["status"] != "done" and record.get("code"):
            codes[record["status"]][record["code"]] += 1
        if record.get("content"):
            same[record["content"]].append(record["case"])
    listed = set(output.case_ids())
    seconds = [float(record["seconds"]) for record in records if record.get("prediction") is not None]
    finished = [record["finished"] for record in records if record.get("finished")]
    return {
        "statement": RESEARCH_USE_ONLY,
        "demonstration": any(record.get("demonstration") for record in records),
        "software": {"name": "BATNet for 3D Slicer", "version": __version__},
        "written": _utc(time.time()),
        "cases": len(records),
        "status": {status: statuses[status] for status in (*STATUSES, PENDING)},
        "codes": {status: dict(counted.most_common()) for status, counted in sorted(codes.items())},
        "mixed_settings": len({record.get("settings") for record in records if record.get("settings")}) > 1,
        "same_images": [ids for ids in same.values() if len(ids) > 1],
        "not_in_the_last_list": sum(record["case"] not in listed for record in records) if listed else 0,
        "passed_over": settings.get("passed_over", {}),
        "options": settings.get("options"),
        "models": settings.get("models"),
        "seconds": {
            "median_of_a_case": sorted(seconds)[len(seconds) // 2] if seconds else None,
            "sum": round(sum(float(record.get("seconds") or 0) for record in records), 1),
        },
        "first_finished": _utc(min(finished)) if finished else None,
        "last_finished": _utc(max(finished)) if finished else None,
    }


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

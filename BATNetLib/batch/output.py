"""The output folder of a batch: what lies where, and whether it may be used."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import OutputRefused, UsageError
from ..workfiles import output_errors, whole_file
from .cases import Case
from .ledger import CASE_FILE, Ledger, Record, read_case_file

SETTINGS_FILE = "batch-settings.json"
FORMAT = 1
#: Seconds after which a draft is nobody's any more.
_OLD = 600.0


class OutputFolder:
    """Paths of an output folder.

    ``cases``: one analysis folder per case. ``state``: journals and the list of cases. ``logs``: what
    helps to mend a defect. ``work``: unfinished results, of this run only.
    """

    def __init__(self, path: Path, shard: tuple[int, int] | None = None) -> None:
        self.path = path
        self.cases = path / "cases"
        self.state = path / "state"
        self.logs = path / "logs"
        self.all_work = path / ".work"
        self.my_work = self.all_work / ("all" if shard is None else f"{shard[0]}-of-{shard[1]}")
        self.work = self.my_work / uuid.uuid4().hex[:12]
        self._shard = shard

    # --- may it be used
    def check(self, cases: Iterable[Case], keep_names: bool) -> None:
        """Raise ``UsageError`` where the folder is no batch, names cases otherwise, or lies in an input."""
        settings = self.settings()
        if settings is None and self.path.exists():
            mine = (".batnet-lock", "..batnet-lock", ".work")
            if not self.path.is_dir() or any(not p.name.startswith(mine) for p in self.path.iterdir()):
                raise UsageError(
                    "output-not-a-batch",
                    f"'{self.path.name}' exists and is not the output folder of a batch.",
                    "A new or empty folder, or one of a former batch, is needed.",
                    "Choose another folder with --out.",
                )
        if settings is not None and settings["names"] != _names(keep_names):
            are, other = "their own names", "Say --keep-names"
            if keep_names:
                are, other = "pseudonyms", "Leave --keep-names out"
            raise UsageError(
                "names-mode",
                f"The cases in '{self.path.name}' are under {are}.",
                "One output folder names its cases one way.",
                f"{other}, or choose another --out.",
            )
        self._require_outside(cases)

    def _require_outside(self, cases: Iterable[Case]) -> None:
        out = os.path.realpath(self.path)
        folders = set()
        for case in cases:
            primary = case.primary
            if primary is not None:
                folders.add(os.path.realpath(primary if case.members else primary.parent))
        while True:
            if out in folders:
                raise UsageError(
                    "output-in-input",
                    f"The output folder '{self.path.name}' lies inside a folder with inputs.",
                    "Nothing is written into input folders.",
                    "Choose another place with --out.",
                )
            above = os.path.dirname(out)  # noqa: PTH120
            if above == out:
                return
            out = above

    # --- settings and the list of cases
    def settings(self) -> dict[str, Any] | None:
        """What the last run was asked to do; None where no batch has used this folder."""
        try:
            settings = json.loads((self.path / SETTINGS_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damaged(SETTINGS_FILE) from error
        if not isinstance(settings, dict) or settings.get("format") != FORMAT or "names" not in settings:
            raise _damaged(SETTINGS_FILE)
        return settings

    def prepare(self, settings: Mapping[str, Any], keep_names: bool, case_ids: list[str]) -> None:
        """Make the folders and write down what this run is asked to do, and with which cases."""
        with output_errors(self.path.name):
            for folder in (self.cases, self.state, self.work):
                folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path / SETTINGS_FILE, {"format": FORMAT, "names": _names(keep_names), **settings})
        write_json(self.state / "cases.json", {"cases": case_ids})

    def case_ids(self) -> list[str]:
        """Ids of all cases of the last run, of all shards; empty where it is not known."""
        try:
            return [
                str(c) for c in json.loads((self.state / "cases.json").read_text(encoding="utf-8"))["cases"]
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    # --- results
    def finished_folders(self) -> set[str]:
        try:
            return {entry.name for entry in os.scandir(self.cases) if entry.is_dir()}
        except OSError:
            return set()

    def place(self, folder: Path, case_id: str) -> None:
        """Move a finished result to its place; a former one goes only after that."""
        target = self.cases / case_id
        with output_errors(case_id):
            former = self._aside(case_id)
            try:
                folder.replace(target)
            except OSError:
                if former is not None:
                    former.replace(target)
                raise
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)

    def drop(self, case_id: str) -> None:
        """Remove the result folder of a case whose inputs do not lead to it any more."""
        former = self._aside(case_id)
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)

    def _aside(self, case_id: str) -> Path | None:
        target = self.cases / case_id
        if not target.exists():
            return None
        former = self.work / f"former-{case_id}"
        target.replace(former)
        return former

    def write_log(self, case_id: str, text: str | None) -> None:
        path = self.logs / f"{case_id}.txt"
        if text is None:
            path.unlink(missing_ok=True)
            return
        self.logs.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    # --- after a kill
    def recover(self, ledger: Ledger) -> None:
        """Bring to their places the results that a killed run had finished, and clear away the rest."""
        mine = self.all_work if self._shard is None else self.my_work
        for folder in _finished_below(mine):
            record = read_case_file(folder)
            if folder.name.startswith((".", "former-")) or record is None or record["case"] != folder.name:
                continue
            if _is_newer(record, ledger.records.get(folder.name)):
                self.place(folder, folder.name)
        # Where a run was killed between two renames the former result is the only one.
        for former in _finished_below(mine):
            case_id = former.name.removeprefix("former-")
            if case_id != former.name and not (self.cases / case_id).exists():
                former.replace(self.cases / case_id)
        for old in mine.glob("*/*" if mine == self.all_work else "*"):
            if old != self.work:
                shutil.rmtree(old, ignore_errors=True)
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        """Remove what a kill left of files that were being written; not what other shards write now."""
        for draft in (*self.path.glob(".partial-*"), *self.state.glob(".partial-*")):
            with contextlib.suppress(OSError):
                if self._shard is None or time.time() - draft.stat().st_mtime > _OLD:
                    draft.unlink()

    def clear_work(self) -> None:
        """Remove the work folder of this run, and those above it where no other shard uses them."""
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in (self.my_work, self.all_work):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _finished_below(root: Path) -> list[Path]:
    """Result folders below ``root``. They may vanish meanwhile: a worker of the
    killed run may still be clearing up."""
    return sorted(Path(folder) for folder, _, names in os.walk(root) if CASE_FILE in names)


def write_json(path: Path, value: Any) -> None:
    with whole_file(path) as tmp:
        tmp.write_text(
            json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def _is_newer(record: Record, known: Record | None) -> bool:
    return known is None or known["time"] < record["time"]


def _names(keep_names: bool) -> str:
    return "kept" if keep_names else "pseudonyms"


def _damaged(name: str) -> OutputRefused:
    return OutputRefused(
        "output-damaged",
        f"'{name}' of the output folder cannot be read, or was written by another version.",
        "It says how the results in this folder were made.",
        "Choose another --out.",
    )

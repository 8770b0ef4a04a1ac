"""The data to train on: a folder or a list, looked at by ``batnet dataset check``."""

from __future__ import annotations

import csv
import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer.job_contract import JobRunner, Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from .calls import Call
from .findings import MOST_ROWS, FindingsTable
from .form import offer
from .phantoms import PhantomCohort
from .words import training_words

STAGES = ("adipose", "brown")
_MOST_READ = 5000


class DataCard:
    """``changed()`` is called when the user chose other data or another stage."""

    def __init__(self, ui: Any, runner: Callable[[], JobRunner], changed: Callable[[], None]) -> None:
        self.ui, self._runner, self._changed = ui, runner, changed
        self._call: Call | None = None
        self._cohort: PhantomCohort | None = None
        self._folder: Path | None = None
        self._table = FindingsTable(ui.findingsTable)
        offer(ui.stageCombo, [(training_words(stage), stage) for stage in STAGES])
        ui.dataFolderButton.connect("clicked()", self._choose_folder)
        ui.dataListButton.connect("clicked()", self._choose_list)
        ui.phantomsButton.connect("clicked()", self.make_phantoms)
        ui.checkButton.connect("clicked()", self.check)
        ui.checkCancelButton.connect("clicked()", self.cancel)
        ui.findingsButton.connect("clicked()", self._save_table)
        ui.patchesButton.connect("clicked()", self._choose_patches)
        for edit in (ui.dataEdit, ui.patientEdit, ui.patchesEdit):
            edit.connect("textChanged(QString)", lambda *_: self._other())
        ui.stageCombo.connect("currentIndexChanged(int)", lambda *_: self._other())
        self._clear()

    # --- what was chosen
    @property
    def stage(self) -> str:
        return self.ui.stageCombo.itemData(self.ui.stageCombo.currentIndex)

    @property
    def source(self) -> str:
        return self.ui.dataEdit.text.strip()

    def arguments(self) -> list[str]:
        """The data and how patients are told, for ``batnet dataset`` and ``batnet train``."""
        words = [self.source]
        pattern = self.ui.patientEdit.text.strip()
        if pattern:
            words += ["--patient-pattern", pattern]
        return words

    def patches(self) -> list[str]:
        """Prepared patches, which stage 2 can be trained on."""
        path = self.ui.patchesEdit.text.strip()
        return ["--patches", path] if path and self.stage == "brown" else []

    def why_not(self) -> str | None:
        """Why nothing can be done with the data, in words; None where it can."""
        if not self.source:
            return _("Choose a folder with scans and masks.")
        if not Path(self.source).exists():
            return _("The folder of the data is not there.")
        return None

    def _other(self) -> None:
        self.close()
        self._clear()
        self._changed()

    # --- checking
    def check(self) -> None:
        why_not = self.why_not()
        if why_not is not None:
            self._say(why_not)
            return
        self.close()
        self._folder = Path(tempfile.mkdtemp(prefix="BATNet-", dir=slicer.app.temporaryPath or None))
        words = ["dataset", "check", *self.arguments(), "--stage", self.stage, "--csv", str(self._csv())]
        words += self.patches()
        self._say(_("Looking for cases ..."))
        self._call = Call(self._runner(), words, self._checked, self._failed, self._cancelled, self._say)
        self.show()

    def cancel(self) -> None:
        for running in (self._call, self._cohort):
            if running is not None:
                running.cancel()
                self.ui.checkCancelButton.enabled = False

    def close(self) -> None:
        """End what runs; the table of a check goes."""
        running, self._call, self._cohort = (self._call, self._cohort), None, None
        for one in running:
            if one is not None:
                one.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _checked(self, result: Result) -> None:
        facts = result.facts
        counts = facts.get("counts") or {}
        words = _("Checked.")
        if facts.get("cases"):
            words = _("{cases} cases of {patients} patients.").format(
                cases=len(facts["cases"]), patients=facts.get("patients")
            )
        if not any(counts.values()):
            words = _("{words} Nothing was found.").format(words=words)
        else:
            words = _("{words} {block} in the way, {warn} to look at, {note} to know.").format(
                words=words, **{level: counts.get(level, 0) for level in ("block", "warn", "note")}
            )
        if facts.get("blocking"):
            words = _("{words} Cases that are in the way are left out of a split.").format(words=words)
        rows = self._table.show(facts.get("findings") or [])
        if rows > MOST_ROWS:
            words = _("{words} The first {shown} of {rows} rows are shown.").format(
                words=words, shown=MOST_ROWS, rows=rows
            )
        self._over(words)
        self.ui.findingsButton.visible = rows > 0 and self._csv().is_file()

    def _failed(self, failure: Failure) -> None:
        rows = _findings_of(self._csv()) if failure.code == "engine-no-answer" else []
        if rows:
            # The answer on thousands of cases is too long for an event; the table is whole.
            counts = {
                level: sum(row["level"] == level for row in rows) for level in ("block", "warn", "note")
            }
            self._checked(
                Result(Path(), {"findings": rows, "counts": counts, "blocking": counts["block"] > 0})
            )
        else:
            self._over(failure.text)

    def _cancelled(self) -> None:
        self._over(_("Cancelled."))

    def _over(self, words: str) -> None:
        self._call = None
        self._say(words)
        self.show()

    # --- something to try it with
    def make_phantoms(self) -> None:
        """Invent a small cohort and choose it."""
        place = qt.QFileDialog.getExistingDirectory(None, _("Folder that takes the phantoms"))
        if place:
            self.close()
            self._clear()
            cohort = PhantomCohort(
                self._runner(), Path(place), self._phantoms_made, self._phantoms_failed, self._say
            )
            if not cohort.over:
                self._cohort = cohort
            self.show()

    def _phantoms_made(self, folder: Path) -> None:
        self._cohort = None
        self.ui.dataEdit.text = str(folder)
        self._say(_("Phantoms: what is trained on them says nothing about patients."))
        self.show()

    def _phantoms_failed(self, words: str) -> None:
        self._cohort = None
        self._over(words)

    # --- showing
    def _clear(self) -> None:
        self._table.show([])
        self.ui.findingsButton.visible = False
        self._say("")
        self.show()

    def show(self) -> None:
        ui, busy = self.ui, self._call is not None or self._cohort is not None
        for widget in (ui.patchesLabel, ui.patchesEdit, ui.patchesButton):
            widget.visible = self.stage == "brown"
        ui.checkButton.visible, ui.checkCancelButton.visible = not busy, busy
        ui.checkButton.enabled = bool(self.source)
        for widget in (ui.dataEdit, ui.dataFolderButton, ui.dataListButton, ui.phantomsButton):
            widget.enabled = self._cohort is None
        ui.checkCancelButton.enabled = busy

    def _say(self, words: str) -> None:
        self.ui.checkLabel.text = words
        self.ui.checkLabel.visible = bool(words)

    # --- dialogs
    def _csv(self) -> Path:
        return (self._folder or Path()) / "findings.csv"

    def _save_table(self) -> None:
        path = qt.QFileDialog.getSaveFileName(None, _("Save the findings"), "findings.csv", "CSV (*.csv)")
        if not path:
            return
        try:
            shutil.copyfile(self._csv(), path)
            self._say(_("The table is saved."))
        except OSError:
            self._say(_("The table could not be written there."))

    def _choose_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with training data"))
        if folder:
            self.ui.dataEdit.text = folder

    def _choose_patches(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder of prepared patches"))
        if folder:
            self.ui.patchesEdit.text = folder

    def _choose_list(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            None, _("Choose a list of cases"), "", _("Lists") + " (*.csv *.json)"
        )
        if path:
            self.ui.dataEdit.text = path


def _findings_of(path: Path) -> list[dict[str, Any]]:
    """The findings in a table that the engine wrote; the first of very many."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(itertools.islice(csv.DictReader(file), _MOST_READ))
    except (OSError, ValueError, csv.Error):
        return []
    return [
        {
            "level": row.get("level") or "",
            "code": row.get("code") or "",
            "text": row.get("finding") or "",
            "suggestion": row.get("suggestion") or "",
            "cases": [case for case in (row.get("cases") or "").split("; ") if case],
        }
        for row in rows
    ]

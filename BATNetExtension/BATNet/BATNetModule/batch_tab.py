"""The batch tab: many scans, a table of what became of each, double click to review one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.steps import SLICE_SECONDS
from BATNetSlicer.texts import _
from BATNetSlicer.timewords import time_left_words

from .batchcases import BatchCases
from .result_card import percent

CASE, OUTCOME, REASON = range(3)
#: The journal is looked at this often while a batch runs.
LOOK_MS = 1000


class BatchTab(JobListener):
    """``options()`` gives the words of method and model; ``review(case)`` is asked to load a case."""

    def __init__(
        self,
        ui: Any,
        runner: Callable[[], JobRunner],
        options: Callable[[], list[str]],
        review: Callable[[Any], None],
    ) -> None:
        self.ui, self._runner, self._options, self._review = ui, runner, options, review
        self._job: RunningJob | None = None
        self._cases: BatchCases | None = None
        self._rows: dict[str, int] = {}
        self._waiting: list[Any] = []
        self._clock = qt.QTimer()
        self._clock.setInterval(LOOK_MS)
        self._clock.connect("timeout()", self.look)
        self._left: float | None = None
        self._done: tuple[int, int | None] = (0, None)
        ui.batchStartButton.connect("clicked()", self.start)
        ui.batchStopButton.connect("clicked()", self.stop)
        ui.batchShowButton.connect("clicked()", self.show_former)
        ui.batchSheetButton.connect("clicked()", self.open_sheet)
        ui.batchFolderButton.connect("clicked()", lambda: self._choose_folder(ui.batchSourceEdit))
        ui.batchOutButton.connect("clicked()", lambda: self._choose_folder(ui.batchOutEdit))
        ui.batchListButton.connect("clicked()", self._choose_list)
        ui.batchTable.connect("cellDoubleClicked(int,int)", lambda row, column: self._open(row))
        ui.batchTable.connect("currentCellChanged(int,int,int,int)", self._row_chosen)
        for edit in (ui.batchSourceEdit, ui.batchOutEdit):
            edit.connect("textChanged(QString)", lambda *_: self.show())
        self._head()
        self.say("")
        self.show()

    @property
    def running(self) -> bool:
        return self._job is not None

    # --- start and stop
    def start(self) -> None:
        """Run the batch; finished cases are left alone, so this also goes on where it stopped."""
        ui = self.ui
        words = ["batch", ui.batchSourceEdit.text.strip(), "--out", ui.batchOutEdit.text.strip()]
        words += self._options()
        if ui.batchMasksBox.checked:
            words.append("--fat-masks")
        if ui.batchRerunBox.checked:
            words += ["--rerun", "failed"]
        self._begin(Path(ui.batchOutEdit.text.strip()))
        self._left, self._done = None, (0, None)
        ui.batchProgressBar.setRange(0, 0)
        self.say(_("Looking for scans ..."))
        self._job = self._runner().start(words, self)
        self._clock.start()
        self.show()

    def stop(self) -> None:
        """End the batch; what is done stays, and Start goes on from there."""
        if self._job is not None:
            self._job.cancel()
            self.ui.batchStopButton.enabled = False
            self.say(_("Ending the engine ..."))

    def close(self) -> None:
        job, self._job = self._job, None
        self._clock.stop()
        self._waiting = []
        if job is not None:
            job.close()

    # --- what the engine says
    def stage(self, progress: Progress) -> None:
        if progress.name != "batch" or self._job is None:
            return
        self._done = (progress.done, progress.total)
        self.ui.batchProgressBar.setRange(0, 1000)
        self.ui.batchProgressBar.value = round(1000 * (progress.fraction or 0.0))
        self._say_progress()

    def part(self, part: Any) -> None:
        left = part.facts.get("seconds_left")
        self._left = None if left is None else float(left)
        self._say_progress()

    def error(self, failure: Failure) -> None:
        self.say(failure.text)

    def state(self, state: State) -> None:
        if not state.is_over or self._job is None:
            return
        self._job = None
        self._clock.stop()
        self.look()
        if state is State.DONE:
            self.say(self._cases.counts_in_words() if self._cases else "")
        elif state is State.CANCELLED:
            self.say(_("Stopped. Start goes on from here."))
        self.show()

    def _say_progress(self) -> None:
        done, total = self._done
        words = _("{done} of {total} cases").format(done=done, total="?" if total is None else total)
        if self._left is not None and total and done < total:
            words = _("{words}, {left}").format(words=words, left=time_left_words(self._left))
        self.say(words)

    # --- the table
    def show_former(self) -> None:
        """List what an earlier batch left in the results folder."""
        self._begin(Path(self.ui.batchOutEdit.text.strip()))
        self.look()
        self.say(self._cases.counts_in_words())
        self.show()

    def _begin(self, out: Path) -> None:
        self._cases = BatchCases(out)
        self._rows, self._waiting = {}, []
        self._head()

    def _head(self) -> None:
        table = self.ui.batchTable
        table.setRowCount(0)
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Case"), _("Outcome"), _("Reason")])
        table.verticalHeader().setVisible(False)
        table.horizontalHeader().setStretchLastSection(True)
        table.horizontalHeader().setResizeContentsPrecision(50)

    def look(self) -> None:
        """Show what has been added to the journal of the batch."""
        if self._cases is None:
            return
        idle = not self._waiting
        self._waiting += self._cases.news()
        known = set(self._rows)
        new = sum(case.id not in known for case in self._waiting)
        self.ui.batchTable.setRowCount(len(known) + new)
        if idle and self._waiting:
            self._fill()

    def _fill(self) -> None:
        stop = time.perf_counter() + SLICE_SECONDS
        filled = 0
        while filled < len(self._waiting) and time.perf_counter() < stop:
            self._put(self._waiting[filled])
            filled += 1
        del self._waiting[:filled]
        if self._waiting:
            qt.QTimer.singleShot(0, self._fill)
        elif filled:
            for column in (CASE, OUTCOME):
                self.ui.batchTable.resizeColumnToContents(column)
            self.show()

    def _put(self, case: Any) -> None:
        table = self.ui.batchTable
        row = self._rows.get(case.id)
        if row is None:
            row = self._rows[case.id] = len(self._rows)
        outcome = {
            "done": percent(case.probability) if case.probability is not None else _("done"),
            "not-assessable": _("not assessable"),
            "refused": _("refused"),
            "failed": _("failed"),
            "pending": _("waiting"),
        }.get(case.status, case.status)
        for column, text in ((CASE, case.name), (OUTCOME, outcome), (REASON, case.why)):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(row, column, item)
        table.item(row, CASE).setData(int(qt.Qt.UserRole), case.id)

    def _case_of(self, row: int) -> Any:
        return self._cases.case(self.ui.batchTable.item(row, CASE).data(int(qt.Qt.UserRole)))

    def _row_chosen(self, row: int, *_other: int) -> None:
        """Show the whole reason of a case: the column is too narrow for most."""
        if row >= 0 and not self.running and self.ui.batchTable.item(row, CASE) is not None:
            case = self._case_of(row)
            self.say(_("{name}: {why}").format(name=case.name, why=case.why) if case.why else "")

    def _open(self, row: int) -> None:
        case = self._case_of(row)
        why_not = case.why_not_loaded()
        if why_not is not None:
            self.say(why_not)
        else:
            self._review(case)

    # --- the rest
    def open_sheet(self) -> None:
        sheet = Path(self.ui.batchOutEdit.text.strip()) / "contact-sheet.html"
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(sheet)))

    def say(self, text: str) -> None:
        self.ui.batchStatusLabel.text = text
        self.ui.batchStatusLabel.visible = bool(text)

    def show(self) -> None:
        ui, running = self.ui, self.running
        source, out = ui.batchSourceEdit.text.strip(), ui.batchOutEdit.text.strip()
        ui.batchStartButton.visible, ui.batchStopButton.visible = not running, running
        ui.batchStartButton.enabled = bool(source and out)
        ui.batchStopButton.enabled = running
        ui.batchProgressBar.visible = running
        ui.batchShowButton.enabled = not running and bool(out) and BatchCases(Path(out)).is_batch()
        ui.batchSheetButton.enabled = bool(out) and (Path(out) / "contact-sheet.html").is_file()
        for widget in (ui.batchSourceEdit, ui.batchOutEdit, ui.batchFolderButton, ui.batchListButton):
            widget.enabled = not running
        ui.batchOutButton.enabled = not running

    def _choose_folder(self, edit: Any) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Choose a folder"))
        if folder:
            edit.text = folder

    def _choose_list(self) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Choose a list of cases"), "", "CSV (*.csv)")
        if path:
            self.ui.batchSourceEdit.text = path

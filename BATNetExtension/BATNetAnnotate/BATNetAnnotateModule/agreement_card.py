"""Agreement of the readers: the numbers, the regions they see differently, and who decides them."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer.background import Background
from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.tables import fill
from BATNetSlicer.texts import _

from . import disputes
from .disputes import Comparison, RegionRow
from .saver import failure_of

CASE, SIDE, VOLUME, HAS, DECISION = range(5)


class AgreementCard:
    """``reads()`` gives work list and reader, or None; ``look(case, versions, then)`` shows a case with the
    masks of its readers, ``ask(question)`` asks the user, ``jump(ras)`` moves all views to a point."""

    def __init__(
        self,
        ui: Any,
        reads: Callable[[], tuple[Any, str] | None],
        runner: Callable[[], JobRunner],
        look: Callable[[str, dict[str, int], Callable[[], None]], None],
        ask: Callable[[str], bool],
        jump: Callable[[Any], None],
    ) -> None:
        self.ui, self._reads, self._runner, self._look, self.ask = ui, reads, runner, look, ask
        self._jump = jump
        self.comparison: Comparison | None = None
        self._store: Any = None
        self._reader = ""
        self._job: RunningJob | None = None
        self._work: Background | None = None
        self._folder: Path | None = None
        self._told_why_not = False
        ui.compareButton.connect("clicked()", self.compare)
        ui.agreementCancelButton.connect("clicked()", self.cancel)
        ui.agreementReportButton.connect("clicked()", self.open_report)
        ui.isBrownButton.connect("clicked()", lambda: self.decide(True))
        ui.notBrownButton.connect("clicked()", lambda: self.decide(False))
        ui.adjudicateButton.connect("clicked()", self.adjudicate)
        ui.regionTable.connect("cellClicked(int,int)", lambda row, column: self.show_region(row))
        ui.regionTable.connect("currentCellChanged(int,int,int,int)", lambda *_: self.enable())
        self._fill()
        self.say("")
        self.enable()

    # --- who may see it
    def why_not(self) -> str | None:
        """Why the readers cannot be compared now, in words; None where they can."""
        reads = self._reads()
        if reads is None:
            return _("Open a work list first.")
        worklist, _reader = reads
        begun = [item for item in worklist.items if item.version is not None]
        open_items = [item for item in worklist.items if not item.locked and item.refusal is None]
        if begun and open_items:
            return _(
                "{number} of your cases are not final yet. Lock them first: a comparison shows what others "
                "saw."
            ).format(number=len(open_items))
        return None

    def enable(self) -> None:
        ui, busy = self.ui, self._job is not None or self._work is not None
        why_not = self.why_not()
        ui.compareButton.enabled = not busy and why_not is None
        ui.compareButton.toolTip = why_not or ""
        ui.agreementCancelButton.visible = self._job is not None
        ui.agreementBar.visible = busy
        report = self.comparison is not None and (self.comparison.folder / "report.html").is_file()
        ui.agreementReportButton.enabled = report
        row = self._row()
        ui.isBrownButton.enabled = ui.notBrownButton.enabled = row is not None and not busy
        decided = self.comparison is not None and bool(self.comparison.decided_cases())
        ui.adjudicateButton.enabled = decided and not busy
        if self.comparison is None and not busy and (why_not is not None or self._told_why_not):
            self.say(why_not or "")
            self._told_why_not = why_not is not None

    def say(self, text: str) -> None:
        self.ui.agreementNote.text = text
        self.ui.agreementNote.visible = bool(text)

    # --- comparing
    def compare(self) -> None:
        """Let the engine compare the finished reads of all readers."""
        why_not = self.why_not()
        if why_not is not None or self._job is not None:
            self.say(why_not or "")
            return
        worklist, reader = self._reads()
        if not any(item.version is not None for item in worklist.items):
            question = _(
                "You have no reads in this list. Who sees the comparison should not read these cases "
                "afterwards. Go on?"
            )
            if not self.ask(question):
                return
        self._remove_folder()
        self._folder = Path(tempfile.mkdtemp(prefix="BATNet-agreement-", dir=slicer.app.temporaryPath))
        self._store, self._reader = worklist.store, reader
        words = ["agreement", str(worklist.store.root), "--out", str(self._folder / "result")]
        words += ["--tolerance", f"{self.ui.toleranceBox.value:g}"]
        words += ["--smallest", f"{disputes.SMALLEST_ML:g}"]
        if not can_report():
            words.append("--numbers-only")
        self.comparison = None
        self._fill()
        self.say(_("Comparing the reads ..."))
        self.ui.agreementBar.setRange(0, 0)
        self._job = self._runner().start(words, _Listener(self))
        self.enable()

    def cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _stage(self, progress: Progress) -> None:
        if progress.fraction is not None:
            self.ui.agreementBar.setRange(0, 1000)
            self.ui.agreementBar.value = round(1000 * progress.fraction)

    def _over(self, state: State, failure: Failure | None) -> None:
        self._job = None
        if failure is not None:
            self.say(failure.text)
        elif state is State.DONE:
            self.comparison = disputes.read_comparison(self._folder / "result")
            summary = self.comparison.summary
            self.say(
                _("Cases compared: {cases}. Readers: {readers}. Reads not counted: {left}.").format(
                    cases=summary["cases"],
                    readers=", ".join(summary["readers"]),
                    left=len(summary["left_out"]),
                )
            )
        else:
            self.say(_("Cancelled."))
        self._fill()
        self.enable()

    def open_report(self) -> None:
        report = self.comparison.folder / "report.html"
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(report)))

    # --- regions
    def _fill(self) -> None:
        rows = [] if self.comparison is None else disputes.table_of(self.comparison.summary)
        head = [_("Measure"), _("Readers"), _("Value (95 %)"), _("n")]
        fill(self.ui.agreementTable, head, [list(row) for row in rows])
        regions = [] if self.comparison is None else self.comparison.regions
        head = [_("Case"), _("Side"), "mL", _("Marked by"), _("Decision")]
        fill(self.ui.regionTable, head, [self._texts(region) for region in regions])
        for table in (self.ui.agreementTable, self.ui.regionTable):
            table.horizontalHeader().setStretchLastSection(True)
        number = len(regions)
        self.ui.regionsLabel.text = (
            _("Regions that the readers see differently: {number}").format(number=number) if number else ""
        )

    def _texts(self, region: RegionRow) -> list[str]:
        side = {"right": _("right"), "left": _("left")}.get(region.side, "–")
        return [region.case, side, f"{region.ml:.2f}", ", ".join(region.has), self._decision(region)]

    def _decision(self, region: RegionRow) -> str:
        decided = self.comparison.decisions.get(region.key)
        return "" if decided is None else _("brown fat") if decided else _("not")

    def _row(self) -> int | None:
        row = int(self.ui.regionTable.currentRow())
        return row if self.comparison is not None and 0 <= row < len(self.comparison.regions) else None

    def show_region(self, row: int) -> None:
        """Show the case of a region with the masks of all readers, and move all views there."""
        region = self.comparison.regions[row]
        self._look(
            region.case,
            self.comparison.versions(region.case),
            lambda: self._jump(region.inside),
        )
        self.enable()

    def decide(self, brown: bool) -> None:
        """Whether the chosen region is brown fat; goes on to the next one."""
        row = self._row()
        if row is None:
            return
        region = self.comparison.regions[row]
        self.comparison.decisions[region.key] = brown
        self.ui.regionTable.item(row, DECISION).setText(self._decision(region))
        rest = [n for n, r in enumerate(self.comparison.regions) if r.key not in self.comparison.decisions]
        after = [n for n in rest if n > row] or rest
        if after:
            self.ui.regionTable.setCurrentCell(after[0], CASE)
            self.show_region(after[0])
        self.enable()

    def adjudicate(self) -> None:
        """Write one mask for each case of which all regions are decided."""
        comparison = self.comparison
        if comparison is None or self._work is not None:
            return
        store, by, cases = self._store, self._reader, comparison.decided_cases()
        todo = [
            (
                case,
                comparison.versions(case),
                {r.number: comparison.decisions[r.key] for r in comparison.regions if r.case == case},
            )
            for case in cases
        ]

        def work() -> int:
            for case, versions, choices in todo:
                disputes.write_adjudicated(store, case, versions, choices, by)
            return len(todo)

        def done(number: int) -> None:
            self._work = None
            self.say(
                _("{number} adjudicated masks are written, under the reader 'adjudicated'.").format(
                    number=number
                )
            )
            self.enable()

        def failed(error: Exception) -> None:
            self._work = None
            self.say(failure_of(error).text)
            self.enable()

        self.say(_("Writing the masks ..."))
        self._work = Background(work, done, failed, must_finish=True)
        self.enable()

    # --- the end
    def forget(self) -> None:
        """Another list was opened: what was compared belongs to the former one."""
        self.cancel()
        self.comparison = None
        self._fill()
        self.say("")
        self.enable()

    def close(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.close()
        if self._work is not None:
            self._work.finish()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def can_report() -> bool:
    """Whether the packages of the report are there; the numbers need none of them."""
    return all(importlib.util.find_spec(name) is not None for name in ("matplotlib", "jinja2"))


class _Listener(JobListener):
    def __init__(self, card: AgreementCard) -> None:
        self._card = card
        self._failure: Failure | None = None

    def stage(self, progress: Progress) -> None:
        self._card._stage(progress)

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        if state.is_over and self._card._job is not None:
            self._card._over(state, self._failure)

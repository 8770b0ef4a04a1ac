"""The run that is followed: where it stands, how long it still takes, Stop and Resume, and its log."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer.job_contract import JobRunner
from BATNetSlicer.job_words import Failure
from BATNetSlicer.steps import Steps
from BATNetSlicer.texts import _
from BATNetSlicer.timewords import time_left_words

from . import run_list
from .calls import Call
from .form import choose, offer
from .lastwords import last_words
from .runwatch import RunWatch, whole
from .words import figure_words, number, state_words, training_words


class RunCard:
    """``show()`` follows the watched run; ``opened()`` is called when another one is followed, and
    ``found()`` when it was found at work."""

    def __init__(
        self,
        ui: Any,
        watch: RunWatch,
        runner: Callable[[], JobRunner],
        opened: Callable[[], None],
        found: Callable[[], None],
    ) -> None:
        self.ui, self._watch, self._runner = ui, watch, runner
        self._opened, self._tell_found = opened, found
        self._call: Call | None = None
        self._search: Steps | None = None
        self._note = ""
        self._shown_log: tuple[Path | None, int] = (None, 0)
        self._lines = 0
        ui.openRunButton.connect("clicked()", self._choose)
        ui.forgetRunButton.connect("clicked()", self.forget)
        ui.runCombo.connect("activated(int)", lambda index: self.open(Path(ui.runCombo.itemData(index))))
        ui.stopButton.connect("clicked()", self.stop)
        ui.resumeButton.connect("clicked()", self.resume)
        ui.logButton.connect("toggled(bool)", lambda on: ui.logText.setVisible(on))
        ui.logText.setVisible(False)
        self._fill()
        self.show()

    # --- which run
    def find(self) -> None:
        """Look at the runs known from earlier: one that is at work is followed again, else the last one."""
        if self._watch.folder is None and self._search is None:
            self._search = Steps(self._looking(), self._found, lambda error: self._found(None))

    def _looking(self) -> Generator[float, None, Path | None]:
        from BATNetLib.errors import BATNetError
        from BATNetLib.training import runfolder

        last = None
        for folder in run_list.known_runs():
            yield 0.0
            try:
                if runfolder.liveness(folder) == "running":
                    return folder
                last = last or folder
            except BATNetError:
                continue
        return last

    def _found(self, folder: Path | None) -> None:
        self._search = None
        if folder is not None and self._watch.folder is None:
            self.open(folder)
            if self._watch.at_work:
                self._tell_found()

    def open(self, folder: Path) -> None:
        """Follow the run in ``folder``, started here or in a shell."""
        from BATNetLib.errors import BATNetError
        from BATNetLib.training import runfolder

        try:
            folder = runfolder.require_run(folder)
        except BATNetError as error:
            self._note = f"{error.found} {error.wanted}"
            self._fill()
            self.show()
            return
        self._note = ""
        run_list.remember(folder)
        self._watch.open(folder)
        self._fill()
        self._opened()

    def forget(self) -> None:
        """Take the run off the list; it goes on, and its folder stays."""
        if self._watch.folder is not None:
            run_list.forget(self._watch.folder)
            self._watch.close()
        self._note = ""
        self._fill()
        self._opened()

    def _choose(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder of a run"))
        if folder:
            self.open(Path(folder))

    def _fill(self) -> None:
        there = [path for path in run_list.known_runs() if (path / "run.json").is_file()]
        entries = [(path.name, str(path)) for path in there]
        offer(self.ui.runCombo, entries)
        if self._watch.folder is not None:
            choose(self.ui.runCombo, str(self._watch.folder))
        self.ui.runCombo.enabled = bool(entries)

    # --- stop and resume
    def stop(self) -> None:
        """Ask for the end after the current step; returns at once."""
        from BATNetLib.errors import BATNetError

        try:
            self._watch.request_stop()
        except BATNetError as error:
            self._note = f"{error.found} {error.remedy}"
        self.show()

    def resume(self) -> None:
        """Go on from the last saved state, as a program of its own."""
        if self._call is None and self._watch.folder is not None:
            self._note = _("Starting ...")
            words = ["train", "resume", str(self._watch.folder), "--detach"]
            self._call = Call(self._runner(), words, lambda result: self._over(""), self._failed, self._ended)
            self.show()

    def _failed(self, failure: Failure) -> None:
        self._over(failure.text)

    def _ended(self) -> None:
        self._over("")

    def _over(self, note: str) -> None:
        self._call = None
        self._note = note
        self._watch.look()
        self.show()

    def close(self) -> None:
        if self._search is not None:
            self._search.stop()
        call, self._call = self._call, None
        if call is not None:
            call.close()

    # --- showing
    def show(self) -> None:
        ui, watch = self.ui, self._watch
        state = watch.state
        there = watch.folder is not None and watch.liveness != "missing"
        at_work = watch.at_work
        name = str(state.get("state") or "")
        ui.stateLabel.text = self._state_words(there)
        ui.progressBar.visible = there and (at_work or name != "done")
        ui.progressBar.value = round(1000 * share_done(state))
        ui.timeLabel.text = self._time_words(there)
        ui.timeLabel.visible = bool(ui.timeLabel.text)
        ui.errorLabel.text = self._error_words(there)
        ui.errorLabel.visible = bool(ui.errorLabel.text)
        ui.stopButton.visible = at_work or not there
        ui.stopButton.enabled = at_work and not watch.stopping
        ui.resumeButton.visible = there and not at_work
        ui.resumeButton.enabled = self._call is None and name != "done" and not watch.ending
        ui.resumeButton.toolTip = (
            _("The training came to its end.") if name == "done" else _("Goes on where it ended")
        )
        ui.forgetRunButton.enabled = watch.folder is not None
        ui.logButton.enabled = there
        self._show_log()

    def _state_words(self, there: bool) -> str:
        watch, state = self._watch, self._watch.state
        if watch.folder is None:
            return self._note or _("No run is open. Start a training, or open the folder of one.")
        if not there:
            return _("The folder of this run cannot be read now.")
        parts = [
            training_words(str(watch.run.get("stage") or "")),
            state_words(str(state.get("state")), watch.liveness),
        ]
        if watch.stopping:
            parts[1] = _("stopping after the current step")
        words = ", ".join(part for part in parts if part)
        epoch, epochs = whole(state.get("epoch")), whole(state.get("epochs"))
        if epochs:
            words = _("{words}: {epoch} of {epochs} epochs").format(words=words, epoch=epoch, epochs=epochs)
        best, metric = state.get("best"), state.get("metric")
        if isinstance(best, dict) and isinstance(metric, dict):
            words = _("{words}. Best: {figure} {value} in epoch {epoch}.").format(
                words=words,
                figure=figure_words(str(metric.get("name"))),
                value=number(best.get("value")),
                epoch=best.get("epoch"),
            )
        elif epoch and isinstance(metric, dict):
            words = _("{words}. No best epoch yet: {figure} is not defined on the validation cases.").format(
                words=words, figure=figure_words(str(metric.get("name")))
            )
        return words

    def _time_words(self, there: bool) -> str:
        if self._note and self._watch.folder is not None:
            return self._note
        if there and self._watch.ending:
            return _("The report is being written ...")
        left = self._watch.state.get("seconds_left")
        if not there or not self._watch.at_work or self._watch.stopping:
            return ""
        if share_done(self._watch.state) >= 1.0:
            return _("All epochs are done; the model is measured now.")
        if not isinstance(left, int | float):
            return _("The time it takes is known after the first epoch.")
        return time_left_words(float(left))

    def _error_words(self, there: bool) -> str:
        """Why a run ended other than by its own end."""
        watch = self._watch
        if not there or watch.at_work:
            return ""
        error = watch.state.get("error")
        if watch.liveness == "lost":
            return _(
                "The training ended without a word: it was killed, or the computer went off. "
                "Resume goes on from the last saved state. {words}"
            ).format(words=last_words(watch.folder))
        if watch.state.get("state") == "failed" and isinstance(error, dict):
            return " ".join(str(error.get(part) or "") for part in ("found", "wanted", "remedy")).strip()
        return ""

    def _show_log(self) -> None:
        """Add the new lines; of a log read for the first time, the last ones."""
        watch = self._watch
        if self._shown_log != (watch.folder, watch.log_count):
            self._shown_log, self._lines = (watch.folder, watch.log_count), 0
            self.ui.logText.clear()
        new = min(watch.line_count - self._lines, len(watch.lines))
        self._lines = watch.line_count
        if new:
            self.ui.logText.appendPlainText("\n".join(list(watch.lines)[-new:]))


def share_done(state: dict[str, Any]) -> float:
    """Share of the epochs that is done, 0 to 1, with the steps of the one that runs."""
    epochs, steps = whole(state.get("epochs")), whole(state.get("steps"))
    if not epochs:
        return 0.0
    within = whole(state.get("step")) / steps if steps else 0.0
    return min((whole(state.get("epoch")) + min(within, 1.0)) / epochs, 1.0)

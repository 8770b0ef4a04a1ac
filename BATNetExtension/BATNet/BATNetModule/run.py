"""One analysis from press of a button to nodes in the scene: files, engine, result. Nothing here blocks."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer.edits import USED, mask_now
from BATNetSlicer.inputs import JobInputs, writing_inputs
from BATNetSlicer.job_contract import JobListener, JobRunner, Progress, Result, RunningJob, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.scene import loading_result
from BATNetSlicer.steps import Steps
from BATNetSlicer.texts import _
from BATNetSlicer.timewords import time_left_words

from . import timings
from .estimate import Estimate, stage_title
from .reports import keep_report
from .request import Request

#: How the engine ends where the scan is not assessable; the result says why.
EXIT_REFUSED = "engine-exit-3"


#: After that a cancelled run is over for the user, while its engine is still ending.
LET_GO_MS = 700
_ending: set[Run] = set()  # nobody else holds them


class RunListener:
    """What a run reports; override what is of interest. Exactly one of the last four comes at the end."""

    def progress(self, share: float, words: str) -> None: ...

    def notice(self, text: str) -> None: ...

    def log(self, lines: list[str]) -> None: ...

    def analysed(self, analysis: Any) -> None: ...

    def checked(self, report: dict[str, Any]) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def cancelled(self) -> None: ...


class Run(JobListener):
    """Starts at once. ``over`` tells whether it has ended; ``cancel`` and ``close`` end it."""

    def __init__(self, runner: JobRunner, request: Request, listener: RunListener) -> None:
        self.request, self.listener = request, listener
        self.over = False
        self._runner = runner
        self._cancelling = False
        self._job: RunningJob | None = None
        self._steps: Steps | None = None
        self._inputs: JobInputs | None = None
        self._answer: Result | None = None
        self._used = ""
        voxels = request.ct.GetImageData().GetNumberOfPoints() if request.ct.GetImageData() else 0
        self._timing = timings.Timing(request, voxels)
        self._estimate = Estimate(*self._timing.expected(), request.skipped)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="BATNet-", dir=_temporary()))
        except OSError:
            self._folder = None
            self._fail(_no_place())
            return
        self._tell("prepare", 0.0)
        self._steps = Steps(
            self._handing_over(),
            self._inputs_written,
            self._error,
            lambda share: self._tell("prepare", share),
        )

    # --- ending it
    def cancel(self) -> None:
        """Ask for the end; ``listener.cancelled`` follows within a second or so."""
        if self.over or self._cancelling:
            return
        self._cancelling = True
        if self._job is not None and not self._job.state.is_over:
            self._job.cancel()
            qt.QTimer.singleShot(LET_GO_MS, self._let_go)
            return
        self._end()
        self.listener.cancelled()

    def _let_go(self) -> None:
        """On a busy computer an engine takes a moment to end; the user need not wait for that."""
        if not self.over:
            _ending.add(self)
            listener, self.listener = self.listener, RunListener()
            listener.cancelled()

    def close(self) -> None:
        """End now, wait for the engine, and report nothing any more: the scene or Slicer closes."""
        if self.over:
            return
        self.listener = RunListener()
        job = self._job
        if job is not None:
            job.close()
        self._end()

    def log_text(self) -> str:
        return self._job.log_text() if self._job is not None else ""

    def _end(self) -> None:
        self.over = True
        _ending.discard(self)
        if self._steps is not None:
            self._steps.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- the three parts
    def _handing_over(self) -> Generator[float, None, JobInputs]:
        request = self.request
        if request.update is not None:
            # The user may go on drawing meanwhile, and what comes back may have been resampled.
            yield 0.0
            self._used = mask_now(request.update)
            yield 0.0
        masks = request.lungs, request.adipose
        return (yield from writing_inputs(self._folder / "in", request.ct, *masks, request.pet))

    def _inputs_written(self, inputs: JobInputs) -> None:
        self._inputs = inputs
        words = ["analyze", *inputs.arguments(), *self.request.options()]
        if inputs.pet is not None:
            words += ["--pet-suv", str(inputs.pet)]
        words += ["--preflight-only"] if self.request.checks_only else ["--out", str(self._result_folder())]
        self._tell("start", None)
        self._job = self._runner.start(words, self)

    def _result_folder(self) -> Path:
        return self._folder / "result"

    def _load(self) -> None:
        if self.request.checks_only:
            report = (self._answer.facts if self._answer else {}).get("preflight") or {}
            self._finish(lambda: self.listener.checked(report))
            return
        request = self.request
        work = loading_result(self._answer.folder, request.ct, update=request.update, inputs=self._inputs)
        self._steps = Steps(work, self._loaded, self._error, lambda share: self._tell("load", share))

    def _loaded(self, analysis: Any) -> None:
        analysis.node.SetName(_analysis_name(analysis))
        if self._used:
            analysis.node.SetParameter(USED, self._used)
        keep_report(analysis, self._answer.folder)
        self._finish(lambda: self.listener.analysed(analysis))

    def _finish(self, tell: Any) -> None:
        self._timing.keep(self._estimate.finish())
        self._end()
        tell()

    # --- what goes wrong
    def _error(self, error: Exception) -> None:
        self._fail(failure_of(error))

    def _fail(self, failure: Failure) -> None:
        self._end()
        self.listener.failed(failure)

    # --- what the engine says
    def state(self, state: State) -> None:
        if self.over:
            return
        if state is State.DONE and not self._cancelling:
            self._load()
        elif state in (State.CANCELLED, State.DONE):
            self._end()
            self.listener.cancelled()

    def stage(self, progress: Progress) -> None:
        if not self._cancelling:
            self._tell(progress.name, progress.fraction)

    def result(self, result: Result) -> None:
        self._answer = result

    def error(self, failure: Failure) -> None:
        if not self.over:
            self._fail(failure)

    def warning(self, code: str, text: str) -> None:
        if code not in (EXIT_REFUSED, "demonstration-model"):
            self.listener.notice(text)

    def log(self, lines: list[str]) -> None:
        self.listener.log(lines)

    def silence(self, seconds: float) -> None:
        if seconds and not self._cancelling:
            words = _("{stage}: no news for {seconds:.0f} s. It may still be working; Cancel ends it.")
            self.listener.progress(
                self._estimate.share, words.format(stage=stage_title(self._estimate.stage), seconds=seconds)
            )

    def _tell(self, name: str, share: float | None) -> None:
        self._estimate.enter(name, share)
        left = self._estimate.seconds_left
        words = stage_title(name)
        if left is not None and not self.request.checks_only:
            words = _("{stage}, {left}").format(stage=words, left=time_left_words(left))
        self.listener.progress(self._estimate.share, words)


def failure_of(error: Exception) -> Failure:
    """An exception in words; one of ours keeps its own."""
    if all(hasattr(error, part) for part in ("code", "found", "wanted", "remedy")):
        return Failure(error.code, error.found, error.wanted, error.remedy, getattr(error, "exit_code", 1))
    logging.exception("BATNet")
    return Failure(
        "defect",
        _("BATNet itself failed ({kind}).").format(kind=type(error).__name__),
        _("This is a defect of ours, not of your data."),
        _("Please report it with the Slicer log; check the log for names before you send it."),
    )


def _temporary() -> str | None:
    folder = slicer.app.temporaryPath
    return folder if folder and Path(folder).is_dir() else None


def _no_place() -> Failure:
    return Failure(
        "no-temporary-folder",
        _("The temporary folder cannot be written."),
        _("The scan is handed to the engine through it."),
        _("Free some space, or choose another folder under Edit, Application Settings, Modules."),
    )


def _analysis_name(analysis: Any) -> str:
    """A name for lists, unique in the scene."""
    ct = analysis.ct
    wanted = _("{ct} analysis").format(ct=ct.GetName())
    if analysis.node.GetName().startswith(wanted):
        return analysis.node.GetName()
    return analysis.node.GetScene().GenerateUniqueName(wanted)

"""The adipose mask as DICOM SEG: refers to the DICOM files that the CT was loaded from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import slicer
from BATNetSlicer.inputs import writing_inputs
from BATNetSlicer.job_contract import JobListener, JobRunner, State
from BATNetSlicer.job_words import Failure
from BATNetSlicer.scene import Analysis, edited_fraction
from BATNetSlicer.steps import Steps
from BATNetSlicer.texts import _

from .run import failure_of


class NotFromDicom(Exception):
    """The CT has no DICOM files to refer to; the text says how the mask is exported all the same."""


def dicom_files(ct: Any) -> list[str]:
    """The files of a CT that was loaded from Slicer's DICOM database. Raises ``NotFromDicom``."""
    uids = (ct.GetAttribute("DICOM.instanceUIDs") or "").split() if ct is not None else []
    database = getattr(slicer, "dicomDatabase", None)
    files = [database.fileForInstance(uid) for uid in uids] if database is not None else []
    if not files or not all(path and Path(path).is_file() for path in files):
        raise NotFromDicom(
            _(
                "A DICOM SEG refers to the DICOM files of its CT, and this CT was not loaded from DICOM. "
                "To save the mask in another form: Segmentations, Export to files."
            )
        )
    return files


class SegExport(JobListener):
    """Hands mask and DICOM files to the engine in steps; ``done(text)`` is called once, at the end."""

    def __init__(
        self, runner: JobRunner, analysis: Analysis, files: list[str], path: str, done: Callable[[str], None]
    ) -> None:
        self._runner, self._analysis, self._files, self._path = runner, analysis, files, path
        self._done = done
        self._failure: Failure | None = None
        self._job: Any = None
        self._folder = Path(tempfile.mkdtemp(prefix="BATNet-", dir=slicer.app.temporaryPath or None))
        self._steps = Steps(self._handing_over(), self._start, self._failed)

    def close(self) -> None:
        """End now and report nothing any more."""
        self._done = lambda text: None
        self._steps.stop()
        if self._job is not None:
            self._job.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _handing_over(self) -> Generator[float, None, list[str]]:
        analysis = self._analysis
        mask = (analysis.segmentation, analysis.segment_id)
        inputs = yield from writing_inputs(self._folder / "in", analysis.ct, adipose=mask)
        series = self._folder / "series"
        series.mkdir()
        for number, file in enumerate(self._files):
            _link(file, series / f"{number:05d}.dcm")
            yield 1.0
        words = ["dicom-seg", str(series), "--mask", str(inputs.adipose), "--out", self._path, "--replace"]
        edit = edited_fraction(analysis, "run")
        if edit is not None and not edit.edited:
            # An edited mask is a person's work; the passport would call it the network's.
            passport = self._folder / "analysis.json"
            passport.write_text(analysis.node.GetParameter("analysis.json"), encoding="utf-8")
            words += ["--passport", str(passport)]
        return words

    def _start(self, words: list[str]) -> None:
        self._job = self._runner.start(words, self)

    def _failed(self, error: Exception) -> None:
        self._end(failure_of(error).text)

    def error(self, failure: Failure) -> None:
        self._failure = failure

    def state(self, state: State) -> None:
        if state.is_over:
            self._end(_("The DICOM SEG is saved.") if self._failure is None else self._failure.text)

    def _end(self, text: str) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        done, self._done = self._done, lambda text: None
        done(text)


def _link(file: str, place: Path) -> None:
    """The file at another place without a copy where the disk can; only read afterwards."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)

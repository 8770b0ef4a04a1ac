"""Data to try the module with: a small cohort of phantoms, invented by the engine one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from BATNetSlicer.job_contract import JobRunner, Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from .calls import Call

PATIENTS = 12
FOLDER = "phantoms"


class PhantomCohort:
    """Makes ``PATIENTS`` phantoms below ``place``, every second one with brown fat; those there are kept.

    ``done(folder)`` or ``failed(words)`` is called at the end, unless it was closed; ``said(words)`` tells
    how far it is.
    """

    def __init__(
        self,
        runner: JobRunner,
        place: Path,
        done: Callable[[Path], None],
        failed: Callable[[str], None],
        said: Callable[[str], None],
    ) -> None:
        self.folder = place / FOLDER
        self._runner, self._done, self._failed, self._said = runner, done, failed, said
        self.over = False
        self._next = 0
        self._call: Call | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            self._fail(_("'{name}' cannot be written.").format(name=place.name))
            return
        self._make()

    def _fail(self, words: str) -> None:
        self.over = True
        shutil.rmtree(self._beside(), ignore_errors=True)
        self._failed(words)

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()

    def close(self) -> None:
        if self._call is not None:
            self._call.close()

    def _make(self) -> None:
        while self._next < PATIENTS and self._case().exists():
            self._next += 1
        if self._next == PATIENTS:
            self.over = True
            self._done(self.folder)
            return
        self._said(_("Making phantom {number} of {all} ...").format(number=self._next + 1, all=PATIENTS))
        words = ["demo", "--phantom-only", "--size", "small", "--seed", str(100 + self._next)]
        words += ["--brown", ("none", "both")[self._next % 2], "--out", str(self._beside())]
        shutil.rmtree(self._beside(), ignore_errors=True)
        self._call = Call(self._runner, words, self._made, self._refused, self._cancelled)

    def _case(self) -> Path:
        return self.folder / f"phantom-{self._next + 1:02d}"

    def _beside(self) -> Path:
        # Hidden, so that a phantom that is not whole is no case.
        return self.folder / ".next"

    def _made(self, result: Result) -> None:
        try:
            shutil.move(str(result.folder), str(self._case()))
        except OSError:
            self._fail(_("The phantoms cannot be written."))
            return
        shutil.rmtree(self._beside(), ignore_errors=True)
        self._next += 1
        self._make()

    def _refused(self, failure: Failure) -> None:
        self._fail(failure.text)

    def _cancelled(self) -> None:
        self._fail(_("Cancelled."))

"""Loads the scan of a case and lays its result over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from BATNetSlicer.job_words import Failure
from BATNetSlicer.scene import loading_result
from BATNetSlicer.steps import Steps
from BATNetSlicer.texts import _

from .reports import keep_report
from .run import failure_of


class Review:
    """``done(analysis, failure)`` is called once. Slicer reads the scan in one go, the result in steps."""

    def __init__(self, case: Any, done: Callable[[Any, Failure | None], None]) -> None:
        self._case, self._done = case, done
        self._steps: Steps | None = None
        self._ct: Any = None
        qt.QTimer.singleShot(0, self._load)

    def close(self) -> None:
        self._done = lambda analysis, failure: None
        if self._steps is not None:
            self._steps.stop()

    def _load(self) -> None:
        case = self._case
        try:
            self._ct = slicer.util.loadVolume(str(case.scan_file()), properties={"name": case.name})
        except (RuntimeError, OSError, IndexError):
            failure = Failure(
                "scan-unreadable",
                _("Slicer cannot read the scan of {name}.").format(name=case.name),
                _("It is shown under its result."),
                _("Load it with the DICOM module, or convert it."),
            )
            self._done(None, failure)
            return
        self._steps = Steps(loading_result(case.folder, self._ct), self._loaded, self._failed)

    def _loaded(self, analysis: Any) -> None:
        keep_report(analysis, self._case.folder)
        analysis.node.SetName(
            analysis.node.GetScene().GenerateUniqueName(_("{ct} analysis").format(ct=self._case.name))
        )
        slicer.util.setSliceViewerLayers(background=self._ct, fit=True)
        self._done(analysis, None)

    def _failed(self, error: Exception) -> None:
        if self._ct is not None and self._ct.GetScene() is not None:
            self._ct.GetScene().RemoveNode(self._ct)
        self._done(None, failure_of(error))

"""Report and export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from BATNetSlicer.job_contract import JobRunner
from BATNetSlicer.scene import Analysis
from BATNetSlicer.texts import _

from . import reports


class ReportCard:
    """``show(analysis)`` or ``show(None)``; what happened is said in the card itself."""

    def __init__(self, ui: Any, runner: Callable[[], JobRunner]) -> None:
        self.ui, self._runner = ui, runner
        self.analysis: Analysis | None = None
        self._printer: Any = None
        ui.openReportButton.connect("clicked()", self.open_report)
        ui.savePdfButton.connect("clicked()", self.save_pdf)
        ui.copyTableButton.connect("clicked()", self.copy_table)
        ui.exportSegButton.connect("clicked()", self.export_seg)
        self._export: Any = None
        self.show(None)

    def show(self, analysis: Analysis | None) -> None:
        self.analysis = analysis
        ui = self.ui
        report = reports.has_report(analysis)
        ui.openReportButton.enabled = report
        ui.savePdfButton.enabled = report and reports.can_print()
        ui.savePdfButton.toolTip = (
            ""
            if reports.can_print()
            else _("This Slicer has no web view. Open the report and print it from the browser.")
        )
        ui.copyTableButton.enabled = analysis is not None and bool(analysis.patches)
        ui.exportSegButton.enabled = analysis is not None and analysis.segment_id is not None
        self.say("")

    def say(self, text: str) -> None:
        self.ui.reportNote.text = text
        self.ui.reportNote.visible = bool(text)

    def open_report(self) -> None:
        opened = reports.open_report(self.analysis)
        self.say("" if opened else _("No program opens web pages on this computer."))

    def save_pdf(self) -> None:
        path = qt.QFileDialog.getSaveFileName(None, _("Save the report as PDF"), "report.pdf", "PDF (*.pdf)")
        if not path:
            return
        self.say(_("Printing ..."))
        self.ui.savePdfButton.enabled = False
        self._printer = reports.PdfPrinter(self.analysis, path, self._printed)

    def _printed(self, ok: bool) -> None:
        self._printer = None
        self.ui.savePdfButton.enabled = True
        self.say(_("The PDF is saved.") if ok else _("The PDF could not be written there."))

    def copy_table(self) -> None:
        reports.copy_table(self.analysis)
        self.say(_("The table is on the clipboard."))

    def export_seg(self) -> None:
        """Write a DICOM SEG that refers to the CT's own DICOM files, or say how Slicer exports the mask."""
        from .segexport import NotFromDicom, SegExport, dicom_files

        try:
            files = dicom_files(self.analysis.ct)
        except NotFromDicom as why:
            self.say(str(why))
            return
        path = qt.QFileDialog.getSaveFileName(
            None, _("Save the mask as DICOM SEG"), "adipose.seg.dcm", "DICOM (*.dcm)"
        )
        if path:
            self.ui.exportSegButton.enabled = False
            self.say(_("Writing the DICOM SEG ..."))
            self._export = SegExport(self._runner(), self.analysis, files, path, self._exported)

    def _exported(self, text: str) -> None:
        self._export = None
        self.ui.exportSegButton.enabled = True
        self.say(text)

    def close(self) -> None:
        if self._export is not None:
            self._export.close()
        self._export = self._printer = None

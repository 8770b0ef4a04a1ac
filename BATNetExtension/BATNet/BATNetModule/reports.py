"""The report of an analysis: kept in the scene, opened in the browser, saved as PDF, copied as a table."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer.texts import _

ROLE, FILE = "report", "report.html"


def keep_report(analysis: Any, folder: Path) -> None:
    """Put the report of a result folder into the scene, so that it is saved and restored with it."""
    try:
        text = (Path(folder) / FILE).read_text(encoding="utf-8")
    except OSError:
        return
    node = analysis.node.GetNodeReference(ROLE)
    if node is None:
        scene = analysis.node.GetScene()
        node = slicer.vtkMRMLTextNode()
        node.SetName(scene.GenerateUniqueName(_("BATNet report")))
        node.SetHideFromEditors(True)
        node.SetAttribute("SubjectHierarchy.ExcludeFromTree", "1")
        node = scene.AddNode(node)
        analysis.node.SetNodeReferenceID(ROLE, node.GetID())
    node.SetText(text)


def has_report(analysis: Any) -> bool:
    return analysis is not None and analysis.node.GetNodeReference(ROLE) is not None


def write_report(analysis: Any) -> Path:
    """The report as a file in Slicer's temporary folder; it is removed with that folder's other files."""
    node = analysis.node.GetNodeReference(ROLE)
    folder = Path(tempfile.mkdtemp(prefix="BATNet-report-", dir=slicer.app.temporaryPath or None))
    path = folder / FILE
    path.write_text(node.GetText(), encoding="utf-8")
    return path


def open_report(analysis: Any) -> bool:
    """Show the report in the browser of the computer; False where there is none."""
    return bool(qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(write_report(analysis)))))


def can_print() -> bool:
    """Whether this Slicer has the web view that turns a page into a PDF."""
    return hasattr(slicer, "qSlicerWebWidget")


class PdfPrinter:
    """Prints a report into a PDF with Slicer's own web view (5.8 to 5.12); ``done(ok)`` is called at the end.

    Loading and printing go on in the background. Keep the object until it is done.
    """

    def __init__(self, analysis: Any, path: str, done: Callable[[bool], None]) -> None:
        self._path, self._done = str(path), done
        self._view = slicer.qSlicerWebWidget()
        self._view.connect("loadFinished(bool)", self._loaded)
        self._view.connect("pdfPrintingFinished(QString,bool)", self._printed)
        self._view.setUrl(qt.QUrl.fromLocalFile(str(write_report(analysis))).toString())

    def _loaded(self, ok: bool) -> None:
        if ok:
            self._view.printToPdf(self._path)
        else:
            self._printed(self._path, False)

    def _printed(self, path: str, ok: bool) -> None:
        view, self._view = self._view, None
        if view is not None:
            view.deleteLater()
            self._done(bool(ok))


def table_text(analysis: Any) -> str:
    """The pairs as tab-separated text, ready for a spreadsheet."""
    head = [
        _("Pair"),
        _("Place"),
        _("Right, %"),
        _("Left, %"),
        _("Difference, %"),
        _("Fat right, mL"),
        _("Fat left, mL"),
    ]
    rows = ["\t".join(head)]
    for pair in analysis.pairs:
        numbers = (
            100 * pair.right.probability,
            100 * pair.left.probability,
            100 * pair.difference,
            pair.right.adipose_ml,
            pair.left.adipose_ml,
        )
        rows.append("\t".join([str(pair.number), pair.place, *(_number(value) for value in numbers)]))
    if analysis.demonstration:
        rows.append(analysis.demonstration)
    rows.append(analysis.statement)
    return "\n".join(rows) + "\n"


def _number(value: float) -> str:
    """Two decimals; nothing where a number is not known, which a spreadsheet reads as an empty cell."""
    return "" if math.isnan(value) else f"{value:.2f}"


def copy_table(analysis: Any) -> None:
    """Put the table of pairs on the clipboard."""
    slicer.app.clipboard().setText(table_text(analysis))

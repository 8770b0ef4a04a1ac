"""The checks before a run: each finding a sentence; a blocking one can be gone over with a reason."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import qt
from BATNetSlicer.colours import LEVELS
from BATNetSlicer.texts import _


class ChecksCard:
    """``overrides()``: finding -> reason, for the next run. ``changed()`` is called when a reason changes."""

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self.ui, self._changed = ui, changed
        self._reasons: dict[str, Any] = {}
        self._rows: list[Any] = []
        self.report: dict[str, Any] | None = None

    def clear(self) -> None:
        """Nothing is known of the scan that is chosen now."""
        self._empty()
        self.report = None
        self.ui.checksLabel.text = _("Not checked yet. Apply checks the scan first.")
        self.ui.checksButton.text = _("Checks")

    def show(self, report: dict[str, Any], *, open_card: bool = True) -> None:
        """Show the findings of ``preflight`` as in ``analysis.json``."""
        kept = self.overrides()
        self._empty()
        self.report = report
        findings = report.get("findings") or []
        for finding in findings:
            self._add(finding, kept.get(finding["code"], finding.get("override") or ""))
        blocks = [f for f in findings if f["level"] == "block" and not f.get("override")]
        if blocks:
            text = _("The scan is not assessable as it is. Give a reason to go on all the same.")
            title = _("Checks: {number} in the way").format(number=len(blocks))
        elif findings:
            text = ""
            title = _("Checks: {number} to know").format(number=len(findings))
        else:
            text, title = _("Nothing was found."), _("Checks: passed")
        self.ui.checksLabel.text = text
        self.ui.checksLabel.visible = bool(text)
        self.ui.checksButton.text = title
        if blocks and open_card:
            self.ui.checksButton.collapsed = False

    def overrides(self) -> dict[str, str]:
        return {code: edit.text.strip() for code, edit in self._reasons.items() if edit.text.strip()}

    def _add(self, finding: dict[str, Any], reason: str) -> None:
        level = finding["level"]
        words = {"block": _("Block"), "warn": _("Warning"), "note": _("Note")}
        label = qt.QLabel()
        label.wordWrap = True
        label.textFormat = qt.Qt.RichText
        sentence, advice = html.escape(finding["sentence"]), html.escape(finding["advice"])
        label.setText(
            f'<b style="color: {LEVELS[level]}">{words[level]}</b>&nbsp; {sentence} <i>{advice}</i>'
            if level != "note"
            else f"<b>{words[level]}</b>&nbsp; {sentence} <i>{advice}</i>"
        )
        label.toolTip = finding["code"]
        self._put(label)
        if level == "block":
            edit = qt.QLineEdit(reason)
            edit.placeholderText = _("Reason to go on all the same")
            edit.connect("textChanged(QString)", lambda *_: self._changed())
            self._reasons[finding["code"]] = edit
            self._put(edit)

    def _put(self, widget: Any) -> None:
        self.ui.findingsFrame.layout().addWidget(widget)
        self._rows.append(widget)

    def _empty(self) -> None:
        for widget in self._rows:
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()
        self._rows, self._reasons = [], {}
        self.ui.checksLabel.visible = True

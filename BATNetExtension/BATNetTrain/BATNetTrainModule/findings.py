"""The table of findings: what was found, of which cases, and what can be done, every text in full."""

from __future__ import annotations

import html
from typing import Any

import qt
from BATNetSlicer.colours import LEVELS
from BATNetSlicer.texts import _

from .heights import later

#: More rows than anybody reads; the saved table has all.
MOST_ROWS = 100
#: Lines that the table shows before it scrolls.
MOST_LINES = 12
_CASES = 4
_MARGIN = 6


class FindingsTable:
    """``show(findings)`` with the findings of ``dataset check``; rows are as high as their texts need."""

    def __init__(self, table: Any) -> None:
        self._table = table
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("Finding"), _("What to do")])
        table.verticalHeader().setVisible(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Stretch)
        self._timer = later(table, self.fit)
        header.connect("sectionResized(int,int,int)", lambda *_: self._timer.start())

    def show(self, findings: list[dict[str, Any]]) -> int:
        """Show the findings, those that say the same of several cases as one; returns how many rows there
        are in all."""
        rows = together(findings)
        table = self._table
        table.setRowCount(0)
        table.setRowCount(min(len(rows), MOST_ROWS))
        for y, finding in enumerate(rows[:MOST_ROWS]):
            table.setCellWidget(y, 0, _cell(_found(finding)))
            table.setCellWidget(y, 1, _cell(html.escape(str(finding["suggestion"]))))
            table.cellWidget(y, 0).toolTip = ", ".join(finding["cases"][:200])
        table.visible = bool(rows)
        self.fit()
        return len(rows)

    def fit(self) -> None:
        """Make rows as high as their texts need at the width of the columns, and the table with them."""
        table, total = self._table, 0
        for y in range(table.rowCount):
            cells = [table.cellWidget(y, x) for x in range(2)]
            height = max(cell.heightForWidth(table.columnWidth(x)) for x, cell in enumerate(cells))
            table.setRowHeight(y, height)
            total += height
        head = table.horizontalHeader().sizeHint.height()  # about a line of text
        table.setFixedHeight(head + 2 * table.frameWidth + min(total + 2, MOST_LINES * head))


def together(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings that say the same of single cases as one of all of them; pairs of cases stay pairs."""
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for finding in findings:
        cases = [str(case) for case in finding.get("cases") or []]
        key = (*(finding.get(part) for part in ("level", "code", "text", "suggestion")),)
        if len(cases) > 1:
            key += tuple(cases)
        if key in joined:
            joined[key]["cases"] += cases
        else:
            joined[key] = {**finding, "cases": cases}
    return list(joined.values())


def _found(finding: dict[str, Any]) -> str:
    level = finding["level"]
    words = {"block": _("Block"), "warn": _("Warning"), "note": _("Note")}
    colour = f' style="color: {LEVELS[level]}"' if level in ("block", "warn") else ""
    cases = finding["cases"]
    named = ", ".join(cases[:_CASES])
    if len(cases) > _CASES:
        named = _("{cases} and {number} more").format(cases=named, number=len(cases) - _CASES)
    where = f"<br/><i>{html.escape(named)}</i>" if named else ""
    return f"<b{colour}>{words.get(level, level)}</b>&nbsp; {html.escape(str(finding['text']))}{where}"


def _cell(text: str) -> Any:
    label = qt.QLabel()
    label.setTextFormat(qt.Qt.RichText)
    label.wordWrap = True
    label.setAlignment(qt.Qt.AlignLeft | qt.Qt.AlignTop)
    label.setContentsMargins(_MARGIN, _MARGIN // 2, _MARGIN, _MARGIN // 2)
    label.setText(text)
    return label

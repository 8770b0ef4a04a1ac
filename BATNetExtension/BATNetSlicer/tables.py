"""Small helpers for tables that show whole texts."""

from __future__ import annotations

from typing import Any

import qt


def fill(table: Any, head: list[str], rows: list[list[str]], side: list[str] | None = None) -> None:
    """Put texts into a table, all columns but the first to the right. ``side``: row names."""
    _follow(table, False)
    table.setColumnCount(len(head))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(head)
    if side is not None:
        table.setVerticalHeaderLabels(side)
    table.verticalHeader().setVisible(side is not None)
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            if x > 0 or side is not None:
                item.setData(int(qt.Qt.TextAlignmentRole), int(qt.Qt.AlignRight | qt.Qt.AlignVCenter))
            table.setItem(y, x, item)
    _follow(table, True)


def _follow(table: Any, on: bool) -> None:
    """Let sizes follow the texts; not while a table is filled, when each cell would measure all others."""
    mode = qt.QHeaderView.ResizeToContents if on else qt.QHeaderView.Interactive
    for header in (table.horizontalHeader(), table.verticalHeader()):
        header.setSectionResizeMode(mode)

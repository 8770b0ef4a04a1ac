"""Small tables as high as their rows, whatever size the text has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


def later(widget: Any, step: Callable[[], None]) -> Any:
    """A timer that does ``step`` once in the next turn of the event loop after ``start()``; it ends with
    ``widget``."""
    timer = qt.QTimer(widget)
    timer.setSingleShot(True)
    timer.setInterval(0)
    timer.connect("timeout()", step)
    return timer


class AsHighAsItsRows:
    """Keeps a table of few rows without a scroll bar of its own. Keep the object as long as the table."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._timer = later(table, self.fit)
        table.verticalHeader().connect("sectionResized(int,int,int)", lambda *_: self._timer.start())

    def fit(self) -> None:
        """Do it now; called by itself where a row changes its height."""
        table = self._table
        rows = sum(table.rowHeight(row) for row in range(table.rowCount))
        table.setFixedHeight(rows + table.horizontalHeader().sizeHint.height() + 2 * table.frameWidth + 2)

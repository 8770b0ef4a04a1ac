"""Small tables as high as their rows, whatever size the text has."""

from __future__ import annotations

from typing import Any

import qt


class AsHighAsItsRows:
    """Keeps a table of few rows without a scroll bar of its own. Keep the object as long as the table."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._waiting = False
        table.verticalHeader().connect("sectionResized(int,int,int)", lambda *_: self._later())

    def _later(self) -> None:
        if not self._waiting:
            self._waiting = True
            qt.QTimer.singleShot(0, self.fit)

    def fit(self) -> None:
        """Do it now; called by itself where a row changes its height."""
        self._waiting = False
        table = self._table
        rows = sum(table.rowHeight(row) for row in range(table.rowCount))
        table.setFixedHeight(rows + table.horizontalHeader().sizeHint.height() + 2 * table.frameWidth + 2)

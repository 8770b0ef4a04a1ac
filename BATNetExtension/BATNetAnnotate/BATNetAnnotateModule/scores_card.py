"""Scores by depot and side, comment, flag: what a reader says of a case beside the mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer
from BATNetSlicer.tables import fill
from BATNetSlicer.texts import _

SIDES = ("right", "left")


def depot_words(depot: str) -> str:
    return {
        "cervical": _("Cervical"),
        "supraclavicular": _("Supraclavicular"),
        "axillary": _("Axillary"),
        "mediastinal": _("Mediastinal"),
        "paraspinal": _("Paraspinal"),
        "abdominal": _("Abdominal"),
    }.get(depot, depot)


class ScoresCard:
    """``changed()`` is called when the user has changed something. ``depots``: in the order of the table."""

    def __init__(self, ui: Any, depots: tuple[str, ...], changed: Callable[[], None]) -> None:
        self.ui, self.depots, self._changed = ui, depots, changed
        self._scores: dict[str, dict[str, int | None]] = {}
        self._showing = False
        table = ui.scoreTable
        table.setSelectionBehavior(qt.QAbstractItemView.SelectItems)
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._turn())
        for value, name in ((0, "score0Button"), (1, "score1Button"), (2, "score2Button")):
            getattr(ui, name).connect("clicked()", lambda value=value: self.score(value))
        ui.scoreClearButton.connect("clicked()", lambda: self.score(None))
        ui.scoreUpButton.connect("clicked()", lambda: self.step(-1))
        ui.scoreDownButton.connect("clicked()", lambda: self.step(1))
        ui.commentEdit.connect("textEdited(QString)", lambda *_: self._told())
        ui.flagBox.connect("toggled(bool)", lambda *_: self._told())
        self.show({}, "", False)

    # --- what there is
    @property
    def scores(self) -> dict[str, dict[str, int | None]]:
        return {depot: dict(sides) for depot, sides in self._scores.items()}

    @property
    def comment(self) -> str:
        return str(self.ui.commentEdit.text).strip()

    @property
    def flagged(self) -> bool:
        return bool(self.ui.flagBox.checked)

    def show(self, scores: Mapping[str, Mapping[str, int | None]], comment: str, flagged: bool) -> None:
        """Show what a record says; nothing is told."""
        self._showing = True
        try:
            self._scores = {
                depot: {side: (scores.get(depot) or {}).get(side) for side in SIDES} for depot in self.depots
            }
            self.ui.commentEdit.text = comment
            self.ui.flagBox.checked = flagged
            self._fill()
        finally:
            self._showing = False

    def enable(self, on: bool) -> None:
        for name in ("scoreTable", "commentEdit", "flagBox", "lockButton"):
            getattr(self.ui, name).enabled = on
        for name in ("score0", "score1", "score2", "scoreClear", "scoreUp", "scoreDown"):
            getattr(self.ui, f"{name}Button").enabled = on

    # --- scoring
    def score(self, value: int | None) -> None:
        """Give the chosen cell a score and go on to the next one."""
        if not self.ui.scoreTable.enabled:
            return
        row, column = self._cell()
        self._scores[self.depots[row]][SIDES[column]] = value
        self.ui.scoreTable.item(row, column).setText(_text(value))
        self._told()
        slicer.util.showStatusMessage(
            _("{depot}, {side}: {score}").format(
                depot=depot_words(self.depots[row]), side=_side(SIDES[column]), score=_text(value)
            ),
            2000,
        )
        self.step(1)

    def step(self, by: int) -> None:
        """Choose the next cell, or the one before: right and left of a depot, then the next depot."""
        row, column = self._cell()
        cells = len(self.depots) * len(SIDES)
        index = (row * len(SIDES) + column + by) % cells
        self.ui.scoreTable.setCurrentCell(index // len(SIDES), index % len(SIDES))

    def flag(self) -> None:
        if self.ui.flagBox.enabled:
            self.ui.flagBox.checked = not self.ui.flagBox.checked

    def _turn(self) -> None:
        row, column = self._cell()
        now = self._scores[self.depots[row]][SIDES[column]]
        self.score(0 if now is None else None if now == 2 else now + 1)
        self.step(-1)

    def _cell(self) -> tuple[int, int]:
        table = self.ui.scoreTable
        return max(0, int(table.currentRow())), max(0, int(table.currentColumn()))

    def _told(self) -> None:
        if not self._showing:
            self._changed()

    def _fill(self) -> None:
        row, column = self._cell()
        rows = [[_text(self._scores[depot][side]) for side in SIDES] for depot in self.depots]
        fill(self.ui.scoreTable, [_("Right"), _("Left")], rows, [depot_words(d) for d in self.depots])
        table = self.ui.scoreTable
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        for y in range(len(rows)):
            for x in range(len(SIDES)):
                table.item(y, x).setData(int(qt.Qt.TextAlignmentRole), int(qt.Qt.AlignCenter))
        table.setCurrentCell(row, column)
        height = table.horizontalHeader().sizeHint.height() + 4
        height += sum(table.rowHeight(y) for y in range(len(rows)))
        table.setMinimumHeight(height)
        table.setMaximumHeight(height + 8)


def _text(value: int | None) -> str:
    return "–" if value is None else str(value)


def _side(side: str) -> str:
    return _("right") if side == "right" else _("left")

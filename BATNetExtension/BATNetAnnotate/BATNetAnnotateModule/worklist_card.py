"""The work list: which cases there are, where the reader stands with each, and which one is next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer.texts import _

from . import settings

CASE, STATUS, TIME, NOTE = range(4)
#: What the filter offers: text and statuses.
FILTERS = ("all", "open", "draft", "flagged", "done", "todo")
_STATUSES = {"all": None, "todo": ("open", "draft", "flagged")}


class WorkListCard:
    """``opened(item)`` is called when the user wants a case, ``list_wanted(from scene)`` for a list."""

    def __init__(self, ui: Any, opened: Callable[[Any], None], list_wanted: Callable[[bool], None]) -> None:
        self.ui, self._opened = ui, opened
        self.worklist: Any = None
        self.current: str | None = None
        self._rows: list[str] = []
        ui.sourceEdit.text = settings.read(settings.SOURCE)
        ui.storeEdit.text = settings.read(settings.STORE)
        ui.readerEdit.text = settings.read(settings.READER)
        ui.datasetMaskBox.checked = settings.read(settings.DATASET_MASK, "1") == "1"
        ui.sourceFolderButton.connect("clicked()", lambda: self._choose_folder(ui.sourceEdit))
        ui.storeFolderButton.connect("clicked()", lambda: self._choose_folder(ui.storeEdit))
        ui.sourceListButton.connect("clicked()", self._choose_list)
        ui.openButton.connect("clicked()", lambda: list_wanted(False))
        ui.sceneButton.connect("clicked()", lambda: list_wanted(True))
        ui.caseTable.connect("cellDoubleClicked(int,int)", lambda row, column: self._open_row(row))
        ui.filterEdit.connect("textChanged(QString)", lambda *_: self.show())
        for name in FILTERS:
            ui.statusCombo.addItem(filter_words(name))
        ui.statusCombo.connect("currentIndexChanged(int)", lambda *_: self.show())
        for edit in (ui.sourceEdit, ui.storeEdit, ui.readerEdit):
            edit.connect("textChanged(QString)", lambda *_: self.enable())
        ui.datasetMaskBox.connect(
            "toggled(bool)", lambda on: settings.write(settings.DATASET_MASK, "1" if on else "0")
        )
        self.show()
        self.enable()

    # --- what the user entered
    @property
    def reader(self) -> str:
        return str(self.ui.readerEdit.text).strip()

    def why_not(self, from_scene: bool) -> str | None:
        """Why no list can be opened, in words; None where it can."""
        if not self.reader:
            return _("Enter your name: your reads are kept under it.")
        if not self.ui.storeEdit.text.strip():
            return _("Choose a folder for your annotations.")
        if not from_scene and not self.ui.sourceEdit.text.strip():
            return _("Choose a folder of cases or a list.")
        return None

    def remember(self) -> None:
        settings.write(settings.READER, self.reader)
        settings.write(settings.STORE, self.ui.storeEdit.text.strip())
        settings.write(settings.SOURCE, self.ui.sourceEdit.text.strip())

    def say(self, text: str) -> None:
        self.ui.openNote.text = text
        self.ui.openNote.visible = bool(text)

    def enable(self, busy: bool = False) -> None:
        why_not = self.why_not(False)
        self.ui.openButton.enabled = not busy and why_not is None
        self.ui.openButton.toolTip = why_not or _("Show the cases and what you have done of each")
        self.ui.sceneButton.enabled = not busy and self.why_not(True) is None
        if self.worklist is None:
            self.say(why_not or "")

    # --- the list
    def take(self, worklist: Any) -> None:
        """Show another list."""
        self.worklist, self.current = worklist, None
        self.say(" ".join(worklist.warnings))
        self.show()

    def refresh(self, case: str) -> None:
        """Look again where the reader stands with a case; after a save."""
        if self.worklist is not None:
            self.worklist = self.worklist.refreshed(case)
            item = self.worklist.item(case)
            if case in self._rows and self._passes(item):
                self._put(self._rows.index(case), item)
                self._count()
            else:
                self.show()

    def choose(self, case: str | None) -> None:
        """Mark the case that is open."""
        self.current = case
        if case in self._rows:
            self.ui.caseTable.selectRow(self._rows.index(case))

    def item(self, case: str) -> Any:
        return self.worklist.item(case)

    def next(self, status: Any = None) -> Any:
        """The item after the open one that the filter lets through; None at the end."""
        return self._step("next", status)

    def previous(self) -> Any:
        return self._step("previous", None)

    def following(self) -> Any:
        """What Next would open, to be read ahead."""
        return self.next() if self.current is not None else None

    def _step(self, way: str, status: Any) -> Any:
        if self.worklist is None:
            return None
        wanted = status if status is not None else self._status
        return getattr(self.worklist, way)(self.current, status=wanted, text=self.ui.filterEdit.text)

    @property
    def _status(self) -> Any:
        name = FILTERS[max(0, self.ui.statusCombo.currentIndex)]
        return _STATUSES.get(name, name)

    def _passes(self, item: Any) -> bool:
        return item.case in [known.case for known in self._shown()]

    def _shown(self) -> list[Any]:
        if self.worklist is None:
            return []
        return list(self.worklist.filter(status=self._status, text=self.ui.filterEdit.text))

    def show(self) -> None:
        """Fill the table with what the filter lets through."""
        table = self.ui.caseTable
        items = self._shown()
        self._rows = [item.case for item in items]
        table.setColumnCount(4)
        table.setRowCount(len(items))
        table.setHorizontalHeaderLabels([_("Case"), _("Status"), _("Time"), _("Note")])
        table.verticalHeader().setVisible(False)
        header = table.horizontalHeader()
        header.setStretchLastSection(True)
        header.setResizeContentsPrecision(50)
        for column in (CASE, STATUS, TIME):
            header.setSectionResizeMode(column, qt.QHeaderView.Interactive)
        for row, item in enumerate(items):
            self._put(row, item)
        for column in (CASE, STATUS, TIME):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        self._count()
        self.choose(self.current)

    def _put(self, row: int, item: Any) -> None:
        why = f"{item.refusal.found} {item.refusal.remedy}" if item.refusal is not None else ""
        status = _("refused") if why else status_words(item)
        texts = (item.case, status, time_words(item.seconds), why or item.note)
        for column, text in enumerate(texts):
            cell = qt.QTableWidgetItem(text)
            cell.setToolTip(text)
            self.ui.caseTable.setItem(row, column, cell)

    def _count(self) -> None:
        if self.worklist is None:
            self.ui.countsLabel.text = ""
            return
        counts = self.worklist.counts()
        self.ui.countsLabel.text = _(
            "{total} cases: {open} open, {draft} begun, {flagged} for a second look, {done} done; "
            "{time} spent"
        ).format(**counts, time=time_words(self.worklist.seconds()) or _("no time"))

    def _open_row(self, row: int) -> None:
        self._opened(self.worklist.item(self._rows[row]))

    # --- the rest
    def _choose_folder(self, edit: Any) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Choose a folder"))
        if folder:
            edit.text = folder

    def _choose_list(self) -> None:
        kinds = _("Lists of cases") + " (*.csv *.json)"
        path = qt.QFileDialog.getOpenFileName(None, _("Choose a list of cases"), "", kinds)
        if path:
            self.ui.sourceEdit.text = str(Path(path))


def filter_words(name: str) -> str:
    return {
        "all": _("all"),
        "open": _("open"),
        "draft": _("begun"),
        "flagged": _("second look"),
        "done": _("done"),
        "todo": _("not done"),
    }[name]


def status_words(item: Any) -> str:
    if item.locked:
        return _("final")
    return {
        "open": _("open"),
        "draft": _("begun"),
        "flagged": _("second look"),
        "done": _("done"),
    }.get(item.status, str(item.status))


def time_words(seconds: float) -> str:
    """A time as minutes and seconds, or hours and minutes; empty for none."""
    if seconds < 1:
        return ""
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
    return f"{int(seconds) // 3600}:{int(seconds) % 3600 // 60:02d} h"

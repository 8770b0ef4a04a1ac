"""Finds text that a panel shows only in part.

``cut_texts(widget)`` looks at every visible label, button, box, table, tab and group title below ``widget``
and compares the room that the text needs with the room it has, in pixels. ``cut_texts(widget, scale=1.5)``
does so with text of one and a half times the size in a panel that is as much larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import ctk
import qt

from .screenshots import scaled

TOLERANCE = 1  # pixels; fonts round


@dataclass(frozen=True)
class CutText:
    """A text that is cut: needed and shown size in pixels as (width, height)."""

    widget: str
    kind: str
    text: str
    needed: tuple[int, int]
    shown: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.kind} '{self.widget}': {self.text!r} needs {self.needed}, has {self.shown}"


def cut_texts(widget, scale: float = 1.0) -> list[CutText]:
    """Every text below ``widget`` that is not shown in full; the list is empty where all is well."""
    with scaled(widget, scale):
        found = []
        for child in [widget, *widget.findChildren(qt.QWidget)]:
            if not child.visible or isinstance(child, qt.QHeaderView):
                continue
            for kind, check in CHECKS:
                if isinstance(child, kind):
                    found += check(child)
                    break
            found += _outside(child, widget)
    return found


def _plain(text: str) -> str:
    """Text without the marks of keyboard shortcuts."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&")


def _compare(widget, text, needed, shown) -> list[CutText]:
    needed, shown = tuple(map(round, needed)), tuple(map(round, shown))
    if needed[0] > shown[0] + TOLERANCE or needed[1] > shown[1] + TOLERANCE:
        return [CutText(widget.name or "", type(widget).__name__, text, needed, shown)]
    return []


def _text_size(widget, text) -> tuple[int, int]:
    rect = widget.fontMetrics().size(0, _plain(text))
    return rect.width(), rect.height()


def _label(label) -> list[CutText]:
    if not label.text:
        return []
    if not label.wordWrap:
        needed = label.sizeHint
        return _compare(label, label.text, (needed.width(), needed.height()), (label.width, label.height))
    longest = max((_text_size(label, word)[0] for word in label.text.split()), default=0)
    if label.textFormat == qt.Qt.RichText or "<" in label.text:
        longest = 0  # the words of marked-up text are not what is drawn
    return _compare(
        label, label.text, (longest, label.heightForWidth(label.width)), (label.width, label.height)
    )


def _button(button) -> list[CutText]:
    if not button.text or (
        isinstance(button, qt.QToolButton)
        and button.toolButtonStyle == qt.Qt.ToolButtonIconOnly
        and not button.icon.isNull()
    ):
        return []
    option = qt.QStyleOptionButton()
    option.initFrom(button)
    option.text, option.icon, option.iconSize = button.text, button.icon, button.iconSize
    elements = {
        qt.QCheckBox: qt.QStyle.SE_CheckBoxContents,
        qt.QRadioButton: qt.QStyle.SE_RadioButtonContents,
    }
    element = next(
        (e for kind, e in elements.items() if isinstance(button, kind)), qt.QStyle.SE_PushButtonContents
    )
    room = button.style().subElementRect(element, option, button)
    width, height = _text_size(button, button.text)
    if not button.icon.isNull():
        width += button.iconSize.width() + 4
    # The frame may be overdrawn a little before letters are lost.
    return _compare(
        button, button.text, (width, height), (room.width(), max(room.height(), button.height - 4))
    )


def _combo(box) -> list[CutText]:
    if not box.currentText:
        return []
    option = qt.QStyleOptionComboBox()
    option.initFrom(box)
    room = box.style().subControlRect(qt.QStyle.CC_ComboBox, option, qt.QStyle.SC_ComboBoxEditField, box)
    return _compare(box, box.currentText, _text_size(box, box.currentText), (room.width(), box.height))


def _line(edit) -> list[CutText]:
    text = edit.placeholderText if not edit.text else ""
    return _compare(edit, text, _text_size(edit, text), (edit.width - 8, edit.height)) if text else []


def _group(group) -> list[CutText]:
    indicator = 20 if group.checkable else 0
    width, height = _text_size(group, group.title)
    return _compare(group, group.title, (width + indicator, height), (group.width - 8, group.height))


def _collapsible(button) -> list[CutText]:
    width, height = _text_size(button, button.text)
    return _compare(button, button.text, (width + 30, height), (button.width, button.height))


def _tabs(bar) -> list[CutText]:
    found = []
    for index in range(bar.count):
        rect = bar.tabRect(index)
        width, height = _text_size(bar, bar.tabText(index))
        room = min(rect.width(), bar.width - rect.x()) - 8
        found += _compare(bar, bar.tabText(index), (width, height), (room, rect.height()))
    return found


def _table(table) -> list[CutText]:
    found, model = [], table.model()
    header = table.horizontalHeader()
    for column in range(model.columnCount()):
        if table.isColumnHidden(column):
            continue
        text = str(model.headerData(column, qt.Qt.Horizontal) or "")
        if header.visible and text:
            width, height = _text_size(header, text)
            margin = 2 * header.style().pixelMetric(qt.QStyle.PM_HeaderMargin, None, header)
            found += _compare(
                table, text, (width + margin, height), (header.sectionSize(column), header.height)
            )
        for row in range(model.rowCount()):
            index = model.index(row, column)
            text = str(index.data() or "")
            if text and not table.isRowHidden(row) and table.indexWidget(index) is None:
                hint = table.sizeHintForIndex(index)
                needed = (hint.width(), 0 if table.wordWrap else min(hint.height(), table.rowHeight(row)))
                found += _compare(table, text, needed, (table.columnWidth(column), table.rowHeight(row)))
    return found


def _progress(bar) -> list[CutText]:
    text = bar.text if bar.textVisible else ""
    return _compare(bar, text, _text_size(bar, text), (bar.width, bar.height + 4)) if text else []


def _outside(child, top) -> list[CutText]:
    """A widget with text that reaches beyond its parent, where nothing scrolls."""
    text = getattr(child, "text", None)
    parent = child.parentWidget()
    if not isinstance(text, str) or not text or child is top or parent is None or child.isWindow():
        return []
    if isinstance(parent.parentWidget(), qt.QAbstractScrollArea) or isinstance(
        parent, qt.QAbstractScrollArea
    ):
        return []
    corner = child.geometry.bottomRight()
    return _compare(child, text, (corner.x(), corner.y()), (parent.width, parent.height))


CHECKS = (
    (ctk.ctkCollapsibleButton, _collapsible),
    (qt.QLabel, _label),
    (qt.QAbstractButton, _button),
    (qt.QComboBox, _combo),
    (qt.QLineEdit, _line),
    (qt.QGroupBox, _group),
    (qt.QTabBar, _tabs),
    (qt.QTableView, _table),
    (qt.QProgressBar, _progress),
)

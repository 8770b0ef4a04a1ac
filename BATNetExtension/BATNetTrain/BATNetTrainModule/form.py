"""What the user filled in, kept in Slicer's settings.

Not in the scene as elsewhere: a training belongs to no scene, and goes on when the scene is closed.
"""

from __future__ import annotations

import json
from typing import Any

import qt
import slicer

SETTING = "BATNetTrain/form"


class Form:
    """Remembers the widgets it is given by name; ``load`` fills them, ``save`` keeps them."""

    def __init__(self, ui: Any, names: tuple[str, ...]) -> None:
        self._ui, self._names = ui, names

    def save(self) -> None:
        values = {name: _value(getattr(self._ui, name)) for name in self._names}
        slicer.app.settings().setValue(SETTING, json.dumps(values))

    def load(self) -> None:
        """Fill the widgets with what was kept; what no longer fits is left as it is."""
        try:
            values = json.loads(slicer.app.settings().value(SETTING, "") or "{}")
        except ValueError:
            values = {}
        for name in self._names:
            if isinstance(values, dict) and name in values:
                _fill(getattr(self._ui, name), values[name])


def _value(widget: Any) -> Any:
    if isinstance(widget, qt.QLineEdit):
        return widget.text
    if isinstance(widget, qt.QComboBox):
        return widget.itemData(widget.currentIndex)
    return widget.value


def _fill(widget: Any, value: Any) -> None:
    if isinstance(widget, qt.QLineEdit):
        if isinstance(value, str):
            widget.text = value
    elif isinstance(widget, qt.QComboBox):
        choose(widget, value)
    elif isinstance(value, int):
        widget.value = value


def choose(combo: Any, data: Any) -> bool:
    """Choose the entry that holds ``data``; False where there is none."""
    for index in range(combo.count):
        if combo.itemData(index) == data:
            combo.setCurrentIndex(index)
            return True
    return False


def offer(combo: Any, entries: list[tuple[str, Any]]) -> None:
    """Fill a combo box with (text, data) and keep what was chosen, where it is still there."""
    before = combo.itemData(combo.currentIndex) if combo.count else None
    blocked = combo.blockSignals(True)
    combo.clear()
    for text, data in entries:
        combo.addItem(text, data)
    if not choose(combo, before) and combo.count:
        combo.setCurrentIndex(0)
    combo.blockSignals(blocked)

"""Keys while the module is open; the buttons name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer


class Shortcuts:
    """``keys``: key, as Qt writes it, to what it does. Slicer's segment editor has its own (digits, Z, Y, Q,
    W, Space), which are not taken here; nor are keys of the main window. A key that is typed into a text is
    text."""

    def __init__(self, keys: Mapping[str, Callable[[], None]]) -> None:
        self._keys = dict(keys)
        self._installed: list[Any] = []

    def install(self, window: Any) -> None:
        self.remove()
        for key, action in self._keys.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", action)
            self._installed.append(shortcut)

    def remove(self) -> None:
        for shortcut in self._installed:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed = []

    @property
    def installed(self) -> dict[str, Any]:
        """Key to shortcut, empty while none is installed."""
        return dict(zip(self._keys, self._installed, strict=True)) if self._installed else {}


def main_window(panel: Any) -> Any:
    """Where keys are listened to: the views are in the main window, not in the panel."""
    window = slicer.util.mainWindow()
    return window if window is not None else panel.window()

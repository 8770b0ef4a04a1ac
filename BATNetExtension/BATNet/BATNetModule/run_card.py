"""Apply and Cancel, the bar, the words and the log."""

from __future__ import annotations

from typing import Any

from BATNetSlicer.texts import _


class RunCard:
    """Shows one run at a time; the two buttons trade places."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        ui.logButton.connect("toggled(bool)", lambda on: ui.logText.setVisible(on))
        ui.logText.setVisible(False)
        self.idle("")

    def idle(self, words: str) -> None:
        """No run; ``words`` say how the last one ended."""
        ui = self.ui
        ui.applyButton.visible, ui.cancelButton.visible, ui.progressBar.visible = True, False, False
        ui.statusLabel.text = words
        self._room()

    def started(self) -> None:
        ui = self.ui
        ui.applyButton.visible, ui.cancelButton.visible, ui.progressBar.visible = False, True, True
        ui.cancelButton.enabled, ui.cancelButton.text = True, _("Cancel")
        ui.progressBar.value = 0
        ui.logText.clear()
        self._room()

    def cancelling(self) -> None:
        self.ui.cancelButton.enabled = False
        self.ui.statusLabel.text = _("Ending the engine ...")

    def progress(self, share: float, words: str) -> None:
        self.ui.progressBar.value = round(1000 * share)
        self.ui.statusLabel.text = words
        self._room()

    def log(self, lines: list[str]) -> None:
        for line in lines:
            self.ui.logText.appendPlainText(line)

    def _room(self) -> None:
        self.ui.statusLabel.visible = bool(self.ui.statusLabel.text) or self.ui.progressBar.visible

"""What came out: the report, the model card, and the model in the list of the module BATNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer import modelsettings
from BATNetSlicer.texts import _

from .runwatch import RunWatch
from .words import figure_words, number

REPORT, CARD = "report.html", "model-card.md"
_MOST_BYTES = 200_000


class ResultCard:
    """``show()`` follows the watched run; ``use(stage, name)`` is told of the model that the user wants."""

    def __init__(self, ui: Any, watch: RunWatch, use: Callable[[str, str], None]) -> None:
        self.ui, self._watch, self._use = ui, watch, use
        self._note = ""
        self._run: Path | None = None
        ui.reportButton.connect("clicked()", self.open_report)
        ui.cardButton.connect("toggled(bool)", self._show_card)
        ui.useButton.connect("clicked()", self.use)
        self.show()

    @property
    def model(self) -> str:
        """Name of the model that the run made; "" before its end."""
        result = self._watch.state.get("result")
        return str(result.get("model") or "") if isinstance(result, dict) else ""

    def show(self) -> None:
        ui, folder = self.ui, self._watch.folder
        if folder != self._run:
            self._run, self._note = folder, ""
            ui.cardButton.checked = False
        report = folder is not None and (folder / REPORT).is_file()
        ui.reportButton.enabled = report
        card = folder is not None and (folder / CARD).is_file()
        ui.cardButton.enabled = card
        if ui.cardButton.checked and not card:
            ui.cardButton.checked = False
        ui.cardText.visible = ui.cardButton.checked
        stage = str(self._watch.run.get("stage") or "")
        ui.useButton.enabled = bool(self.model) and stage in ("adipose", "brown")
        result = self._watch.state.get("result")
        if self.model:
            first = modelsettings.first_model(stage) == self.model
            words = _("The model '{name}' is in the list of models.").format(name=self.model)
            words = " ".join([words, *self._figures(result)])
            if first:
                words = _("{words} The module BATNet offers it first.").format(words=words)
        elif isinstance(result, dict):
            words = " ".join(
                [_("The model could not be put into the list."), *map(str, result.get("warnings") or [])]
            )
        elif report:
            words = _("The report shows how far the training came. The model comes at its end.")
        else:
            words = _("The model and its report come at the end of the training.")
        ui.resultLabel.text = words
        ui.useLabel.text = self._note
        ui.useLabel.visible = bool(self._note)

    def _figures(self, result: dict[str, Any]) -> list[str]:
        """The figure that chose the best epoch, on validation and test cases, with its interval."""
        name = str((self._watch.state.get("metric") or {}).get("name") or "")
        titles = {"validation": _("Validation"), "test": _("Test")}
        said = []
        for part, title in titles.items():
            figure = ((result.get("metrics") or {}).get(part) or {}).get(name) or {}
            if figure.get("value") is None:
                continue
            words = _("{part}: {name} {value}").format(
                part=title, name=figure_words(name), value=number(figure["value"])
            )
            if figure.get("low") is not None and figure.get("high") is not None:
                words = _("{words} ({low} to {high})").format(
                    words=words, low=number(figure["low"]), high=number(figure["high"])
                )
            said.append(
                _("{words}, n\u00a0=\u00a0{number}.").format(words=words, number=figure.get("n", "–"))
            )
        return said

    def open_report(self) -> None:
        url = qt.QUrl.fromLocalFile(str(self._watch.folder / REPORT))
        opened = qt.QDesktopServices.openUrl(url)
        self._note = "" if opened else _("No program opens web pages on this computer.")
        self.show()

    def _show_card(self, on: bool) -> None:
        if on:
            try:
                with (self._watch.folder / CARD).open("rb") as file:
                    text = file.read(_MOST_BYTES).decode("utf-8", "replace")
            except (OSError, TypeError):
                text = _("The model card cannot be read now.")
            self.ui.cardText.setPlainText(text)
        self.ui.cardText.visible = on

    def use(self) -> None:
        """Put the model first in the module BATNet."""
        stage = str(self._watch.run.get("stage"))
        modelsettings.put_first(stage, self.model)
        self._use(stage, self.model)
        self._note = (
            _("BATNet finds the fat with it.")
            if stage == "adipose"
            else _("BATNet judges brown fat with it.")
        )
        self.show()

"""The curves of the run: what they say in words, and the switch that shows them in a plot view."""

from __future__ import annotations

from typing import Any

import slicer
from BATNetSlicer.texts import _

from .curvenodes import LOSS, CurveNodes
from .form import choose, offer
from .runwatch import RunWatch
from .words import figure_words, number


class CurvesCard:
    """``show()`` follows the watched run."""

    def __init__(self, ui: Any, watch: RunWatch) -> None:
        self.ui, self._watch = ui, watch
        self.nodes = CurveNodes(slicer.mrmlScene)
        self._offered: list[str] = []
        offer(ui.curveCombo, [(_("Loss"), LOSS)])
        ui.plotBox.connect("toggled(bool)", self._switched)
        ui.curveCombo.connect("currentIndexChanged(int)", lambda *_: self.show())
        self.show()

    def switch_on(self) -> None:
        """Show the curves in a plot view, as after the start of a training."""
        if self.ui.plotBox.checked:
            self._switched(True)
        else:
            self.ui.plotBox.checked = True

    def show(self) -> None:
        ui, curves, state = self.ui, self._watch.curves, self._watch.state
        figures = curves.figures()
        if figures != self._offered:
            self._offered = figures
            offer(ui.curveCombo, [(_("Loss"), LOSS), *((figure_words(name), name) for name in figures)])
        ui.curveCombo.enabled = bool(figures)
        ui.plotBox.enabled = self._watch.folder is not None
        ui.curvesLabel.text = self._words(curves, state)
        if ui.plotBox.checked and self._watch.folder is not None:
            self.nodes.show(curves, self._which(), str(self._watch.run.get("name") or ""))

    def choose(self, figure: str) -> bool:
        """Show a figure of the validation, or ``LOSS``."""
        return choose(self.ui.curveCombo, figure)

    def _which(self) -> str:
        return self.ui.curveCombo.itemData(self.ui.curveCombo.currentIndex) or LOSS

    def _words(self, curves: Any, state: dict[str, Any]) -> str:
        said = []
        if curves.last_loss is not None:
            said.append(_("Training loss {value}").format(value=number(curves.last_loss)))
        if curves.epochs:
            last = curves.epochs[max(curves.epochs)]
            main = str((state.get("metric") or {}).get("name") or "")
            # The figure that chooses the best epoch first.
            names = sorted((n for n in last if n != "train_loss"), key=lambda n: n != main)
            said += [f"{figure_words(name)} {number(last[name])}" for name in names[:3]]
        return ", ".join(said) if said else _("No step yet.")

    def _switched(self, on: bool) -> None:
        if on:
            self.show()
            self.nodes.in_view()
        else:
            self.nodes.remove()

    def scene_closes(self) -> None:
        self.nodes.forget()

    def scene_closed(self) -> None:
        """The curves belong to the run, not to the scene: they are drawn again."""
        if self.ui.plotBox.checked:
            self._switched(True)

    def close(self) -> None:
        self.nodes.remove()

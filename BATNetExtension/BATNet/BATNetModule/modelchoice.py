"""The choice of models: the two sets, models that the user brought or trained, and a network for the fat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BATNetSlicer.modelsettings import first_model
from BATNetSlicer.texts import _

from .setup_card import SetupCard

#: Set on the parameter node once the user has chosen a model in the scene.
CHOSEN = "BATNet.ModelChosen"


class ModelChoice:
    """Two boxes over the parameters ``model`` and ``fatModel``; ``changed()`` is called when one was chosen.

    A model that the user put first (``BATNetSlicer.modelsettings``) is offered first, and taken where nothing
    else was chosen in the scene.
    """

    def __init__(self, ui: Any, setup: SetupCard, changed: Callable[[], None]) -> None:
        self._ui, self._setup, self._changed = ui, setup, changed
        self._parameters: Any = None
        self._names: dict[str, list[str]] = {"brown": [], "adipose": []}
        ui.modelCombo.connect("activated(int)", lambda index: self.choose(self._names["brown"][index]))
        ui.fatModelCombo.connect(
            "activated(int)", lambda index: self.choose(self._names["adipose"][index], "adipose")
        )

    def follow(self, parameters: Any) -> None:
        """Show the models of ``parameters`` from now on."""
        self._parameters = parameters
        self.fill()

    def choose(self, name: str, stage: str = "brown") -> None:
        """Choose a model set or a model of the brown stage, or a model of the adipose stage ("" for that of
        the set)."""
        setattr(self._parameters, "fatModel" if stage == "adipose" else "model", name)
        self._parameters.parameterNode.SetAttribute(CHOSEN, "1")
        self.fill()
        self._changed()

    def fill(self) -> None:
        """Offer what the engine knows by now."""
        parameters, ui = self._parameters, self._ui
        first, first_fat = first_model("brown"), first_model("adipose")
        if not parameters.parameterNode.GetAttribute(CHOSEN):
            if parameters.model == "batnet" and self._setup.installed("brown", first):
                parameters.model = first
            if not parameters.fatModel and self._setup.installed("adipose", first_fat):
                parameters.fatModel = first_fat
        sets = {"batnet": _("BATNet as published"), "demo": _("Demonstration (phantoms)")}
        self._show(ui.modelCombo, "brown", sets, first, parameters.model)
        self._show(ui.fatModelCombo, "adipose", {"": _("As the model")}, first_fat, parameters.fatModel)
        there = len(self._names["adipose"]) > 1
        ui.fatModelCombo.visible = ui.fatModelLabel.visible = there

    def _show(self, combo: Any, stage: str, always: dict[str, str], first: str, wanted: str) -> None:
        """``wanted`` is shown, known or not; ``first`` comes before all others."""
        own = {model["name"]: model["title"] or model["name"] for model in self._setup.own_models(stage)}
        known = {first: own[first]} if first in own else {}
        known |= always
        known |= own
        known.setdefault(wanted, wanted)
        self._names[stage] = list(known)
        combo.clear()
        for title in known.values():
            combo.addItem(title)
        combo.setCurrentIndex(self._names[stage].index(wanted))

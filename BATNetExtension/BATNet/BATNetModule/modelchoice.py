"""The choice of a model: the two sets, and models that the user brought."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from BATNetSlicer.texts import _


class ModelChoice:
    """``chosen(name)`` is called when the user picks another one."""

    def __init__(self, combo: Any, chosen: Callable[[str], None]) -> None:
        self._combo = combo
        self._names: list[str] = []
        combo.connect("activated(int)", lambda index: chosen(self._names[index]))

    def fill(self, wanted: str, own: list[dict[str, Any]]) -> None:
        """Offer the sets and ``own`` models of the brown stage; ``wanted`` is shown, known or not."""
        known = {"batnet": _("BATNet as published"), "demo": _("Demonstration (phantoms)")}
        known |= {model["name"]: model["title"] or model["name"] for model in own}
        known.setdefault(wanted, wanted)
        self._names = list(known)
        self._combo.clear()
        for title in known.values():
            self._combo.addItem(title)
        self._combo.setCurrentIndex(self._names.index(wanted))

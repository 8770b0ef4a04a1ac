"""Models held between cases, so that a batch loads each one once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..events import Events

if TYPE_CHECKING:
    from ..models import LoadedModel
    from .options import AnalysisOptions

ADIPOSE, BROWN = "adipose", "brown"


def models_needed(options: AnalysisOptions, *, mask_given: bool) -> dict[str, str]:
    """Name of the model of each stage that a run with ``options`` uses."""
    needed = {BROWN: options.brown_model}
    if options.method == "network" and not mask_given:
        needed[ADIPOSE] = options.adipose_model
    return needed


class ModelCache:
    """Loads a model the first time it is asked for and keeps it.

    ``put`` takes a model that is loaded already, such as one that was just trained.
    """

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], LoadedModel] = {}
        self._lock = threading.Lock()

    def get(self, name: str, stage: str, events: Events | None = None) -> LoadedModel:
        """The model or set called ``name`` for ``stage`` ("adipose" or "brown").

        Raises ``NoModel`` or ``UsageError`` as ``BATNetLib.models.load_model`` does.
        """
        with self._lock:
            if (name, stage) not in self._models:
                from ..models import load_model

                self._models[name, stage] = load_model(name, stage, events=events or Events())
            return self._models[name, stage]

    def __contains__(self, wanted: tuple[str, str]) -> bool:
        """Whether (name, stage) is loaded already."""
        return wanted in self._models

    def put(self, name: str, stage: str, model: LoadedModel) -> None:
        with self._lock:
            self._models[name, stage] = model

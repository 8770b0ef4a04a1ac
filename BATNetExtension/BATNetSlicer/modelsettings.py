"""What Slicer's settings say of models: the folder that holds them, and those that the user put first.

The three modules ask the same settings, so that a model trained in one is offered by another.
"""

from __future__ import annotations

import slicer

HOME_SETTING = "BATNet/modelsFolder"
_FIRST = "BATNet/firstModel/{stage}"


def users_engine() -> object:
    """An engine (``jobs.Engine``) that knows the folder of models that the user chose."""
    from .jobs import Engine

    home = slicer.app.settings().value(HOME_SETTING, "") or ""
    return Engine(environment={"BATNET_HOME": str(home)} if home else None)


def put_first(stage: str, name: str) -> None:
    """The user wants the model ``name`` of ``stage`` ("adipose", "brown") offered first; "" forgets it."""
    slicer.app.settings().setValue(_FIRST.format(stage=stage), name)


def first_model(stage: str) -> str:
    """Name of the model that the user put first; "" where none was."""
    return str(slicer.app.settings().value(_FIRST.format(stage=stage), "") or "")

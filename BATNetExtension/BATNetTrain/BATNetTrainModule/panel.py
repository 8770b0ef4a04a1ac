"""The panel: loads the layout, gives each part to its card, and lets them follow one run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import slicer
from BATNetSlicer import add_library_to_path
from BATNetSlicer.job_contract import JobRunner, Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.modelsettings import users_engine

from .calls import Call
from .curves_card import CurvesCard
from .data_card import DataCard
from .examples_card import ExamplesCard
from .form import Form
from .result_card import ResultCard
from .run_card import RunCard
from .runwatch import RunWatch
from .split_card import SplitCard
from .train_card import TrainCard

#: What is filled in, kept for the next start of Slicer.
REMEMBERED = (
    "dataEdit", "stageCombo", "patientEdit", "patchesEdit", "splitEdit", "kindCombo", "foldsBox",
    "trainShareBox", "validationShareBox", "testShareBox", "splitSeedBox", "presetCombo", "epochsBox",
    "batchBox", "deviceCombo", "nameEdit", "outEdit", "seedBox", "widthBox", "configEdit",
)  # fmt: skip


class Panel:
    """One for each time the module is loaded. ``runner``: who starts the engine; tests put their own.

    ``doctor``: what the engine told of devices and models, None before it did.
    """

    def __init__(self, layout_file: str, layout: Any) -> None:
        add_library_to_path()
        self.runner: JobRunner | None = None
        self.doctor: dict[str, Any] | None = None
        self._doctor_call: Call | None = None
        self._ended: tuple[Path | None, str] | None = None
        self.root = slicer.util.loadUI(layout_file)
        layout.addWidget(self.root)
        self.ui = ui = slicer.util.childWidgetVariables(self.root)
        self.root.setMRMLScene(slicer.mrmlScene)
        ui.moreButton.collapsed = True
        self.watch = RunWatch(self.update)
        self.data = DataCard(ui, self.engine, self._other_data)
        self.split = SplitCard(ui, self.engine, self.data, self._other_split)
        self.train = TrainCard(ui, self.engine, self.data, self.split, self._started)
        self.run = RunCard(ui, self.watch, self.engine, self._opened, self._found)
        self.curves = CurvesCard(ui, self.watch)
        self.examples = ExamplesCard(ui, self.watch, _defect)
        self.result = ResultCard(ui, self.watch, self._use)
        font = ui.researchLabel.font
        font.setItalic(True)
        ui.researchLabel.setFont(font)
        self._form = Form(ui, REMEMBERED)
        self._form.load()
        self.split.read()
        self.train.show()
        self.update()

    def engine(self) -> JobRunner:
        """Who starts the engine; it knows the folder of models that the user chose."""
        return self.runner if self.runner is not None else users_engine()

    # --- life
    def enter(self) -> None:
        self.train.needs.look()
        self.train.show()
        if self.doctor is None and self._doctor_call is None:
            self.look_around()
        self.run.find()

    def exit(self) -> None:
        self._form.save()

    def close(self) -> None:
        """The module is unloaded or Slicer ends. Trainings go on: they are programs of their own."""
        self._form.save()
        if self._doctor_call is not None:
            self._doctor_call.close()
        for card in (self.data, self.split, self.train, self.run, self.curves, self.examples):
            card.close()
        self.watch.close()

    def scene_closes(self) -> None:
        """The scene is about to be emptied; a training has nothing to do with it."""
        self.curves.scene_closes()
        self.examples.scene_closes()

    def scene_closed(self) -> None:
        self.curves.scene_closed()
        self.examples.show()

    # --- what the computer has
    def look_around(self) -> None:
        """Ask the engine for devices and models."""
        if self._doctor_call is None:
            self._doctor_call = Call(self.engine(), ["doctor"], self._told, self._not_told, self._not_told)

    def _told(self, result: Result) -> None:
        self._doctor_call = None
        self.doctor = result.facts.get("doctor") or {}
        self.train.devices(self.doctor.get("devices") or [])
        self.train.models(self.doctor.get("models") or [])
        self.train.show()

    def _not_told(self, _failure: Failure | None = None) -> None:
        self._doctor_call = None  # the choices stay as they are: auto and processor

    # --- one thing changes another
    def _other_data(self) -> None:
        self.train.other_data()

    def _other_split(self) -> None:
        self.train.other_data()

    def _started(self, folder: Path) -> None:
        """A training that was started here: it is followed, and its curves are shown."""
        self._form.save()
        self.run.open(folder)
        self.curves.switch_on()

    def _opened(self) -> None:
        """Another run is followed, or none."""
        self._ended = None
        self.examples.remove()
        self.update()

    def _found(self) -> None:
        """A training that was started earlier is at work: what is needed to start one gives room."""
        for section in (self.ui.dataButton, self.ui.splitButton, self.ui.trainButton):
            section.collapsed = True

    def update(self) -> None:
        """Show what the watched run says now."""
        for card in (self.run, self.curves, self.examples, self.result):
            card.show()
        ended = (self.watch.folder, str(self.watch.state.get("state") or ""))
        if ended != self._ended:
            if self._ended is not None and ended[1] == "done":
                self.ui.resultButton.collapsed = False
                self.look_around()  # the list of models has grown
            self._ended = ended
            self.train.show()

    def _use(self, stage: str, name: str) -> None:
        """Tell the module BATNet, where it is open, which model the user wants."""
        widget = getattr(slicer.modules, "BATNetWidget", None)
        panel = getattr(widget, "panel", None)
        if panel is not None:
            panel.model_put_first(stage, name)


def _defect(error: Exception) -> None:
    logging.error("BATNetTrain: %s", type(error).__name__)

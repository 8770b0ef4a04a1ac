"""Recipe, epochs, device and batch size; what they cost in memory and time; and the start of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer.job_contract import JobRunner, Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from . import run_list
from .calls import Call
from .data_card import DataCard
from .estimates import estimate_words
from .form import offer
from .needs_card import NeedsCard
from .split_card import SplitCard


class TrainCard:
    """``started(folder)`` is called when a training runs on its own."""

    def __init__(
        self,
        ui: Any,
        runner: Callable[[], JobRunner],
        data: DataCard,
        split: SplitCard,
        started: Callable[[Path], None],
    ) -> None:
        self.ui, self._runner, self._data, self._split = ui, runner, data, split
        self._started = started
        self._call: Call | None = None
        self._estimating = False
        self._out = Path()
        self._models: list[dict[str, Any]] = []
        self.needs = NeedsCard(ui, self.show)
        offer(ui.presetCombo, [(_("As published, corrected"), "published"), (_("Modern"), "modern")])
        self.devices([])
        self.models([])
        ui.estimateButton.connect("clicked()", self.estimate)
        ui.estimateCancelButton.connect("clicked()", self.cancel)
        ui.startButton.connect("clicked()", self.start)
        ui.startCancelButton.connect("clicked()", self.cancel)
        ui.outButton.connect("clicked()", self._choose_out)
        ui.configButton.connect("clicked()", self._choose_config)
        ui.outEdit.connect("textChanged(QString)", lambda *_: self.show())
        for box in (ui.epochsBox, ui.batchBox, ui.widthBox):
            box.connect("valueChanged(int)", lambda *_: self._forget_estimate())
        for combo in (ui.presetCombo, ui.deviceCombo, ui.startFromCombo):
            combo.connect("currentIndexChanged(int)", lambda *_: self._forget_estimate())
        self._forget_estimate()
        self._say("")

    # --- what the engine offers
    def devices(self, found: list[dict[str, str]]) -> None:
        """Offer the devices of this computer, as ``batnet doctor`` tells them."""
        entries = [(_("auto"), "auto")]
        entries += [(str(device.get("title") or device["name"]), device["name"]) for device in found]
        if not any(name == "cpu" for _title, name in entries):
            entries.append((_("Processor"), "cpu"))
        offer(self.ui.deviceCombo, entries)

    def models(self, found: list[dict[str, Any]]) -> None:
        """Offer models of the chosen stage to start from."""
        self._models = found
        own = [m for m in found if m.get("stage") == self._data.stage and m.get("installed")]
        entries = [(_("new weights"), ""), *((str(m.get("title") or m["name"]), m["name"]) for m in own)]
        offer(self.ui.startFromCombo, entries)

    def other_data(self) -> None:
        """Other data, another stage or another split were chosen."""
        self.models(self._models)
        self._forget_estimate()

    # --- asking
    def why_not(self, *, estimate: bool = False) -> str | None:
        """Why Start cannot be pressed, in words; None where it can."""
        why_not = self._data.why_not() or self._split.why_not() or self.needs.why_not()
        if why_not is None and not estimate:
            out = self.ui.outEdit.text.strip()
            if not out:
                return _("Choose a folder for the run.")
            if (Path(out) / "run.json").is_file():
                return _("The run folder holds a run already. Open it under Run, or choose another one.")
        return why_not

    def arguments(self) -> list[str]:
        """What ``batnet train`` is called with, less the run folder."""
        ui = self.ui
        words = ["train", self._data.stage, *self._data.arguments(), *self._data.patches()]
        words += self._split.arguments()
        words += ["--preset", _data(ui.presetCombo), "--device", _data(ui.deviceCombo)]
        words += ["--seed", str(ui.seedBox.value)]
        for option, box in (
            ("--epochs", ui.epochsBox),
            ("--batch-size", ui.batchBox),
            ("--width", ui.widthBox),
        ):
            if box.value:
                words += [option, str(box.value)]
        for option, text in (
            ("--name", ui.nameEdit.text.strip()),
            ("--start-from", _data(ui.startFromCombo) or ""),
            ("--config", ui.configEdit.text.strip()),
        ):
            if text:
                words += [option, text]
        return words

    def estimate(self) -> None:
        """One batch forward and back: what the training needs in memory and time."""
        why_not = self.why_not(estimate=True)
        if why_not is not None or self._call is not None:
            self._tell_estimate(why_not or "")
            return
        self._estimating = True
        self._tell_estimate(_("Computing one batch ..."))
        words = [*self.arguments(), "--dry-run"]
        self._call = Call(
            self._runner(), words, self._estimated, self._failed, self._cancelled, self._tell_estimate
        )
        self.show()

    def start(self) -> None:
        """Start the training as a program of its own."""
        why_not = self.why_not()
        if why_not is not None or self._call is not None:
            self._say(why_not or "")
            return
        self._estimating = False
        self._out = Path(self.ui.outEdit.text.strip()).expanduser().absolute()
        words = [*self.arguments(), "--out", str(self._out), "--detach"]
        self._say(_("Starting ..."))
        run_list.remember(self._out)  # found again even where Slicer is closed before the first step
        self._call = Call(
            self._runner(), words, lambda result: self._running(), self._failed, self._cancelled, self._say
        )
        self.show()

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self.ui.estimateCancelButton.enabled = self.ui.startCancelButton.enabled = False

    def close(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.close()

    # --- what came of it
    def _estimated(self, result: Result) -> None:
        self._call = None
        self._tell_estimate(estimate_words(result.facts))
        self.show()

    def _running(self) -> None:
        self._call = None
        self._say("")
        self.show()
        self._started(self._out)

    def _failed(self, failure: Failure) -> None:
        self._over(failure.text)

    def _cancelled(self) -> None:
        self._over(_("Cancelled."))

    def _over(self, words: str) -> None:
        self._call = None
        (self._tell_estimate if self._estimating else self._say)(words)
        self.show()
        # What was begun can be followed and resumed; a process that trains already goes on.
        if not self._estimating and (self._out / "run.json").is_file():
            self._started(self._out)

    # --- showing
    def show(self) -> None:
        ui, busy = self.ui, self._call is not None
        why_not = self.why_not()
        ui.startButton.enabled = not busy and why_not is None
        ui.startButton.toolTip = why_not or _("Goes on when Slicer is closed")
        cannot = self.why_not(estimate=True)
        ui.estimateButton.enabled = not busy and cannot is None
        ui.estimateButton.toolTip = cannot or _("Computes one batch and trains nothing")
        ui.estimateButton.visible = not (busy and self._estimating)
        ui.estimateCancelButton.visible = busy and self._estimating
        ui.startButton.visible = not (busy and not self._estimating)
        ui.startCancelButton.visible = busy and not self._estimating
        ui.estimateCancelButton.enabled = ui.startCancelButton.enabled = busy

    def _forget_estimate(self) -> None:
        if self._call is None:
            self._tell_estimate("")
        self.show()

    def _tell_estimate(self, words: str) -> None:
        self.ui.estimateLabel.text = words
        self.ui.estimateLabel.visible = bool(words)

    def _say(self, words: str) -> None:
        self.ui.startLabel.text = words
        self.ui.startLabel.visible = bool(words)

    # --- dialogs
    def _choose_out(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder that takes the run"))
        if folder:
            self.ui.outEdit.text = str(free_place(Path(folder)))

    def _choose_config(self) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Configuration"), "", "YAML (*.yaml *.yml)")
        if path:
            self.ui.configEdit.text = path


def free_place(folder: Path) -> Path:
    """The first of ``training-1``, ``training-2``, ... in ``folder`` that is not there yet."""
    number = 1
    while (folder / f"training-{number}").exists():
        number += 1
    return folder / f"training-{number}"


def _data(combo: Any) -> Any:
    return combo.itemData(combo.currentIndex)

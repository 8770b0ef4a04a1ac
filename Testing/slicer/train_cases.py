"""The BATNetTrain panel opened for a test, training data of phantoms, and trainings that are played."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import slicer
from batnet_cases import BusyWatch
from BATNetSlicer.jobs import Engine

MODULE = Path(__file__).resolve().parents[2] / "BATNetExtension" / "BATNetTrain" / "BATNetTrain.py"
if str(MODULE.parent) not in sys.path:  # as loading the module does, for tests of single parts
    sys.path.insert(0, str(MODULE.parent))
ENGINE = str(Path(__file__).parent / "engines" / "training.py")
#: Coarse, so that a case is made and read in a moment.
SPACING = (8.0, 7.0, 7.0)


def played():
    """An engine whose trainings are played by engines/training.py."""
    return Engine(sys.executable, (ENGINE,))


class ThreadWatch(BusyWatch):
    """Only what the window's own thread took: a training beside it takes the processor from everybody. By the
    clock it is measured in test_train_module_speed.py, alone."""

    def check(self):
        assert self.busiest < 0.1, f"the window was busy for {1000 * self.busiest:.0f} ms"


class Mixed:
    """Trainings are played, all else is done by the real engine. ``calls`` holds the arguments of each."""

    def __init__(self):
        self.calls = []
        self._played, self._real = played(), Engine()

    def start(self, arguments, listener):
        self.calls.append([str(argument) for argument in arguments])
        engine = self._played if self.calls[-1][0] in ("train", "doctor") else self._real
        return engine.start(arguments, listener)


def open_train(open_panel, runner=None):
    """The panel with ``runner`` in place of the real engine, which knows its models already."""
    panel = open_panel(MODULE).python.panel
    if panel._doctor_call is not None:
        panel._doctor_call.close()
        panel._doctor_call = None
    panel.runner = runner or Mixed()
    panel.watch.look_ms = 150  # tests need not wait as long as a user
    panel.look_around()
    while panel.doctor is None:
        slicer.app.processEvents()
    if hasattr(panel.runner, "calls"):
        panel.runner.calls.clear()
    return panel


def write_study(folder, patients=6):
    """Case folders of phantoms, every second one with brown fat."""
    from BATNetLib.dataset.phantom import make_phantom, write_phantom

    for number in range(patients):
        phantom = make_phantom(40 + number, spacing=SPACING, brown="both" if number % 2 else "none")
        write_phantom(phantom, folder / f"P{number:02d}")
    return folder


def fill_in(panel, study, split, out, name="played", epochs=6):
    """What a user fills in for a training; the split is a file that is there."""
    ui = panel.ui
    ui.dataEdit.text = str(study)
    ui.splitEdit.text = str(split)
    panel.split.read()
    ui.outEdit.text, ui.nameEdit.text, ui.epochsBox.value = str(out), name, epochs


def write_split_file(path, kind="parts", names=("train", "validation")):
    """A split as the panel reads it; nothing trains on it."""
    rows = [{"bin": name, "all": 4, **dict.fromkeys(names, 2)} for name in ("patients", "cases", "fat: much")]
    content = {"kind": kind, "shares": dict.fromkeys(names, 1 / len(names)), "distribution": rows}
    Path(path).write_text(json.dumps(content))
    return Path(path)


def end_training(run):
    """End the process of a run that a test started, if it is still there."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        state = json.loads((Path(run) / "state.json").read_text())
        if state["pid"] != os.getpid() and state["state"] in (
            "starting",
            "running",
            "validating",
            "stopping",
        ):
            os.kill(state["pid"], signal.SIGKILL)

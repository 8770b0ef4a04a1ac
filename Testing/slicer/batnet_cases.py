"""The BATNet panel opened for a test, phantoms in its scene, and engines that answer at once."""

from __future__ import annotations

import functools
import shutil
import tempfile
import time
from pathlib import Path

import slicer
from result_cases import analyse, phantom, volume_node
from stage import scripted_engine as script
from stage.event_loop import GuiWatch

MODULE = Path(__file__).resolve().parents[2] / "BATNetExtension" / "BATNet" / "BATNet.py"


def build_views():
    """Slicer has its views before any module runs; the stage builds them when first asked."""
    manager = slicer.app.layoutManager()
    for name in manager.sliceViewNames():
        manager.sliceWidget(name).sliceView().interactor()
    manager.threeDWidget(0).threeDView().interactor()


class BusyWatch(GuiWatch):
    """Tells a window that was blocked from a computer that is busy with other tests.

    ``busiest``: the most processor time the window's thread took between two turns, in seconds. Waiting shows
    in ``longest`` alone, which also grows where other processes take the processor away.
    """

    def __enter__(self):
        self.busiest, self._spent = 0.0, time.thread_time()
        return super().__enter__()

    def _tick(self):
        spent = time.thread_time()
        self.busiest, self._spent = max(self.busiest, spent - self._spent), spent
        super()._tick()

    def check(self):
        assert self.busiest < 0.1, f"the window was busy for {1000 * self.busiest:.0f} ms"
        assert self.longest < 0.3, f"the window was blocked for {1000 * self.longest:.0f} ms"


def answers_doctor(models=("demo-adipose", "demo-brown"), then=()):
    """A runner whose engine knows ``models``; other commands play ``then``."""
    listed = []
    for name in ("batnet-adipose", "batnet-brown", "demo-adipose", "demo-brown", *models):
        entry = {
            "name": name,
            "title": f"Title of {name}",
            "stage": "adipose" if "adipose" in name else "brown",
            "installed": name in models,
            "demonstration": name.startswith("demo"),
        }
        if entry["name"] not in [known["name"] for known in listed]:
            listed.append(entry)
    return ByCommand(
        doctor=[
            script.result(
                "",
                doctor={"models": listed, "devices": [{"name": "cpu", "title": "cpu"}], "packages": []},
            )
        ],
        default=list(then),
    )


class ByCommand:
    """A runner with a script for each command."""

    def __init__(self, default=(), **scripts):
        self.default, self.scripts = default, scripts
        self.calls, self.jobs = [], []

    def start(self, arguments, listener=None):
        self.calls.append([str(argument) for argument in arguments])
        steps = self.scripts.get(self.calls[-1][0], self.default)
        self.jobs.append(script.ScriptedRunner(*steps).start(arguments, listener))
        return self.jobs[-1]


def open_batnet(open_panel, runner=None):
    """The panel with an engine that answers at once; the real one, which it asks for its models, is ended."""
    panel = open_panel(MODULE).python.panel
    panel.setup.close()
    panel.runner = runner or answers_doctor()
    panel.setup.look()
    while panel.setup.models is None:
        slicer.app.processEvents()
    panel.runner.calls.clear()
    return panel


#: Removed when this process ends.
_KEPT: list[tempfile.TemporaryDirectory] = []


@functools.cache
def result_folder(**options):
    """A real result of the coarse phantom, as the engine writes it for the node of ``ct_node``."""
    from BATNetSlicer.inputs import write_inputs

    _KEPT.append(tempfile.TemporaryDirectory(prefix="batnet-cases-"))
    folder = Path(_KEPT[-1].name)
    node = ct_node()
    inputs = write_inputs(folder / "in", node)
    slicer.mrmlScene.RemoveNode(node)
    return analyse(inputs, folder / "out", **{"report": True, **options})


@functools.cache
def blocked_folder():
    """A result without a probability: the checks ask for more neck than the phantom has."""
    return result_folder.__wrapped__(limits={"above_apex_mm_block": 400.0, "above_apex_mm_warn": 500.0})


def ct_node(name="CT chest", **placing):
    return volume_node(phantom().ct, name, **placing)


def hands_out(source):
    """A folder for ``script.result``: a copy of ``source`` where the run asked for it."""

    def make(arguments):
        out = Path(arguments[arguments.index("--out") + 1])
        shutil.copytree(source, out)
        return out

    return make


def run_leftovers():
    """What runs have left in Slicer's temporary folder."""
    return sorted(p.name for p in Path(slicer.app.temporaryPath).glob("BATNet-*") if "report" not in p.name)

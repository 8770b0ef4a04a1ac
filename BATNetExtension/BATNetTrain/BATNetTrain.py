"""BATNetTrain: train both stages on the user's own data. Research use only, not a medical device.

Slicer imports this file at every start, so it only says what the module is. Its parts are in
``BATNetTrainModule`` (this module) and ``BATNetSlicer`` (shared by the three modules of the extension).
"""

import sys
from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

_HERE = Path(__file__).resolve().parent
# Installed, everything lies in one folder that Slicer has on its path; from source BATNetSlicer is next door.
for _folder in (_HERE, _HERE.parent):
    if (_folder / "BATNetSlicer").is_dir() and str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from BATNetSlicer.texts import _  # noqa: E402


class BATNetTrain(ScriptedLoadableModule):
    """The module's card in Slicer."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "BATNet Train"
        parent.categories = [_("Quantification")]
        parent.dependencies = []
        parent.contributors = ["BATNet for 3D Slicer contributors"]
        parent.helpText = _(
            "Trains the networks of BATNet on your own scans: checks the data, splits them by patient, "
            "trains in the background and puts the model into the list. Research use only, not a medical "
            "device."
        )
        parent.acknowledgementText = _("Method: BATNet. Networks, weights and sources: see the README.")


class BATNetTrainWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel; ``BATNetTrainModule.panel.Panel`` does the work."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None

    def setup(self):
        from BATNetTrainModule.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = BATNetTrainLogic()
        self.panel = Panel(self.resourcePath("UI/BATNetTrain.ui"), self.layout)
        self.ui = self.panel.ui
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.panel.scene_closes())
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.panel.scene_closed())

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class BATNetTrainLogic(ScriptedLoadableModuleLogic):
    """For scripts: the same commands without the panel; they need no Slicer (``batnet train --help``)."""

    def watch(self, run, changed=lambda: None):
        """Follow the training in the folder ``run``; ``changed()`` is called after each look.

        Returns a ``BATNetTrainModule.runwatch.RunWatch``; call its ``close()`` at the end.
        """
        from BATNetTrainModule.runwatch import RunWatch

        watch = RunWatch(changed)
        watch.open(run)
        return watch


class BATNetTrainTest(ScriptedLoadableModuleTest):
    """Checks, splits and trains a small network on phantoms ("Reload and Test")."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from BATNetTrainModule.selftest import train_on_phantoms

        self.setUp()
        self.delayDisplay(_("Training a small network on phantoms; about a minute"))
        self.delayDisplay(train_on_phantoms(self))

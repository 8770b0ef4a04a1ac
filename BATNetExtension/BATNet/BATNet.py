"""BATNet: analyse and review one chest CT, or many, in 3D Slicer. Research use only, not a medical device.

Slicer imports this file at every start, so it only says what the module is. Its parts are in ``BATNetModule``
(this module) and ``BATNetSlicer`` (shared by the three modules of the extension).
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


class BATNet(ScriptedLoadableModule):
    """The module's card in Slicer."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "BATNet"
        parent.categories = [_("Quantification")]
        parent.dependencies = []
        parent.contributors = ["BATNet for 3D Slicer contributors"]
        parent.helpText = _(
            "Adipose tissue and brown-fat probability from a chest CT, with a map of the 32 patches that the "
            "probability rests on. Research use only, not a medical device."
        )
        parent.acknowledgementText = _("Method: BATNet. Networks, weights and sources: see the README.")
        slicer.app.connect("startupCompleted()", _register_samples)


def _register_samples():
    from BATNetSlicer.samples import register_samples

    register_samples()


class BATNetWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel; ``BATNetModule.panel.Panel`` does the work."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None

    def setup(self):
        from BATNetModule.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = BATNetLogic()
        self.panel = Panel(self.resourcePath("UI/BATNet.ui"), self.layout, self.logic)
        self.ui = self.panel.ui
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.panel.scene_closes())
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.panel.scene_changed())
        self.addObserver(scene, scene.EndImportEvent, lambda *_: self.panel.scene_changed())
        # Reloaded while it is shown: Slicer does not enter it again.
        if slicer.util.mainWindow() is not None and slicer.util.selectedModule() == self.moduleName:
            self.enter()

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class BATNetLogic(ScriptedLoadableModuleLogic):
    """For scripts::

        analysis = slicer.modules.batnet.widgetRepresentation().self().logic.process(ct, model="demo")

    or ``from BATNet import BATNetLogic; BATNetLogic().process(ct)``.
    """

    def process(self, ctNode, **request):
        """Analyse ``ctNode``; ``BATNetModule.process.process`` says what can be asked and what comes back."""
        from BATNetModule.process import process

        return process(ctNode, **request)


class BATNetTest(ScriptedLoadableModuleTest):
    """Runs the logic on the phantom with the demonstration models ("Reload and Test")."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from BATNetModule.selftest import run_on_phantom

        self.setUp()
        self.delayDisplay(_("Making a phantom and analysing it"))
        self.delayDisplay(run_on_phantom(self, BATNetLogic()))

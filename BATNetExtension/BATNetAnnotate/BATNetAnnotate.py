"""BATNetAnnotate: refine brown-fat masks, case after case, in 3D Slicer.

Research use only, not a medical device.

Slicer imports this file at every start, so it only says what the module is. Its parts are in
``BATNetAnnotateModule`` (this module) and ``BATNetSlicer`` (shared by the modules of the extension).
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


class BATNetAnnotate(ScriptedLoadableModule):
    """The module's card in Slicer."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "BATNet Annotate"
        parent.categories = [_("Segmentation"), _("Quantification")]
        parent.dependencies = []
        parent.contributors = ["BATNet for 3D Slicer contributors"]
        parent.helpText = _(
            "Brown-fat masks by hand: a work list, painting that stays inside the fat and a range of HU, "
            "proposals from PET, a mirrored view, scores, and versions of which none is ever overwritten. "
            "Works without PyTorch and without any model. Research use only, not a medical device."
        )
        parent.acknowledgementText = _("Method: BATNet. Criteria and sources: see the README.")


class BATNetAnnotateWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel; ``BATNetAnnotateModule.panel.Panel`` does the work."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None

    def setup(self):
        from BATNetAnnotateModule.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        self.logic = BATNetAnnotateLogic()
        self.panel = Panel(self.resourcePath("UI/BATNetAnnotate.ui"), self.layout)
        self.ui = self.panel.ui
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.panel.scene_closes())
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.panel.scene_changed())
        self.addObserver(scene, scene.EndImportEvent, lambda *_: self.panel.scene_changed())

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class BATNetAnnotateLogic(ScriptedLoadableModuleLogic):
    """The work is done by ``BATNetLib.annotation``, which needs no Slicer; panels are driven through
    ``slicer.modules.batnetannotate.widgetRepresentation().self().panel``."""


class BATNetAnnotateTest(ScriptedLoadableModuleTest):
    """Opens a list of phantoms, proposes, mirrors, scores, saves and reads again ("Reload and Test")."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from BATNetAnnotateModule.selftest import annotate_phantoms

        self.setUp()
        self.delayDisplay(_("Annotating two phantoms"))
        self.delayDisplay(annotate_phantoms(self))

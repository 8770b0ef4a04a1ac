"""A scripted module in small, written as Slicer's template has it; the stage's own tests open it."""

from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class StageSample(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Stage sample")
        parent.categories = ["Testing"]


@parameterNodeWrapper
class StageSampleParameterNode:
    input: vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(-1000, 1000)] = 100
    invert: bool = False


class StageSampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = self.tag = None
        self.cleaned = False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/StageSample.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = StageSampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.release)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.connect_parameters)
        self.ui.applyButton.connect("clicked(bool)", self.on_apply)
        self.connect_parameters()

    def connect_parameters(self, *_):
        self.release()
        self.parameters = StageSampleParameterNode(self.logic.getParameterNode())
        self.tag = self.parameters.connectGui(self.ui)
        self.addObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
        self.update()

    def release(self, *_):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.tag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.update)
            self.parameters = None

    def update(self, *_):
        self.ui.applyButton.enabled = self.parameters.input is not None

    def on_apply(self):
        with slicer.util.tryWithErrorDisplay(_("It failed."), waitCursor=True):
            voxels = self.logic.process(
                self.parameters.input, self.parameters.threshold, self.parameters.invert
            )
            self.ui.resultLabel.text = f"{voxels} voxels"

    def cleanup(self):
        self.release()
        self.removeObservers()
        self.cleaned = True


class StageSampleLogic(ScriptedLoadableModuleLogic):
    def process(self, volume, threshold, invert):
        above = slicer.util.arrayFromVolume(volume) > threshold
        return int((~above if invert else above).sum())


class StageSampleTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("counting")
        assert qt.QLabel("x").text == "x"

"""What the user chose, kept with the scene."""

import enum
from typing import Annotated, Union

from BATNetSlicer.texts import _
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLScriptedModuleNode,
    vtkMRMLSegmentationNode,
)
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper


class Method(enum.Enum):
    """How the adipose mask is found; the values are those of the command line."""

    NETWORK = "network"
    HU_RANGE = "hu-threshold"

    def label(self) -> str:
        return {Method.NETWORK: _("Network"), Method.HU_RANGE: _("HU range")}[self]


#: A mask in either of the forms that Slicer has for it. Without None Slicer refuses to leave it empty.
Mask = Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
DEVICES = ["auto", "cpu", "cuda", "mps"]


@parameterNodeWrapper
class Parameters:
    """Fields with a ``SlicerParameterName`` in BATNet.ui follow their widgets; the models have none.

    ``model``: name of a model set, or of a model of the brown stage. ``fatModel``: a model of the adipose
    stage, "" for that of ``model``. ``analysis``: the node that is shown.
    """

    ct: vtkMRMLScalarVolumeNode
    lungs: Mask
    adipose: Mask
    pet: vtkMRMLScalarVolumeNode
    method: Method = Method.NETWORK
    huLow: Annotated[int, WithinRange(-400, 200)] = -190
    huHigh: Annotated[int, WithinRange(-400, 200)] = -30
    prevalence: Annotated[int, WithinRange(0, 99)] = 0
    device: Annotated[str, Choice(DEVICES)] = "auto"
    model: str = "batnet"
    fatModel: str
    analysis: vtkMRMLScriptedModuleNode
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.75
    boxesIn3D: bool = True
    batchSource: str
    batchOut: str
    batchFatMasks: bool = False
    batchRerun: bool = False

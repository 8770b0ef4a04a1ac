"""Making the nodes of an analysis: volumes, segmentation, table, and where they appear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .analysis import MARK, VERSION, Analysis
from .colournodes import attention_colours, probability_colours
from .geometry import image_of, to_vtk
from .resultmask import MaskFile
from .texts import _

_LABELMAP = "Binary labelmap"


@contextmanager
def batch(scene: Any) -> Iterator[None]:
    """Views and selectors wait until all nodes are there."""
    scene.StartState(scene.BatchProcessState)
    try:
        yield
    finally:
        scene.EndState(scene.BatchProcessState)


def new_analysis(scene: Any) -> Analysis:
    import slicer

    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetName(scene.GenerateUniqueName(_("BATNet analysis")))
    node.SetModuleName("BATNet")
    node.SetAttribute(MARK, VERSION)
    return Analysis(scene.AddNode(node))


def put_map(scene: Any, node: Any, name: str, values: np.ndarray, ct: Any, colours: str) -> Any:
    """A volume node of values 0..1 [k, j, i] on the CT's voxels; ``node`` is filled anew where it exists.

    Shown in 256 colours from 0 to 1, cells as cells (no interpolation); what is 0 is transparent.
    """
    import slicer

    node = node or scene.AddNode(slicer.vtkMRMLScalarVolumeNode())
    node.SetName(name)
    node.CopyOrientation(ct)
    node.SetAndObserveTransformNodeID(ct.GetTransformNodeID())
    node.SetAndObserveImageData(image_of(values))
    show_values(scene, node, colours, (0.0, 1.0), lowest=1e-6)
    return node


def show_values(scene: Any, volume: Any, colours: str, span: tuple[float, float], lowest: float) -> Any:
    """Display node of a volume: fixed window over ``span``, transparent below ``lowest``, voxels sharp."""
    import slicer

    display = volume.GetDisplayNode()
    if display is None:
        # Made by hand: the default one would first search all voxels for a window of its own.
        display = slicer.vtkMRMLScalarVolumeDisplayNode()
        display.SetAutoWindowLevel(False)
        display = scene.AddNode(display)
        volume.SetAndObserveDisplayNodeID(display.GetID())
    node = probability_colours(scene) if colours == "probability" else attention_colours(scene)
    low, high = span
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(high - low, (high + low) / 2)
    display.SetAndObserveColorNodeID(node.GetID())
    display.SetInterpolate(False)
    display.SetAutoThreshold(False)
    display.SetThreshold(lowest, 2 * high)
    display.SetApplyThreshold(True)
    return display


def new_segmentation(scene: Any, name: str, mask: MaskFile, ct: Any) -> tuple[Any, str]:
    """A segmentation node with the adipose mask on the CT's voxels, ready for DICOM SEG; and the segment's
    id."""
    import slicer

    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(name)
    node = scene.AddNode(node)
    node.SetAndObserveTransformNodeID(ct.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    inner = node.GetSegmentation()
    inner.SetSourceRepresentationName(_LABELMAP)
    image = slicer.vtkOrientedImageData()
    matrix = to_vtk(np.eye(4))
    ct.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    array = mask.mask.array
    image_of(array.view(np.uint8) if array.size else np.zeros((1, 1, 1), np.uint8), image, mask.mask.start)
    segment = slicer.vtkSegment()
    segment.SetName(mask.name)
    segment.SetColor(*mask.colour)
    segment.SetLabelValue(1)
    for key, value in mask.tags.items():
        segment.SetTag(key, value)
    segment.AddRepresentation(_LABELMAP, image)
    inner.AddSegment(segment, mask.id)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.45)
    display.SetOpacity2DOutline(0.9)
    return node, mask.id


def put_table(scene: Any, node: Any, name: str, analysis: Analysis) -> Any:
    """A table node with one row per pair of mirrored patches; percentages and millilitres."""
    import slicer

    if not analysis.patches:
        if node is not None:
            scene.RemoveNode(node)
        return None
    pairs = analysis.pairs
    columns: list[tuple[str, Any, list[Any]]] = [
        (_("Pair"), "vtkIntArray", [pair.number for pair in pairs]),
        (_("Place"), "vtkStringArray", [pair.place for pair in pairs]),
        (_("Right (%)"), "vtkDoubleArray", [_percent(pair.right.probability) for pair in pairs]),
        (_("Left (%)"), "vtkDoubleArray", [_percent(pair.left.probability) for pair in pairs]),
        (_("Right - left"), "vtkDoubleArray", [_percent(pair.difference) for pair in pairs]),
        (_("Fat right (mL)"), "vtkDoubleArray", [round(pair.right.adipose_ml, 1) for pair in pairs]),
        (_("Fat left (mL)"), "vtkDoubleArray", [round(pair.left.adipose_ml, 1) for pair in pairs]),
    ]
    node = node or scene.AddNode(slicer.vtkMRMLTableNode())
    node.SetName(name)
    node.SetUseColumnTitleAsColumnHeader(True)
    table = _table(columns)
    node.SetAndObserveTable(table)
    node.SetDescription(" ".join(analysis.notes))
    return node


def beside(scene: Any, ct: Any, nodes: list[Any]) -> None:
    """Put nodes beside the CT in the subject hierarchy: DICOM export takes together what lies together."""
    import slicer

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = tree.GetItemByDataNode(ct) if tree else 0
    if not item:
        return
    parent = tree.GetItemParent(item)
    for node in nodes:
        own = tree.GetItemByDataNode(node) if node is not None else 0
        if own and tree.GetItemParent(own) != parent:
            tree.SetItemParent(own, parent)


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _table(columns: list[tuple[str, Any, list[Any]]]) -> Any:
    import vtk

    table = vtk.vtkTable()
    for name, kind, values in columns:
        column = getattr(vtk, kind)()
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    return table

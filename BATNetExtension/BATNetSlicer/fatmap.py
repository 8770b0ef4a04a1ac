"""The volume behind the patch map: each patch's percentage on its fat, nothing elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from .analysis import Analysis
from .geometry import ijk_to_ras, ijk_to_world, image_of, points, size_of, to_vtk
from .layers import OVERLAY
from .legend import hide_legend
from .masks import Cropped, segment_mask
from .patchboxes import PatchBoxes
from .resultnodes import show_values
from .texts import _

_ROLE = "overlay.fat"


class FatMap:
    """A passing volume node: it is there while the patch map is on, and never saved with the scene."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    @property
    def node(self) -> Any:
        """The volume node, None while the patch map is off."""
        return self._analysis.node.GetNodeReference(_ROLE) if self._analysis.in_scene else None

    def mask(self) -> Cropped | None:
        """The adipose mask as it is now, on the frame's voxels; None where it was deleted or bent."""
        from BATNetLib.errors import BATNetError

        analysis = self._analysis
        frame, segment_id = analysis.frame(), analysis.segment_id
        if frame is None or segment_id is None:
            return None
        try:
            return segment_mask(analysis.segmentation, segment_id, ijk_to_world(frame), size_of(frame))
        except BATNetError:
            return None

    def build(self, boxes: PatchBoxes) -> Any:
        """Make the volume node, or fill it anew."""
        import slicer

        analysis = self._analysis
        frame, scene = analysis.frame(), analysis.node.GetScene()
        values = [patch.probability for patch in analysis.patches]
        array, start = boxes.percentages(values, self.mask(), size_of(frame))
        node = self.node
        if node is None:
            node = slicer.vtkMRMLScalarVolumeNode()
            node.SaveWithSceneOff()
            node.SetAttribute(OVERLAY, "patch_map")
            node.SetAttribute("SubjectHierarchy.ExcludeFromTree", "1")
            node = scene.AddNode(node)
            analysis.node.SetNodeReferenceID(_ROLE, node.GetID())
        node.SetName(_("{ct} fat by patch (%)").format(ct=analysis.ct.GetName()))
        affine = ijk_to_ras(frame)
        affine[:3, 3] = points(affine, np.array(start))
        node.SetIJKToRASMatrix(to_vtk(affine))
        node.SetAndObserveTransformNodeID(frame.GetTransformNodeID())
        node.SetAndObserveImageData(image_of(array))
        show_values(scene, node, "probability", (0.0, 100.0), lowest=0.0).SaveWithSceneOff()
        return node

    def remove(self) -> None:
        """Take the volume node and its display nodes out of the scene."""
        node = self.node
        if node is None:
            return
        scene = node.GetScene()
        hide_legend(node)  # before its volume: a legend without one is an error to the views
        displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
        for display in displays:
            if display is not None:
                scene.RemoveNode(display)
        scene.RemoveNode(node)
        self._analysis.node.RemoveNodeReferenceIDs(_ROLE)

"""The nodes of the case that is open: CT, PET, and a segmentation with adipose tissue and brown fat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import vtk
from BATNetSlicer.colournodes import mask_colour
from BATNetSlicer.geometry import ijk_to_ras, image_of, size_of, to_vtk, voxels
from BATNetSlicer.masks import Cropped, cropped, segment_mask
from BATNetSlicer.resultmask import TERMINOLOGY
from BATNetSlicer.resultnodes import batch
from BATNetSlicer.texts import _

FAT, BROWN, READER = "adipose", "brown", "reader-"
#: HU of the CT and SUV of the PET, black to white.
FAT_WINDOW, SUV_WINDOW = (-300.0, 200.0), (0.0, 5.0)
PET_OPACITY = 0.35
_LABELMAP = "Binary labelmap"
_ORANGE = (0.95, 0.45, 0.05)
_READERS = ((0.1, 0.75, 0.95), (1.0, 0.85, 0.1), (0.95, 0.3, 0.75), (0.3, 0.9, 0.4))


@dataclass
class CaseNodes:
    """What the scene holds of a case. ``own``: nodes that were made for it and leave with it."""

    ct: Any
    segmentation: Any
    pet: Any = None
    own: list[Any] = field(default_factory=list)
    _fat_box: Any = None

    @property
    def in_scene(self) -> bool:
        nodes = [node for node in (self.ct, self.segmentation) if node is not None]
        return len(nodes) == 2 and all(node.GetScene() is not None for node in nodes)

    @property
    def affine(self) -> np.ndarray:
        """Voxel (i, j, k) of the CT to RAS mm."""
        return ijk_to_ras(self.ct)

    @property
    def hu(self) -> np.ndarray:
        """[k, j, i] view of the CT's voxels."""
        return voxels(self.ct.GetImageData())

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def mask(self, segment: str) -> Cropped:
        """The voxels of a segment as they are now, on the CT's grid, by their marked part."""
        return segment_mask(self.segmentation, segment, self.affine, size_of(self.ct))

    def whole_mask(self, segment: str) -> np.ndarray:
        """bool [k, j, i] of the CT's size."""
        return self.mask(segment).inside((0, 0, 0), size_of(self.ct))

    @property
    def has_fat(self) -> bool:
        """Whether any adipose tissue is marked; looked at once until ``fat_changed``."""
        if self._fat_box is None:
            fat = self.mask(FAT)
            self._fat_box = (fat.start, fat.end)
        return self._fat_box[0] != self._fat_box[1]

    def fat_changed(self) -> None:
        self._fat_box = None

    def limit_editing(self, to_fat: bool) -> None:
        """Let Slicer's editor look at the box around the fat only, or at the whole CT again.

        Each stroke makes masks of the whole grid that may be edited; brown fat lies inside fat, so the box of
        the fat is enough. Voxels of segments are not touched.
        """
        converter = slicer.vtkSegmentationConverter
        size = size_of(self.ct)
        start, end = (0, 0, 0), size
        if to_fat and self.has_fat:
            brown = self.mask(BROWN)
            boxes = [self._fat_box, *([(brown.start, brown.end)] if brown.array.size else [])]
            start = tuple(max(0, min(first[a] for first, _last in boxes) - 1) for a in range(3))
            end = tuple(min(n, max(last[a] for _first, last in boxes) + 1) for a, n in enumerate(size))
        image = slicer.vtkOrientedImageData()
        image.SetExtent(start[0], end[0] - 1, start[1], end[1] - 1, start[2], end[2] - 1)
        image.SetImageToWorldMatrix(to_vtk(self.affine))
        self.segmentation.GetSegmentation().SetConversionParameter(
            converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(image)
        )

    def put_mask(self, segment: str, mask: np.ndarray) -> None:
        """Make ``mask`` (bool [k, j, i] of the CT's size) the content of a segment.

        Save the editor's state before, then undo takes it back.
        """
        part = cropped(mask)
        image = self._image(part if part.array.size else Cropped(np.zeros((1, 1, 1), bool), (0, 0, 0)))
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        done = logic.SetBinaryLabelmapToSegment(image, self.segmentation, segment, logic.MODE_REPLACE)
        if not done:
            raise RuntimeError("Slicer did not take the mask")

    def _image(self, part: Cropped) -> Any:
        image = slicer.vtkOrientedImageData()
        image.SetImageToWorldMatrix(to_vtk(self.affine))
        return image_of(part.array.view(np.uint8), image, part.start)

    def remove(self) -> None:
        """Take what was made for the case out of the scene."""
        for node in self.own:
            if node is None or node.GetScene() is None:
                continue
            scene = node.GetScene()
            displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
            with batch(scene):
                # The volume first: views make a display node for one that has lost its own, and search all of
                # its voxels for a window.
                scene.RemoveNode(node)
                for display in displays:
                    if display is not None and display.GetScene() is not None:
                        scene.RemoveNode(display)
        self.own = []


def volume_node(name: str, array: np.ndarray, affine: np.ndarray) -> Any:
    """A volume node over the memory of ``array`` [k, j, i]; ``affine``: (i, j, k) to RAS mm."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(name)
    node.SetIJKToRASMatrix(to_vtk(affine))
    node.SetAndObserveImageData(image_of(array))
    return slicer.mrmlScene.AddNode(node)


def make_nodes(
    name: str,
    ct: Any,
    fat: np.ndarray | Cropped | None,
    brown: np.ndarray | Cropped | None,
    pet: Any = None,
    own: list[Any] | None = None,
) -> CaseNodes:
    """Show a case: ``ct`` and ``pet`` are volume nodes; masks are bool [k, j, i] on the CT's grid.

    ``own``: which of the volume nodes leave with the case.
    """
    window(ct, FAT_WINDOW)
    if pet is not None:
        window(pet, SUV_WINDOW, _heat())
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(_("{case} masks").format(case=name))
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    nodes = CaseNodes(ct, node, pet, [*(own or []), node])
    inner = node.GetSegmentation()
    inner.SetSourceRepresentationName(_LABELMAP)
    display = node.GetDisplayNode()
    looks = (
        (FAT, _("Adipose tissue"), mask_colour(), 0.15, fat),
        (BROWN, _("Brown fat"), _ORANGE, 0.45, brown),
    )
    for key, title, colour, opacity, mask in looks:
        part = mask if isinstance(mask, Cropped) else cropped(mask) if mask is not None else None
        if part is None or not part.array.size:
            part = Cropped(np.zeros((1, 1, 1), bool), (0, 0, 0))
        segment = slicer.vtkSegment()
        segment.SetName(title)
        segment.SetColor(*colour)
        segment.SetLabelValue(1)
        segment.SetTag("TerminologyEntry", TERMINOLOGY)
        segment.AddRepresentation(_LABELMAP, nodes._image(part))
        inner.AddSegment(segment, key)
        display.SetSegmentOpacity2DFill(key, opacity)
    return nodes


def add_reader(nodes: CaseNodes, name: str, mask: Cropped, number: int) -> None:
    """Show the mask of a reader as an outline beside the case's own segments."""
    part = mask if mask.array.size else Cropped(np.zeros((1, 1, 1), bool), (0, 0, 0))
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetColor(*_READERS[number % len(_READERS)])
    segment.SetLabelValue(1)
    segment.AddRepresentation(_LABELMAP, nodes._image(part))
    key = f"{READER}{number}"
    nodes.segmentation.GetSegmentation().AddSegment(segment, key)
    display = nodes.segmentation.GetDisplayNode()
    display.SetSegmentOpacity2DFill(key, 0.12)
    display.SetSegmentVisibility(FAT, False)


def window(volume: Any, span: tuple[float, float], colours: Any = None) -> None:
    """Fixed window of a volume, without first searching all voxels for one."""
    display = volume.GetDisplayNode()
    if display is None:
        display = slicer.vtkMRMLScalarVolumeDisplayNode()
        display.SetAutoWindowLevel(False)
        display = slicer.mrmlScene.AddNode(display)
        volume.SetAndObserveDisplayNodeID(display.GetID())
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(span[1] - span[0], (span[0] + span[1]) / 2)
    if colours:
        display.SetAndObserveColorNodeID(colours)


def _heat() -> str:
    """The colours of PET: Slicer's own where they are loaded, else a ramp that VTK has."""
    for name in ("vtkMRMLPETProceduralColorNodePET-Heat", "vtkMRMLColorTableNodeInferno"):
        if slicer.mrmlScene.GetNodeByID(name) is not None:
            return name
    return "vtkMRMLColorTableNodeRed"


def show(nodes: CaseNodes) -> None:
    """CT behind, PET over it, in every slice view, along the slices of an oblique CT: on others nobody can
    paint well."""
    manager = slicer.app.layoutManager()
    for name in ("Red", "Yellow", "Green"):
        widget = manager.sliceWidget(name) if manager is not None else None
        if widget is not None:
            widget.mrmlSliceNode().RotateToVolumePlane(nodes.ct)
    slicer.util.setSliceViewerLayers(
        background=nodes.ct,
        foreground=nodes.pet,
        foregroundOpacity=PET_OPACITY if nodes.pet is not None else 0.0,
        fit=True,
    )


class SegmentObserver:
    """Calls ``changed(segment id)`` whenever the voxels of a segment have changed."""

    def __init__(self, segmentation: Any, changed: Callable[[str], None]) -> None:
        self._inner = segmentation.GetSegmentation()

        @vtk.calldata_type(vtk.VTK_STRING)
        def modified(caller: Any, event: str, segment: str) -> None:
            changed(segment)

        events = slicer.vtkSegmentation
        self._tags = [
            self._inner.AddObserver(event, modified)
            for event in (events.SourceRepresentationModified, events.SegmentModified)
        ]

    def stop(self) -> None:
        for tag in self._tags:
            self._inner.RemoveObserver(tag)
        self._tags = []

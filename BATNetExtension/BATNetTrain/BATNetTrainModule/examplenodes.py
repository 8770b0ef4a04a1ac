"""An example of a run in the scene: its slices, and the true and the predicted mask laid over them.

The nodes are not saved with the scene: the run makes new examples with every better epoch.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from BATNetSlicer.geometry import ijk_to_ras, image_of, to_vtk, voxels
from BATNetSlicer.layers import views
from BATNetSlicer.texts import _

MARK = "BATNetTrain.Example"
#: Colours of the pictures in the report (Okabe and Ito), told apart without colour vision.
TRUTH, PREDICTION = (240 / 255, 228 / 255, 66 / 255), (86 / 255, 180 / 255, 233 / 255)
_LABELMAP = "Binary labelmap"


class ExampleGone(Exception):
    """The files of the example were made anew or taken away meanwhile."""


class ExampleNodes:
    """``ct`` and ``segmentation`` of the example that is shown, None where none is."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.ct: Any = None
        self.segmentation: Any = None

    def loading(
        self, folder: Path, files: dict[str, str], name: str, *, fit: bool
    ) -> Generator[float, None, None]:
        """Load an example in steps and show it in place of the one before.

        ``fit``: show it in all views and move them to it; else only in those that show the one before.

        Raises ``ExampleGone``.
        """
        ct = _load(folder / files["ct"], "loadVolume")
        try:
            yield 0.3
            masks = {}
            for role in ("truth", "prediction"):
                if role in files:
                    label = _load(folder / files[role], "loadLabelVolume")
                    masks[role] = voxels(label.GetImageData()).astype(bool)
                    self._scene.RemoveNode(label)
                    yield 0.6
        except BaseException:
            self._scene.RemoveNode(ct)
            raise
        showing = [] if self.ct is None else [v for v in views(self._scene) if _shows(v, self.ct)]
        self.remove()
        self.ct = ct
        ct.SetName(_("{name}, example").format(name=name))
        self.segmentation = _segmentation(
            self._scene, ct, masks, _("{name}, truth and prediction").format(name=name)
        )
        for node in (ct, self.segmentation):
            node.SetAttribute(MARK, "1")
            node.SaveWithSceneOff()
        if fit:
            slicer.util.setSliceViewerLayers(background=ct, fit=True)
        for view in showing:
            view.SetBackgroundVolumeID(ct.GetID())

    def there(self) -> bool:
        return self.ct is not None and self._scene.IsNodePresent(self.ct)

    def remove(self) -> None:
        for node in (self.segmentation, self.ct):
            if node is not None and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self.forget()

    def forget(self) -> None:
        """The scene is closed: the nodes are gone."""
        self.ct = self.segmentation = None


def _shows(view: Any, volume: Any) -> bool:
    return view.GetBackgroundVolumeID() == volume.GetID()


def _load(path: Path, function: str) -> Any:
    """A node without a file of its own: the file is the run's."""
    if not path.is_file():
        raise ExampleGone(path.name)
    try:
        node = getattr(slicer.util, function)(str(path), properties={"show": False})
    except (RuntimeError, OSError) as error:
        raise ExampleGone(path.name) from error
    storage = node.GetStorageNode()
    if storage is not None:
        node.SetAndObserveStorageNodeID(None)
        slicer.mrmlScene.RemoveNode(storage)
    return node


def _segmentation(scene: Any, ct: Any, masks: dict[str, np.ndarray], name: str) -> Any:
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(name)
    node = scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    inner = node.GetSegmentation()
    inner.SetSourceRepresentationName(_LABELMAP)
    titles = {"truth": (_("Truth"), TRUTH), "prediction": (_("Prediction"), PREDICTION)}
    display = node.GetDisplayNode()
    for role, mask in masks.items():
        image = slicer.vtkOrientedImageData()
        image.SetImageToWorldMatrix(to_vtk(ijk_to_ras(ct)))
        image_of(mask.astype(np.uint8), image)
        segment = slicer.vtkSegment()
        segment.SetName(titles[role][0])
        segment.SetColor(*titles[role][1])
        segment.SetLabelValue(1)
        segment.AddRepresentation(_LABELMAP, image)
        inner.AddSegment(segment, role)
    # The truth is a line, so that the prediction below it can be seen.
    display.SetSegmentOpacity2DFill("truth", 0.0)
    display.SetSegmentOpacity2DFill("prediction", 0.5)
    return node

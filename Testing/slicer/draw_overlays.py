"""Draws the pictures of the overlays in Resources/Screenshots from the full-size phantom.

    python Testing/slicer/draw_overlays.py [folder]

About half a minute. Nothing in them is from a patient.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "BATNetExtension")]

import stage  # noqa: E402

slicer = stage.raise_curtain()

import numpy as np  # noqa: E402
import result_cases as cases  # noqa: E402
from BATNetSlicer.inputs import write_inputs  # noqa: E402
from BATNetSlicer.overlays import Overlays  # noqa: E402
from BATNetSlicer.scene import load_result  # noqa: E402
from stage.views import save_png  # noqa: E402

SIZE = (620, 460)
GAP = 6


def slices():
    """Axial and coronal view side by side, uint8 [height, width, 3]."""
    manager = slicer.app.layoutManager()
    axial, coronal = (manager.sliceWidget(name).sliceView().pixels() for name in ("Red", "Green"))
    return np.hstack([axial, np.zeros((len(axial), GAP, 3), np.uint8), coronal])


def solid():
    """The 3D view from in front and above, with the coronal slice."""
    manager = slicer.app.layoutManager()
    manager.sliceWidget("Green").mrmlSliceNode().SetSliceVisible(True)
    slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLViewNode").SetBoxVisible(False)
    view = manager.threeDWidget(0).threeDView()
    view.resize(*SIZE)
    view.resetFocalPoint()
    renderer = view.renderer()
    camera = renderer.GetActiveCamera()
    camera.Azimuth(20)
    camera.Elevation(30)
    renderer.ResetCamera()
    camera.Zoom(1.5)
    renderer.ResetCameraClippingRange()
    return view.pixels()


def main(out: Path) -> None:
    manager = slicer.app.layoutManager()
    for name in manager.sliceViewNames():
        manager.sliceWidget(name).sliceView().resize(*SIZE)
    manager.threeDWidget(0).threeDView().pixels()
    ct = cases.volume_node(cases.phantom((2.0, 500 / 512, 500 / 512)).ct, "Phantom")
    with tempfile.TemporaryDirectory() as folder:
        result = cases.analyse(write_inputs(Path(folder) / "job", ct), Path(folder) / "result")
        analysis = load_result(result, ct)
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(500, 0)
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    overlays = Overlays(analysis)
    overlays.select_patch(max(analysis.patches, key=lambda patch: patch.probability).index)
    overlays.patch_map = True
    save_png(slices(), out / "overlay-patches.png")
    save_png(solid(), out / "overlay-3d.png")
    overlays.attention = True
    save_png(slices(), out / "overlay-attention.png")
    overlays.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "Resources" / "Screenshots")

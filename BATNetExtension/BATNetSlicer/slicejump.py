"""Moving all slice views to a point, and the 3D views to what is there."""

from __future__ import annotations

from typing import Any

import numpy as np

#: The point counts as in sight when it is this share of the view away from its edge.
_MARGIN = 0.05


def jump_to(scene: Any, ras: Any) -> None:
    """Let every slice view, however it is turned, show the plane through ``ras`` (world mm).

    A view that has the point in sight is only moved along its normal, so that the picture stays where it is;
    another one is centred on the point.
    """
    r, a, s = (float(v) for v in ras)
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
        if _in_sight(node, (r, a, s)):
            node.JumpSliceByOffsetting(r, a, s)
        else:
            node.JumpSliceByCentering(r, a, s)


def show_all_in_3d() -> None:
    """Let the 3D views show everything: they look at the origin at first, and scans lie anywhere."""
    import slicer

    manager = slicer.app.layoutManager()
    for index in range(manager.threeDViewCount if manager is not None else 0):
        view = manager.threeDWidget(index).threeDView()
        view.resetFocalPoint()
        view.resetCamera()


def _in_sight(node: Any, ras: tuple[float, float, float]) -> bool:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), matrix)
    place = np.array(matrix.MultiplyPoint((*ras, 1.0))[:2])
    size = np.array(node.GetDimensions()[:2], float)
    return bool((place > _MARGIN * size).all() and (place < (1 - _MARGIN) * size).all())

"""Phantoms as CT nodes in any orientation, and real result folders made from them by the engine."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import slicer
import vtk

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Coarse, so that a run takes about a second.
SPACING = (6.0, 4.5, 4.5)


@functools.cache
def phantom(spacing=SPACING):
    from BATNetLib.dataset.phantom import make_phantom

    return make_phantom(3, spacing=spacing)


def rotation(degrees, axis=(0.3, -0.5, 0.8)):
    """Affine of a rotation about the origin."""
    matrix = vtk.vtkTransform()
    matrix.RotateWXYZ(degrees, axis)
    return slicer.util.arrayFromVTKMatrix(matrix.GetMatrix())


def volume_node(volume, name="CT chest", order=(2, 1, 0), flips=(False, False, True), turn=None):
    """A scalar volume node of a canonical volume.

    ``order``: canonical axis that i, j, k run along; ``flips``: whether against it; ``turn``: affine on
    top, in RAS. The default is how scanners store an axial scan.
    """
    array, affine = volume.array, volume.grid.affine
    own = np.eye(4)
    own[:3, 3] = affine[:3, 3]
    for index, (axis, flip) in enumerate(zip(order, flips, strict=True)):
        step = affine[:3, axis]
        if flip:
            own[:3, 3] += step * (array.shape[axis] - 1)
            array, step = np.flip(array, axis), -step
        own[:3, index] = step
    voxels = np.ascontiguousarray(array.transpose(order[::-1]))
    matrix = LPS @ own if turn is None else turn @ LPS @ own
    kind = "vtkMRMLLabelMapVolumeNode" if name.startswith("label") else None
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=matrix, name=name, nodeClassName=kind)


def put_under_transform(node, affine, name="Table height"):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(affine))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def analyse(inputs, out, **options):
    """Run the engine on the files of a job; returns the result folder."""
    from BATNetLib.analysis import AnalysisOptions, CaseInputs, analyze_files

    case = CaseInputs(ct=inputs.ct, lungs=inputs.lungs, adipose=inputs.adipose)
    options = {"method": "hu-threshold", "brown_model": "demo", "report": False} | options
    return analyze_files(case, Path(out), AnalysisOptions(**options))


@functools.cache
def case_folder():
    """Folder with ``ct.nrrd``, the phantom as scanners store it, and ``result``, its result folder. Made
    once.
    """
    from BATNetSlicer.inputs import write_inputs

    keep = tempfile.TemporaryDirectory(prefix="batnet-case-")
    folder = Path(keep.name)
    node = volume_node(phantom().ct)
    inputs = write_inputs(folder, node)
    slicer.mrmlScene.RemoveNode(node)
    analyse(inputs, folder / "result")
    _KEPT.append(keep)
    return folder


_KEPT: list[tempfile.TemporaryDirectory] = []


def load_case(name="CT chest"):
    """The CT node of the case, and its result loaded over it."""
    from BATNetSlicer.scene import load_result

    ct = load_ct(name)
    return ct, load_result(case_folder() / "result", ct)


def load_ct(name="CT chest"):
    return slicer.util.loadVolume(str(case_folder() / "ct.nrrd"), {"name": name, "show": False})


def to_world(node, ijk):
    """World RAS [n, 3] of indices [n, 3] of a volume node, by VTK alone."""
    matrix, parent = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    if node.GetParentTransformNode():
        node.GetParentTransformNode().GetMatrixTransformToWorld(parent)
    whole = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Multiply4x4(parent, matrix, whole)
    return np.array([whole.MultiplyPoint((*point, 1.0))[:3] for point in np.asarray(ijk, float)])


def some_voxels(node, count=300, seed=0):
    """Random indices (i, j, k) inside a volume node."""
    size = np.array(node.GetImageData().GetDimensions())
    return np.random.default_rng(seed).integers(0, size, (count, 3))


def values_at(node, ijk):
    """Values of a volume node at indices (i, j, k)."""
    i, j, k = np.asarray(ijk).T
    return slicer.util.arrayFromVolume(node)[k, j, i]


def segment_array(analysis):
    """bool [k, j, i] of the adipose segment on the CT's grid, by Slicer's own resampling."""
    return (
        slicer.util.arrayFromSegmentBinaryLabelmap(analysis.segmentation, analysis.segment_id, analysis.ct)
        > 0
    )

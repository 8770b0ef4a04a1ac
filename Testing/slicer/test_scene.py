"""The scene on the stage is the real one: geometry, files, hierarchy, parameters."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated, Optional

import numpy as np
import pytest
import slicer
import vtk
from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper


def make_volume(name="CT", shape=(5, 6, 7), matrix=None):
    matrix = np.diag([-2.0, -3.0, 4.0, 1.0]) if matrix is None else matrix
    values = np.arange(np.prod(shape)).reshape(shape).astype(np.int16)
    return slicer.util.addVolumeFromArray(values, ijkToRAS=matrix, name=name)


def oblique():
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-0.7, -0.8, 2.5])
    matrix[:3, 3] = 10, -20, 30
    return matrix


def ijk_to_ras(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("ending", [".nrrd", ".nii.gz", ".mha"])
def test_a_volume_comes_back_from_a_file_on_its_exact_geometry(scene, tmp_path, ending):
    volume = make_volume(matrix=oblique())
    assert slicer.util.saveNode(volume, str(tmp_path / f"scan{ending}"))
    again = slicer.util.loadVolume(str(tmp_path / f"scan{ending}"))
    assert np.allclose(ijk_to_ras(volume), ijk_to_ras(again), atol=1e-4)
    assert np.array_equal(slicer.util.arrayFromVolume(volume), slicer.util.arrayFromVolume(again))


def test_a_left_handed_volume_is_turned_by_reading_and_stays_where_it_is(scene, tmp_path):
    """Slicer itself does so: the slices come back in the other order, each voxel at its old place."""
    volume = make_volume(matrix=np.diag([-2.0, -3.0, -4.0, 1.0]))
    slicer.util.saveNode(volume, str(tmp_path / "left-handed.nrrd"))
    again = slicer.util.loadVolume(str(tmp_path / "left-handed.nrrd"))
    before, after = slicer.util.arrayFromVolume(volume), slicer.util.arrayFromVolume(again)
    assert np.array_equal(after, before[::-1])
    last = np.array([0, 0, before.shape[0] - 1, 1])
    assert np.allclose(ijk_to_ras(again) @ last, ijk_to_ras(volume) @ [0, 0, 0, 1])


def test_a_file_that_cannot_be_read_raises_in_words(scene, tmp_path):
    with pytest.raises(RuntimeError, match=r"nothing\.nrrd"):
        slicer.util.loadVolume(str(tmp_path / "nothing.nrrd"))
    (tmp_path / "broken.nrrd").write_text("this is no image")
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "broken.nrrd"))


def test_exporting_leaves_the_nodes_own_file_alone(scene, tmp_path):
    volume = make_volume()
    slicer.util.saveNode(volume, str(tmp_path / "own.nrrd"))
    assert slicer.util.exportNode(volume, str(tmp_path / "copy.nii.gz"))
    assert (tmp_path / "copy.nii.gz").is_file()
    assert volume.GetStorageNode().GetFileName().endswith("own.nrrd")


def test_a_segmentation_keeps_segments_names_and_voxels_through_a_file(scene, tmp_path):
    volume = make_volume()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Fat")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    identifier = segmentation.GetSegmentation().AddEmptySegment("fat", "Adipose tissue", (1, 0.8, 0.2))
    mask = (slicer.util.arrayFromVolume(volume) > 100).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, identifier, volume)
    slicer.util.saveNode(segmentation, str(tmp_path / "fat.seg.nrrd"))
    again = slicer.util.loadSegmentation(str(tmp_path / "fat.seg.nrrd"))
    segment = again.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == "Adipose tissue"
    assert np.allclose(segment.GetColor(), (1, 0.8, 0.2))
    loaded = slicer.util.arrayFromSegmentBinaryLabelmap(
        again, again.GetSegmentation().GetNthSegmentID(0), volume
    )
    assert np.array_equal(loaded, mask)


def test_every_data_node_has_its_place_in_the_subject_hierarchy(scene):
    volume = make_volume()
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = tree.GetItemByDataNode(volume)
    assert item and tree.GetItemName(item) == "CT"
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Fat")
    tree.SetItemParent(tree.GetItemByDataNode(segmentation), tree.GetItemParent(item))
    scene.RemoveNode(volume)
    assert not tree.GetItemByDataNode(volume)


def test_a_saved_scene_comes_back_with_its_hierarchy(scene, tmp_path):
    make_volume()
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    volume = slicer.util.getNode("CT")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert tree.GetItemByDataNode(volume)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSubjectHierarchyNode") == 1


def test_a_test_starts_with_an_empty_scene(scene):
    shown = [n for n in slicer.util.getNodesByClass("vtkMRMLDisplayableNode") if not n.GetHideFromEditors()]
    shown = [n.GetName() for n in shown if "Slice" not in n.GetName() and "Transform" not in n.GetName()]
    assert not [name for name in shown if name in ("CT", "Fat")]


def test_the_selector_offers_nodes_of_its_kind_and_attribute_only(scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.addAttribute("vtkMRMLScalarVolumeNode", "BATNet.Role", "CT")
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    selector.setMRMLScene(scene)
    other, volume = make_volume("other"), make_volume("scan")
    volume.SetAttribute("BATNet.Role", "CT")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    assert [node.GetName() for node in selector.nodes()] == ["scan"]
    selector.setCurrentNode(other)
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    assert selector.currentNodeID == volume.GetID() and heard == [volume]
    scene.RemoveNode(volume)
    assert selector.currentNode() is None and heard[-1] is None


def test_a_selector_without_none_takes_the_first_node(scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    volume = make_volume()
    assert selector.currentNode() is volume


class Side(enum.Enum):
    LEFT = 1
    RIGHT = 2


@parameterNodeWrapper
class Parameters:
    ct: slicer.vtkMRMLScalarVolumeNode
    pet: Optional[slicer.vtkMRMLScalarVolumeNode]  # noqa: UP045
    opacity: Annotated[float, WithinRange(0, 1), Default(0.5)]
    device: Annotated[str, Choice(["cpu", "cuda"])] = "cpu"
    count: int = 3
    side: Side = Side.RIGHT
    folder: pathlib.Path
    notes: list[str]
    run: bool = False


@pytest.fixture
def parameters(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    return Parameters(node)


def test_parameters_have_defaults_and_keep_what_is_set(parameters):
    assert (parameters.opacity, parameters.device, parameters.count) == (0.5, "cpu", 3)
    assert parameters.side is Side.RIGHT and parameters.run is False and parameters.ct is None
    volume = make_volume()
    parameters.ct, parameters.side, parameters.run = volume, Side.LEFT, True
    parameters.folder = pathlib.Path("somewhere")
    parameters.notes.append("first")
    again = Parameters(parameters.parameterNode)
    assert again.ct is volume and again.side is Side.LEFT and again.run is True
    assert again.folder == pathlib.Path("somewhere") and again.notes == ["first"]


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("opacity", 2.0, ValueError),
        ("device", "tpu", ValueError),
        ("count", "three", TypeError),
        ("count", None, ValueError),
        ("ct", "CT", TypeError),
        ("nosuch", 1, AttributeError),
    ],
)
def test_a_value_that_a_parameter_does_not_take_is_refused(parameters, name, value, error):
    with pytest.raises(error):
        setattr(parameters, name, value)


def test_packages_are_asked_for_and_never_installed(application):
    slicer.packaging.absent.add("nibabel")
    try:
        assert not slicer.packaging.pip_check("nibabel>=5")
        slicer.packaging.pip_ensure(["nibabel>=5", "numpy"], requester="BATNet")
        assert slicer.packaging.installed == ["nibabel>=5"]
        assert slicer.packaging.pip_check("nibabel>=5")
    finally:
        slicer.packaging.reset()


def test_messages_are_logged_and_not_shown(application, caplog):
    slicer.util.errorDisplay("It went wrong.")
    assert "It went wrong." in caplog.text
    assert slicer.util.confirmYesNoDisplay("Really?") in (True, False)

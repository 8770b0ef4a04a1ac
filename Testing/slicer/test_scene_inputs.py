"""From nodes to the files of a run: exactly where the nodes are, or refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import result_cases as cases
import slicer
import vtk
from BATNetSlicer.inputs import lung_segments, write_inputs, writing_inputs

from BATNetLib.errors import InputRefused, OutputRefused

ORIENTATIONS = {
    "as scanners store it": {},
    "left-handed": {"flips": (True, False, True)},
    "slices first in memory": {"order": (0, 2, 1), "flips": (True, True, False)},
    "oblique": {"turn": cases.rotation(11.0)},
}


@pytest.fixture
def small():
    """A quarter of the phantom in each direction, with its fat and lungs."""
    whole = cases.phantom()

    def part(volume):
        return type(volume)(volume.array[::4, ::4, ::4].copy(), grid)

    affine = whole.ct.grid.affine.copy()
    affine[:3, :3] *= 4
    grid = type(whole.ct.grid)(whole.ct.array[::4, ::4, ::4].shape, affine)
    return {name: part(getattr(whole, name)) for name in ("ct", "adipose", "lungs")}


def read_by_itk(path):
    import SimpleITK as sitk

    return sitk.ReadImage(str(path))


def segmentation_of(label_node, reference, names):
    """A segmentation with one segment for each label value 1, 2, ..."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Drawn")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    labels = slicer.util.arrayFromVolume(label_node)
    for value, name in enumerate(names, 1):
        identifier = node.GetSegmentation().AddEmptySegment(f"s{value}", name)
        mask = (labels == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, label_node)
    return node


@pytest.mark.parametrize("how", ORIENTATIONS)
@pytest.mark.parametrize("moved", [False, True], ids=["", "under a transform"])
def test_the_ct_file_lies_voxel_by_voxel_where_slicer_shows_the_ct(scene, tmp_path, small, how, moved):
    node = cases.volume_node(small["ct"], **ORIENTATIONS[how])
    if moved:
        affine = cases.rotation(-7.0) @ np.diag([1.0, 1.1, 0.9, 1.0])
        affine[:3, 3] = 12.5, -40.0, 7.25
        cases.put_under_transform(node, affine)
    job = write_inputs(tmp_path / "job", node)
    image = read_by_itk(job.ct)
    ijk = cases.some_voxels(node)
    file_ras = [image.TransformIndexToPhysicalPoint([int(v) for v in index]) for index in ijk]
    np.testing.assert_allclose(np.array(file_ras) * [-1, -1, 1], cases.to_world(node, ijk), atol=1e-9)
    assert [image.GetPixel([int(v) for v in index]) for index in ijk] == cases.values_at(node, ijk).tolist()
    assert job.arguments() == [str(job.ct)]


def test_a_run_is_written_in_small_steps(scene, tmp_path):
    node = slicer.util.addVolumeFromArray(np.zeros((120, 512, 512), np.int16))
    shares = list(writing_inputs(tmp_path, node))
    assert len(shares) >= 8 and shares == sorted(shares) and shares[-1] == 1.0


def test_a_step_that_is_given_up_leaves_no_file(scene, tmp_path, small):
    steps = writing_inputs(tmp_path, cases.volume_node(small["ct"]))
    next(steps), next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


def test_a_transform_that_bends_is_refused_in_words(scene, tmp_path, small):
    node = cases.volume_node(small["ct"])
    bending = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "Breathing")
    spline = vtk.vtkThinPlateSplineTransform()
    place = vtk.vtkPoints()
    for point in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (30, 30, 30)):
        place.InsertNextPoint(point)
    target = vtk.vtkPoints()
    target.DeepCopy(place)
    target.SetPoint(4, 40, 30, 30)
    spline.SetSourceLandmarks(place)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    bending.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(bending.GetID())
    with pytest.raises(InputRefused, match=r"not linear.*Harden") as refusal:
        write_inputs(tmp_path / "job", node)
    assert refusal.value.code == "transform-not-linear" and not (tmp_path / "job").exists()


def test_writing_leaves_the_scene_as_it_was(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    labels = cases.volume_node(small["lungs"], "label lungs")
    lungs = segmentation_of(labels, ct, ["right lung", "left lung"])
    cases.put_under_transform(lungs, np.eye(4))

    def state():
        nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
        return [(node.GetID(), node.GetMTime()) for node in nodes], lungs.GetSegmentation().GetMTime()

    before = state()
    write_inputs(tmp_path, ct, lungs=lungs)
    assert state() == before


def test_names_of_nodes_reach_no_file(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"], "DOE^JANE 1950")
    labels = cases.volume_node(small["adipose"], "label DOE^JANE")
    job = write_inputs(tmp_path, ct, adipose=labels)
    for path in tmp_path.iterdir():
        assert b"DOE" not in path.read_bytes() and "DOE" not in path.name
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adipose.nrrd", "ct.nrrd"]
    assert job.arguments() == [str(job.ct), "--adipose", str(job.adipose)]


# --- masks


def mask_of(path):
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(read_by_itk(path))


def test_lung_segments_become_a_mask_with_the_patients_sides(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    labels = cases.volume_node(small["lungs"], "label lungs")
    job = write_inputs(tmp_path, ct, lungs=segmentation_of(labels, ct, ["Right Lung", "Left Lung"]))
    np.testing.assert_array_equal(mask_of(job.lungs), slicer.util.arrayFromVolume(labels))


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["lung_upper_lobe_left", "lung_lower_lobe_right", "liver", "lung_nodules"], {"s1": 2, "s2": 1}),
        (["trachea", "lungs", "heart"], {"s2": 3}),
        (["Segment_1", "Segment_2"], {"s1": 3, "s2": 3}),
        (["liver", "spleen", "heart"], {}),
    ],
)
def test_lungs_are_recognised_by_their_names(scene, names, taken):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    for number, name in enumerate(names, 1):
        node.GetSegmentation().AddEmptySegment(f"s{number}", name)
    assert lung_segments(node) == taken


def test_lungs_are_recognised_by_their_code_whatever_they_are_called(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organe")
    for number, (name, code) in enumerate(
        [("Flügel R", "3341006"), ("Flügel L", "44029006"), ("Herz", "80891009")]
    ):
        identifier = node.GetSegmentation().AddEmptySegment(f"s{number}", name)
        entry = f"list~SCT^123037004^Anatomical Structure~SCT^{code}^x~^^~list~^^~^^"
        node.GetSegmentation().GetSegment(identifier).SetTag("TerminologyEntry", entry)
    assert lung_segments(node) == {"s0": 1, "s1": 2}


def test_segments_without_a_lung_among_them_are_refused_in_words(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Organs")
    for name in ("liver", "spleen", "heart"):
        node.GetSegmentation().AddEmptySegment(name, name)
    with pytest.raises(InputRefused, match=r"None of the 3 segments of Organs.*found in the CT"):
        write_inputs(tmp_path, ct, lungs=node)


def test_an_adipose_segment_is_passed_on_voxel_by_voxel(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"], flips=(True, False, True))
    labels = cases.volume_node(small["adipose"], "label fat", flips=(True, False, True))
    job = write_inputs(tmp_path, ct, adipose=segmentation_of(labels, ct, ["Adipose tissue"]))
    np.testing.assert_array_equal(mask_of(job.adipose), slicer.util.arrayFromVolume(labels))


def test_a_label_map_with_its_slices_the_other_way_round_is_passed_on_voxel_by_voxel(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    labels = cases.volume_node(small["adipose"], "label fat", order=(1, 0, 2), flips=(True, False, False))
    job = write_inputs(tmp_path, ct, adipose=labels)
    straight = cases.volume_node(small["adipose"], "label straight")
    np.testing.assert_array_equal(mask_of(job.adipose), slicer.util.arrayFromVolume(straight))


@pytest.mark.parametrize("crop", [0, 6], ids=["whole", "cropped"])
def test_a_segment_drawn_on_voxels_that_are_counted_the_other_way_is_passed_on_exactly(
    scene, tmp_path, small, crop
):
    ct = cases.volume_node(small["ct"])
    turned = cases.volume_node(small["adipose"], "label turned", order=(1, 2, 0), flips=(True, False, False))
    straight = cases.volume_node(small["adipose"], "label straight")
    if crop:
        slicer.util.arrayFromVolume(turned)[:, :crop] = 0  # columns of the patient's right
        slicer.util.arrayFromVolume(straight)[:, :, :crop] = 0
    job = write_inputs(tmp_path, ct, adipose=segmentation_of(turned, turned, ["Adipose tissue"]))
    np.testing.assert_array_equal(mask_of(job.adipose), slicer.util.arrayFromVolume(straight))


def test_ct_and_segment_under_different_transforms_meet_where_they_are_shown(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    labels = cases.volume_node(small["adipose"], "label fat")
    drawn = segmentation_of(labels, ct, ["Adipose tissue"])
    shift = np.eye(4)
    shift[:3, 3] = cases.SPACING[2] * 4, 0, 0  # one voxel of the small CT towards the right
    cases.put_under_transform(drawn, shift)
    job = write_inputs(tmp_path, ct, adipose=drawn)
    expected = np.roll(slicer.util.arrayFromVolume(labels), -1, axis=2)
    expected[..., -1] = 0
    np.testing.assert_array_equal(mask_of(job.adipose), expected)


def test_a_segment_drawn_on_finer_voxels_is_brought_onto_the_ct(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    fine = cases.volume_node(cases.phantom().adipose, "label fat")
    job = write_inputs(tmp_path, ct, adipose=segmentation_of(fine, fine, ["Adipose tissue"]))
    found = mask_of(job.adipose) > 0
    expected = slicer.util.arrayFromVolume(cases.volume_node(small["adipose"], "label coarse")) > 0
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)  # every fourth voxel lies on a voxel of the CT


def test_a_segment_that_is_only_a_surface_is_filled_and_stays_a_surface(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    ball = vtk.vtkSphereSource()
    ball.SetRadius(90)
    ball.SetPhiResolution(40)
    ball.SetThetaResolution(40)
    ball.SetCenter(0, 0, -200)
    ball.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surface")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Adipose tissue")
    job = write_inputs(tmp_path, ct, adipose=node)
    litres = (mask_of(job.adipose) > 0).sum() * np.prod(ct.GetSpacing()) / 1e6
    assert litres == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.1)
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_several_segments_need_a_choice_and_the_choice_counts(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    labels = cases.volume_node(small["lungs"], "label two")
    node = segmentation_of(labels, ct, ["one", "two"])
    with pytest.raises(InputRefused, match=r"Drawn holds 2 segments.*One segment is needed"):
        write_inputs(tmp_path, ct, adipose=node)
    job = write_inputs(tmp_path, ct, adipose=(node, "s2"))
    np.testing.assert_array_equal(mask_of(job.adipose) > 0, slicer.util.arrayFromVolume(labels) == 2)
    with pytest.raises(InputRefused, match="no longer holds the segment"):
        write_inputs(tmp_path, ct, adipose=(node, "gone"))


def test_masks_that_do_not_fit_are_refused_in_words(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    with pytest.raises(InputRefused, match="does not lie on the voxels of the CT"):
        write_inputs(tmp_path, ct, adipose=cases.volume_node(cases.phantom().adipose, "label fine"))
    empty = cases.volume_node(small["adipose"], "label empty")
    slicer.util.arrayFromVolume(empty)[:] = 0
    with pytest.raises(InputRefused, match="empty on this CT"):
        write_inputs(tmp_path, ct, adipose=empty)
    assert not list(tmp_path.iterdir())


# --- the CT itself


def test_what_is_not_a_ct_is_refused_in_words(scene, tmp_path, small):
    with pytest.raises(InputRefused, match="No CT volume is chosen"):
        write_inputs(tmp_path, None)
    with pytest.raises(InputRefused, match="not a scalar volume"):
        write_inputs(tmp_path, cases.volume_node(small["adipose"], "label map"))
    with pytest.raises(InputRefused, match="holds no voxels"):
        write_inputs(tmp_path, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))
    flat = slicer.util.addVolumeFromArray(np.zeros((1, 8, 8), np.int16), name="Scout")
    with pytest.raises(InputRefused, match="Scout is a single slice"):
        write_inputs(tmp_path, flat)
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Screen shot")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    with pytest.raises(InputRefused, match="3 values per voxel"):
        write_inputs(tmp_path, colour)


def test_a_full_disk_is_told_in_words_and_leaves_nothing(scene, tmp_path, small):
    (tmp_path / "adipose.nrrd").symlink_to("/dev/full")
    ct = cases.volume_node(small["ct"])
    with pytest.raises(OutputRefused, match="disk filled up"):
        write_inputs(tmp_path, ct, adipose=cases.volume_node(small["adipose"], "label fat"))
    assert not list(tmp_path.iterdir())


def test_a_pet_is_written_on_its_own_voxels(scene, tmp_path, small):
    ct = cases.volume_node(small["ct"])
    pet = slicer.util.addVolumeFromArray(
        np.random.default_rng(0).random((5, 6, 7)), np.diag([-9.0, -8, 7, 1])
    )
    job = write_inputs(tmp_path, ct, pet=pet)
    np.testing.assert_array_equal(mask_of(job.pet), slicer.util.arrayFromVolume(pet))
    assert read_by_itk(job.pet).GetSpacing() == (9, 8, 7)

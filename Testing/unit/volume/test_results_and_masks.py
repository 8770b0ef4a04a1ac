"""Masks on the grid of their CT, segmentations for 3D Slicer, files that appear whole or not at all."""

from __future__ import annotations

import errno
import gzip
import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scans import (
    AXIS_CODES,
    LPS_RAS,
    canonical,
    dicom_series,
    lps_affine,
    nifti,
    refused,
    reoriented,
    save,
    up,
    voxels,
)

from BATNetLib.errors import OutputRefused, UsageError
from BATNetLib.volume import (
    ADIPOSE_TISSUE,
    Grid,
    Segment,
    Volume,
    hash_file,
    hash_voxels,
    read_mask,
    read_volume,
    terminology,
    write_segmentation,
    write_volume,
)

FAT = Segment("adipose", "Adipose tissue", (1.0, 0.8, 0.2))
BROWN = Segment("brown", "Brown fat", (0.5, 0.3, 0.1), 2, tags={"BATNet.source": "phantom"})


@pytest.fixture
def ct(tmp_path):
    return read_volume(save(nifti(voxels(), lps_affine()), tmp_path / "ct.nii.gz"))


def _labels() -> np.ndarray:
    labels = np.zeros((9, 8, 7), np.uint8)
    labels[2:6, 3:5, 1:4] = 1
    labels[7, 6, 5] = 2
    return labels


# --- masks


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_mask_is_read_onto_the_grid_of_the_ct_from_any_axis_order(tmp_path, ct, ending, dtype):
    for codes in AXIS_CODES[::11]:
        stored = reoriented(_labels().astype(dtype), lps_affine(), codes)
        mask = read_mask(save(stored, tmp_path / f"m.{ending}"), ct, name="fat mask")
        assert mask.array.dtype == np.uint8 and mask.grid is ct.grid and mask.source is ct.source
        np.testing.assert_array_equal(mask.array, canonical(_labels()))


@pytest.mark.parametrize(
    "affine, shape",
    [
        (lps_affine(origin=(-31.5, -180.25, 43.0)), (9, 8, 7)),
        (lps_affine(spacing=(0.8, 0.7, 3.1)), (9, 8, 7)),
        (lps_affine(), (9, 8, 6)),
    ],
)
def test_a_mask_on_another_grid_is_refused_in_words(tmp_path, ct, affine, shape):
    path = save(nifti(np.ones(shape, np.uint8), affine), tmp_path / "m.nii.gz")
    error = refused("other-grid", read_mask, path, ct, name="lung mask")
    assert "lung mask" in error.found and "7 x 8 x 9" in error.found


@pytest.mark.parametrize(
    "value, dtype", [(0.5, "float32"), (-1, "int16"), (256, "int16"), (300, "float32"), (-2, "float64")]
)
def test_a_mask_with_values_that_are_no_labels(tmp_path, ct, value, dtype):
    labels = _labels().astype(dtype)
    labels[1, 1, 1] = value
    path = save(nifti(labels, lps_affine()), tmp_path / "m.nii.gz")
    refused("mask-values", read_mask, path, ct, name="lung mask")


def test_a_mask_with_labels_that_were_not_asked_for(tmp_path, ct):
    path = save(nifti(_labels(), lps_affine()), tmp_path / "m.nii.gz")
    error = refused("mask-values", read_mask, path, ct, name="lung mask", labels=(1,))
    assert "voxels of 2" in error.found and "0, 1" in error.wanted
    assert read_mask(path, ct, name="lung mask", labels=(1, 2)).array.max() == 2
    refused("mask-values", read_mask, tmp_path / "ct.nii.gz", ct, name="lung mask")


def test_an_empty_mask_is_refused_unless_it_may_be_empty(tmp_path, ct):
    path = save(nifti(np.zeros((9, 8, 7), np.uint8), lps_affine()), tmp_path / "m.nii.gz")
    refused("mask-empty", read_mask, path, ct, name="lung mask")
    assert read_mask(path, ct, name="lung mask", allow_empty=True).array.max() == 0


def test_masks_of_array_files_are_array_files(tmp_path):
    array = np.random.default_rng(3).integers(-1000, 1000, (8, 10, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image((array > 0).astype(np.uint8), np.eye(4)), tmp_path / "fat.nii.gz")
    ct = read_volume(tmp_path / "image.nii.gz", axes="zyx")
    mask = read_mask(tmp_path / "fat.nii.gz", ct, name="fat mask")
    np.testing.assert_array_equal(mask.array, array > 0)


def test_a_segmentation_that_slicer_cropped_is_laid_into_the_ct(tmp_path, ct):
    affine = lps_affine()
    affine[:3, 3] += affine[:3, :3] @ [1, 2, 0]
    cropped = nifti(_labels()[1:8, 2:7, 0:6], affine)
    save(cropped, tmp_path / "m.nrrd").rename(tmp_path / "m.seg.nrrd")
    mask = read_mask(tmp_path / "m.seg.nrrd", ct, name="fat mask")
    np.testing.assert_array_equal(mask.array, canonical(_labels()))
    affine[0, 3] += 0.3  # no longer voxel on voxel
    save(nifti(_labels()[1:8, 2:7, 0:6], affine), tmp_path / "m.nrrd").rename(tmp_path / "m.seg.nrrd")
    refused("other-grid", read_mask, tmp_path / "m.seg.nrrd", ct, name="fat mask")
    affine[:3, 3] += affine[:3, :3] @ [20, 0, 0]
    affine[0, 3] -= 0.3
    save(nifti(_labels()[1:8, 2:7, 0:6], affine), tmp_path / "m.nrrd").rename(tmp_path / "m.seg.nrrd")
    refused("other-grid", read_mask, tmp_path / "m.seg.nrrd", ct, name="fat mask")


def test_segments_that_overlap_are_refused(tmp_path, ct):
    layers = sitk.GetImageFromArray(np.zeros((7, 8, 9, 2), np.uint8), isVector=True)
    layers.SetMetaData("Segment0_ID", "a")
    sitk.WriteImage(layers, str(tmp_path / "two.seg.nrrd"))
    refused("segments-overlap", read_mask, tmp_path / "two.seg.nrrd", ct, name="fat mask")


# --- segmentations


def test_a_segmentation_is_a_label_map_with_names_and_colours(tmp_path):
    for codes in AXIS_CODES[::7]:
        stored = reoriented(_labels(), lps_affine(), codes)
        ct = read_volume(save(reoriented(voxels(), lps_affine(), codes), tmp_path / "ct.nii.gz"))
        labels = ct.with_array(canonical(_labels()))
        path = write_segmentation(labels, tmp_path / "m.seg.nrrd", ct, segments=[FAT, BROWN])
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, np.asarray(stored.dataobj))
        meta = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
        assert meta["Segment0_ID"] == "adipose" and meta["Segment1_Name"] == "Brown fat"
        assert meta["Segment0_Color"] == "1 0.8 0.2" and meta["Segment1_LabelValue"] == "2"
        assert meta["Segment0_Layer"] == meta["Segment1_Layer"] == "0"
        assert "SCT^55603005^Adipose tissue~^^~~^^~^^|" in meta["Segment0_Tags"]
        assert meta["Segment1_Tags"].startswith("BATNet.source:phantom|")
        where = np.argwhere(np.asarray(stored.dataobj) == 1)
        extent = np.array([where.min(0), where.max(0)]).T.ravel()
        assert meta["Segment0_Extent"] == " ".join(str(v) for v in extent)
        again = read_mask(path, ct, name="fat mask")
        np.testing.assert_array_equal(again.array, labels.array)


def test_a_terminology_entry_can_name_a_region():
    entry = terminology(
        ("SCT", "85756007", "Tissue"), ("SCT", "55603005", "Adipose tissue"), ("SCT", "45048000", "Neck")
    )
    assert entry.endswith("~^^~Anatomic codes - DICOM master list~SCT^45048000^Neck~^^")
    assert ADIPOSE_TISSUE.count("~") == entry.count("~") == 6


@pytest.mark.parametrize(
    "segments",
    [
        [],
        [FAT],
        [FAT, Segment("adipose", "Twice", (0, 0, 0), 2)],
        [FAT, Segment("other", "Same value", (0, 0, 0), 1)],
        [FAT, Segment("brown", "Brown", (0, 0, 2.0), 2)],
        [FAT, Segment("brown", "Br|own", (0, 0, 0), 2)],
        [FAT, BROWN, Segment("big", "Big", (0, 0, 0), 300)],
    ],
)
def test_segments_that_contradict_the_voxels_or_each_other(tmp_path, ct, segments):
    labels = ct.with_array(canonical(_labels()))
    path = tmp_path / "m.seg.nrrd"
    assert isinstance(
        refused("segments-invalid", write_segmentation, labels, path, ct, segments=segments), UsageError
    )
    assert not path.exists()


def test_a_segmentation_opens_in_slicer_at_its_place_with_name_and_colour(tmp_path):
    if importlib.util.find_spec("slicer_core") is None:
        pytest.skip("the package slicer-core is not installed")
    stored = reoriented(voxels(), lps_affine(), "SAR")
    ct = read_volume(save(stored, tmp_path / "ct.nii.gz"))
    labels = ct.with_array(canonical(_labels()))
    empty = Segment("none", "Nothing", (0.0, 1.0, 0.0), 3)
    write_segmentation(labels, tmp_path / "m.seg.nrrd", ct, segments=[FAT, BROWN, empty])
    script = """
        import json, sys, numpy as np, vtk
        from slicer import vtkMRMLScene, vtkMRMLSegmentationNode, vtkMRMLSegmentationStorageNode
        from vtk.util.numpy_support import vtk_to_numpy
        scene, node, storage = vtkMRMLScene(), vtkMRMLSegmentationNode(), vtkMRMLSegmentationStorageNode()
        scene.AddNode(node), scene.AddNode(storage)
        storage.SetFileName(sys.argv[1])
        assert storage.ReadData(node)
        segmentation, found = node.GetSegmentation(), []
        for n in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(n)
            image = segment.GetRepresentation("Binary labelmap")
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            matrix = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
            scalars = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]).T
            index = np.argwhere(scalars == segment.GetLabelValue()) + np.array(image.GetExtent())[::2]
            ras = (index @ matrix[:3, :3].T + matrix[:3, 3]).round(2)
            found.append([segmentation.GetNthSegmentID(n), segment.GetName(), segment.GetColor()])
            found[-1].append(ras.tolist())
        print(json.dumps(found))
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "m.seg.nrrd")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout.strip().splitlines()[-1])
    assert [f[0] for f in found] == ["adipose", "brown", "none"]
    assert found[0][1] == "Adipose tissue" and found[0][2] == pytest.approx([1.0, 0.8, 0.2])
    for number, value in ((0, 1), (1, 2), (2, 3)):
        ras = nib.affines.apply_affine(LPS_RAS @ lps_affine(), np.argwhere(_labels() == value)).round(2)
        assert len(ras) == len(found[number][3])
        for one in found[number][3]:
            assert np.abs(ras - one).max(1).min() < 0.02


# --- written whole or not at all


def test_the_same_result_gives_the_same_bytes_and_no_name_leaks(tmp_path, ct):
    for ending in ("nii.gz", "nrrd", "mha"):
        first = write_volume(ct, tmp_path / f"one.{ending}", like=ct)
        second = write_volume(ct, tmp_path / f"two.{ending}", like=ct)
        assert first.read_bytes() == second.read_bytes()
        assert hash_file(first) == hash_file(second) != hash_file(tmp_path / "ct.nii.gz")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_or_failing_disk_leaves_the_old_result_and_no_rest(tmp_path, ct, monkeypatch, number):
    from BATNetLib.volume import write

    path = tmp_path / "out.nii.gz"
    path.write_bytes(b"the old result")

    def break_off(array):
        yield b"\0" * 100
        raise OSError(number, "no")

    monkeypatch.setattr(write, "_chunks", break_off)
    for name in ("out.nii.gz", "out.nrrd", "out.mha"):
        error = refused(
            "disk-full" if number == errno.ENOSPC else "output-unwritable",
            write_volume,
            ct,
            tmp_path / name,
        )
        assert isinstance(error, OutputRefused)
    assert path.read_bytes() == b"the old result"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii.gz", "out.nii.gz"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are a matter of Unix")
def test_a_disk_that_fills_while_writing_is_a_refusal(tmp_path):
    script = """
        import resource, signal, sys, numpy as np, pathlib
        from BATNetLib.errors import OutputRefused
        from BATNetLib.volume import Grid, Volume, write_volume
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        noise = np.random.default_rng(0).integers(-999, 999, (20, 64, 64)).astype(np.int16)
        volume = Volume(noise, Grid.canonical(noise.shape, (3, 1, 1)))
        for ending in ("nii", "nii.gz", "nrrd", "mha"):
            try:
                write_volume(volume, pathlib.Path(sys.argv[1]) / f"a.{ending}")
            except OutputRefused as error:
                assert error.code == "disk-full", error.code
            else:
                raise SystemExit("was written")
    """
    folder = tmp_path / "full"
    folder.mkdir()
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert out.returncode == 0, out.stderr
    assert list(folder.iterdir()) == []


def test_places_that_cannot_be_written_to(tmp_path, ct):
    refused("output-unwritable", write_volume, ct, tmp_path / "ct.nii.gz" / "a.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    refused("output-unwritable", write_volume, ct, tmp_path / "folder.nii.gz")
    refused("unknown-format", write_volume, ct, tmp_path / "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii.gz", "folder.nii.gz"]


def test_a_result_on_another_grid_than_the_input_is_not_written(tmp_path, ct):
    other = Volume(ct.array[1:], Grid.canonical((6, 8, 9), ct.spacing))
    refused("other-grid", write_volume, other, tmp_path / "a.nii.gz", like=ct)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint16, np.float16, np.float64, np.int8])
def test_voxel_types_that_formats_do_not_know_are_widened_or_narrowed_exactly(tmp_path, ct, dtype):
    array = (canonical(_labels()) > 0).astype(dtype)
    for ending in ("nii.gz", "nrrd", "mha"):
        path = write_volume(ct.with_array(array), tmp_path / f"a.{ending}", like=ct)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, _labels() > 0)
    refused(
        "value-overflow", write_volume, ct.with_array(ct.array.astype(np.int64) << 40), tmp_path / "b.nrrd"
    )


def test_a_nifti_names_nobody(tmp_path):
    image = nifti(voxels(), lps_affine())
    image.header["descrip"] = b"Secret Name"
    ct = read_volume(save(image, tmp_path / "ct.nii.gz"))
    path = write_volume(ct, tmp_path / "secret-name.nii.gz", like=ct)
    assert b"ecret" not in path.read_bytes() and b"Secret" not in gzip.decompress(path.read_bytes())
    assert "ecret" not in json.dumps(ct.facts)


# --- fingerprints


def test_the_fingerprint_depends_on_values_and_place_only(tmp_path):
    array = voxels()
    same = {
        hash_voxels(
            read_volume(save(reoriented(array.astype(dtype), lps_affine(), codes), tmp_path / f"a.{ending}"))
        )
        for ending in ("nii.gz", "nrrd", "mha")
        for codes in ("LPS", "RAS", "SAR")
        for dtype in ("int16", "float32")
    }
    assert len(same) == 1
    moved = save(nifti(array, lps_affine(origin=(-31.5, -180.25, 41.0))), tmp_path / "b.nii.gz")
    array[3, 3, 3] += 1
    changed = save(nifti(array, lps_affine()), tmp_path / "c.nii.gz")
    assert len(same | {hash_voxels(read_volume(moved)), hash_voxels(read_volume(changed))}) == 3


def test_the_fingerprint_of_a_series_is_that_of_its_nifti(tmp_path):
    dicom_series(tmp_path / "series", up(6))
    series = read_volume(tmp_path / "series")
    path = write_volume(series, tmp_path / "series.nii.gz", like=series)
    assert hash_voxels(read_volume(path)) == hash_voxels(series)

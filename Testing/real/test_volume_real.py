"""Published scans: read the right way up, the same from DICOM as from NIfTI, and back to their own grid."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from realdata import real_data
from scipy import ndimage

from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.volume import Volume, hash_voxels, list_series, read_mask, read_volume, restore, write_volume

NECK = "ct/neck-chest/ct.nii.gz"


@pytest.fixture(scope="module")
def neck() -> Volume:
    return read_volume(real_data(NECK))


@pytest.fixture(scope="module")
def chest() -> Volume:
    return read_volume(real_data("ct/chest-with-lungs/ct.nii.gz"))


def _body(volume: Volume) -> np.ndarray:
    """The largest piece of tissue (every second voxel in plane), without the table."""
    tissue = ndimage.binary_opening(volume.array[:, ::2, ::2] > -300, np.ones((1, 3, 3)))
    labels, _ = ndimage.label(tissue)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _bone_row(volume: Volume, part: slice) -> float:
    """Mean row of bright bone in the middle third of the columns, as a share of the body's depth."""
    body = _body(volume)[part]
    rows = np.flatnonzero(body.any((0, 2)))
    columns = np.flatnonzero(body.any((0, 1)))
    third = (columns[-1] - columns[0]) // 3
    middle = slice(columns[0] + third, columns[-1] - third)
    bone = (volume.array[part, ::2, ::2] > 250) & body
    return float((np.nonzero(bone[:, :, middle])[1].mean() - rows[0]) / (rows[-1] - rows[0]))


def _lung_area(volume: Volume) -> np.ndarray:
    """Voxels of air inside the body, slice by slice (every second voxel in plane)."""
    body = _body(volume)
    filled = np.array([ndimage.binary_fill_holes(plane) for plane in body])
    return ((volume.array[:, ::2, ::2] < -500) & filled).sum((1, 2))


@pytest.mark.parametrize(
    "name, shape, spacing",
    [
        (NECK, (98, 512, 512), (1.0, 0.76, 0.76)),
        ("ct/chest-with-lungs/ct.nii.gz", (134, 512, 512), (3.0, 0.977, 0.977)),
        ("ct/abdomen-with-fat/ct.nii.gz", (30, 101, 122), (3.0, 3.0, 3.0)),
        ("ct/tiny-chest/ct-64.nrrd", (79, 64, 64), (3.99, 4.17, 4.17)),
        ("petct/shoulder/ct.nii.gz", (75, 203, 252), (3.27, 0.977, 0.977)),
        ("petct/axilla/ct.nii.gz", (79, 199, 162), (3.27, 0.977, 0.977)),
    ],
)
def test_every_ct_is_read_as_the_itk_reader_places_it(name, shape, spacing):
    path = real_data(name)
    volume = read_volume(path)
    assert volume.array.shape == shape and volume.array.dtype == np.int16
    assert volume.spacing == pytest.approx(spacing, abs=0.01)
    image = sitk.ReadImage(str(path))
    wanted = sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))[::-1]  # ITK's slices run upwards
    assert np.array_equal(volume.array, wanted)
    for index in ((0, 0, 0), (shape[0] - 1, 3, 5)):
        point = image.TransformPhysicalPointToIndex(volume.grid.points(np.array([index]))[0].tolist())
        assert image[point] == volume.array[index]
    back, grid = restore(volume.array, volume)
    assert np.array_equal(back, sitk.GetArrayFromImage(image).T)
    assert np.allclose(grid.affine[:3, 3], image.GetOrigin(), atol=1e-3)


@pytest.mark.parametrize("name", [NECK, "ct/chest-with-lungs/ct.nii.gz", "ct/tiny-chest/ct-64.nrrd"])
def test_the_spine_is_behind_and_the_lungs_widen_downwards(name):
    volume = read_volume(real_data(name))
    area = _lung_area(volume)
    n = len(area)
    top = np.flatnonzero(area > 0.1 * area.max())[0]
    assert area[max(top - 5, 0) : top].sum() <= area[top : top + 10].sum()
    quarter = slice(top, top + max(n // 4, 8))
    assert np.polyfit(np.arange(n)[quarter], area[quarter], 1)[0] > 0, "from the apex down, lungs widen"
    assert _bone_row(volume, quarter) > 0.5, "vertebrae lie in the rear half"


def test_the_table_lies_behind_the_patient(neck, chest):
    for volume in (neck, chest):
        body_rows = np.flatnonzero(_body(volume).any((0, 2)))
        dense = (volume.array[:, ::2, ::2] > -600) & ~ndimage.binary_dilation(_body(volume), iterations=3)
        outside = dense.sum((0, 2))
        behind = outside[(body_rows[0] + body_rows[-1]) // 2 :].sum()
        assert behind > 5 * outside[: (body_rows[0] + body_rows[-1]) // 2].sum()


def test_the_left_lung_of_the_clinical_contours_lies_on_the_patients_left(chest):
    lungs = read_mask(real_data("ct/chest-with-lungs/lungs.nii.gz"), chest, name="lung mask", labels=(1, 2))
    columns = [np.nonzero(lungs.array == value)[2].mean() for value in (1, 2)]
    volumes = [np.count_nonzero(lungs.array == value) for value in (1, 2)]
    # The heart takes its room from the left lung: the larger lung is the right one, at low columns.
    assert columns[int(np.argmax(volumes))] < columns[int(np.argmin(volumes))]
    assert chest.array[lungs.array > 0].mean() < -600


def test_dicom_slices_are_the_same_voxels_at_the_same_place_as_the_nifti(neck):
    events = Events()
    series = read_volume(real_data("dicom/ct-series"), events=events)
    assert not events.warnings and series.array.dtype == np.int16
    first = (series.grid.affine[:3, 3] - neck.grid.affine[:3, 3]) @ np.linalg.inv(neck.grid.affine[:3, :3]).T
    assert np.abs(first - np.rint(first)).max() < 1e-3
    start = np.rint(first).astype(int)
    assert start[1] == start[2] == 0
    assert np.array_equal(series.array, neck.array[start[0] : start[0] + 32])
    assert series.facts["contrast_agent"] is False and series.facts["kernel"] == "B31f"
    assert series.facts["kvp"] == 100.0 and len(series.source.files) == 32


def test_a_jpeg_lossless_series_is_decoded(tmp_path):
    folder = real_data("dicom/ct-jpeg-lossless")
    volume = read_volume(folder)
    assert volume.array.shape == (12, 512, 512) and volume.array.dtype == np.int16
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(image)[::-1])
    inside = volume.array[6, 156:356, 156:356]
    assert np.percentile(inside, 1) >= -1000 and np.percentile(inside, 99) < 2000
    path = write_volume(volume, tmp_path / "series.nii.gz", like=volume)
    assert hash_voxels(read_volume(path)) == hash_voxels(volume)


def test_a_pet_series_with_uneven_slices_is_refused_with_its_distances_and_read_on_request():
    folder = real_data("dicom/pet-series")
    assert [(s.modality, s.slices) for s in list_series(folder)] == [("PT", 267)]
    with pytest.raises(InputRefused) as caught:
        read_volume(folder, kind="map")
    assert caught.value.code == "slice-gaps"
    assert all(f"{d} mm" in caught.value.found for d in ("3.19", "3.27", "3.29"))
    with pytest.raises(InputRefused, match="modality PT"):
        read_volume(folder)
    events = Events()
    volume = read_volume(folder, kind="map", accept_gaps=True, events=events)
    assert [w["code"] for w in events.warnings] == ["gaps-resampled"]
    assert volume.spacing[0] == pytest.approx(3.27) and volume.array.dtype == np.float32
    assert set(volume.facts["slice_spacings_mm"]) == {3.19, 3.27, 3.29}
    image = sitk.ReadImage(str(folder / "1-100.dcm"))  # one slice as GDCM reads it
    z = (image.GetOrigin()[2] - volume.grid.affine[2, 3]) / volume.grid.affine[2, 0]
    low, high = volume.array[int(z)], volume.array[int(z) + 1]
    mixed = low + (high - low) * (z - int(z))
    plane = sitk.GetArrayFromImage(image)[0]
    assert np.corrcoef(mixed.ravel(), plane.ravel())[0, 1] > 0.99


def test_a_ct_and_its_pet_share_one_space():
    ct = read_volume(real_data("petct/axilla/ct.nii.gz"))
    pet = read_volume(real_data("petct/axilla/pet_suv.nii.gz"), kind="map")
    hot = np.array(np.unravel_index(pet.array.argmax(), pet.array.shape))
    place = pet.grid.points(hot[None])[0]
    at = np.rint((place - ct.grid.affine[:3, 3]) @ np.linalg.inv(ct.grid.affine[:3, :3]).T).astype(int)
    assert -150 < ct.array[tuple(at)] < 200, "the hot spot is soft tissue in the CT"


def test_a_large_scan_is_read_without_a_second_copy_of_it(neck):
    import tracemalloc

    path = real_data(NECK)
    tracemalloc.start()
    read_volume(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * neck.array.nbytes


def test_results_on_a_real_scan_open_at_its_place(tmp_path, neck):
    mask = neck.with_array((neck.array > 300).astype(np.uint8))
    path = write_volume(mask, tmp_path / "bone.nii.gz", like=neck, kind="mask")
    ours, theirs = nib.load(path), nib.load(real_data(NECK))
    assert np.allclose(ours.affine, theirs.affine, atol=1e-4)
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj) > 300)

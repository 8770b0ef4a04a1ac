"""A saved mask is the same mask at the same place for every program, and training reads it beside its CT."""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from annotationcases import GRIDS, affine_of, ct_on, in_file_axes, mask_of
from scipy.spatial.transform import Rotation

from BATNetLib.annotation import (
    Record,
    Store,
    export_manifest,
    fingerprint,
    from_slicer,
    open_worklist,
    prepare,
    read_mask_beside,
    read_scan_file,
    to_slicer,
    volume_on_own_grid,
)
from BATNetLib.annotation.maskfile import write_mask
from BATNetLib.annotation.plainnifti import read_voxels
from BATNetLib.dataset import check, open_dataset, read_scan
from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.volume import read_volume, write_volume

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Positions in a NIfTI header are 32-bit numbers.
CLOSE_MM = 1e-4


@pytest.fixture
def saved(tmp_path):
    """``saved(grid)``: CT, mask and the path of the mask as a reader saved it."""

    def save(name):
        ct = ct_on(name)
        mask = mask_of(ct)
        version = Store(tmp_path / "reads").save("P01", "anna", mask, record=Record())
        return ct, mask, version.file("brown")

    return save


@pytest.mark.parametrize("name", GRIDS)
def test_nibabel_reads_the_same_voxels_and_both_positions_of_the_header_agree(saved, name):
    _, mask, path = saved(name)
    image = nib.load(path)
    assert np.array_equal(np.asarray(image.dataobj), in_file_axes(mask))
    assert image.get_data_dtype() == np.uint8
    header = image.header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    wanted = RAS @ affine_of(name)
    assert np.abs(image.get_sform() - wanted).max() < CLOSE_MM
    assert np.abs(image.get_qform() - wanted).max() < CLOSE_MM
    assert header.get_xyzt_units()[0] == "mm"
    assert np.allclose(header.get_zooms(), (0.8, 0.9, 2.5))
    assert bytes(header["descrip"]).strip(b"\0") == b""


@pytest.mark.parametrize("name", GRIDS)
def test_simpleitk_reads_the_same_voxels_at_the_same_place(saved, name):
    _, mask, path = saved(name)
    image = sitk.ReadImage(str(path))
    array = in_file_axes(mask)
    assert np.array_equal(sitk.GetArrayFromImage(image).T, array)
    affine = affine_of(name)
    for corner in np.array(np.meshgrid(*[(0, n - 1) for n in array.shape])).reshape(3, -1).T.tolist():
        place = np.array(image.TransformContinuousIndexToPhysicalPoint([float(c) for c in corner]))
        assert np.abs(place - (affine @ [*corner, 1])[:3]).max() < CLOSE_MM


@pytest.mark.parametrize("degrees", [0, 90, 179.99, 180, None])
def test_both_positions_of_the_header_agree_for_any_turn_of_the_scanner(tmp_path, degrees):
    rng = np.random.default_rng(0)
    for number in range(12):
        axis = rng.normal(size=3)
        turn = rng.uniform(0, 180) if degrees is None else degrees
        directions = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(turn)).as_matrix()
        if number % 2:
            directions[:, 2] *= -1  # left-handed
        affine = np.eye(4)
        affine[:3, :3] = directions * (0.7, 0.7, 1.5)
        affine[:3, 3] = (-200, -180, 30)
        write_mask(volume_on_own_grid(np.zeros((3, 3, 3), np.uint8), affine), tmp_path / "m.nii.gz")
        header = nib.load(tmp_path / "m.nii.gz").header
        corner = np.array([511, 511, 299, 1.0])
        wanted = affine @ corner
        assert np.abs(RAS @ header.get_sform() @ corner - wanted).max() < CLOSE_MM
        # A quaternion of 32-bit numbers holds a far corner to about a hundredth of a millimetre.
        assert np.abs(RAS @ header.get_qform() @ corner - wanted).max() < 0.05
        image = sitk.ReadImage(str(tmp_path / "m.nii.gz"))
        place = image.TransformContinuousIndexToPhysicalPoint(corner[:3].tolist())
        assert np.abs(np.array(place) - wanted[:3]).max() < CLOSE_MM


@pytest.mark.parametrize("name", GRIDS)
def test_the_store_gives_back_the_mask_on_the_ct_without_a_trace_of_interpolation(saved, tmp_path, name):
    ct, mask, _ = saved(name)
    store = Store(tmp_path / "reads")
    brown = store.read(store.newest("P01", "anna"))[0]
    assert np.array_equal(brown.array, mask.array)
    ct.require_same_grid(brown, "mask")
    array, ijk_to_ras = to_slicer(brown)
    assert np.abs(ijk_to_ras - RAS @ affine_of(name)).max() < CLOSE_MM
    again = from_slicer(array, ijk_to_ras)
    assert np.array_equal(again.array, mask.array)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("name", GRIDS)
def test_training_reads_the_saved_mask_beside_its_ct(tmp_path, name, ending):
    ct = ct_on(name)
    write_volume(ct, tmp_path / "data" / "P01" / f"ct{ending}", ct)
    store = Store(tmp_path / "reads")
    worklist = open_worklist(tmp_path / "data", store, "anna")
    opened = read_scan_file(worklist.items[0].files["ct"])
    assert np.array_equal(opened.array, ct.array)
    assert fingerprint(opened) == fingerprint(ct)
    fat = opened.with_array(opened.array < -30)
    brown = opened.with_array(fat.array & (np.indices(fat.array.shape)[2] > 5))
    store.save("P01", "anna", brown, adipose=fat, record=Record(status="done"))
    dataset = open_dataset(export_manifest(worklist).path)
    report = check(dataset, stage="brown")
    assert not report.blocking, report.table()
    scan = read_scan(dataset.cases[0])
    assert scan.brown.array.any()
    assert scan.brown.grid.same_place(scan.ct.grid)
    if not (scan.ct.facts or {}).get("resampled"):
        assert np.array_equal(scan.brown.array, brown.array)
        assert np.array_equal(scan.adipose.array, fat.array)
    else:  # training looks at both resampled alike
        ml = scan.brown.array.sum() * scan.brown.voxel_ml
        assert ml == pytest.approx(brown.array.sum() * brown.voxel_ml, rel=0.1)
        inside = (scan.brown.array == 0) & (scan.ct.array > -300)
        assert scan.ct.array[scan.brown.array > 0].mean() < scan.ct.array[inside].mean() - 10


@pytest.mark.parametrize("name", ["straight", "a little oblique", "left-handed"])
def test_a_scan_is_read_as_the_library_reads_it_where_nothing_is_resampled(tmp_path, name):
    ct = ct_on(name)
    for ending in (".nii.gz", ".nrrd", ".mha"):
        path = write_volume(ct, tmp_path / f"ct{ending}", ct)
        own, usual = read_scan_file(path), read_volume(path)
        assert np.array_equal(own.array, usual.array)
        assert own.array.dtype == usual.array.dtype
        assert own.grid.same_place(usual.grid)
        assert fingerprint(own) == fingerprint(usual)


def test_a_dicom_series_is_painted_on_its_own_grid_and_its_mask_belongs_to_it(tmp_path):
    pytest.importorskip("pydicom")
    sys.path.insert(0, str(Path(__file__).parents[1] / "volume"))
    from scans import dicom_series, up

    dicom_series(tmp_path / "data" / "P01" / "ct", up(20))
    store = Store(tmp_path / "reads")
    item = open_worklist(tmp_path / "data", store, "anna").items[0]
    ct = read_scan_file(item.files["ct"], series=item.series)
    store.save(item.case, "anna", mask_of(ct), adipose=mask_of(ct, 1, 0.9), record=Record(status="done"))
    dataset = open_dataset(export_manifest(open_worklist(tmp_path / "data", store, "anna")).path)
    scan = read_scan(dataset.cases[0])
    assert np.array_equal(scan.brown.array, mask_of(ct).array)


def test_a_fingerprint_tells_scans_and_places_apart_and_not_formats(tmp_path):
    ct = ct_on("oblique")
    prints = {fingerprint(read_scan_file(write_volume(ct, tmp_path / f"a{e}", ct)))
              for e in (".nii", ".nii.gz", ".nrrd", ".mha")}  # fmt: skip
    assert prints == {fingerprint(ct)}
    other = ct.array.copy()
    other[0, 0, 0] += 1
    assert fingerprint(ct.with_array(other)) != fingerprint(ct)
    shifted = affine_of("oblique")
    shifted[0, 3] += 1.0
    assert fingerprint(volume_on_own_grid(in_file_axes(ct).copy(), shifted)) != fingerprint(ct)
    with pytest.raises(InputRefused):
        fingerprint(read_volume(tmp_path / "a.nrrd"))  # resampled: not the scan's voxels


def test_masks_of_the_dataset_are_read_on_the_ct_and_others_are_refused(tmp_path):
    ct = ct_on("oblique and left-handed")
    good = ct.with_array((ct.array < -30).astype(np.uint8))
    path = write_volume(good, tmp_path / "adipose.nii.gz", good)
    assert np.array_equal(read_mask_beside(path, ct, "adipose").array, good.array)
    white = write_volume(good.with_array(good.array * 255), tmp_path / "white.nii.gz", good)
    assert np.array_equal(read_mask_beside(white, ct, "adipose").array, good.array)
    labels = write_volume(good.with_array(good.array * 3), tmp_path / "labels.nii.gz", good)
    other = mask_of(ct_on("oblique"))
    elsewhere = write_volume(other, tmp_path / "elsewhere.nii.gz", other)
    for wrong, code in ((labels, "mask-values"), (elsewhere, "other-grid")):
        with pytest.raises(InputRefused) as caught:
            read_mask_beside(wrong, ct, "adipose")
        assert caught.value.code == code


def test_scans_that_do_not_say_where_they_are_or_are_sheared_are_refused(tmp_path):
    array = np.random.default_rng(0).integers(-100, 100, (8, 9, 10)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "identity.nii.gz")
    blank = nib.Nifti1Image(array, None)
    blank.header["pixdim"][1:4] = (1, 1, 3)
    nib.save(blank, tmp_path / "blank.nii.gz")
    sheared = np.diag([1.0, 1.0, 3.0, 1.0])
    sheared[1, 2] = 0.6
    image = nib.Nifti1Image(array, sheared)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "sheared.nii.gz")
    for name, code in (
        ("identity", "orientation-unknown"),
        ("blank", "orientation-unknown"),
        ("sheared", "gantry-tilt"),
    ):
        with pytest.raises(InputRefused) as caught:
            read_scan_file(tmp_path / f"{name}.nii.gz")
        assert caught.value.code == code
    assert "zyx" in caught.value.remedy or code == "gantry-tilt"
    assert read_scan_file(tmp_path / "identity.nii.gz", axes="header").array.shape


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "u2", "i4", "f4", ">f8"])
@pytest.mark.parametrize("scaling", [(1, 0), (2, -1024), (0.5, 3)])
def test_voxels_of_nifti_files_are_those_that_nibabel_reads(tmp_path, dtype, scaling):
    array = np.random.default_rng(0).integers(0, 200, (8, 9, 10)).astype(dtype)
    for number, kind in enumerate((nib.Nifti1Image, nib.Nifti2Image)):
        image = kind(array, RAS @ affine_of("straight"), dtype=array.dtype)
        header = image.header.copy().as_byteswapped(">") if dtype[0] == ">" else image.header
        image = kind(array, RAS @ affine_of("straight"), header=header)
        image.header.set_slope_inter(*scaling)
        path = tmp_path / f"{number}.nii{'.gz' if number else ''}"
        nib.save(image, path)
        assert np.allclose(read_voxels(path, Events()), nib.load(path).get_fdata())


@pytest.mark.parametrize("listed", [False, True])
def test_a_case_folder_of_the_authors_is_painted_head_up_and_trained_on_as_it_lies(tmp_path, listed):
    """Array files [slice, row, column] with an identity header: recognised, or named as zyx in a list."""
    folder = tmp_path / "data" / "P01"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    array = np.where(rng.random((12, 20, 24)) < 0.5, -95, 40).astype(np.int16)
    fat = (array < 0).astype(np.uint8)
    lungs = np.zeros_like(fat)
    names = ("scan", "fat") if listed else ("image", "fat_mask")
    for name, values in zip((*names, "lobe"), (array, fat, lungs), strict=True):
        if name != "lobe" or not listed:
            nib.save(nib.Nifti1Image(values, np.eye(4)), folder / f"{name}.nii.gz")
    source = tmp_path / "data"
    if listed:
        source = tmp_path / "list.csv"
        row = "P01,data/P01/scan.nii.gz,data/P01/fat.nii.gz,zyx"
        source.write_text(f"case_id,ct,adipose,axes\n{row}\n")
    store = Store(tmp_path / "reads")
    (item,) = open_worklist(source, store, "anna").items
    ready = prepare(item, tmp_path / "scratch")
    assert ready.facts["spacing_unknown"] is True
    assert "adipose" in ready.files
    shown, ijk_to_ras = ready.for_slicer("ct")
    assert np.array_equal(np.sign(np.diag(ijk_to_ras)[:3]), (-1, -1, 1))  # to the left, to the back, up
    assert np.array_equal(shown[::-1], array)  # 3D Slicer counts slices from the feet
    painted = from_slicer((shown < 0) & (np.indices(shown.shape)[2] > 12), ijk_to_ras)
    ct = item.files["ct"]
    store.save("P01", "anna", painted, record=Record(status="done", ct=ready.facts["ct"]), ct_file=ct)
    again = store.read(store.newest("P01", "anna"))[0]
    assert np.array_equal(to_slicer(again)[0], to_slicer(painted)[0])
    wanted = (array < 0) & (np.indices(array.shape)[2] > 12)
    exported = export_manifest(open_worklist(source, store, "anna")).path
    dataset = open_dataset(exported)
    assert not check(dataset, stage="brown").blocking
    assert np.array_equal(read_scan(dataset.cases[0]).brown.array, wanted)
    as_file = nib.load(dataset.cases[0].files["brown"])
    assert np.array_equal(np.asarray(as_file.dataobj), wanted)  # the authors' own code reads it so
    assert np.array_equal(as_file.affine, np.eye(4))
    assert "brown" not in open_worklist(exported, store, "bert").items[0].files
    assert len(list(store.reads())) == 1


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_scan_that_ends_early_is_refused_in_words(tmp_path, ending):
    ct = ct_on()
    path = write_volume(ct, tmp_path / f"ct{ending}", ct)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputRefused) as caught:
        read_scan_file(path)
    assert caught.value.code in ("truncated", "unreadable")
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_scan_is_refused_in_words(tmp_path):
    with pytest.raises(InputRefused) as caught:
        read_scan_file(tmp_path / "nothing.nii.gz")
    assert caught.value.code == "missing"

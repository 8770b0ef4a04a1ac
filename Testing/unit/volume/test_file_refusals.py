"""Files that cannot be interpreted safely are refused in words, never read by luck."""

from __future__ import annotations

import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scans import LPS_RAS, canonical, itk_image, lps_affine, nifti, refused, save, turned, voxels

from BATNetLib.errors import Cancelled, InputRefused, UsageError
from BATNetLib.events import Events
from BATNetLib.volume import read_volume


def _raw_nifti(path, shape, affine=None, dtype=np.int16, data=b"", change=None):
    """A NIfTI written byte by byte, so that its header may lie."""
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["pixdim"][1:4] = 1.5
    header.set_sform(LPS_RAS @ (lps_affine() if affine is None else affine), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    if change:
        change(header)
    content = header.binaryblock + b"\0" * 4 + data
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def test_a_missing_file(tmp_path):
    refused("missing", read_volume, tmp_path / "nowhere.nii.gz")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.dcm"])
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).touch()
    refused("empty-file", read_volume, tmp_path / name)


@pytest.mark.parametrize("name", ["scan.png", "scan.txt", "scan", "scan.img"])
def test_an_unknown_format(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else" * 50)
    assert ".nii.gz" in refused("unknown-format", read_volume, tmp_path / name).wanted


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha", "a.mhd"])
def test_a_web_page_saved_under_the_name_of_a_scan(tmp_path, name):
    (tmp_path / name).write_bytes(b"<html><body>Not found</body></html>" * 30)
    refused("unreadable", read_volume, tmp_path / name)


def test_gzip_without_the_name_and_the_name_without_gzip(tmp_path):
    nib.save(nifti(voxels(), lps_affine()), tmp_path / "right.nii.gz")
    (tmp_path / "wrong.nii").write_bytes((tmp_path / "right.nii.gz").read_bytes())
    assert "wrong.nii.gz" in refused("misnamed-gzip", read_volume, tmp_path / "wrong.nii").remedy
    nib.save(nifti(voxels(), lps_affine()), tmp_path / "plain.nii")
    (tmp_path / "plain.nii").rename(tmp_path / "wrong.nii.gz")
    assert "Rename it to wrong.nii" in refused("misnamed-gzip", read_volume, tmp_path / "wrong.nii.gz").remedy


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha"])
@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off(tmp_path, ending, part):
    path = save(nifti(voxels((40, 40, 20)), lps_affine()), tmp_path / f"scan.{ending}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused("truncated", read_volume, path)


def test_a_gzip_file_with_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "scan.nii.gz"
    content = bytearray(gzip.compress(b"", 0))
    nib.save(nifti(voxels((40, 40, 20)), lps_affine()), tmp_path / "scan.nii")
    content = bytearray(gzip.compress((tmp_path / "scan.nii").read_bytes(), 0))  # stored, not packed
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused("truncated", read_volume, path)


@pytest.mark.parametrize(
    "shape, code",
    [((20, 20), "not-3d"), ((20, 20, 1), "not-3d"), ((6, 6, 6, 3), "not-3d"), ((6, 6, 6, 1, 2), "not-3d")],
)
def test_flat_images_and_series_in_time(tmp_path, shape, code):
    array = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(array, LPS_RAS @ lps_affine()), tmp_path / "a.nii.gz")
    refused(code, read_volume, tmp_path / "a.nii.gz")


def test_flat_and_four_dimensional_nrrd_and_mha(tmp_path):
    rng = np.random.default_rng(0)
    for ending in ("nrrd", "mha"):
        sitk.WriteImage(sitk.GetImageFromArray(rng.random((9, 9))), str(tmp_path / f"flat.{ending}"))
        refused("not-3d", read_volume, tmp_path / f"flat.{ending}")
        four = sitk.GetImageFromArray(rng.random((3, 8, 9, 9)).astype(np.float32), isVector=False)
        assert four.GetDimension() == 4
        sitk.WriteImage(four, str(tmp_path / f"four.{ending}"))
        refused("not-3d", read_volume, tmp_path / f"four.{ending}")


def test_colour_and_complex_voxels(tmp_path):
    colour = np.zeros((6, 6, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, LPS_RAS @ lps_affine()), tmp_path / "colour.nii.gz")
    refused("colour", read_volume, tmp_path / "colour.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((6, 6, 6), np.complex64), lps_affine()), tmp_path / "complex.nii.gz")
    refused("complex", read_volume, tmp_path / "complex.nii.gz")
    rgb = sitk.GetImageFromArray(np.zeros((6, 6, 6, 3), np.uint8), isVector=True)
    for ending in ("nrrd", "mha"):
        sitk.WriteImage(rgb, str(tmp_path / f"colour.{ending}"))
        refused("colour", read_volume, tmp_path / f"colour.{ending}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_numbers_are_counted_and_refused(tmp_path, value):
    array = voxels().astype(np.float32)
    array[2, 3, 4] = array[0, 0, 0] = value
    for ending in ("nii.gz", "nrrd"):
        path = save(nifti(array, lps_affine()), tmp_path / f"a.{ending}")
        assert "2 voxels" in refused("non-finite", read_volume, path).found
        refused("non-finite", read_volume, path, kind="mask")
        assert read_volume(path, kind="map").facts["non_finite"] == 2


def test_a_constant_image(tmp_path):
    path = save(nifti(np.full((6, 6, 6), -1000, np.int16), lps_affine()), tmp_path / "a.nii.gz")
    refused("constant", read_volume, path)
    assert read_volume(path, kind="map").array.max() == -1000


def test_fewer_than_four_slices_whatever_axis_they_lie_along(tmp_path):
    path = save(nifti(voxels((9, 8, 3)), lps_affine()), tmp_path / "a.nii.gz")
    assert "3 axial slices" in refused("too-few-slices", read_volume, path).found
    axes_turned = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    sagittal = nifti(voxels((3, 8, 9)), axes_turned)
    refused("too-few-slices", read_volume, save(sagittal, tmp_path / "b.nrrd"))
    refused("too-small", read_volume, save(nifti(voxels((9, 3, 8)), lps_affine()), tmp_path / "c.nii.gz"))


@pytest.mark.parametrize("pixdim", [0.0, -1.5, np.nan, np.inf, 1e-6, 1e6])
def test_spacing_that_cannot_be(tmp_path, pixdim):
    def spoil(header):
        header["pixdim"][2] = pixdim
        header["sform_code"], header["qform_code"] = 0, 1

    path = _raw_nifti(tmp_path / "a.nii", (6, 6, 6), data=bytes(432), change=spoil)
    refused("spacing-invalid", read_volume, path)


@pytest.mark.parametrize("directions", ["(0,0,0) (0,1,0) (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)"])
def test_spacing_that_cannot_be_in_an_nrrd(tmp_path, directions):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nrrd")
    head, data = path.read_bytes().split(b"\n\n", 1)
    lines = head.decode().split("\n")
    lines = [f"space directions: {directions}" if x.startswith("space dir") else x for x in lines]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    refused("spacing-invalid", read_volume, path)


@pytest.mark.parametrize("spacing", ["0 1 1", "-1 1 1", "nan 1 1"])
def test_spacing_that_cannot_be_in_a_metaimage(tmp_path, spacing):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.mha")
    head, data = path.read_bytes().split(b"ElementSpacing = ", 1)
    path.write_bytes(head + b"ElementSpacing = " + spacing.encode() + data[data.index(b"\n") :])
    refused("spacing-invalid", read_volume, path)


def test_a_singular_affine(tmp_path):
    flat = lps_affine()
    flat[:3, 2] = flat[:3, 1] * 3
    refused("geometry-invalid", read_volume, _raw_nifti(tmp_path / "a.nii", (6, 6, 6), flat, data=bytes(432)))
    broken = lps_affine()
    broken[0, 3] = np.nan
    refused(
        "geometry-invalid", read_volume, _raw_nifti(tmp_path / "b.nii", (6, 6, 6), broken, data=bytes(432))
    )


def test_two_positions_that_contradict_each_other(tmp_path):
    image = nifti(voxels(), lps_affine())
    image.set_qform(np.diag([-1.0, 1, 1, 1]) @ image.affine, code=1)
    nib.save(image, tmp_path / "a.nii.gz")
    refused("position-contradicts", read_volume, tmp_path / "a.nii.gz")
    image.set_qform(image.affine, code=1)
    nib.save(image, tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, canonical(voxels()))


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path, ending):
    path = _raw_nifti(tmp_path / f"a.{ending}", (30000, 30000, 30000))
    tracemalloc.start()
    assert "27,000,000,000,000 voxels" in refused("too-large", read_volume, path).found
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_an_absurd_size_in_a_text_header(tmp_path):
    geometry = (
        "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (0,0,5)\n"
    )
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 99999 99999 99999\n{geometry}encoding: gzip\n\n"
    (tmp_path / "a.nrrd").write_text(head)
    refused("too-large", read_volume, tmp_path / "a.nrrd")
    head = (
        "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 1 1 2\n"
        "DimSize = 99999 99999 99999\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_text(head)
    refused("too-large", read_volume, tmp_path / "a.mha")


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_header_that_promises_more_than_the_file_can_hold(tmp_path, ending):
    path = _raw_nifti(tmp_path / f"a.{ending}", (600, 600, 600), data=bytes(1000))
    tracemalloc.start()
    refused("truncated", read_volume, path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_the_limit_on_the_size_can_be_set(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nii.gz")
    refused("too-large", read_volume, path, max_voxels=500)
    assert read_volume(path, max_voxels=9 * 8 * 7).array.size == 504


def test_whole_numbers_that_need_more_than_32_bits(tmp_path):
    array = voxels().astype(np.int64)
    array[1, 1, 1] = 2**40
    nib.save(nib.Nifti1Image(array, LPS_RAS @ lps_affine(), dtype=np.int64), tmp_path / "a.nii.gz")
    refused("value-overflow", read_volume, tmp_path / "a.nii.gz")


def test_a_header_that_does_not_say_how_the_patient_lies(tmp_path):
    image = nib.Nifti1Image(voxels(), None)
    image.header.set_zooms((0.8, 0.8, 3.0))
    nib.save(image, tmp_path / "none.nii.gz")
    assert int(nib.load(tmp_path / "none.nii.gz").header["sform_code"]) == 0
    assert "--axes zyx" in refused("orientation-unknown", read_volume, tmp_path / "none.nii.gz").remedy
    refused("orientation-unknown", read_volume, tmp_path / "none.nii.gz", axes="header")
    nib.save(nib.Nifti1Image(voxels(), np.eye(4)), tmp_path / "identity.nii.gz")
    assert "identity" in refused("orientation-unknown", read_volume, tmp_path / "identity.nii.gz").found


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_an_array_saved_by_itk_without_geometry(tmp_path, ending):
    sitk.WriteImage(sitk.GetImageFromArray(voxels()), str(tmp_path / f"a.{ending}"))
    refused("orientation-unknown", read_volume, tmp_path / f"a.{ending}")
    volume = read_volume(tmp_path / f"a.{ending}", axes="header")
    np.testing.assert_array_equal(volume.array, voxels()[::-1])


def test_an_nrrd_in_a_space_that_is_not_the_patients(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior", b"space: scanner-xyz"))
    refused("orientation-unknown", read_volume, path)


def test_an_nrrd_in_ras_is_turned_to_lps(tmp_path):
    array = voxels()
    path = save(nifti(array, lps_affine()), tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior"))
    np.testing.assert_array_equal(read_volume(path).array, canonical(array)[:, ::-1, ::-1])


def test_a_header_whose_voxel_file_is_gone(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.mhd")
    np.testing.assert_array_equal(read_volume(path).array, canonical(voxels()))
    next(tmp_path.glob("*.*raw")).unlink()
    refused("missing", read_volume, path)


def test_a_folder_without_images(tmp_path):
    refused("no-images", read_volume, tmp_path)
    save(nifti(voxels(), lps_affine()), tmp_path / "scan.nii.gz")
    assert "scan.nii.gz" in refused("no-images", read_volume, tmp_path).remedy


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nii.gz")

    def forbidden(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", forbidden)
    refused("no-permission", read_volume, path)


def test_an_unknown_axis_order_is_a_wrong_request(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nii.gz")
    assert isinstance(refused("axes-unknown", read_volume, path, axes="xyz"), UsageError)


def test_random_damage_never_ends_in_a_traceback(tmp_path):
    rng = np.random.default_rng(5)
    for ending in ("nii", "nrrd", "mha"):
        good = save(nifti(voxels(), lps_affine()), tmp_path / f"good.{ending}").read_bytes()
        for trial in range(60):
            content = bytearray(good)
            for at in rng.integers(0, min(len(good), 500), 4):
                content[at] = rng.integers(0, 256)
            path = tmp_path / f"bad{trial}.{ending}"
            path.write_bytes(content)
            try:
                read_volume(path, max_voxels=10**6)
            except (InputRefused, UsageError) as error:
                assert error.remedy


def test_reading_can_be_cancelled(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nii.gz")
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        read_volume(path, events=events)


# --- the authors' array files


def _array_file(path):
    array = np.random.default_rng(3).integers(-1000, 1000, (8, 10, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return array


def test_the_authors_arrays_are_read_on_request_and_recognised_in_their_case_folder_only(tmp_path):
    array = _array_file(tmp_path / "image.nii.gz")
    refused("orientation-unknown", read_volume, tmp_path / "image.nii.gz")
    asked = read_volume(tmp_path / "image.nii.gz", axes="zyx")
    _array_file(tmp_path / "lobe.nii.gz")
    found = read_volume(tmp_path / "image.nii.gz")
    for volume in (asked, found):
        np.testing.assert_array_equal(volume.array, array)
        assert volume.facts["spacing_unknown"] is True and volume.facts["axes"] == "zyx"
        assert volume.grid.affine[2, 0] == -1 and volume.grid.affine[0, 2] == 1
    assert found.facts["layout"] == "case-folder" and asked.facts["layout"] is None
    _array_file(tmp_path / "other.nii.gz")
    refused("orientation-unknown", read_volume, tmp_path / "other.nii.gz")


def test_an_ordinary_scan_in_a_case_folder_is_read_by_its_header(tmp_path):
    save(nifti(voxels(), lps_affine()), tmp_path / "image.nii.gz")
    _array_file(tmp_path / "lobe.nii.gz")
    volume = read_volume(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(volume.array, canonical(voxels()))
    assert volume.facts["axes"] == "header"


def test_results_of_an_array_file_go_back_as_an_array_file(tmp_path):
    from BATNetLib.volume import write_volume

    array = _array_file(tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz", axes="zyx")
    back = nib.load(write_volume(volume, tmp_path / "b.nii.gz", like=volume))
    np.testing.assert_array_equal(np.asarray(back.dataobj), array)
    np.testing.assert_array_equal(back.affine, np.eye(4))


def test_the_axis_order_of_an_ordinary_scan_cannot_be_overruled(tmp_path):
    for affine in (lps_affine(), lps_affine(origin=(0, 0, 0), turn=turned(20.0))):
        path = save(nifti(voxels(), affine), tmp_path / "a.nii.gz")
        error = refused("axes-contradicted", read_volume, path, axes="zyx")
        assert isinstance(error, UsageError)
    image = itk_image(voxels(), lps_affine())
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    refused("axes-contradicted", read_volume, tmp_path / "a.nrrd", axes="zyx")


def test_a_series_of_a_file_that_is_no_dicom_is_a_wrong_request(tmp_path):
    path = save(nifti(voxels(), lps_affine()), tmp_path / "a.nii.gz")
    with pytest.raises(UsageError) as refusal:
        read_volume(path, series=2)
    assert refusal.value.code == "series-without-dicom" and str(tmp_path) not in str(refusal.value)

"""All 48 axis orders, oblique and sheared grids: to canonical axes and back, to the voxel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scans import (
    AXIS_CODES,
    LPS_RAS,
    canonical,
    itk_image,
    lps_affine,
    nifti,
    refused,
    reoriented,
    save,
    turned,
    voxels,
)

from BATNetLib.events import Events
from BATNetLib.volume import Grid, Volume, hash_voxels, read_volume, restore, write_volume

FORMATS = ("nii.gz", "nrrd", "mha")


def test_there_are_48_axis_orders():
    assert len(set(AXIS_CODES)) == 48


@pytest.mark.parametrize("ending", FORMATS)
def test_every_axis_order_reads_to_the_same_canonical_voxels_and_goes_back_to_its_own(tmp_path, ending):
    array, affine = voxels(), lps_affine()
    hashes = set()
    for codes in AXIS_CODES:
        stored = reoriented(array, affine, codes)
        assert "".join(nib.aff2axcodes(stored.affine)) == codes
        volume = read_volume(save(stored, tmp_path / f"{codes}.{ending}"))
        assert volume.array.dtype == np.int16 and volume.array.flags.c_contiguous
        np.testing.assert_array_equal(volume.array, canonical(array), err_msg=codes)
        np.testing.assert_allclose(volume.spacing, (3.0, 0.7, 0.8), rtol=1e-6)
        hashes.add(hash_voxels(volume))

        # The same physical place: every voxel of the file, placed by nibabel, has its value there.
        indices = np.argwhere(np.ones(stored.shape))
        lps = nib.affines.apply_affine(LPS_RAS @ stored.affine, indices)
        at = (lps - volume.grid.affine[:3, 3]) @ np.linalg.inv(volume.grid.affine[:3, :3]).T
        assert np.abs(at - np.rint(at)).max() < 1e-3
        a, b, c = np.rint(at).astype(int).T
        np.testing.assert_array_equal(volume.array[a, b, c], np.asarray(stored.dataobj).ravel())

        back, grid = restore(volume.array, volume)
        np.testing.assert_array_equal(back, np.asarray(stored.dataobj))
        np.testing.assert_allclose(LPS_RAS @ grid.affine, stored.affine, atol=1e-4)
    assert len(hashes) == 1, "the fingerprint does not depend on the axis order"


@pytest.mark.parametrize("ending", FORMATS)
def test_results_are_written_on_the_grid_of_the_input(tmp_path, ending):
    array, affine = voxels(), lps_affine()
    for codes in AXIS_CODES[::5]:
        stored = reoriented(array, affine, codes)
        volume = read_volume(save(stored, tmp_path / "in.nii.gz"))
        path = write_volume(volume, tmp_path / f"out.{ending}", like=volume)
        if ending == "nii.gz":
            written = nib.load(path)
            assert int(written.header["sform_code"]) == 1 and int(written.header["qform_code"]) == 1
            np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(stored.dataobj))
            np.testing.assert_allclose(written.affine, stored.affine, atol=1e-4)
            np.testing.assert_allclose(written.get_qform(), stored.affine, atol=1e-4)
        image, wanted = (
            sitk.ReadImage(str(path)),
            itk_image(np.asarray(stored.dataobj), LPS_RAS @ stored.affine),
        )
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(wanted))
        for index in ((0, 0, 0), (6, 2, 3), (1, 5, 4)):
            np.testing.assert_allclose(
                image.TransformIndexToPhysicalPoint(index),
                wanted.TransformIndexToPhysicalPoint(index),
                atol=1e-3,
            )


@pytest.mark.parametrize("ending", FORMATS)
def test_a_volume_made_in_memory_is_written_and_read_back_to_the_same_place(tmp_path, ending):
    array = canonical(voxels()).copy()
    volume = Volume(array, Grid.canonical((7, 8, 9), (2.5, 0.7, 0.8), (10.0, 20.0, 30.0)))
    image = sitk.ReadImage(str(write_volume(volume, tmp_path / f"made.{ending}")))
    assert image.TransformIndexToPhysicalPoint((0, 0, 6)) == pytest.approx((10.0, 20.0, 30.0), abs=1e-4)
    assert image[3, 2, 6] == array[0, 2, 3]
    again = read_volume(tmp_path / f"made.{ending}")
    np.testing.assert_array_equal(again.array, array)
    assert again.grid.same_place(volume.grid)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("ending", FORMATS)
def test_whole_numbers_are_held_in_16_bits_whatever_the_file_holds(tmp_path, ending, dtype):
    array = np.abs(voxels() % 200).astype(dtype)
    volume = read_volume(save(nifti(array, lps_affine()), tmp_path / f"ct.{ending}"))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, canonical(array))


def test_fractions_stay_fractions_and_do_not_double_in_size(tmp_path):
    array = voxels().astype(np.float64) + 0.25
    volume = read_volume(save(nifti(array, lps_affine()), tmp_path / "ct.nii"))
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array, canonical(array).astype(np.float32))


def test_a_rescaled_nifti_is_read_in_its_own_units(tmp_path):
    for slope, inter, dtype in ((1.0, -1024.0, np.int16), (2.0, 5.0, np.int16), (0.5, -10.0, np.float32)):
        stored = np.random.default_rng(1).integers(0, 4000, (9, 8, 7)).astype(np.uint16)
        image = nifti(stored, lps_affine())
        image.header.set_slope_inter(slope, inter)
        path = tmp_path / "scaled.nii.gz"
        with nib.openers.ImageOpener(path, "wb") as file:  # nibabel's save would undo the scaling
            image.header["vox_offset"], image.header["magic"] = 352, b"n+1"
            file.write(image.header.binaryblock + b"\0" * 4 + stored.tobytes(order="F"))
        volume = read_volume(path)
        assert volume.array.dtype == dtype
        np.testing.assert_allclose(volume.array, canonical(nib.load(path).get_fdata()))


def test_a_big_endian_nifti_is_read(tmp_path):
    array = voxels()
    image = nib.Nifti1Image(array, LPS_RAS @ lps_affine(), nib.Nifti1Header(endianness=">"))
    assert image.header.endianness == ">"
    nib.save(image, tmp_path / "big.nii")
    volume = read_volume(tmp_path / "big.nii")
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array, canonical(array))


def test_a_trailing_axis_of_length_one_is_dropped(tmp_path):
    array = voxels()
    nib.save(nifti(array[..., None], lps_affine()), tmp_path / "four.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "four.nii.gz").array, canonical(array))


@pytest.mark.parametrize("axis", ["x", "z"])
def test_slightly_oblique_voxels_are_only_reordered_and_keep_their_true_place(tmp_path, axis):
    affine = lps_affine(turn=turned(2.0, axis))
    array = voxels()
    for codes in ("LPS", "SAR", "PIL"):
        stored = reoriented(array, affine, codes)
        volume = read_volume(save(stored, tmp_path / f"{codes}.nii.gz"))
        np.testing.assert_array_equal(volume.array, canonical(array))
        assert volume.facts["resampled"] is None
        assert volume.facts["obliquity_degrees"] == pytest.approx(2.0, abs=0.01)
        corner = nib.affines.apply_affine(LPS_RAS @ nifti(array, affine).affine, [0, 0, 6])
        np.testing.assert_allclose(volume.grid.affine[:3, 3], corner, atol=1e-3)
        back = nib.load(write_volume(volume, tmp_path / "back.nii.gz", like=volume))
        np.testing.assert_allclose(back.affine, stored.affine, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(stored.dataobj))


def _plane_image(shape, affine) -> np.ndarray:
    """HU that rise evenly through space, so that linear interpolation is exact."""
    lps = nib.affines.apply_affine(affine, np.argwhere(np.ones(shape)))
    return (3 * lps[:, 0] - 2 * lps[:, 1] + 4 * lps[:, 2]).reshape(shape).astype(np.float32)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_strongly_oblique_scan_is_resampled_onto_the_patient_and_said_so(tmp_path, ending):
    affine = lps_affine(spacing=(1.5, 1.25, 2.0), turn=turned(20.0))
    stored = nifti(_plane_image((24, 30, 20), affine), affine)
    events = Events()
    volume = read_volume(save(stored, tmp_path / f"oblique.{ending}"), events=events)
    assert volume.facts["resampled"]["degrees"] == pytest.approx(20.0, abs=0.01)
    assert [w["code"] for w in events.warnings] == ["resampled-oblique"]
    np.testing.assert_allclose(volume.spacing, (2.0, 1.25, 1.5), rtol=1e-5)
    np.testing.assert_allclose(np.abs(volume.grid.affine[[2, 1, 0], [0, 1, 2]]), volume.spacing)

    # All of the scanned block lies inside, and inside it every voxel has the value of its place.
    points = volume.grid.points(np.argwhere(np.ones(volume.array.shape)))
    index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    inside = ((index >= 0) & (index <= np.array(stored.shape) - 1)).all(1)
    assert inside.mean() > 0.4
    wanted = points @ [3, -2, 4]
    np.testing.assert_allclose(volume.array.ravel()[inside], wanted[inside], atol=0.05)
    outside = ((index < -1) | (index > np.array(stored.shape))).any(1)
    assert set(volume.array.ravel()[outside].tolist()) == {-1024.0}

    lps = nib.affines.apply_affine(LPS_RAS @ stored.affine, np.argwhere(np.ones(stored.shape)))
    at = (lps - volume.grid.affine[:3, 3]) @ np.linalg.inv(volume.grid.affine[:3, :3]).T
    assert at.min() > -1e-3 and (at < np.array(volume.array.shape) - 1 + 1e-3).all()


def test_results_of_an_oblique_scan_go_back_to_its_own_grid(tmp_path):
    affine = lps_affine(spacing=(1.5, 1.25, 2.0), turn=turned(20.0))
    stored = nifti(_plane_image((24, 30, 20), affine).astype(np.int16), affine)
    volume = read_volume(save(stored, tmp_path / "oblique.nii.gz"))
    ball = np.zeros(stored.shape, np.uint8)
    ball[6:18, 8:22, 5:15] = 1
    save(nifti(ball, affine), tmp_path / "ball.nii.gz")
    mask = read_volume(tmp_path / "ball.nii.gz", kind="mask")
    assert mask.grid.same_place(volume.grid) and set(np.unique(mask.array)) == {0, 1}
    back = nib.load(write_volume(mask, tmp_path / "back.nii.gz", like=volume, kind="mask"))
    np.testing.assert_allclose(back.affine, stored.affine, atol=1e-4)
    found = np.asarray(back.dataobj)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1}
    assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.9

    heights = volume.grid.points(np.argwhere(np.ones(volume.array.shape)))[:, 2]
    map_ = volume.with_array(heights.reshape(volume.array.shape).astype(np.float32))
    array, grid = restore(map_.array, volume, kind="map")
    wanted = nib.affines.apply_affine(affine, np.argwhere(np.ones(stored.shape)))[:, 2]
    np.testing.assert_allclose(array.ravel(), wanted, atol=1e-3)
    assert grid.shape == stored.shape


def test_a_sheared_grid_is_refused_as_gantry_tilt_unless_accepted(tmp_path):
    affine = lps_affine(spacing=(1.5, 1.25, 2.0))
    affine[1, 2] = 2.0 * np.tan(np.radians(10.0))  # slices slide backwards on their way up
    stored = nifti(_plane_image((24, 30, 20), affine), affine)
    save(stored, tmp_path / "tilted.nii.gz")
    error = refused("gantry-tilt", read_volume, tmp_path / "tilted.nii.gz")
    assert "10.0 degrees" in error.found
    events = Events()
    volume = read_volume(tmp_path / "tilted.nii.gz", accept_tilt=True, events=events)
    assert volume.facts["resampled"]["reason"] == "gantry-tilt" and events.warnings
    points = volume.grid.points(np.argwhere(np.ones(volume.array.shape)))
    index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    inside = ((index >= 0) & (index <= np.array(stored.shape) - 1)).all(1)
    np.testing.assert_allclose(volume.array.ravel()[inside], (points @ [3, -2, 4])[inside], atol=0.05)

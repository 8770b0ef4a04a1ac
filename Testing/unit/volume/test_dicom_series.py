"""DICOM: which series, and are its slices one regular stack? Positions are checked, not believed."""

from __future__ import annotations

import json
import os

import numpy as np
import pydicom
import pytest
from scans import dicom_series, refused, turned, up

from BATNetLib.errors import Cancelled, UsageError
from BATNetLib.events import Events
from BATNetLib.volume import list_series, read_volume, restore

SECOND = "1.2.826.0.1.3680043.8.498.2"


def test_a_series_is_stacked_head_first_in_hu(tmp_path):
    stored = dicom_series(tmp_path / "ct", up(8))
    volume = read_volume(tmp_path / "ct")
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, stored[::-1].astype(np.int16) - 1024)
    np.testing.assert_allclose(volume.spacing, (3.0, 0.9, 0.8))
    np.testing.assert_allclose(volume.grid.affine[:3, 3], (-40, -50, 121))


def test_file_names_and_their_order_do_not_matter(tmp_path):
    positions = up(8)
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    stored = dicom_series(tmp_path, [positions[i] for i in order])
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array[::-1], stored[np.argsort(order)].astype(np.int16) - 1024)
    names = [pydicom.dcmread(file).ImagePositionPatient[2] for file in volume.source.files]
    assert names == sorted(names) and len(names) == 8, "files follow the last axis of the file's grid"
    back, grid = restore(volume.array, volume)
    assert back.shape == grid.shape == (10, 12, 8)
    np.testing.assert_allclose(grid.affine[:3, 3], positions[0])


def test_one_file_stands_for_its_series(tmp_path):
    dicom_series(tmp_path, up(8))
    dicom_series(tmp_path, up(6), series=SECOND, prefix="other")
    assert read_volume(tmp_path / "im004.dcm").array.shape[0] == 8
    assert read_volume(tmp_path / "other001.dcm").array.shape[0] == 6


def test_subfolders_are_searched_and_files_need_no_ending(tmp_path):
    dicom_series(tmp_path / "study" / "deep", up(5))
    for index, file in enumerate(sorted((tmp_path / "study" / "deep").iterdir())):
        file.rename(file.with_name(f"IM{index}"))
    assert read_volume(tmp_path).array.shape[0] == 5


@pytest.mark.parametrize("turn, wanted", [("sagittal", (8, 12, 10)), ("coronal", (8, 12, 10))])
def test_sagittal_and_coronal_series_are_laid_into_canonical_axes(tmp_path, turn, wanted):
    orientation = {"sagittal": (0, 1, 0, 0, 0, -1), "coronal": (1, 0, 0, 0, 0, -1)}[turn]
    step = {"sagittal": np.array([2.0, 0, 0]), "coronal": np.array([0, 2.0, 0])}[turn]
    stored = dicom_series(
        tmp_path, [np.array([5.0, 6, 7]) + i * step for i in range(8)], orientation=orientation
    )
    volume = read_volume(tmp_path)
    hu = stored.astype(np.int16) - 1024
    # Sagittal slices go from right to left, their columns to the back; coronal ones from front to back.
    expected = hu.transpose(1, 2, 0) if turn == "sagittal" else hu.transpose(1, 0, 2)
    np.testing.assert_array_equal(volume.array, expected)


def test_the_facts_hold_what_matters_and_no_names(tmp_path):
    dicom_series(tmp_path, up(5), KVP="120", ConvolutionKernel=["B", "30f"], ContrastBolusAgent="Iodine")
    facts = read_volume(tmp_path).facts
    assert facts["modality"] == "CT" and facts["contrast_agent"] is True and facts["kvp"] == 120.0
    assert facts["slice_thickness_mm"] == 3.0 and facts["kernel"] == "B/30f"
    assert facts["FrameOfReferenceUID"].endswith(".78") and facts["SeriesInstanceUID"].endswith(".1")
    text = json.dumps(facts, allow_nan=False)
    assert "SECRET" not in text.upper() and str(tmp_path) not in text


@pytest.mark.parametrize("agent", ["", "NONE", "no"])
def test_no_contrast_agent_has_several_spellings(tmp_path, agent):
    dicom_series(tmp_path, up(5), ContrastBolusAgent=agent)
    assert read_volume(tmp_path).facts["contrast_agent"] is False


def test_slopes_with_fractions_and_slopes_that_change_from_slice_to_slice(tmp_path):
    def change(ds, index):
        ds.RescaleSlope, ds.RescaleIntercept = 0.5 + index, 0

    stored = dicom_series(tmp_path, up(5), modality="PT", change=change)
    volume = read_volume(tmp_path, kind="map")
    assert volume.array.dtype == np.float32
    wanted = stored * (0.5 + np.arange(5))[:, None, None]
    np.testing.assert_allclose(volume.array, wanted[::-1], rtol=1e-6)


def test_values_beyond_16_bits_are_kept(tmp_path):
    stored = dicom_series(tmp_path, up(5), slope=20, intercept=0)
    volume = read_volume(tmp_path)
    assert volume.array.dtype == np.int32
    np.testing.assert_array_equal(volume.array, stored[::-1].astype(np.int32) * 20)


# --- which series


def test_several_series_are_listed_and_one_must_be_named(tmp_path):
    dicom_series(tmp_path / "a", up(8), SeriesNumber=2)
    dicom_series(tmp_path / "b", up(6), series=SECOND, SeriesNumber=1)
    error = refused("several-series", read_volume, tmp_path)
    assert "1: CT, 6 images" in error.found and "2: CT, 8 images" in error.found and "3 mm" in error.found
    assert "SECRET" not in error.found.upper()
    listed = list_series(tmp_path)
    assert [(s.number, s.slices, s.uid == SECOND) for s in listed] == [(1, 6, True), (2, 8, False)]
    for series, slices in ((1, 6), ("2", 8), (SECOND, 6), ("498.2", 6)):
        assert read_volume(tmp_path, series=series).array.shape[0] == slices
    for series in (3, "0", "nothing", "", "498"):
        assert isinstance(refused("series-unknown", read_volume, tmp_path, series=series), UsageError)


def test_what_can_be_no_ct_volume_is_not_offered_as_one(tmp_path):
    dicom_series(tmp_path, up(8))
    dicom_series(
        tmp_path, up(2), series=SECOND, prefix="scout", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    dicom_series(tmp_path, up(8), series=SECOND + ".3", prefix="pet", modality="PT")
    assert read_volume(tmp_path).array.shape[0] == 8
    assert {s.problem for s in list_series(tmp_path)} == {None, "localizer"}
    refused("several-series", read_volume, tmp_path, kind="map")
    assert "localizer" in refused("not-a-volume", read_volume, tmp_path, series=SECOND).found


def test_another_modality_is_no_ct(tmp_path):
    dicom_series(tmp_path, up(8), modality="MR")
    assert "MR" in refused("not-ct", read_volume, tmp_path).found
    assert read_volume(tmp_path, kind="map").facts["modality"] == "MR"


def test_an_axis_order_makes_no_sense_for_dicom(tmp_path):
    dicom_series(tmp_path, up(5))
    refused("axes-contradicted", read_volume, tmp_path, axes="zyx")


# --- are the slices one stack


def test_a_missing_slice_is_noticed(tmp_path):
    positions = up(10)
    del positions[6]
    dicom_series(tmp_path, positions)
    error = refused("slice-gaps", read_volume, tmp_path)
    assert "3 mm (7 of 8)" in error.found and "6 mm (1 of 8)" in error.found
    assert "115.00 and 121.00" in error.found and "as it seems: 1." in error.found


def test_gaps_that_differ_from_the_first_pair_only_late_are_noticed(tmp_path):
    dicom_series(tmp_path, [(0, 0, z) for z in (0, 3, 6, 9, 12, 15, 18.2)])
    assert "3.2 mm (1 of 6)" in refused("slice-gaps", read_volume, tmp_path).found


def test_rounded_positions_are_no_gaps(tmp_path):
    dicom_series(tmp_path, [(0, 0, round(0.625 * i, 2)) for i in range(20)])
    volume = read_volume(tmp_path)
    assert volume.spacing[0] == pytest.approx(0.625, abs=1e-3)


def test_accepted_gaps_are_filled_by_interpolation_between_true_positions(tmp_path):
    heights = [0.0, 3, 6, 9, 15, 18, 21]

    def ramp(ds, index):
        ds.PixelData = np.full((12, 10), 1000 + 10 * heights[index], np.uint16).tobytes()

    dicom_series(tmp_path, [(0, 0, z) for z in heights], change=ramp)
    events = Events()
    volume = read_volume(tmp_path, accept_gaps=True, events=events)
    assert volume.spacing[0] == pytest.approx(3.0) and volume.array.shape[0] == 8
    np.testing.assert_array_equal(volume.array[::-1, 0, 0], -24 + 30 * np.arange(8))
    assert volume.facts["gaps_resampled"] is True and volume.facts["slice_spacings_mm"] == [3.0, 6.0]
    assert [w["code"] for w in events.warnings] == ["gaps-resampled"]
    assert volume.source.files == (), "the slices are no longer those of the files"


def test_two_slices_at_one_position(tmp_path):
    positions = up(8)
    dicom_series(tmp_path, [*positions, positions[3]])
    assert "109.00" in refused("duplicate-slices", read_volume, tmp_path).found
    refused("duplicate-slices", read_volume, tmp_path, accept_gaps=True)


def _tilted(degrees: float, n: int = 12):
    """A tilted gantry: the slices lean, the table moves along the body."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return up(n), (1, 0, 0, 0, c, s)


def test_a_tilted_gantry_is_refused_and_straightened_on_request(tmp_path):
    positions, orientation = _tilted(12.0)
    rows, columns = 40, 16
    row, column = np.array(orientation[:3]), np.array(orientation[3:])

    def ramp(ds, index):
        place = np.array(positions[index]) + (
            np.arange(rows)[:, None, None] * column * 0.9 + np.arange(columns)[None, :, None] * row * 0.8
        )
        ds.PixelData = np.rint(8000 + place @ [5, -7, 30]).astype(np.uint16).tobytes()

    dicom_series(
        tmp_path, positions, orientation=orientation, rows=rows, columns=columns, change=ramp, intercept=-8000
    )
    assert "12.0 degrees" in refused("gantry-tilt", read_volume, tmp_path).found
    events = Events()
    volume = read_volume(tmp_path, accept_tilt=True, events=events)
    assert volume.facts["resampled"] == {"reason": "gantry-tilt", "degrees": 12.0, "interpolation": "linear"}
    assert [w["code"] for w in events.warnings] == ["resampled-gantry-tilt"]
    points = volume.grid.points(np.argwhere(np.ones(volume.array.shape)))
    affine = volume.source.grid.affine
    index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    inside = ((index >= 0) & (index <= np.array(volume.source.grid.shape) - 1)).all(1)
    assert inside.mean() > 0.4
    np.testing.assert_allclose(volume.array.ravel()[inside], (points @ [5, -7, 30])[inside], atol=1.6)


def test_an_oblique_series_without_shear_is_no_tilt(tmp_path):
    turn = turned(10.0)
    orientation = (*(turn @ [1, 0, 0]), *(turn @ [0, 1, 0]))
    dicom_series(tmp_path, [turn @ [0, 0, 3.0 * i] for i in range(8)], orientation=orientation)
    assert read_volume(tmp_path).facts["resampled"]["degrees"] == pytest.approx(10.0, abs=0.01)


def test_slices_that_wander_sideways(tmp_path):
    positions = [np.array(p) for p in up(8)]
    positions[4] = positions[4] + [6.0, 0, 0]
    dicom_series(tmp_path, positions)
    refused("slices-shifted", read_volume, tmp_path)


@pytest.mark.parametrize(
    "what, change",
    [
        ("image sizes", {"Rows": 10, "Columns": 12}),
        ("slice orientations", {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}),
        ("pixel spacings", {"PixelSpacing": [0.95, 0.85]}),
        ("frames of reference", {"FrameOfReferenceUID": "1.2.3"}),
    ],
)
def test_images_that_do_not_belong_together(tmp_path, what, change):
    def one(ds, index):
        if index == 3:
            for key, value in change.items():
                setattr(ds, key, value)

    dicom_series(tmp_path, up(8), change=one)
    assert f"2 different {what}" in refused("mixed-series", read_volume, tmp_path).found


def test_a_localizer_image_inside_a_series_is_left_out(tmp_path):
    def scout(ds, index):
        if index == 8:
            ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            ds.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    dicom_series(tmp_path, up(9), change=scout)
    assert read_volume(tmp_path).array.shape[0] == 8


# --- files that are broken or are no images


def _at(number, key, value):
    def change(ds, index):
        if index == number:
            if value is None:
                delattr(ds, key)
            else:
                setattr(ds, key, value)

    return change


@pytest.mark.parametrize(
    "key, value, code",
    [
        ("ImagePositionPatient", None, "not-a-volume"),
        ("ImagePositionPatient", [1, 2], "geometry-invalid"),
        ("PixelSpacing", None, "geometry-invalid"),
        ("PixelSpacing", [0, 0], "spacing-invalid"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "geometry-invalid"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "geometry-invalid"),
        ("PixelData", None, "pixels-unreadable"),
        ("PixelData", b"\0" * 50, "pixels-unreadable"),
        ("RescaleSlope", 0, "rescale-invalid"),
        ("SamplesPerPixel", 3, "not-a-volume"),
        ("NumberOfFrames", 4, "not-a-volume"),
    ],
)
def test_broken_headers_and_pixels(tmp_path, key, value, code):
    everywhere = key != "PixelData"
    dicom_series(tmp_path, up(6), change=lambda ds, i: _at(i if everywhere else 2, key, value)(ds, i))
    refused(code, read_volume, tmp_path)


def test_a_file_cut_off_in_its_pixels(tmp_path):
    dicom_series(tmp_path, up(6))
    file = tmp_path / "im003.dcm"
    file.write_bytes(file.read_bytes()[:-100])
    assert "im003.dcm" in refused("pixels-unreadable", read_volume, tmp_path).found


def test_a_file_cut_off_in_its_header_is_told(tmp_path):
    dicom_series(tmp_path, up(8))
    for number, length in ((0, 400), (7, 0)):
        file = tmp_path / f"im00{number}.dcm"
        file.write_bytes(file.read_bytes()[:length])
    events = Events()
    assert read_volume(tmp_path, events=events).array.shape[0] == 6
    assert "2 DICOM files" in events.warnings[0]["text"] and "im000.dcm" in events.warnings[0]["text"]


def test_old_files_without_preamble_are_read(tmp_path):
    stored = dicom_series(tmp_path, up(6))
    for file in tmp_path.iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.file_meta
        dataset.preamble = None
        dataset.save_as(file, implicit_vr=True, little_endian=True)
        assert b"DICM" not in file.read_bytes()[:140]
    np.testing.assert_array_equal(read_volume(tmp_path).array, stored[::-1].astype(np.int16) - 1024)


def test_other_files_in_the_folder_do_not_disturb(tmp_path):
    dicom_series(tmp_path, up(6))
    (tmp_path / "notes.txt").write_text("read me")
    (tmp_path / ".hidden.dcm").write_bytes(b"x")
    if hasattr(os, "mkfifo"):  # reading a pipe that nobody writes to would never end
        os.mkfifo(tmp_path / "pipe")
    report = pydicom.dcmread(tmp_path / "im000.dcm")
    for key in ("Rows", "Columns", "PixelData", "BitsAllocated"):
        delattr(report, key)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    report.SeriesInstanceUID = SECOND
    report.save_as(tmp_path / "report.dcm")
    events = Events()
    assert read_volume(tmp_path, events=events).array.shape[0] == 6
    assert not events.warnings


def test_a_folder_of_reports_holds_no_images(tmp_path):
    dicom_series(tmp_path, up(1))
    report = pydicom.dcmread(tmp_path / "im000.dcm")
    for key in ("Rows", "Columns", "PixelData"):
        delattr(report, key)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    report.save_as(tmp_path / "im000.dcm")
    assert "1 DICOM objects that are no images" in refused("no-images", read_volume, tmp_path).found


def test_too_few_slices(tmp_path):
    dicom_series(tmp_path, up(3))
    refused("not-a-volume", read_volume, tmp_path)


def test_too_large_is_decided_from_the_headers(tmp_path):
    dicom_series(tmp_path, up(6))
    refused("too-large", read_volume, tmp_path, max_voxels=600)


def test_reading_a_series_can_be_cancelled_between_slices(tmp_path):
    dicom_series(tmp_path, up(6))

    class Impatient(Events):
        def on_stage(self, stage, finished):
            if stage.done == 2:
                self.cancel()

    with pytest.raises(Cancelled):
        read_volume(tmp_path, events=Impatient())


def test_without_pydicom_the_user_is_told_what_to_install(tmp_path, monkeypatch):
    import sys

    dicom_series(tmp_path, up(6))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "pydicom" in refused("package-missing", read_volume, tmp_path).remedy

"""DICOM in, DICOM SEG out: the same voxels at the same places, referring to the right images."""

import warnings

import highdicom as hd
import numpy as np
import pydicom
import pytest
from analysis_cases import OVERRIDES, passport_of, quick
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from test_analysis_folder import hide

from BATNetLib.analysis import CaseInputs, analyze_files
from BATNetLib.volume import read_volume


def write_series(phantom, folder, *, drop=None):
    """The phantom as a classic CT series: one file per slice, in no order; slice ``drop`` is missing."""
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    slices, rows, columns = phantom.ct.array.shape
    affine = phantom.ct.grid.affine
    dz, dy, dx = phantom.ct.spacing
    for number, index in enumerate(np.random.default_rng(0).permutation(slices)):
        if index == drop:
            continue
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientName, data.PatientID = "MUSTERMANN", "4711"
        data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", 3, int(slices - index)
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.StudyDate, data.StudyTime, data.Manufacturer = "20240101", "120000", "Phantom"
        data.Rows, data.Columns, data.PixelSpacing = rows, columns, [dy, dx]
        data.SliceThickness = dz
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [float(v) for v in affine[:3, 3] + affine[:3, 0] * index]
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, -1024, "HU"
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = (phantom.ct.array[index].astype(int) + 1024).astype("<u2").tobytes()
        data.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def series(phantom, tmp_path_factory):
    return write_series(phantom, tmp_path_factory.mktemp("dicom") / "ct")


def places_of(dataset):
    """{z of the slice: mask [rows, columns]} of a segmentation, read with highdicom."""
    frames = dataset.pixel_array
    frames = frames[None] if frames.ndim == 2 else frames
    found = {}
    for item, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        z = float(item.PlanePositionSequence[0].ImagePositionPatient[2])
        found[round(z, 2)] = frame
    return found


@pytest.mark.parametrize("method", ["hu-threshold", "network", "given"])
def test_the_segmentation_holds_the_same_voxels_at_the_same_places(method, series, phantom, models, tmp_path):
    from BATNetLib.volume import write_volume

    given = None
    if method == "given":
        given = write_volume(phantom.adipose, tmp_path / "fat.nii.gz")
    inputs = CaseInputs(ct=series, adipose=given)
    options = quick(method="network" if method == "given" else method)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # remarks of libraries may quote the patient's name
        out = analyze_files(inputs, tmp_path / "out", options, models)
    facts = passport_of(out)
    assert "adipose.seg.dcm" in facts["files"]
    ct = read_volume(series)
    from BATNetLib.volume import read_mask

    mask = read_mask(out / "adipose.seg.nrrd", ct, name="adipose mask").array
    dataset = hd.seg.segread(out / "adipose.seg.dcm")
    found = places_of(dataset)
    assert len(found) == mask.any(axis=(1, 2)).sum(), "empty slices are left out"
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        z = ct.grid.points(np.array([[index, 0, 0]]))[0][2]
        np.testing.assert_array_equal(found[round(z, 2)], mask[index])
    segment = dataset.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == ("SEMIAUTOMATIC" if method == "given" else "AUTOMATIC")
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "55603005")
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "85756007"
    images = [pydicom.dcmread(path) for path in series.iterdir()]
    assert dataset.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    assert dataset.StudyInstanceUID == images[0].StudyInstanceUID
    assert dataset.SeriesInstanceUID != images[0].SeriesInstanceUID
    referred = {
        item.ReferencedSOPInstanceUID
        for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referred <= {str(image.SOPInstanceUID) for image in images}
    assert dataset.PatientID == "4711", "the standard requires it, so that the archive can file it"
    assert "MUSTERMANN" not in (out / "analysis.json").read_text(encoding="utf-8")


def test_it_is_left_out_on_request(series, models, tmp_path):
    out = analyze_files(CaseInputs(ct=series), tmp_path / "out", quick(dicom_seg=False), models)
    assert not (out / "adipose.seg.dcm").exists() and passport_of(out)["warnings"] == []


def test_interpolated_slices_get_none_and_a_word_why(phantom, models, tmp_path):
    folder = write_series(phantom, tmp_path / "gap", drop=5)
    out = analyze_files(CaseInputs(ct=folder, accept_gaps=True), tmp_path / "out", quick(), models)
    assert not (out / "adipose.seg.dcm").exists()
    assert {"gaps-resampled", "dicom-seg-skipped"} <= {w["code"] for w in passport_of(out)["warnings"]}


def test_without_highdicom_everything_else_is_written_and_a_warning_says_why(
    series, models, tmp_path, monkeypatch
):
    hide(monkeypatch, "highdicom")
    out = analyze_files(CaseInputs(ct=series), tmp_path / "out", quick(), models)
    facts = passport_of(out)
    assert "adipose.seg.nrrd" in facts["files"] and "adipose.seg.dcm" not in facts["files"]
    warning = next(w for w in facts["warnings"] if w["code"] == "dicom-seg-skipped")
    assert "pip install" in warning["text"]


def test_a_file_inside_the_dicom_folder_is_no_place_for_results(series, models):
    from BATNetLib.errors import UsageError

    before = sorted(p.name for p in series.iterdir())
    with pytest.raises(UsageError) as refusal:
        analyze_files(CaseInputs(ct=series), series / "out", quick(overrides=OVERRIDES), models)
    assert refusal.value.code == "output-in-input"
    assert sorted(p.name for p in series.iterdir()) == before

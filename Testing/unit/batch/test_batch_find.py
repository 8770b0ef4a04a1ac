"""Finding cases: layouts, names, duplicates, and what is passed over."""

import numpy as np
import pytest
from realdata import real_data

from BATNetLib.batch import find_cases
from BATNetLib.errors import UsageError


def names(found):
    return [case.name for case in found.cases]


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_searched_in_a_stable_order_that_reads_numbers_as_numbers(tmp_path, scan):
    for name in ("p10", "p2", "deep/er/p1"):
        scan(tmp_path / "study" / name / "ct.nii.gz")
    touch(tmp_path / "study" / "notes.txt", tmp_path / "study" / ".hidden" / "ct.nii.gz")
    assert names(find_cases([tmp_path / "study"])) == ["deep/er/p1", "p2", "p10"]


def test_the_authors_complete_ct_brings_its_lung_mask_and_its_fat_masks(tmp_path):
    folder = tmp_path / "study" / "17"
    touch(*(folder / f"{n}.nii.gz" for n in ("image", "lobe", "fat_mask", "brown_fat_mask", "other")))
    touch(folder / "ct_at_left_patch.nii.gz", folder / "ct_at_left_label.nii.gz")
    found = find_cases([tmp_path / "study"])
    (case,) = found.cases
    assert (case.name, case.kind) == ("17", "ct")
    assert {role: path.name for role, path in case.files.items()} == {
        "ct": "image.nii.gz",
        "lungs": "lobe.nii.gz",
        "adipose": "fat_mask.nii.gz",
        "brown": "brown_fat_mask.nii.gz",
    }
    assert [skipped.name for skipped in found.passed_over] == ["17/other.nii.gz"]


def test_a_fat_mask_that_merely_lies_there_is_used_only_when_asked_for(tmp_path):
    folder = tmp_path / "17"
    touch(*(folder / f"{n}.nii.gz" for n in ("image", "lobe", "fat_mask", "brown_fat_mask")))
    (case,) = find_cases([folder]).cases
    assert sorted(case.as_used(fat_masks=False).files) == ["ct", "lungs"]
    assert sorted(case.as_used(fat_masks=True).files) == ["adipose", "ct", "lungs"]


def test_ready_made_patches_are_a_case_and_one_side_alone_is_refused(tmp_path):
    touch(*(tmp_path / "study" / "both" / f"ct_at_{side}_patch.nii.gz" for side in ("left", "right")))
    touch(tmp_path / "study" / "half" / "ct_at_right_patch.nii.gz")
    both, half = find_cases([tmp_path / "study"]).cases
    assert both.kind == "patches"
    assert half.kind == "unusable"
    assert "ct_at_left_patch.nii.gz is missing" in half.refusal.found


def test_a_scan_takes_the_masks_beside_it_by_name_and_passes_over_the_rest(tmp_path):
    folder = tmp_path / "study" / "p1"
    touch(*(folder / name for name in ("ct.nrrd", "lungs.nrrd", "adipose.seg.nrrd", "muscle.nrrd")))
    found = find_cases([tmp_path / "study"])
    (case,) = found.cases
    assert {role: path.name for role, path in case.files.items()} == {
        "ct": "ct.nrrd",
        "lungs": "lungs.nrrd",
        "adipose": "adipose.seg.nrrd",
    }
    assert [skipped.name for skipped in found.passed_over] == ["p1/muscle.nrrd"]


def test_loose_scans_are_cases_of_their_own_and_keep_their_names_when_others_join(tmp_path):
    touch(tmp_path / "study" / "p1.nii.gz")
    assert names(find_cases([tmp_path / "study"])) == ["p1"]
    touch(tmp_path / "study" / "p2.mha", tmp_path / "study" / "p1_lungs.nii.gz")
    found = find_cases([tmp_path / "study"])
    assert names(found) == ["p1", "p2"]
    assert [(s.name, s.why) for s in found.passed_over] == [("study/p1_lungs.nii.gz", "named like a mask")]


def test_single_files_and_several_sources_make_one_list_without_duplicates(tmp_path):
    touch(tmp_path / "a" / "p1" / "ct.nii.gz", tmp_path / "b" / "p1" / "ct.nii.gz", tmp_path / "x.nrrd")
    found = find_cases([tmp_path / "a", tmp_path / "x.nrrd", tmp_path / "b", tmp_path / "a" / "p1"])
    assert names(found) == ["b/p1", "p1", "x"]
    assert [s.why for s in found.passed_over] == ["the same images were found before"]


def test_links_are_followed_once_and_round_trips_end(tmp_path):
    touch(tmp_path / "store" / "p1" / "ct.nii.gz")
    study = tmp_path / "study"
    study.mkdir()
    (study / "linked").symlink_to(tmp_path / "store" / "p1")
    (study / "again").symlink_to(tmp_path / "store" / "p1")
    (study / "round").symlink_to(study)
    assert names(find_cases([study])) == ["again"]


def test_former_results_are_no_inputs(tmp_path):
    touch(tmp_path / "study" / "p1" / "ct.nii.gz")
    for marker in ("analysis.json", "patch-analysis.json", "batch-settings.json"):
        touch(
            tmp_path / "study" / f"out-{marker}" / marker, tmp_path / "study" / f"out-{marker}" / "x.nii.gz"
        )
    assert names(find_cases([tmp_path / "study"])) == ["p1"]


def test_nothing_found_is_refused_and_says_what_was_passed_over(tmp_path):
    touch(tmp_path / "study" / "lobe_mask.nii.gz")
    with pytest.raises(UsageError, match="named like a mask") as caught:
        find_cases([tmp_path / "study"])
    assert caught.value.code == "nothing-found"
    with pytest.raises(UsageError) as caught:
        find_cases([tmp_path / "nowhere"])
    assert caught.value.code == "source-missing"


def write_series(
    folder, uid, count, *, modality="CT", orientation=(1, 0, 0, 0, 1, 0), image_type="AXIAL", start=0
):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid()
        image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", uid
        image.FrameOfReferenceUID, image.Modality, image.SeriesNumber = "1.2.4", modality, 1
        image.ImageType = ["ORIGINAL", "PRIMARY", image_type]
        image.PatientName = "Nobody^Known"
        image.Rows = image.Columns = 8
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = 16
        image.HighBit, image.PixelRepresentation = 15, 1
        image.PixelSpacing, image.SliceThickness = [2, 2], 3
        normal = np.cross(orientation[:3], orientation[3:])
        image.ImagePositionPatient = [float(v) for v in normal * 3 * index]
        image.ImageOrientationPatient = list(orientation)
        image.RescaleSlope, image.RescaleIntercept = 1, -1024
        image.PixelData = np.full((8, 8), index, np.int16).tobytes()
        pydicom.dcmwrite(
            folder / f"IM{uid[-3:].replace('.', '')}{index:04d}", image, enforce_file_format=True
        )


def test_every_axial_ct_series_of_a_dicom_tree_is_a_case_and_the_others_are_told(tmp_path):
    study = tmp_path / "export"
    touch(study / "DICOMDIR", study / "README")
    write_series(study / "PAT1" / "S1", "1.2.10.1", 20)
    write_series(study / "PAT1" / "S2", "1.2.10.2", 20)
    write_series(study / "PAT2", "1.2.10.3", 20)
    write_series(study / "PAT2", "1.2.10.4", 20)
    write_series(study / "PAT1" / "S3", "1.2.10.5", 20, modality="PT")
    write_series(study / "PAT1" / "S4", "1.2.10.6", 20, orientation=(1, 0, 0, 0, 0, -1))
    write_series(study / "PAT1" / "S5", "1.2.10.7", 2, image_type="LOCALIZER")
    write_series(study / "PAT1" / "S6", "1.2.10.8", 9)
    found = find_cases([study])
    assert names(found) == ["PAT1/S1", "PAT1/S2", "PAT2/series-1.2.10.3", "PAT2/series-1.2.10.4"]
    assert all(len(case.members) == 20 and case.series for case in found.cases)
    assert {skipped.name: skipped.why for skipped in found.passed_over} == {
        "PAT1/S3": "DICOM series: modality PT, not CT",
        "PAT1/S4": "DICOM series: slices are not axial",
        "PAT1/S5": "DICOM series: localizer",
        "PAT1/S6": "DICOM series: only 9 slices, at least 16 are wanted",
    }


def test_a_series_in_several_folders_is_one_case_and_a_copy_of_it_is_passed_over(tmp_path):
    write_series(tmp_path / "export" / "part1", "1.2.10.1", 10)
    write_series(tmp_path / "export" / "part2", "1.2.10.1", 10, start=10)
    write_series(tmp_path / "export" / "repeated", "1.2.10.1", 10)
    found = find_cases([tmp_path / "export"])
    (case,) = found.cases
    assert len(case.members) == 20
    assert case.files["ct"] == tmp_path / "export"
    assert [(s.name, s.why) for s in found.passed_over] == [
        ("repeated", "the same DICOM series was found before")
    ]


def test_one_dicom_file_stands_for_its_series(tmp_path):
    write_series(tmp_path / "s1", "1.2.10.1", 20)
    write_series(tmp_path / "s1", "1.2.10.2", 20)
    (case,) = find_cases([tmp_path / "s1" / "IM020003"]).cases
    assert (case.series, len(case.members)) == ("1.2.10.2", 20)


def test_the_real_dicom_folders_give_the_ct_and_tell_why_not_the_others():
    found = find_cases([real_data("dicom")])
    assert [(case.name, len(case.members)) for case in found.cases] == [("ct-series", 32)]
    assert {skipped.name: skipped.why for skipped in found.passed_over} == {
        "ct-jpeg-lossless": "DICOM series: only 12 slices, at least 16 are wanted",
        "pet-series": "DICOM series: modality PT, not CT",
    }

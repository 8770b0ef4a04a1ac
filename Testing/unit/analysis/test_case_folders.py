"""Which file of a folder is the scan: told by names where they leave no doubt, else not at all."""

import pytest

from BATNetLib.analysis import case_inputs
from BATNetLib.analysis.files import check_output
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.volume import read_volume


def folder_with(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"\0" * 128 + b"DICM" if name.startswith("IM") else b"")
    return folder


@pytest.mark.parametrize(
    ("names", "scan", "lungs"),
    [
        (["thorax.nrrd"], "thorax.nrrd", None),
        (["ct.nii.gz", "notes.txt", ".hidden.nii.gz"], "ct.nii.gz", None),
        (["ct.nii.gz", "lungs.nii.gz", "torso_fat.nii.gz"], "ct.nii.gz", "lungs.nii.gz"),
        (["ct-64.nrrd", "adipose.seg.nrrd", "Lungs.nrrd"], "ct-64.nrrd", "Lungs.nrrd"),
        (["image.nii.gz", "lobe.nii.gz", "fat_mask.nii.gz"], "image.nii.gz", "lobe.nii.gz"),
        (["image.nii.gz", "lobe.nii.gz", "older.nii.gz", "IM1"], "image.nii.gz", "lobe.nii.gz"),
        (["CT.mha", "localizer.mha"], "CT.mha", None),
    ],
)
def test_the_one_scan_of_a_folder_is_taken_with_its_lungs(names, scan, lungs, tmp_path):
    inputs = case_inputs(folder_with(tmp_path / "case", *names))
    assert inputs.ct.name == scan
    assert (inputs.lungs and inputs.lungs.name) == lungs
    assert inputs.adipose is None and inputs.brown is None


@pytest.mark.parametrize(
    "names",
    [
        ["a.nii.gz", "b.nii.gz"],
        ["ct.nii.gz", "ct.nrrd"],
        ["lungs.nii.gz"],
        ["thorax.nii.gz", "IM0001"],
        [],
    ],
)
def test_a_folder_that_leaves_a_doubt_is_left_to_the_reader_of_dicom(names, tmp_path):
    folder = folder_with(tmp_path / "case", *names)
    assert case_inputs(folder).ct == folder
    if "IM0001" not in names:
        with pytest.raises(InputRefused) as refusal:
            read_volume(folder)
        assert refusal.value.code == "no-images"


def test_lungs_of_ones_own_go_before_those_that_lie_there(tmp_path):
    folder = folder_with(tmp_path / "case", "ct.nii.gz", "lungs.nii.gz")
    assert case_inputs(folder, lungs=tmp_path / "mine.nrrd").lungs == tmp_path / "mine.nrrd"


def test_nothing_is_written_into_the_folder_that_was_given(tmp_path):
    folder = folder_with(tmp_path / "case", "thorax.nrrd")
    with pytest.raises(UsageError) as refusal:
        check_output(folder / "result", case_inputs(folder), replace=False)
    assert refusal.value.code == "output-in-input"
    check_output(tmp_path / "result", case_inputs(folder), replace=False)
    check_output(folder / "result", case_inputs(folder / "thorax.nrrd"), replace=False)

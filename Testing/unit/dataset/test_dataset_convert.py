"""From one layout to another: exact where it can be, and said in words where it cannot."""

import nibabel as nib
import numpy as np
import pytest
from trainingsets import SPACING, patient, write_png, write_scan

from BATNetLib.adipose.slabs import window_to_uint8
from BATNetLib.dataset.converting import convert
from BATNetLib.dataset.layouts import open_dataset
from BATNetLib.dataset.scans import read_scan
from BATNetLib.dataset.slices import approximate_hu, read_slices
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.volume import hash_voxels


def hashes(dataset):
    scan = read_scan(dataset.cases[0])
    return [hash_voxels(v) for v in (scan.ct, scan.adipose, scan.brown)]


def test_volumes_and_case_folders_there_and_back_lose_nothing(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    first = open_dataset(tmp_path / "a")
    assert convert(first, tmp_path / "b", "folders").lost == []
    convert(open_dataset(tmp_path / "b"), tmp_path / "c", "volumes")
    assert hashes(open_dataset(tmp_path / "b")) == hashes(first) == hashes(open_dataset(tmp_path / "c"))


def test_case_folders_hold_the_arrays_that_the_authors_programs_expect(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    convert(open_dataset(tmp_path / "a"), tmp_path / "b", "folders")
    for name, wanted in zip(("image", "fat_mask", "brown_fat_mask"), patient(), strict=True):
        image = nib.load(tmp_path / "b" / "p1" / f"{name}.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj), wanted)
        assert nib.aff2axcodes(image.affine) == ("I", "P", "L")


def test_slices_are_written_as_the_authors_read_them_after_the_loss_was_accepted(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    dataset = open_dataset(tmp_path / "a")
    with pytest.raises(InputRefused, match="-300 to 200") as caught:
        convert(dataset, tmp_path / "b", "slices")
    assert caught.value.code == "conversion-loses" and not (tmp_path / "b").exists()
    result = convert(dataset, tmp_path / "b", "slices", accept_loss=True)
    assert result.written == ["p1"] and result.lost
    folder = tmp_path / "b" / "seg_data" / "train" / "p1"
    assert len(list((folder / "data_png").iterdir())) == len(list((folder / "data_mask").iterdir())) == 12
    images, masks = read_slices(open_dataset(tmp_path / "b").cases[0])
    ct, fat, _ = patient()
    assert np.array_equal(images, window_to_uint8(ct)) and np.array_equal(masks, fat)


def test_slices_become_volumes_only_with_a_spacing_and_an_accepted_loss(tmp_path):
    write_png(tmp_path / "a" / "p1")
    dataset = open_dataset(tmp_path / "a")
    with pytest.raises(InputRefused, match="shows air"):
        convert(dataset, tmp_path / "b", "volumes", spacing=SPACING)
    with pytest.raises(InputRefused, match="how large a voxel is"):
        convert(dataset, tmp_path / "b", "volumes", accept_loss=True)
    convert(dataset, tmp_path / "b", "volumes", accept_loss=True, spacing=SPACING)
    scan = read_scan(open_dataset(tmp_path / "b").cases[0])
    ct, fat, _ = patient()
    assert scan.ct.spacing == pytest.approx(SPACING) and np.array_equal(scan.adipose.array, fat)
    assert np.abs(scan.ct.array - np.clip(ct, -300, 200)).max() <= 2


def test_hu_of_a_slice_window_back_to_the_same_grey():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(window_to_uint8(approximate_hu(grey)), grey)


def test_patients_centres_and_splits_travel_along_and_inputs_stay_as_they_are(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    (tmp_path / "a" / "manifest.csv").write_text("case_id,patient,centre,split\np1,Q,Lund,test\n")
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    convert(open_dataset(tmp_path / "a"), tmp_path / "b", "folders")
    (case,) = open_dataset(tmp_path / "b").cases
    assert (case.patient, case.centre, case.split) == ("Q", "Lund", "test")
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before


def test_a_layout_or_a_place_that_cannot_be_is_refused(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    dataset = open_dataset(tmp_path / "a")
    with pytest.raises(UsageError, match="layout"):
        convert(dataset, tmp_path / "b", "patches")
    (tmp_path / "b").mkdir()
    with pytest.raises(UsageError, match="exists"):
        convert(dataset, tmp_path / "b", "folders")


def test_inputs_are_never_replaced_even_when_asked_to(tmp_path):
    write_scan(tmp_path / "a" / "p1")
    for place in (tmp_path / "a", tmp_path / "a" / "p1"):
        with pytest.raises(UsageError) as caught:
            convert(open_dataset(tmp_path / "a"), place, "folders", replace_out=True)
        assert caught.value.code == "output-is-input"
    assert len(list((tmp_path / "a" / "p1").iterdir())) == 3

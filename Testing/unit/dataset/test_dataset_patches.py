"""Patches prepared offline: labels keep -1, and what they were made from is never taken on trust."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from trainingsets import patient, volume, write_scan

from BATNetLib.brown.patches import IGNORED, extract_patches
from BATNetLib.dataset import patchfiles
from BATNetLib.dataset.checking import check
from BATNetLib.dataset.layouts import open_dataset
from BATNetLib.dataset.patchfiles import NOTE_FILE, load_patches, read_labels, read_note, stale
from BATNetLib.dataset.prepare import prepare_patches, with_patches
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.volume import write_volume

#: So little brown fat that some patches are ignored.
SHARE = 0.02


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A case and its patches, to be copied."""
    place = tmp_path_factory.mktemp("made")
    write_scan(place / "data" / "a", share=SHARE)
    prepare_patches(open_dataset(place / "data"), place / "out")
    return place


@pytest.fixture
def prepared(made, tmp_path):
    """A data set of one case, and the folder of its patches."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return open_dataset(tmp_path / "data"), tmp_path / "out" / "a"


def test_patches_come_back_as_they_were_cut_and_labels_keep_their_minus_one(prepared):
    dataset, folder = prepared
    wanted = extract_patches(*patient(share=SHARE))
    found = load_patches(folder, dataset.cases[0])
    assert np.array_equal(found.left, wanted.left) and np.array_equal(found.right, wanted.right)
    assert found.left_labels.dtype == np.int8
    assert np.array_equal(found.left_labels, wanted.left_labels) and IGNORED in found.left_labels
    assert np.array_equal(found.right_labels, wanted.right_labels)
    note = read_note(folder)
    assert sorted(note["made_from"]) == ["adipose", "brown", "ct"] and "/" not in json.dumps(note)


def test_fresh_patches_are_kept_and_stale_ones_are_made_again(prepared):
    dataset, folder = prepared
    case = dataset.cases[0]
    again = prepare_patches(dataset, folder.parent)
    assert again.kept == ["a"] and not again.made
    write_volume(volume(patient(share=0.3)[2]), case.files["brown"])
    with pytest.raises(InputRefused, match="voxels of brown have changed") as caught:
        load_patches(folder, case)
    assert caught.value.code == "patches-stale"
    assert len(load_patches(folder, case, accept_stale=True).left) == 16
    report = check(with_patches(dataset, folder.parent))
    assert [f.code for f in report.findings if f.level == "block"] == ["patches-stale"]
    again = prepare_patches(dataset, folder.parent)
    assert "brown" in again.made["a"] and stale(folder, case) is None
    assert (load_patches(folder, case).left_labels == 1).any()


def test_a_source_that_was_only_written_again_is_not_stale(prepared):
    dataset, folder = prepared
    case = dataset.cases[0]
    before = case.files["ct"].read_bytes()
    image = nib.load(case.files["ct"])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj).astype(np.float32), image.affine), case.files["ct"])
    assert case.files["ct"].read_bytes() != before
    assert stale(folder, case) is None


def test_a_new_lung_mask_makes_patches_stale(prepared):
    dataset, folder = prepared
    write_volume(
        volume((patient()[0] > 0).astype(np.uint8)), dataset.cases[0].files["ct"].with_name("lungs.nii.gz")
    )
    (case,) = open_dataset(folder.parent.parent / "data").cases
    assert "other parts of the case (lungs)" in stale(folder, case)


def test_scans_whose_patches_are_not_there_yet_are_named(prepared, tmp_path):
    write_scan(tmp_path / "data" / "b", seed=3)
    report = check(with_patches(open_dataset(tmp_path / "data"), tmp_path / "out"))
    assert {f.code: f.cases for f in report.findings}["patches-missing"] == ("b",)


def test_patches_of_other_rules_are_stale(prepared, monkeypatch):
    monkeypatch.setitem(patchfiles.GEOMETRY, "version", 99)
    with pytest.raises(InputRefused, match="other rules"):
        load_patches(prepared[1])


def test_a_changed_patch_file_is_found_without_the_scan(prepared):
    _, folder = prepared
    label = folder / "ct_at_left_label.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(16, np.int8), np.eye(4)), label)
    with pytest.raises(InputRefused, match="has changed since it was made"):
        load_patches(folder)


def test_patches_without_a_note_are_refused_unless_asked_for(prepared):
    _, folder = prepared
    (folder / NOTE_FILE).unlink()
    with pytest.raises(InputRefused, match="Nothing says"):
        load_patches(folder)
    codes = {f.code: f.level for f in check(open_dataset(folder.parent)).findings}
    assert codes == {"patches-untraced": "warn"}


def test_labels_kept_as_uint8_are_named_and_never_turn_a_case_positive(prepared):
    _, folder = prepared
    for side in ("left", "right"):
        path = folder / f"ct_at_{side}_label.nii.gz"
        lost = np.asarray(nib.load(path).dataobj).astype(np.uint8)
        nib.save(nib.Nifti1Image(lost, np.eye(4)), path)
    (folder / NOTE_FILE).unlink()
    report = check(open_dataset(folder.parent))
    found = {f.code: f for f in report.findings}["labels-uint8"]
    assert found.level == "block" and "255" in found.text and "-1" in found.text
    assert report.facts[0].brown is None
    with pytest.raises(InputRefused, match="255"):
        load_patches(folder, accept_stale=True)
    repaired = read_labels(folder / "ct_at_left_label.nii.gz", repair=True)
    assert repaired.dtype == np.int8 and (repaired == -1).any()


def test_other_labels_are_refused(tmp_path):
    for values, code in ((np.full(16, 7, np.int8), "labels-values"), (np.zeros(3, np.int8), "labels-shape")):
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "l.nii.gz")
        with pytest.raises(InputRefused) as caught:
            read_labels(tmp_path / "l.nii.gz")
        assert caught.value.code == code


def test_half_precision_is_close_smaller_and_told(prepared, tmp_path):
    dataset, folder = prepared
    before = (folder / "ct_at_left_patch.nii.gz").stat().st_size
    exact = load_patches(folder).left
    made = prepare_patches(dataset, folder.parent, precision="float16").made
    assert "precision" in made["a"] and read_note(folder)["precision"] == "float16"
    assert np.abs(load_patches(folder).left - exact).max() * 400 <= 0.05
    assert (folder / "ct_at_left_patch.nii.gz").stat().st_size < before
    with pytest.raises(UsageError):
        prepare_patches(dataset, tmp_path / "x", precision="float8")


def test_a_case_that_cannot_be_cut_is_refused_by_name_and_the_others_go_on(tmp_path):
    write_scan(tmp_path / "data" / "bad", names=("ct", "adipose", None))
    write_scan(tmp_path / "data" / "good", seed=1)
    (tmp_path / "data" / "manifest.csv").write_text("case_id,patient,centre\nbad,P1,X\ngood,P2,Y\n")
    result = prepare_patches(open_dataset(tmp_path / "data"), tmp_path / "out")
    assert result.refused["bad"].code == "brown-missing" and list(result.made) == ["good"]
    (case,) = open_dataset(tmp_path / "out").cases
    assert (case.case, case.patient, case.centre, case.layout) == ("good", "P2", "Y", "patches")


def test_folders_that_hold_anything_else_are_never_replaced(prepared, tmp_path):
    dataset, folder = prepared
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        prepare_patches(dataset, folder.parent, again=True)
    assert caught.value.code == "output-not-patches" and (folder / "notes.txt").exists()
    with pytest.raises(UsageError) as caught:
        prepare_patches(dataset, tmp_path / "data", again=True)
    assert caught.value.code == "output-is-input"
    assert sorted(p.name for p in (tmp_path / "data" / "a").iterdir()) == [
        "adipose.nii.gz",
        "brown.nii.gz",
        "ct.nii.gz",
    ]


def test_patches_of_one_scan_over_two_masks_are_the_same_images(prepared, tmp_path):
    write_scan(tmp_path / "data" / "b", adipose=np.roll(patient()[1], 2, axis=2), share=SHARE)
    prepare_patches(open_dataset(tmp_path / "data"), tmp_path / "out")
    report = check(open_dataset(tmp_path / "out"))
    (found,) = (f for f in report.findings if f.level == "block")
    assert found.code == "duplicate-pixels" and found.cases == ("a", "b")
    for note in (tmp_path / "out").rglob(NOTE_FILE):
        note.unlink()
    assert "duplicate-pixels" not in {f.code for f in check(open_dataset(tmp_path / "out")).findings}

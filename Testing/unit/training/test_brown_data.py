"""Labelled patches for stage 2: whose they are, whether they are fresh, and what becomes of labels."""

import nibabel as nib
import numpy as np
import pytest
from brownsets import Heard, arrays, cohort, write_case

from BATNetLib.brown.patches import extract_patches
from BATNetLib.dataset import open_dataset, prepare_patches
from BATNetLib.dataset.layouts import LEFT_LABEL, RIGHT_LABEL
from BATNetLib.dataset.patchfiles import NOTE_FILE
from BATNetLib.errors import InputRefused
from BATNetLib.training.brown_data import PatchMemory, labelled_cases


def names(dataset):
    return [case.case for case in dataset.cases]


def test_scans_with_masks_become_labelled_patches(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5))
    events = Heard()
    none, some = labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    assert (none.label, some.label) == (0, 1)
    assert not none.labels.any()
    values = arrays(1, 0.5)
    true = extract_patches(*(values[n] for n in ("image", "fat_mask", "brown_fat_mask", "lobe")))
    found = PatchMemory().read(some)
    assert np.array_equal(found.ct, np.concatenate([true.left, true.right])[:, 0])
    assert np.array_equal(found.mask, np.concatenate([true.left, true.right])[:, 1] > 0)
    assert np.array_equal(some.labels, np.concatenate([true.left_labels, true.right_labels]))
    # Brown fat lies on high columns, which the authors call the right side: the second 16 patches.
    assert not (some.labels[:16] == 1).any()
    assert (some.labels[16:] == 1).any()
    assert events.codes == []


def test_ignored_patches_keep_their_minus_one_on_disk_and_back(tmp_path):
    dataset = cohort(tmp_path / "data", (0.05,))
    (case,) = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert (case.labels == -1).any()
    assert case.label == 0
    (again,) = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert np.array_equal(case.labels, again.labels)


def test_nothing_is_written_into_the_data(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5), without=("lobe",))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*")}
    labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*")} == before


def test_fresh_patches_are_kept_and_stale_ones_made_again(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5))
    first = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    made = {case.case: (case.folder / NOTE_FILE).stat().st_mtime_ns for case in first}
    # The mask of one case loses its brown fat.
    write_case(tmp_path / "data" / "p1", 1, 0.0)
    events = Heard()
    second = labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    now = {case.case: (case.folder / NOTE_FILE).stat().st_mtime_ns for case in second}
    assert now["p0"] == made["p0"]
    assert now["p1"] != made["p1"]
    assert [case.label for case in second] == [0, 0]
    assert events.codes == ["patches-stale"]


def test_stale_patches_beside_a_scan_are_not_used(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5))
    prepare_patches(dataset, tmp_path / "patches")
    for case in ("p0", "p1"):
        for file in (tmp_path / "patches" / case).iterdir():
            (tmp_path / "data" / case / file.name).write_bytes(file.read_bytes())
    dataset = open_dataset(tmp_path / "data")
    found = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert [case.folder.parent for case in found] == [tmp_path / "data"] * 2
    write_case(tmp_path / "data" / "p1", 1, 0.0)
    found = labelled_cases(open_dataset(tmp_path / "data"), names(dataset), tmp_path / "cache", Heard())
    assert found[0].folder.parent == tmp_path / "data"
    assert found[1].folder.parent != tmp_path / "data"
    assert found[1].label == 0


def test_prepared_patches_are_trained_on_without_their_scans(tmp_path):
    prepare_patches(cohort(tmp_path / "data", (0.0, 0.5)), tmp_path / "patches")
    dataset = open_dataset(tmp_path / "patches")
    events = Heard()
    found = labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    assert [case.label for case in found] == [0, 1]
    assert events.codes == []


def test_prepared_patches_that_were_changed_are_refused_by_name(tmp_path):
    prepare_patches(cohort(tmp_path / "data", (0.0, 0.5)), tmp_path / "patches")
    changed = np.ones(16, np.int8)
    nib.save(nib.Nifti1Image(changed, np.eye(4)), tmp_path / "patches" / "p0" / RIGHT_LABEL)
    dataset = open_dataset(tmp_path / "patches")
    with pytest.raises(InputRefused, match=r"p0.*has changed") as caught:
        labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert caught.value.code == "cases-refused"


def test_labels_of_the_published_code_are_read_as_the_minus_one_they_were(tmp_path):
    prepare_patches(cohort(tmp_path / "data", (0.05,)), tmp_path / "patches")
    folder = tmp_path / "patches" / "p0"
    (folder / NOTE_FILE).unlink()
    for name in (LEFT_LABEL, RIGHT_LABEL):
        labels = np.asarray(nib.load(folder / name).dataobj).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, np.eye(4)), folder / name)
    dataset = open_dataset(tmp_path / "patches")
    events = Heard()
    (case,) = labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    assert (case.labels == -1).any()
    assert case.label == 0
    assert events.codes == ["patches-unproved"]


def test_a_case_without_a_brown_fat_mask_is_left_out_with_a_warning(tmp_path):
    cohort(tmp_path / "data", (0.0, 0.5))
    (tmp_path / "data" / "p0" / "brown_fat_mask.nii.gz").unlink()
    dataset = open_dataset(tmp_path / "data")
    events = Heard()
    assert [c.case for c in labelled_cases(dataset, names(dataset), tmp_path / "c", events)] == ["p1"]
    assert events.codes == ["cases-without-brown"]


def test_a_case_that_cannot_be_read_stops_the_training_by_name(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5))
    (tmp_path / "data" / "p1" / "fat_mask.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputRefused) as caught:
        labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    assert caught.value.code == "cases-refused"
    assert "p1" in caught.value.found
    assert str(tmp_path) not in str(caught.value)


def test_a_scan_without_lungs_goes_without_a_cut_and_says_so(tmp_path):
    dataset = cohort(tmp_path / "data", (0.5,), without=("lobe",))
    events = Heard()
    (case,) = labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    assert events.codes == ["lungs-not-found"]
    values = arrays(0, 0.5)
    whole = extract_patches(*(values[n] for n in ("image", "fat_mask", "brown_fat_mask")))
    assert np.array_equal(PatchMemory().read(case).ct[:16], whole.left[:, 0])


def test_prepared_patches_without_a_cut_are_told(tmp_path):
    prepare_patches(cohort(tmp_path / "data", (0.0, 0.5), without=("lobe",)), tmp_path / "patches")
    dataset = open_dataset(tmp_path / "patches")
    events = Heard()
    labelled_cases(dataset, names(dataset), tmp_path / "cache", events)
    assert events.codes == ["patches-uncut"]


def test_memory_holds_no_more_than_allowed(tmp_path):
    dataset = cohort(tmp_path / "data", (0.0, 0.5))
    first, second = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    memory = PatchMemory(limit=6_000_000)
    assert memory.read(first) is memory.read(first)
    assert memory.read(second) is not memory.read(second)
    assert np.array_equal(memory.read(second).ct, PatchMemory().read(second).ct)


def test_half_precision_patches_stay_small_in_memory_with_the_same_numbers(tmp_path):
    prepare_patches(cohort(tmp_path / "data", (0.5,)), tmp_path / "patches", precision="float16")
    dataset = open_dataset(tmp_path / "patches")
    (case,) = labelled_cases(dataset, names(dataset), tmp_path / "cache", Heard())
    held = PatchMemory().read(case).ct
    file = np.asarray(nib.load(case.folder / "ct_at_left_patch.nii.gz").dataobj, np.float32)
    assert held.dtype == np.float16
    assert np.array_equal(held[:16].astype(np.float32), file[:, 0])

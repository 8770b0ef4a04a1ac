"""What is found as training data, and how it is named."""

import json

import pytest
from trainingsets import write_png, write_scan

from BATNetLib.dataset.layouts import open_dataset
from BATNetLib.dataset.manifest import write_manifest
from BATNetLib.errors import UsageError


def by_name(dataset):
    return {case.case: case for case in dataset.cases}


def test_a_folder_per_scan_is_found_with_its_masks(tmp_path):
    write_scan(tmp_path / "a")
    write_scan(tmp_path / "b", ending=".nrrd")
    cases = by_name(open_dataset(tmp_path))
    assert list(cases) == ["a", "b"]
    assert all(sorted(case.files) == ["adipose", "brown", "ct"] for case in cases.values())
    assert all(case.layout == "volumes" for case in cases.values())


def test_the_authors_case_folders_are_found_with_their_patches(tmp_path):
    folder = write_scan(tmp_path / "7", names=("image", "fat_mask", "brown_fat_mask"))
    (folder / "image.nii.gz").with_name("lobe.nii.gz").write_bytes((folder / "image.nii.gz").read_bytes())
    (folder / "ct_at_left_patch.nii.gz").write_bytes(b"")
    (case,) = open_dataset(tmp_path).cases
    assert case.layout == "folders" and case.case == "7"
    assert sorted(case.files) == ["adipose", "brown", "ct", "left", "lungs"]


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("images/a.nii.gz", "labels/a.nii.gz"),
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        ("images/a.nrrd", "masks/a.nii.gz"),
        ("a.nii.gz", "a_mask.nii.gz"),
        ("a.nii.gz", "a_adipose.nii.gz"),
    ],
)
def test_pairs_are_found_by_their_names(tmp_path, scan, mask):
    # A second pair keeps the first from being the only scan of its folder.
    for name in ("a", "b"):
        for path in (scan, mask):
            file = tmp_path / path.replace("a_0000", f"{name}_0000").replace("a.", f"{name}.").replace(
                "a_m", f"{name}_m"
            ).replace("a_a", f"{name}_a")
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"x")
    dataset = open_dataset(tmp_path)
    assert list(by_name(dataset)) == ["a", "b"]
    assert all(sorted(case.files) == ["adipose", "ct"] for case in dataset.cases)
    assert dataset.passed_over == ()


def test_a_mask_called_label_is_what_the_caller_says(tmp_path):
    for path in ("images/a.nii.gz", "labels/a.nii.gz"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    assert "brown" in open_dataset(tmp_path, mask_role="brown").cases[0].files
    assert "adipose" in open_dataset(tmp_path).cases[0].files


def test_a_mask_without_a_scan_is_told(tmp_path):
    for path in ("images/a.nii.gz", "labels/a.nii.gz", "labels/b.nii.gz"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    dataset = open_dataset(tmp_path)
    assert [case.case for case in dataset.cases] == ["a"]
    assert [(e.name, e.why) for e in dataset.passed_over] == [
        ("labels/b", "a mask without a scan of its own")
    ]


def test_png_slices_are_found_with_their_split(tmp_path):
    for split in ("train", "val"):
        write_png(tmp_path / "seg_data" / split / f"case-{split}")
    cases = open_dataset(tmp_path / "seg_data").cases
    assert [(c.case, c.patient, c.split, c.layout) for c in cases] == [
        ("train/case-train", "case-train", "train", "slices"),
        ("val/case-val", "case-val", "validation", "slices"),
    ]


def test_the_same_name_below_two_splits_is_one_patient(tmp_path):
    for split in ("train", "test"):
        write_scan(tmp_path / split / "p1", seed=len(split))
    dataset = open_dataset(tmp_path)
    assert {case.split for case in dataset.cases} == {"train", "test"}
    assert list(dataset.patients()) == ["p1"]


def test_a_pattern_says_the_patient(tmp_path):
    for name in ("P1_before", "P1_after", "P2_before"):
        write_scan(tmp_path / name)
    dataset = open_dataset(tmp_path, patient_pattern="^(P[0-9]+)_")
    assert {p: len(cases) for p, cases in dataset.patients().items()} == {"P1": 2, "P2": 1}
    assert dataset.patients_known
    with pytest.raises(UsageError, match="cannot be read"):
        open_dataset(tmp_path, patient_pattern="(")


def test_a_manifest_names_patients_centres_splits_and_files(tmp_path):
    write_scan(tmp_path / "x", names=("scan", "m1", "m2"))
    write_scan(tmp_path / "y")
    (tmp_path / "list.csv").write_text(
        "case_id;patient;centre;split;ct;adipose;brown\n"
        "one;P1;Lund;train;x/scan.nii.gz;x/m1.nii.gz;x/m2.nii.gz\n"
        "y;P2;;test;;;\n"
        "gone;P3;;;gone.nii.gz;;\n"
    )
    one, y, gone = open_dataset(tmp_path / "list.csv").cases
    assert (one.patient, one.centre, one.split) == ("P1", "Lund", "train")
    assert one.files["adipose"].name == "m1.nii.gz" and one.files["brown"].name == "m2.nii.gz"
    assert (y.patient, y.split, sorted(y.files)) == ("P2", "test", ["adipose", "brown", "ct"])
    assert gone.refusal.code == "file-missing"


def test_a_json_manifest_is_read_like_a_csv(tmp_path):
    write_scan(tmp_path / "x")
    write_png(tmp_path / "p")
    rows = [
        {"case_id": "one", "patient": "P1", "ct": "x/ct.nii.gz", "adipose": "x/adipose.nii.gz"},
        {"case_id": "two", "patient": 17, "slices": "p/data_png", "slice_masks": "p/data_mask"},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"cases": rows}))
    one, two = open_dataset(tmp_path).cases
    assert one.layout == "volumes" and (two.layout, two.patient) == ("slices", "17")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("case_id,patient\na,1\na,2\n", "duplicate-case-id"),
        ("name,patient\na,1\n", "list-columns"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path, text, code):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(UsageError) as caught:
        open_dataset(tmp_path)
    assert caught.value.code == code and str(tmp_path) not in str(caught.value)


def test_a_json_that_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "m.json").write_text('{"a": 1}')
    with pytest.raises(UsageError, match="no manifest"):
        open_dataset(tmp_path / "m.json")


def test_a_written_manifest_reads_back_the_same(tmp_path):
    write_scan(tmp_path / "data" / "train" / "a")
    write_png(tmp_path / "data" / "test" / "b")
    before = open_dataset(tmp_path / "data")
    write_manifest(before, tmp_path / "list.csv")
    after = open_dataset(tmp_path / "list.csv")

    def plain(dataset):
        files = [{r: p.resolve() for r, p in case.files.items()} for case in dataset.cases]
        return [(c.case, c.patient, c.split, c.layout) for c in dataset.cases], files

    names, files = plain(before)
    assert sorted(names[0:2]) == sorted(plain(after)[0]) and after.digest() == before.digest()
    assert sorted(map(str, files)) == sorted(map(str, plain(after)[1]))


def test_an_empty_folder_is_refused_in_words(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_dataset(tmp_path)
    assert caught.value.code == "nothing-found" and str(tmp_path) not in str(caught.value)


def test_a_split_named_in_short_is_the_same_split(tmp_path):
    write_scan(tmp_path / "a")
    (tmp_path / "manifest.csv").write_text("case_id,patient,split\na,a,VAL\n")
    dataset = open_dataset(tmp_path)
    assert dataset.cases[0].split == "validation" and dataset.patients_known


def test_public_names_are_found_and_are_what_they_say():
    import BATNetLib.dataset as package

    for name in package.__all__:
        found = getattr(package, name)
        assert callable(found) and found.__name__ == name

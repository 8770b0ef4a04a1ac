"""CSV lists: what they may look like, and what is said where they are wrong."""

import pytest

from BATNetLib.batch import find_cases
from BATNetLib.errors import UsageError


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def data(tmp_path, scan):
    for name in ("p1", "p2", "Müller"):
        scan(tmp_path / "data" / name / "ct.nii.gz")
    return tmp_path / "data"


def cases_of(path, **options):
    return {case.name: case for case in find_cases([path], **options).cases}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("case_id\np1\np2\nMüller\n", "utf-8"),
        ("\ufeffcase_id\r\np1\r\np2\r\nMüller\r\n", "utf-8"),
        ("\ufeffcase_id\np1\np2\nMüller\n", "utf-16-le"),
        ("Case_ID ; note\np1;x\np2;\n\nMüller;\n;;\n", "utf-8"),
        ("note\tcase_id\nx\tp1\ny\tp2\nz\tMüller\n", "utf-8"),
        ('"case_id","note"\n"p1","a, b"\n"p2",""\n"Müller",""\n', "utf-8"),
        ("case_id\np1\np2\nMüller\n", "cp1252"),
    ],
    ids=["plain", "mark and crlf", "utf-16", "semicolons", "tabs", "quoted", "windows-1252"],
)
def test_lists_as_people_save_them_are_read(data, text, encoding):
    assert list(cases_of(write(data / "list.csv", text, encoding))) == ["Müller", "p1", "p2"]


def test_entries_start_from_the_root_or_the_list_or_are_absolute(tmp_path, data):
    path = write(tmp_path / "list.csv", f"case_id\np1\n{data / 'p2'}\n")
    cases = cases_of(path, root=data)
    assert [case.files["ct"] for case in cases.values()] == [data / n / "ct.nii.gz" for n in ("p1", "p2")]
    assert list(cases) == ["p1", "p2"]


def test_columns_name_files_relative_to_the_case_the_root_or_the_list(data, scan):
    scan(data / "masks" / "l1.nii.gz")
    scan(data / "p2" / "my-lungs.nii.gz")
    path = write(
        data / "list.csv",
        "case_id,ct,lungs,adipose,series,axes\n"
        "first,p1/ct.nii.gz,masks/l1.nii.gz,,,zyx\n"
        "p2,,my-lungs.nii.gz,masks/l1.nii.gz,,\n",
    )
    cases = cases_of(path)
    assert cases["first"].axes == "zyx"
    assert cases["first"].files["lungs"] == data / "masks" / "l1.nii.gz"
    assert cases["p2"].files["lungs"] == data / "p2" / "my-lungs.nii.gz"
    assert "adipose" in cases["p2"].as_used(fat_masks=False).files, "a list that names a fat mask means it"


def test_what_is_not_there_becomes_a_refused_case_never_a_missing_one(data):
    (data / "empty").mkdir()
    path = write(
        data / "list.csv",
        "case_id,ct,axes\np1,,\ngone,,\nnamed,nowhere.nii.gz,\nempty,,\nodd,p1/ct.nii.gz,xyz\n,p1/ct.nii.gz,\n",
    )
    cases = cases_of(path)
    assert {name: case.refusal.code for name, case in cases.items() if case.refusal} == {
        "gone": "case-missing",
        "named": "file-missing",
        "empty": "nothing-to-analyse",
        "odd": "axes-unknown",
        "row 7": "case-id-empty",
    }
    assert cases["p1"].refusal is None


def test_a_list_without_the_column_names_the_columns_it_has(data):
    with pytest.raises(UsageError, match="'patient', 'age'") as caught:
        find_cases([write(data / "list.csv", "patient,age\np1,3\n")])
    assert caught.value.code == "list-columns"
    assert "case_id" in caught.value.wanted
    with pytest.raises(UsageError, match="no columns at all"):
        find_cases([write(data / "list.csv", "")])
    with pytest.raises(UsageError, match="twice"):
        find_cases([write(data / "list.csv", "case_id,case_id\np1,p2\n")])


def test_a_repeated_row_counts_once_and_a_contradicting_one_is_refused(data):
    found = find_cases([write(data / "list.csv", "case_id\np1\np1\n")])
    assert [case.name for case in found.cases] == ["p1"]
    assert found.passed_over[0].why == "a row of the list repeats another"
    with pytest.raises(UsageError, match="Rows 2 and 3") as caught:
        find_cases([write(data / "list.csv", "case_id,ct\np1,p1/ct.nii.gz\np1,p2/ct.nii.gz\n")])
    assert caught.value.code == "duplicate-case-id"


def test_a_missing_list_is_refused(tmp_path):
    with pytest.raises(UsageError) as caught:
        find_cases([tmp_path / "list.csv"])
    assert caught.value.code == "source-missing"

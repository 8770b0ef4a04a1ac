"""Pseudonyms and their key, kept names, cells and texts without names."""

import os
import stat
from pathlib import Path

import pytest

from BATNetLib.batch.cases import Case, natural
from BATNetLib.batch.names import kept_names, key_file_of, pseudonyms, read_key
from BATNetLib.batch.words import plain_cell, private_words, safe_cell, without_names
from BATNetLib.errors import UsageError


def cases(*names):
    return [Case(name, "ct", {"ct": f"/data/{name}/ct.nii.gz"}) for name in names]


def test_numbers_stay_when_cases_come_and_go_and_new_ones_count_on(tmp_path):
    key = tmp_path / "out-key.csv"
    first = pseudonyms(cases("a", "b", "c"), key)
    assert sorted(first.values()) == ["case-0001", "case-0002", "case-0003"]
    second = pseudonyms(cases("0", "c", "a"), key)
    assert second == {"0": "case-0004", "c": first["c"], "a": first["a"]}
    assert set(read_key(key)) == {f"case-000{n}" for n in range(1, 5)}


def test_numbers_do_not_follow_the_alphabet(tmp_path):
    names = [f"n{i:03d}" for i in range(200)]
    ids = pseudonyms(cases(*names), tmp_path / "key.csv")
    assert [ids[name] for name in names] != sorted(ids.values())


def test_the_key_is_for_its_owner_only_lies_outside_and_leads_back(tmp_path):
    key = key_file_of(tmp_path / "results")
    assert key == tmp_path / "results-key.csv"
    pseudonyms(cases("=evil", "Müller, Jörg"), key)
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(read_key(key).values()) == [
        ("=evil", "/data/=evil/ct.nii.gz"),
        ("Müller, Jörg", "/data/Müller, Jörg/ct.nii.gz"),
    ]
    assert "\n=evil" not in key.read_text(encoding="utf-8") and ",=evil" not in key.read_text(
        encoding="utf-8"
    )


def test_a_file_that_is_no_key_is_refused(tmp_path):
    key = tmp_path / "key.csv"
    key.write_text("something,else\n1,2\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        pseudonyms(cases("a"), key)
    assert caught.value.code == "key-unreadable"


def test_kept_names_are_folders_that_every_system_accepts_and_unique():
    names = ["a/b", "a_b", "A_B", "con", "x:y?", "..", "long" * 60, "Müller"]
    ids = kept_names(cases(*names))
    assert ids["a/b"] == "a_b"
    assert ids["Müller"] == "Müller"
    folded = [case_id.casefold() for case_id in ids.values()]
    assert len(set(folded)) == len(names)
    assert all(case_id.strip(" .") == case_id and len(case_id.encode()) <= 90 for case_id in ids.values())
    assert not any(set(case_id) & set('/\\:*?"<>|') for case_id in ids.values())
    assert ids["con"] != "con"


def test_no_cell_is_a_formula_and_numbers_stay_numbers():
    for text in ("=1+1", "+1", "-1", "@x", "\tx"):
        assert safe_cell(text) == "'" + text
        assert plain_cell(safe_cell(text)) == text
    assert safe_cell(-1.5) == -1.5
    assert safe_cell("two\nlines") == "two lines"
    assert plain_cell("'quoted'") == "'quoted'"


def test_texts_lose_the_names_of_patients_and_every_folder():
    case = cases("ward 3/Doe_John")[0]
    words = private_words(case.name, [Path(p) for p in case.files.values()])
    text = without_names(
        "Doe_John: /data/ward 3/Doe_John/ct.nii.gz and C:\\Users\\me\\x.nii fail; ct.nii.gz is empty.",
        words,
        "case-0001",
    )
    assert "Doe" not in text and "ward 3" not in text and "Users" not in text and "/data" not in text
    assert "ct.nii.gz is empty." in text


def test_a_sentence_stays_one_where_a_folder_is_called_like_its_words():
    words = private_words("in/empty", [Path("/home/Kim/in/empty.nii.gz")])
    sentence = "empty.nii.gz is empty (0 bytes), in 100 % of the slices."
    assert without_names(sentence, words, "case-0001") == sentence
    # A name in capital letters goes, also where it is a word.
    assert "In" not in without_names("In lies there.", private_words("In", []), "case-0001")


def test_ids_sort_as_people_count():
    assert sorted(["case-10000", "case-2", "case-0003"], key=natural) == ["case-2", "case-0003", "case-10000"]

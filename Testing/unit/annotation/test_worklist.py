"""Work lists: order, filters, steps, standing, PET, blinding, and what it costs to open one."""

import json
import os

import numpy as np
import pytest
from annotationcases import ct_on, mask_of

from BATNetLib.annotation import (
    CaseLock,
    Record,
    Store,
    WorkItem,
    export_manifest,
    index,
    open_worklist,
    versions,
    worklist_of,
)
from BATNetLib.annotation.petfiles import PetSearch
from BATNetLib.dataset import open_dataset
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.volume import write_volume

CASES = ("case-10", "case-2", "Übung 3", "case-1", "case-5")


def read(store, case, reader="anna", **record):
    return store.save(case, reader, mask_of(ct_on()), record=Record(**record))


def scan(folder, pet=None, masks=()):
    folder.mkdir(parents=True, exist_ok=True)
    ct = ct_on("a little oblique")
    write_volume(ct, folder / "ct.nii.gz", ct)
    for name in masks:
        write_volume(mask_of(ct), folder / f"{name}.nii.gz", ct)
    if pet:
        write_volume(ct.with_array(ct.array.astype(np.float32)), folder / pet, ct)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five cases in a folder, with a list that names them in an order of its own."""
    base = tmp_path_factory.mktemp("data")
    for number, case in enumerate(CASES):
        scan(base / case, pet="pet.nii.gz" if number == 1 else None, masks=("adipose",))
    scan(base / "elsewhere", pet="tracer.nrrd")
    rows = [f"{case},patient {number // 2},{case}/ct.nii.gz,{case}/adipose.nii.gz," for number, case in
            enumerate(CASES)]  # fmt: skip
    rows[0] += "elsewhere/tracer.nrrd"
    rows[4] += "elsewhere/lost.nii.gz"
    text = "\n".join(["case_id,patient,ct,adipose,pet", *rows])
    (base / "list.csv").write_text(text + "\n", encoding="utf-8")
    return base


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "reads")


def test_a_list_of_five_keeps_its_order_and_starts_open(data, store):
    worklist = open_worklist(data / "list.csv", store, "anna")
    assert tuple(item.case for item in worklist.items) == CASES
    assert [item.patient for item in worklist.items] == [f"patient {n // 2}" for n in range(5)]
    assert {item.status for item in worklist.items} == {"open"}
    assert worklist.counts() == {
        "open": 5, "draft": 0, "done": 0, "flagged": 0, "total": 5, "locked": 0, "refused": 1,
    }  # fmt: skip
    assert not store.root.exists()  # looking writes nothing


def test_a_folder_is_in_natural_order(data, store):
    worklist = open_worklist(data, store, "anna")
    assert [item.case for item in worklist.items][:4] == ["case-1", "case-2", "case-5", "case-10"]


def test_next_and_previous_follow_the_list_and_step_over_what_cannot_be_annotated(data, store):
    worklist = open_worklist(data / "list.csv", store, "anna")
    assert worklist.next(None).case == "case-10"
    assert worklist.next("case-10").case == "case-2"
    assert worklist.next("case-1") is None  # the last one's PET is not there
    assert worklist.previous(None).case == "case-1"
    assert worklist.previous("case-2").case == "case-10"
    assert worklist.previous("case-10") is None
    assert worklist.item("case-5").refusal.code == "file-missing"
    with pytest.raises(UsageError) as caught:
        worklist.next("unknown")
    assert caught.value.code == "case-unknown"


def test_status_time_and_note_follow_the_newest_version_of_this_reader_only(data, store):
    read(store, "case-10", seconds=30, comment="left arm moves")
    read(store, "case-10", seconds=12.5, comment="Left arm moves, axilla clear")
    read(store, "case-2", seconds=60)
    store.finish("case-2", "anna", seconds=3)
    read(store, "Übung 3", seconds=5, flagged=True)
    read(store, "case-1", seconds=7)
    store.lock_final("case-1", "anna")
    read(store, "case-5", reader="bert", seconds=1000, comment="bert's own")
    worklist = open_worklist(data / "list.csv", store, "anna")
    standing = [(i.status, i.seconds, i.version, i.finished, i.locked) for i in worklist.items]
    assert standing == [
        ("draft", 42.5, 2, False, False),
        ("done", 63.0, 2, True, False),
        ("flagged", 5.0, 1, False, False),
        ("done", 7.0, 2, True, True),
        ("open", 0.0, None, False, False),
    ]
    assert worklist.seconds() == 117.5
    assert worklist.item("case-10").note == "Left arm moves, axilla clear"
    assert worklist.item("case-5").note == ""
    assert [i.case for i in worklist.filter(status="done")] == ["case-2", "case-1"]
    assert [i.case for i in worklist.filter(status=("draft", "flagged"))] == ["case-10", "Übung 3"]
    assert [i.case for i in worklist.filter(text="AXILLA")] == ["case-10"]
    assert [i.case for i in worklist.filter(text="übung")] == ["Übung 3"]
    assert [i.case for i in worklist.filter(text="patient 1")] == ["Übung 3", "case-1"]
    assert worklist.filter(status="open", text="bert") == []
    assert worklist.next("case-10", status="done").case == "case-2"
    assert worklist.next("case-2", status="done").case == "case-1"
    assert worklist.previous("case-1", text="case").case == "case-2"
    assert worklist.counts()["locked"] == 1


def test_after_a_save_one_case_is_looked_at_again(data, store):
    worklist = open_worklist(data / "list.csv", store, "anna")
    read(store, "case-2", seconds=9)
    read(store, "case-1", seconds=9)
    again = worklist.refreshed("case-2")
    assert [item.status for item in again.items] == ["open", "draft", "open", "open", "open"]
    assert [item.status for item in again.refreshed().items] == ["open", "draft", "open", "draft", "open"]
    assert worklist.items[1].status == "open"


def test_a_pet_is_named_in_the_list_or_found_beside_the_ct(data, store):
    worklist = open_worklist(data / "list.csv", store, "anna")
    assert worklist.item("case-10").files["pet"].name == "tracer.nrrd"
    assert worklist.item("case-2").files["pet"].name == "pet.nii.gz"
    assert "pet" not in worklist.item("case-1").files


def test_a_manifest_in_json_may_name_a_pet_as_well(data, store, tmp_path):
    ct, pet = str(data / "case-1/ct.nii.gz"), str(data / "elsewhere/tracer.nrrd")
    rows = [{"case_id": "one", "ct": ct, "pet": pet}, {"case_id": "two", "ct": ct, "pet": None}]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": rows}))
    worklist = open_worklist(tmp_path / "cases.json", store, "anna")
    assert worklist.item("one").files["pet"].name == "tracer.nrrd"
    assert "pet" not in worklist.item("two").files


@pytest.mark.parametrize("name", ["SUV.nrrd", "pet_suv.nii.gz", "PET.mha", "pet"])
def test_a_pet_beside_the_ct_is_found_under_several_names(store, tmp_path, name):
    folder = scan(tmp_path / "data" / "c1", pet=None if name == "pet" else name)
    if name == "pet":
        (folder / name).mkdir()
    item = open_worklist(tmp_path / "data", store, "anna").items[0]
    assert item.files["pet"].name == name


def test_a_pet_is_given_to_the_case_that_it_belongs_to_and_to_no_other(store, tmp_path):
    ct = ct_on("a little oblique")
    for name in ("a", "b", "a_pet", "pet"):
        write_volume(ct, tmp_path / "data" / f"{name}.nii.gz", ct)
    items = {item.case: item for item in open_worklist(tmp_path / "data", store, "anna").items}
    assert items["a"].files["pet"].name == "a_pet.nii.gz"
    assert "pet" not in items["b"].files  # "pet" could be of either


@pytest.mark.parametrize(("folder", "found"), [("ct", True), ("P01", False)])
def test_a_pet_beside_a_dicom_folder_counts_where_that_is_called_ct(store, tmp_path, folder, found):
    for place in (tmp_path / "data" / folder, tmp_path / "data" / "pet"):
        place.mkdir(parents=True)
    search = PetSearch([tmp_path / "data" / folder])
    assert (search.beside(tmp_path / "data" / folder) is not None) is found


def test_a_case_with_patches_only_is_refused_and_listed(store, tmp_path):
    folder = tmp_path / "data" / "c1"
    scan(tmp_path / "data" / "c2")
    ct = ct_on()
    for side in ("left", "right"):
        write_volume(ct, folder / f"ct_at_{side}_patch.nii.gz", ct)
    worklist = open_worklist(tmp_path / "data", store, "anna")
    assert worklist.item("c1").refusal.code == "no-scan"
    assert worklist.next(None).case == "c2"


def test_another_readers_masks_are_never_listed_not_even_through_an_exported_manifest(data, store):
    worklist = open_worklist(data / "list.csv", store, "anna")
    store.save("case-2", "anna", mask_of(ct_on()), adipose=mask_of(ct_on(), 1), record=Record(status="done"))
    exported = export_manifest(worklist).path
    assert "brown" in open_dataset(exported).cases[0].files
    seen = open_worklist(exported, store, "bert").items[0]
    assert set(seen.files) == {"ct", "pet"}
    assert seen.status == "open"
    for item in (seen, *open_worklist(data / "list.csv", store, "bert").items):
        assert not any(store.root in path.resolve().parents for path in item.files.values())


def test_a_store_among_the_cases_is_not_taken_for_cases(store, tmp_path):
    scan(tmp_path / "data" / "c1")
    inside = Store(tmp_path / "data" / "reads")
    read(inside, "c1")
    assert [item.case for item in open_worklist(tmp_path / "data", inside, "anna").items] == ["c1"]
    assert [case.case for case in open_dataset(tmp_path / "data").cases] == ["c1"]


def test_a_store_in_the_folder_of_a_case_is_refused(tmp_path):
    folder = scan(tmp_path / "data" / "c1")
    for root in (folder, tmp_path / "data", tmp_path):
        with pytest.raises(UsageError) as caught:
            open_worklist(tmp_path / "data", Store(root), "anna")
        assert caught.value.code == "store-holds-inputs"


def test_a_case_whose_newest_version_is_damaged_shows_the_one_before_and_names_the_damaged(data, store):
    read(store, "case-2", seconds=5)
    second = read(store, "case-2", seconds=5)
    open_worklist(data / "list.csv", store, "anna")  # the cache knows of version 2
    third = read(store, "case-2", seconds=5)
    (third.folder / "annotation.json").write_bytes(b"{")
    item = open_worklist(data / "list.csv", store, "anna").item("case-2")
    assert (item.version, item.seconds, item.damaged) == (2, 10.0, (3,))
    second.file("brown").unlink()
    (second.folder.parent / ".index-anna.json").unlink(missing_ok=True)
    assert open_worklist(data / "list.csv", store, "anna").item("case-2").damaged == (3, 2)


def many(count):
    return [WorkItem(f"case {n}", f"patient {n}") for n in range(count)]


def test_opening_a_list_costs_one_listing_per_case_that_was_begun_and_the_second_time_no_reading(
    store, monkeypatch
):
    items = many(400)
    for item in items[::10]:
        read(store, item.case)
    listed, looked = [], []
    names_in, look = versions.names_in, versions.look
    monkeypatch.setattr(versions, "names_in", lambda folder: listed.append(folder) or names_in(folder))
    monkeypatch.setattr(versions, "look", lambda *a: looked.append(a) or look(*a))
    first = worklist_of(items, store, "anna")
    assert len(listed) == 1 + 40
    assert len(set(listed)) == len(listed)
    assert len(looked) == 40
    listed.clear(), looked.clear()
    second = worklist_of(items, store, "anna")
    assert len(listed) == 1 + 40
    assert looked == []
    assert second.items == first.items
    assert second.counts()["draft"] == 40


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1, "cases": []}', None,
                                     b'{"format": 1, "cases": {"case 0": {"seen": [1, 1, false]}}}',
                                     b'{"format": 1, "cases": {"case 0": 7}}'])  # fmt: skip
def test_the_cache_is_only_a_cache(store, content):
    items = many(3)
    read(store, "case 0", seconds=4)
    first = worklist_of(items, store, "anna")
    (cache,) = store.root.glob(".index-*")
    cache.unlink()
    if content is not None:
        cache.write_bytes(content)
    assert worklist_of(items, store, "anna").items == first.items
    read(store, "case 0", seconds=5)
    assert worklist_of(items, store, "anna").items[0].seconds == 9


def test_a_cache_that_cannot_be_written_does_not_matter(store, monkeypatch):
    read(store, "case 0")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index, "whole_file", refuse)
    assert worklist_of(many(2), store, "anna").items[0].status == "draft"


def test_a_folder_that_cannot_be_listed_is_refused_in_words(store, monkeypatch):
    read(store, "case 0")

    def refuse(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputRefused) as caught:
        worklist_of(many(2), store, "anna")
    assert caught.value.code == "store-unreadable"
    assert "input or output error" in caught.value.found.lower()


def test_a_case_that_is_only_open_somewhere_has_no_standing_yet(store):
    with CaseLock(store, "case 0", "anna"):
        assert worklist_of(many(1), store, "anna").items[0].status == "open"


def test_two_cases_of_the_same_name_are_refused(store):
    for other in ("M\u00fcller", "Mu\u0308ller", " M\u00fcller"):
        with pytest.raises(UsageError) as caught:
            worklist_of([WorkItem("M\u00fcller", "p"), WorkItem(other, "q")], store, "anna")
        assert caught.value.code == "duplicate-case-id"


def test_an_item_can_be_handed_to_another_process(data, store):
    item = open_worklist(data / "list.csv", store, "anna").item("Übung 3")
    again = WorkItem.from_json(item.as_json())
    assert (again.case, again.patient, dict(again.files)) == (item.case, item.patient, dict(item.files))
    for text in ("", "[]", "{}", '{"case": 1, "patient": 2, "files": []}'):
        with pytest.raises(UsageError) as caught:
            WorkItem.from_json(text)
        assert caught.value.code == "item-unreadable"

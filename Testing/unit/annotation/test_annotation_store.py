"""What a reader saved stays as it was saved: versions, records, drafts, final reads, damage."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from annotationcases import ct_on, mask_of, save

from BATNetLib.annotation import DEPOTS, Record, Store, fingerprint, no_scores
from BATNetLib.errors import InputRefused, UsageError
from BATNetLib.volume import Grid, Volume


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "reads")


def everything(folder):
    """Bytes of all files below a folder but locks and caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_what_is_saved_is_read_back_with_its_record(store):
    ct = ct_on()
    brown, fat = mask_of(ct), mask_of(ct, 1, 0.6)
    scores = no_scores()
    scores["axillary"]["left"] = 2
    record = Record(
        seconds=61.5,
        criterion="barcist-1.0",
        scores=scores,
        comment="Motion in the left arm; größer als zuvor?",
        flagged=True,
        edited_from="proposal barcist-1.0",
        midplane={"point": [1.0, 2.0, 3.0], "normal": [1.0, 0.0, 0.0]},
        ct=fingerprint(ct),
        software={"batnet": "0.1.0", "3D Slicer": "5.12.4"},
    )
    version = store.save("P01", "anna", brown, adipose=fat, record=record)
    read_brown, read_fat, read_record = Store(store.root).read(Store(store.root).newest("P01", "anna"))
    assert np.array_equal(read_brown.array, brown.array)
    assert np.array_equal(read_fat.array, fat.array)
    assert read_brown.grid.same_place(ct.grid)
    for name in ("criterion", "scores", "comment", "flagged", "edited_from", "midplane", "ct", "software"):
        assert getattr(read_record, name) == getattr(record, name), name
    assert (read_record.case, read_record.reader, read_record.version) == ("P01", "anna", 1)
    assert read_record.parent is None
    assert read_record.seconds_total == 61.5
    assert read_record.time.endswith("+00:00")
    facts = read_record.files["brown"]
    assert facts["sha256"] == hashlib.sha256(version.file("brown").read_bytes()).hexdigest()
    assert facts["voxels"] == int(brown.array.sum())
    assert facts["ml"] == pytest.approx(brown.array.sum() * ct.voxel_ml)


def test_every_save_is_a_new_version_and_no_former_one_changes_by_a_byte(store):
    save(store, seed=0)
    before = everything(store.root)
    for seed in range(1, 4):
        save(store, seed=seed)
    store.finish("P01", "anna", seconds=5)
    store.reopen("P01", "anna")
    store.lock_final("P01", "anna")
    after = everything(store.root)
    assert {path: after[path] for path in before} == before
    assert [v.number for v in store.versions("P01", "anna")] == [1, 2, 3, 4, 5, 6, 7]
    assert [v.record.status for v in store.versions("P01", "anna")][3:] == ["draft", "done", "draft", "done"]


def test_time_spent_adds_up_over_versions_and_parents_are_kept(store):
    first = save(store, seconds=60)
    save(store, seconds=30.5, seed=1)
    third = store.save("P01", "anna", mask_of(ct_on()), record=Record(seconds=9.5), parent=first.number)
    done = store.finish("P01", "anna", seconds=10)
    assert third.record.parent == 1
    assert third.record.seconds_total == 100.0
    assert done.record.parent == 3
    assert done.record.seconds_total == 110.0


def test_a_draft_is_offered_again_and_a_finished_read_is_not(store):
    assert store.draft("P01", "anna") is None
    save(store)
    assert store.draft("P01", "anna").number == 1
    store.finish("P01", "anna")
    assert store.draft("P01", "anna") is None
    store.reopen("P01", "anna")
    assert store.draft("P01", "anna").number == 3


def test_after_a_final_read_nothing_is_saved_by_any_way(store):
    save(store)
    final = store.lock_final("P01", "anna")
    assert final.record.locked
    assert final.record.finished
    before = everything(store.root)
    for attempt in (
        lambda: save(store),
        lambda: store.finish("P01", "anna"),
        lambda: store.reopen("P01", "anna"),
        lambda: store.lock_final("P01", "anna"),
    ):
        with pytest.raises(InputRefused) as caught:
            attempt()
        assert caught.value.code == "read-locked"
    assert everything(store.root) == before
    assert store.is_locked("P01", "anna")
    save(store, reader="bert")  # other readers go on


def test_a_read_stays_final_when_its_files_are_damaged_or_its_mark_was_not_written(store):
    save(store)
    version = store.lock_final("P01", "anna")
    mark = version.folder.parent / "final.json"
    saved = mark.read_bytes()
    mark.unlink()  # as a program killed just before would leave it
    with pytest.raises(InputRefused, match="final"):
        save(store)
    mark.write_bytes(saved)
    version.file("brown").write_bytes(b"")
    with pytest.raises(InputRefused, match="final"):
        save(store)


def damage(how, version):
    mask, record = version.folder / "brown_fat_mask.nii.gz", version.folder / "annotation.json"
    data = mask.read_bytes()
    if how == "a flipped bit":
        mask.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    elif how == "cut off":
        mask.write_bytes(data[: len(data) // 2])
    elif how == "mask gone":
        mask.unlink()
    elif how == "record gone":
        record.unlink()
    elif how == "record cut off":
        record.write_bytes(record.read_bytes()[:100])
    elif how == "record of zeros":
        record.write_bytes(bytes(len(record.read_bytes())))
    elif how == "another score":
        record.write_bytes(record.read_bytes().replace(b'"right": 1', b'"right": 2'))
    elif how == "record without files":
        said = json.loads(record.read_text())
        record.write_text(json.dumps({**said, "files": {}}))
    elif how == "record of a later program":
        said = json.loads(record.read_text())
        record.write_text(json.dumps({**said, "schema_version": 2}))
    elif how == "empty folder":
        shutil.rmtree(version.folder)
        version.folder.mkdir()
    elif how == "a copy of another version":
        shutil.rmtree(version.folder)
        shutil.copytree(version.folder.with_name("v0001"), version.folder)


@pytest.mark.parametrize(
    "how",
    [
        "a flipped bit", "cut off", "mask gone", "record gone", "record cut off", "record of zeros",
        "another score", "record without files", "record of a later program", "empty folder",
        "a copy of another version",
    ],
)  # fmt: skip
def test_a_damaged_version_is_named_and_skipped_and_its_number_is_not_used_again(store, how):
    save(store, seed=1)
    save(store, seed=2)
    third = save(store, seed=3, scores={"axillary": {"right": 1}})
    damage(how, third)
    newest = store.newest("P01", "anna")
    assert newest.number == 2
    assert np.array_equal(store.read(newest)[0].array, mask_of(ct_on(), 2).array)
    (named,) = store.damaged_after("P01", "anna")
    assert (named.number, named.name) == (3, "v0003")
    assert named.damage.code in ("mask-damaged", "record-missing", "record-damaged", "record-newer",
                                 "version-moved")  # fmt: skip
    with pytest.raises(InputRefused):
        store.read(named)
    assert [v.damage is None for v in store.verify("P01", "anna")] == [True, True, False]
    assert save(store, seed=4).number == 4
    assert store.newest("P01", "anna").number == 4


def test_a_mask_that_changes_between_the_look_and_the_reading_is_not_opened(store):
    version = save(store)
    seen = store.newest("P01", "anna")
    damage("a flipped bit", version)
    with pytest.raises(InputRefused) as caught:
        store.read(seen)
    assert caught.value.code == "mask-damaged"


def test_masks_that_cannot_be_kept_exactly_are_refused_before_anything_is_written(store):
    ct = ct_on()
    labels = ct.with_array(np.full(ct.array.shape, 2, np.uint8))
    halves = ct.with_array(np.full(ct.array.shape, 0.5, np.float32))
    elsewhere = mask_of(ct_on("oblique"))
    for masks, code in (
        ((labels, None), "mask-values"),
        ((halves, None), "mask-values"),
        ((mask_of(ct), elsewhere), "other-grid"),
    ):
        with pytest.raises(InputRefused) as caught:
            store.save("P01", "anna", masks[0], adipose=masks[1], record=Record())
        assert caught.value.code == code
    from dataclasses import replace

    resampled = replace(mask_of(ct), source=replace(ct.source, resampled=True))
    with pytest.raises(InputRefused) as caught:
        store.save("P01", "anna", resampled, record=Record())
    assert caught.value.code == "grid-resampled"
    assert store.versions("P01", "anna") == []
    assert not [p for p in store.root.rglob("*") if p.name.startswith(".saving")]


def test_an_empty_mask_is_a_finding_and_is_kept(store):
    ct = ct_on()
    store.save("P01", "anna", ct.with_array(np.zeros(ct.array.shape, bool)), record=Record(status="done"))
    brown, fat, record = store.read(store.newest("P01", "anna"))
    assert not brown.array.any()
    assert fat is None
    assert record.files["brown"]["voxels"] == 0


def test_a_volume_made_in_memory_is_kept_too(store):
    rng = np.random.default_rng(3)
    array = (rng.random((6, 7, 8)) < 0.3).astype(np.uint8)
    volume = Volume(array, Grid.canonical((6, 7, 8), (3.0, 1.0, 1.5), (5.0, 6.0, 7.0)))
    store.save("P01", "anna", volume, record=Record())
    brown = store.read(store.newest("P01", "anna"))[0]
    assert np.array_equal(brown.array, array)
    assert brown.grid.same_place(volume.grid)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "open"},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"scores": {"thymus": {"left": 1}}},
        {"scores": {"axillary": {"left": 3}}},
        {"scores": {"axillary": {"middle": 1}}},
        {"scores": {"axillary": {"left": True}}},
        {"midplane": {"x": object()}},
        {"midplane": {"x": float("inf")}},
    ],
)
def test_records_that_say_what_cannot_be_are_refused(store, wrong):
    with pytest.raises(InputRefused) as caught:
        save(store, **wrong)
    assert caught.value.code == "record-invalid"
    assert store.versions("P01", "anna") == []


def test_all_depots_are_named_with_both_sides_also_where_none_was_scored(store):
    version = save(store, scores={"cervical": {"right": 0}})
    said = json.loads((version.folder / "annotation.json").read_text())
    assert list(said["scores"]) == list(DEPOTS)
    assert said["scores"]["cervical"] == {"right": 0, "left": None}
    assert said["schema"] == "batnet-annotation"


NAMES = [
    "P01", "p01", "Case 7/ct", "../../etc/passwd", "..", ".", "CON", "con", "nul.txt", "a" * 300,
    "a" * 299 + "b", "Müller, Jörg", "Muller, Jorg", "患者一", "患者二",
    "x" * 40 + "-0123456789", "name with trailing dot.",
    "a\\b:c*?\"<>|", "tab\there", "p01-2842de9d43", "emoji \U0001f600",
]  # fmt: skip


def test_any_name_of_a_case_or_a_reader_has_a_place_of_its_own_inside_the_store(store):
    for index, name in enumerate(NAMES):
        save(store, case=name, reader="anna", seed=index)
        save(store, case="P01", reader=f"reader {name}", seed=index)
    folders = {store.folder(name, "anna") for name in NAMES}
    assert len({str(folder).lower() for folder in folders}) == len(NAMES)  # also where capitals do not count
    for folder in folders:
        assert folder.parents[1] == store.root
        assert folder.parent.name.isascii()
        assert len(folder.parent.name) <= 60
    again = Store(store.root)
    for index, name in enumerate(NAMES):
        brown, _, record = again.read(again.newest(name, "anna"))
        assert np.array_equal(brown.array, mask_of(ct_on(), index).array)
        assert record.case == name
    assert sorted(again.reads()) == sorted(
        {(name, "anna") for name in NAMES} | {("P01", f"reader {name}") for name in NAMES}
    )
    assert len(again.readers("P01")) == len(NAMES) + 1


@pytest.mark.parametrize("name", ["", "  ", "\n"])
def test_an_empty_name_is_refused(store, name):
    with pytest.raises(UsageError) as caught:
        save(store, reader=name)
    assert caught.value.code == "name-empty"


def test_a_name_written_in_two_ways_of_unicode_is_the_same_name(store):
    save(store, case="M\u00fcller")
    assert store.newest("Mu\u0308ller ", "anna").number == 1
    assert save(store, case="Mu\u0308ller").number == 2


def test_finishing_what_was_never_saved_is_refused(store):
    with pytest.raises(InputRefused) as caught:
        store.finish("P01", "anna")
    assert caught.value.code == "nothing-saved"


def test_no_refusal_names_a_case_or_a_folder(store):
    save(store, case="Secret Name")
    store.lock_final("Secret Name", "anna")
    with pytest.raises(InputRefused) as caught:
        save(store, case="Secret Name")
    assert "Secret" not in str(caught.value)
    assert str(store.root) not in str(caught.value)

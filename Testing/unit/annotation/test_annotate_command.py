"""``batnet annotate``: the work of readers from the command line."""

import json

import numpy as np
import pytest
from annotationcases import ct_on, mask_of

from BATNetLib.annotation import Record, Store
from BATNetLib.cli import main
from BATNetLib.volume import write_volume


@pytest.fixture
def study(tmp_path):
    """Three cases; anna has finished one and drafted another."""
    ct = ct_on()
    for number in range(3):
        folder = tmp_path / "data" / f"P0{number}"
        write_volume(ct, folder / "ct.nii.gz", ct)
        write_volume(ct.with_array((ct.array < -30).astype(np.uint8)), folder / "adipose.nii.gz", ct)
    store = Store(tmp_path / "reads")
    brown = ct.with_array((ct.array < -30) & mask_of(ct).array)
    store.save("P00", "anna", brown, record=Record(seconds=600, comment="clear", edited_from="empty"))
    store.finish("P00", "anna")
    store.save("P01", "anna", brown, record=Record(seconds=120, comment="axilla?", flagged=True))
    return tmp_path


def annotate(study, action, *arguments, source=False):
    place = [str(study / "data")] if source else []
    return main(["annotate", action, *place, "--store", str(study / "reads"), *arguments])


def test_the_list_shows_where_each_case_stands(study, capsys):
    assert annotate(study, "list", "--reader", "anna", source=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["P00", "done", "2", "10.0", "clear"]
    assert lines[2].split() == ["P01", "flagged", "1", "2.0", "axilla?"]
    assert lines[3].split() == ["P02", "open", "0.0"]
    assert "3 of 3 cases shown: 1 open, 0 drafts, 1 done, 1 flagged." in lines[4]


def test_the_list_can_be_filtered_and_read_by_programs(study, capsys):
    only = ["--status", "done", "flagged", "--text", "AX"]
    assert annotate(study, "list", "--reader", "anna", *only, "--json", source=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert [item["case"] for item in said["items"]] == ["P01"]
    assert said["counts"]["total"] == 3
    assert said["seconds"] == 720
    assert annotate(study, "list", "--reader", "bert", "--json", source=True) == 0
    assert {item["status"] for item in json.loads(capsys.readouterr().out)["items"]} == {"open"}


def test_the_versions_of_a_case_are_shown_with_the_damaged_ones(study, capsys):
    Store(study / "reads").newest("P00", "anna").file("brown").write_bytes(b"")
    assert annotate(study, "show", "--reader", "anna", "--case", "P00") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("v0001")
    assert "draft" in first
    assert "10.0 min  new  from empty" in first
    assert second.startswith("v0002  DAMAGED: brown_fat_mask.nii.gz")
    assert annotate(study, "show", "--reader", "anna", "--case", "P00", "--json") == 0
    versions = json.loads(capsys.readouterr().out)
    assert [v["damage"] and v["damage"]["code"] for v in versions] == [None, "mask-damaged"]
    assert versions[0]["record"]["comment"] == "clear"


def test_finish_reopen_and_lock_make_versions(study, capsys):
    reader = ["--reader", "anna", "--case", "P01"]
    assert annotate(study, "finish", *reader) == 0
    assert "Version 2 is done" in capsys.readouterr().out
    assert annotate(study, "reopen", *reader) == 0
    assert annotate(study, "lock", *reader) == 0
    assert "Version 4 is final" in capsys.readouterr().out
    assert annotate(study, "reopen", *reader) == 3
    assert "read-locked" in capsys.readouterr().err
    assert annotate(study, "list", "--reader", "anna", source=True) == 0
    assert "final" in capsys.readouterr().out


def test_the_exported_manifest_passes_the_check_of_training_data(study, capsys):
    assert annotate(study, "export", "--reader", "anna", source=True) == 0
    said = capsys.readouterr().out
    assert "1 cases with a read, 2 left out" in said
    assert "P01: no finished read" in said
    manifest = str(study / "reads" / "dataset.csv")
    assert main(["dataset", "check", manifest, "--stage", "brown"]) == 0
    assert "0 findings block" in capsys.readouterr().out
    out = study / "elsewhere" / "all.csv"
    options = ["--drafts", "--with-open", "--out", str(out)]
    assert annotate(study, "export", "--reader", "bert", "anna", *options, source=True) == 0
    rows = out.read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["case_id", "P00", "P01", "P02"]
    assert "anna/v0001/brown_fat_mask.nii.gz" in rows[2]
    assert "../reads/" in rows[2]


def test_an_adjudicated_read_goes_before_the_readers_own(study, capsys):
    from BATNetLib.annotation import export_manifest, open_worklist

    store = Store(study / "reads")
    store.save("P00", "adjudicated", mask_of(ct_on()), record=Record(status="done"))
    exported = export_manifest(open_worklist(study / "data", store, "anna"), drafts=True)
    assert exported.chosen == {"P00": ("adjudicated", 1), "P01": ("anna", 1)}


def test_an_export_of_nothing_is_refused(study, capsys):
    assert annotate(study, "export", "--reader", "bert", source=True) == 2
    assert "nothing-to-export" in capsys.readouterr().err


def test_verify_reads_every_file_and_names_what_is_damaged(study, capsys):
    assert annotate(study, "verify") == 0
    assert "3 versions in 2 reads: 0 damaged." in capsys.readouterr().out
    mask = Store(study / "reads").newest("P00", "anna").file("brown")
    data = bytearray(mask.read_bytes())
    data[-9] ^= 4
    mask.write_bytes(bytes(data))
    assert annotate(study, "verify", "--json") == 4
    said = json.loads(capsys.readouterr().out)
    assert [(entry["case"], entry["version"]) for entry in said["damaged"]] == [("P00", 2)]
    assert annotate(study, "verify", "--events", "json") == 4
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(e["event"] == "result" and e["versions"] == 3 for e in events)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "--reader", "anna", "--case", "P09"], "nothing-saved"),
        (["show", "--reader", " ", "--case", "P00"], "name-empty"),
        (["verify"], "nothing-saved"),
    ],
)
def test_what_does_not_exist_is_refused_in_words(study, capsys, arguments, code):
    store = "nowhere" if arguments == ["verify"] else "reads"
    assert main(["annotate", arguments[0], "--store", str(study / store), *arguments[1:]]) == 2
    assert code in capsys.readouterr().err


def test_read_ahead_refuses_an_item_that_is_none(tmp_path, capsys):
    for content in (None, "{}"):
        if content:
            (tmp_path / "item.json").write_text(content)
        arguments = ["--item", str(tmp_path / "item.json"), "--scratch", str(tmp_path / "scratch")]
        assert main(["annotate", "read-ahead", *arguments]) == 2
        assert "item-unreadable" in capsys.readouterr().err

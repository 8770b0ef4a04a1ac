import errno
import stat

import pytest

from BATNetLib.errors import OutputRefused, UsageError
from BATNetLib.workfiles import remove_unfinished, whole_file, whole_folder


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    out = tmp_path / "result"
    with whole_folder(out) as tmp:
        (tmp / "mask").write_text("x")
        assert not out.exists()
    assert names(out) == ["mask"]
    assert names(tmp_path) == ["result"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "result") as tmp:
        (tmp / "mask").write_text("x")
        raise RuntimeError
    assert names(tmp_path) == []


def test_an_existing_folder_is_kept_unless_told_and_until_the_new_one_is_complete(tmp_path):
    out = tmp_path / "result"
    out.mkdir()
    (out / "old").write_text("x")
    with pytest.raises(UsageError, match="exists already"), whole_folder(out):
        pass
    with pytest.raises(RuntimeError), whole_folder(out, replace=True):
        raise RuntimeError
    assert names(out) == ["old"]
    with whole_folder(out, replace=True) as tmp:
        (tmp / "new").write_text("x")
        assert names(out) == ["old"]
    assert names(out) == ["new"]
    assert names(tmp_path) == ["result"]


def test_a_full_disk_is_told_in_words_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputRefused, match="Make room") as caught, whole_folder(tmp_path / "result") as tmp:
        (tmp / "mask").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.code == "disk-full"
    assert str(tmp_path) not in str(caught.value)
    assert names(tmp_path) == []


def test_a_place_under_a_file_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputRefused) as caught, whole_folder(tmp_path / "file" / "result"):
        pass
    assert caught.value.code == "output-unwritable"


def test_a_file_keeps_its_suffixes_while_it_is_written_and_the_usual_rights(tmp_path):
    with whole_file(tmp_path / "mask.nii.gz") as tmp:
        assert tmp.name.endswith(".nii.gz")
        tmp.write_text("x")
        assert not (tmp_path / "mask.nii.gz").exists()
    assert names(tmp_path) == ["mask.nii.gz"]
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert stat.S_IMODE((tmp_path / "mask.nii.gz").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_run_that_must_end_at_once_can_remove_what_is_unfinished(tmp_path):
    with whole_folder(tmp_path / "result") as tmp:
        (tmp / "mask").write_text("x")
        remove_unfinished()
        assert names(tmp_path) == []
        tmp.mkdir()

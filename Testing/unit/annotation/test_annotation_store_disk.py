"""Full disks, folders that may not be written, and a Python without nibabel, torch and pydicom."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from annotationcases import ct_on, mask_of, save

from BATNetLib.annotation import CaseLock, Record, Store, durable, worklist_of
from BATNetLib.annotation.worklist import WorkItem
from BATNetLib.errors import OutputRefused
from BATNetLib.volume import Grid, Volume, write_volume


def leftovers(root):
    return [path.name for path in root.rglob(".*") if path.name != ".lock"]


@pytest.mark.skipif(os.name != "posix", reason="limits of file size are a matter of POSIX systems")
def test_a_disk_that_fills_up_in_the_middle_of_a_mask_costs_nothing_that_was_saved(tmp_path):
    import resource

    store = Store(tmp_path / "reads")
    save(store)
    shape = (64, 64, 64)
    noise = np.random.default_rng(0).random(shape) < 0.5
    large = Volume(noise, Grid.canonical(shape, (1.0, 1.0, 1.0)))
    # The system's own refusal to make a file longer stands for a full disk: it comes in the middle of one.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, before[1]))
    try:
        with pytest.raises(OutputRefused) as caught:
            store.save("P01", "anna", large, record=Record())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "disk-full"
    assert "not lost" in caught.value.remedy
    assert leftovers(store.root) == []
    assert [v.number for v in store.verify("P01", "anna") if v.damage is None] == [1]
    assert store.save("P01", "anna", large, record=Record()).number == 2


@pytest.mark.parametrize("step", ["write_flushed", "flush_folder", "rename_folder", "write_mask"])
def test_a_disk_that_is_full_at_any_step_is_told_and_leaves_nothing_half(tmp_path, monkeypatch, step):
    from BATNetLib.annotation import store as module

    store = Store(tmp_path / "reads")
    save(store)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with CaseLock(store, "P01", "anna"):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, full)
            with pytest.raises(OutputRefused) as caught:
                save(store)
        assert caught.value.code == "disk-full"
        assert leftovers(store.root) == []
        assert all(v.damage is None for v in store.verify("P01", "anna"))
        assert save(store).number == 2


@pytest.mark.skipif(os.name != "posix", reason="permissions of folders are a matter of POSIX systems")
def test_a_folder_that_may_only_be_read_is_read_and_refused_for_saving():
    root = Path(tempfile.mkdtemp(prefix="batnet-reads-"))
    user = os.geteuid()
    try:
        root.chmod(0o755)
        store = Store(root)
        save(store)
        everything = [root, *(path for path in root.rglob("*") if path.is_dir())]
        for folder in everything:
            folder.chmod(0o555)
        if user == 0:  # root may write anywhere: be somebody else for a moment
            os.seteuid(65534)
        assert store.newest("P01", "anna").number == 1
        assert worklist_of([WorkItem("P01", "p")], store, "anna").items[0].status == "draft"
        for attempt in (
            lambda: save(store),
            lambda: save(store, case="P02"),
            lambda: store.lock_final("P01", "anna"),
            lambda: CaseLock(store, "P01", "anna").acquire(),
        ):
            with pytest.raises(OutputRefused) as caught:
                attempt()
            assert caught.value.code == "output-unwritable"
            assert str(root) not in str(caught.value)
    finally:
        os.seteuid(user)
        for folder in everything:
            folder.chmod(0o755)
        shutil.rmtree(root)


def test_a_file_in_the_place_of_the_folder_is_refused_in_words(tmp_path):
    (tmp_path / "reads").write_text("not a folder")
    with pytest.raises(OutputRefused) as caught:
        save(Store(tmp_path / "reads"))
    assert caught.value.code == "output-unwritable"


def test_a_path_that_is_too_long_is_refused_in_words(tmp_path):
    with pytest.raises(OutputRefused) as caught:
        save(Store(tmp_path / ("r" * 300)))
    assert caught.value.code == "output-name-too-long"


def test_everything_is_flushed_to_the_disk_before_a_version_gets_its_name(tmp_path, monkeypatch):
    store = Store(tmp_path / "reads")
    order = []
    fsync, rename = os.fsync, Path.rename

    def flushed(handle):
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    def renamed(path, target):
        order.append(f"-> {Path(target).name}")
        return rename(path, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which file was flushed")
    save(store)
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "rename", renamed)
    ct = ct_on()
    version = store.save("P01", "anna", mask_of(ct), adipose=mask_of(ct, 1), record=Record())
    named = order.index("-> v0002")
    before = order[:named]
    assert before.index("brown_fat_mask.nii.gz") < before.index("annotation.json")
    assert "fat_mask.nii.gz" in before
    assert before[-1].startswith(".saving-")
    assert order[named + 1] == version.folder.parent.name


def test_a_name_that_is_taken_is_never_replaced(tmp_path):
    source, target = tmp_path / "new", tmp_path / "v0001"
    for folder in (source, target):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    assert not durable.rename_folder(source, target)
    assert (target / "file").read_text() == "v0001"
    assert durable.rename_folder(source, tmp_path / "v0002")


WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nibabel", "torch", "pydicom", "highdicom", "jinja2", "monai"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from BATNetLib.annotation import *
base = Path(sys.argv[1])
store = Store(base / "reads")
worklist = open_worklist(base / "data", store, "anna")
item = worklist.next(None)
ready = prepare(item, base / "scratch")
with CaseLock(store, item.case, "anna"):
    brown = ready.read("ct")
    brown = brown.with_array(brown.array < -95)
    store.save(item.case, "anna", brown, adipose=ready.read("adipose"), record=Record(ct=ready.facts["ct"]))
    store.finish(item.case, "anna")
store.read(store.newest(item.case, "anna"))
print(export_manifest(worklist).chosen, sorted(ready.files), ready.facts["refused"])
"""


def test_a_case_is_read_painted_saved_and_exported_without_nibabel_torch_and_pydicom(tmp_path):
    ct = ct_on("oblique")
    for role, array in (("ct", ct.array), ("adipose", (ct.array < 0).astype(np.uint8))):
        write_volume(ct.with_array(array), tmp_path / "data" / "P01" / f"{role}.nii.gz", ct)
    write_volume(ct.with_array(np.ones(ct.array.shape, np.float32)), tmp_path / "data/P01/suv.nii.gz", ct)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("{'P01': ('anna', 2)} ['adipose', 'ct', 'suv', 'suv_on_ct'] {}")

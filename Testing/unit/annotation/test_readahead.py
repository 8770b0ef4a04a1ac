"""Cases read ahead: the same voxels, never stale, never more disk than allowed, cancelled without a trace."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from annotationcases import ct_on, mask_of

from BATNetLib.annotation import WorkItem, find_prepared, fingerprint, prepare, readahead, volume_on_own_grid
from BATNetLib.annotation.petfiles import called_suv
from BATNetLib.annotation.rawnrrd import read_raw, write_raw
from BATNetLib.errors import Cancelled, InputRefused, OutputRefused
from BATNetLib.events import Events
from BATNetLib.volume import write_volume

#: Issue 5: switching cases takes under this many seconds.
LIMIT_S = 2.0


def case(folder, name="P01", grid="straight", pet=None, masks=("adipose", "brown"), seed=0):
    """A case as a work list has it, with files."""
    place = folder / name
    ct = ct_on(grid, seed)
    files = {"ct": write_volume(ct, place / "ct.nii.gz", ct)}
    for number, role in enumerate(masks):
        files[role] = write_volume(mask_of(ct, number), place / f"{role}.nii.gz", ct)
    if pet:
        suv = ct.with_array(np.abs(ct.array).astype(np.float32) / 30)
        files["pet"] = write_volume(suv, place / pet, ct)
    return WorkItem(name, name, files)


@pytest.mark.parametrize("grid", ["straight", "oblique and left-handed", "coronal"])
def test_what_was_read_ahead_is_what_the_files_hold(tmp_path, grid):
    item = case(tmp_path, grid=grid, pet="suv.nrrd")
    ready = prepare(item, tmp_path / "scratch")
    ct = ct_on(grid)
    assert sorted(ready.files) == ["adipose", "brown", "ct", "suv", "suv_on_ct"]
    assert np.array_equal(ready.read("ct").array, ct.array)
    assert ready.read("ct").array.dtype == np.int16
    assert ready.read("ct").grid.same_place(ct.grid)
    for number, role in enumerate(("adipose", "brown")):
        assert np.array_equal(ready.read(role).array, mask_of(ct, number).array)
    assert np.allclose(ready.read("suv").array, np.abs(ct.array) / 30)
    assert np.allclose(ready.read("suv_on_ct").array, np.abs(ct.array) / 30, atol=1e-3)
    assert ready.facts["ct"] == fingerprint(ct)
    assert ready.facts["suv"] == "SUVbw"
    assert ready.facts["origins"] == {"adipose": "dataset mask", "brown": "dataset mask"}
    found = find_prepared(item, tmp_path / "scratch")
    assert found == ready


@pytest.mark.parametrize(
    ("name", "suv"),
    [("suv.nii.gz", True), ("pet_suv.nrrd", True), ("SUVbw.mha", True), ("p01-suv-axial.nii", True),
     ("pet.nii.gz", False), ("suvenir.nii.gz", False), ("counts.nrrd", False)],
)  # fmt: skip
def test_a_volume_is_suv_only_where_its_name_says_so(name, suv):
    assert called_suv(Path(name)) is suv


def test_a_pet_that_does_not_say_its_unit_is_shown_and_called_so(tmp_path):
    ready = prepare(case(tmp_path, pet="pet.nii.gz"), tmp_path / "scratch")
    assert "suv_on_ct" in ready.files
    assert ready.facts["suv"] is None


def test_files_beside_the_ct_that_cannot_be_used_are_named_and_do_not_stop_the_case(tmp_path):
    item = case(tmp_path, pet="suv.nii.gz")
    other = mask_of(ct_on("oblique"))
    write_volume(other, item.files["brown"], other)
    item.files["pet"].write_bytes(b"no image")
    ready = prepare(item, tmp_path / "scratch")
    assert sorted(ready.files) == ["adipose", "ct"]
    assert ready.facts["refused"]["brown"]["code"] == "other-grid"
    assert set(ready.facts["refused"]) == {"brown", "pet"}


def test_a_ct_that_cannot_be_read_is_refused_and_nothing_is_left(tmp_path):
    item = case(tmp_path)
    item.files["ct"].write_bytes(item.files["ct"].read_bytes()[:-100])
    with pytest.raises(InputRefused):
        prepare(item, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_fat_by_hu_range_stands_in_where_the_dataset_has_none(tmp_path):
    rng = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60), indexing="ij")
    radius = np.hypot(rows, columns)
    plane = np.where(radius > 0.9, -1000, np.where(radius > 0.6, -100, 50))
    array = (plane[..., None] + rng.normal(0, 5, (60, 60, 20))).astype(np.int16)
    ct = volume_on_own_grid(array, np.diag([5.0, 5.0, 4.0, 1.0]) + np.eye(4)[:, [3]] * 0.0)
    item = WorkItem("P01", "P01", {"ct": write_volume(ct, tmp_path / "ct.nii.gz", ct)})
    ready = prepare(item, tmp_path / "scratch")
    assert ready.facts["origins"] == {"adipose": "hu-threshold"}
    fat = ready.read("adipose").array > 0
    assert 0.5 < fat.sum() / (ct.array == np.clip(ct.array, -190, -30)).sum() <= 1.0
    assert (
        "adipose"
        not in prepare(WorkItem("P02", "P02", dict(item.files)), tmp_path / "scratch", fat=False).files
    )


@pytest.mark.parametrize("role", ["ct", "adipose", "pet"])
def test_a_file_that_changed_since_is_read_again(tmp_path, role):
    item = case(tmp_path, pet="suv.nii.gz")
    scratch = tmp_path / "scratch"
    prepare(item, scratch)
    new = ct_on(seed=9)
    values = {
        "ct": new.array,
        "adipose": (new.array < 0).astype(np.uint8),
        "pet": new.array.astype(np.float32),
    }
    write_volume(new.with_array(values[role]), item.files[role], new)
    os.utime(item.files[role], (time.time() + 5,) * 2)
    assert find_prepared(item, scratch) is None
    ready = prepare(item, scratch)
    assert np.array_equal(ready.read("suv" if role == "pet" else role).array, values[role])


@pytest.mark.parametrize("how", ["note gone", "note cut off", "file gone", "file cut off"])
def test_what_was_read_ahead_and_is_damaged_is_not_shown(tmp_path, how):
    item = case(tmp_path)
    ready = prepare(item, tmp_path / "scratch")
    note = ready.folder / "prepared.json"
    if how == "note gone":
        note.unlink()
    elif how == "note cut off":
        note.write_bytes(note.read_bytes()[:50])
    elif how == "file gone":
        ready.files["ct"].unlink()
    else:
        ready.files["ct"].write_bytes(ready.files["ct"].read_bytes()[:-2])
        with pytest.raises(InputRefused) as caught:
            ready.read("ct")
        assert caught.value.code == "prepared-damaged"
        return
    assert find_prepared(item, tmp_path / "scratch") is None
    assert np.array_equal(prepare(item, tmp_path / "scratch").read("ct").array, ct_on().array)


def test_the_disk_used_stays_below_the_cap_and_what_was_used_longest_ago_goes_first(tmp_path):
    scratch = tmp_path / "scratch"
    items = [case(tmp_path, f"P{n}", seed=n) for n in range(5)]
    one = 0
    for index, item in enumerate(items):
        ready = prepare(item, scratch, limit_bytes=100 << 20)
        one = readahead.bytes_used(scratch) // (index + 1)
        os.utime(ready.folder / "prepared.json", (1000 + index, 1000 + index))
    find_prepared(items[0], scratch)  # looked at just now
    late = case(tmp_path, "P9", seed=9)
    prepare(late, scratch, limit_bytes=int(3.5 * one), keep=["P1"])
    assert readahead.bytes_used(scratch) <= 3.5 * one
    still = [item.case for item in (*items, late) if find_prepared(item, scratch)]
    assert still == ["P0", "P1", "P9"]


def test_a_case_larger_than_the_cap_is_refused_and_the_kept_ones_stay(tmp_path):
    scratch = tmp_path / "scratch"
    first, second = case(tmp_path, "P1"), case(tmp_path, "P2")
    prepare(first, scratch)
    with pytest.raises(OutputRefused) as caught:
        prepare(second, scratch, limit_bytes=10000, keep=["P1"])
    assert caught.value.code == "read-ahead-too-large"
    assert "Nothing is lost" in caught.value.remedy
    assert find_prepared(first, scratch) is not None
    assert [p.name for p in scratch.iterdir()] == [find_prepared(first, scratch).folder.name]


def test_a_full_disk_is_left_alone(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=readahead.RESERVE_BYTES))
    with pytest.raises(OutputRefused) as caught:
        prepare(case(tmp_path), tmp_path / "scratch")
    assert caught.value.code == "read-ahead-too-large"


def test_what_a_killed_process_left_is_counted_and_removed_after_an_hour(tmp_path):
    scratch = tmp_path / "scratch"
    left = scratch / ".p01.abc.partial"
    left.mkdir(parents=True)
    (left / "ct.nrrd").write_bytes(bytes(1000))
    assert readahead.bytes_used(scratch) == 1000
    prepare(case(tmp_path), scratch)
    assert left.exists()
    os.utime(left, (time.time() - 4000,) * 2)
    prepare(case(tmp_path, "P02"), scratch)
    assert not left.exists()


@pytest.mark.parametrize("step", range(8))
def test_reading_ahead_is_cancelled_at_any_step_and_leaves_nothing(tmp_path, step):
    class Impatient(Events):
        asked = 0

        def check(self):
            self.asked += 1
            if self.asked > step * 2:
                self.cancel()
            super().check()

    with pytest.raises(Cancelled):
        prepare(case(tmp_path, pet="suv.nii.gz"), tmp_path / "scratch", events=Impatient())
    assert not (tmp_path / "scratch").exists() or list((tmp_path / "scratch").iterdir()) == []


def start_child(tmp_path, item, *options):
    (tmp_path / "item.json").write_text(item.as_json(), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "BATNetLib", "annotate", "read-ahead", "--item", str(tmp_path / "item.json"),
         "--scratch", str(tmp_path / "scratch"), "--events", "json", *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_the_child_process_of_the_module_reads_a_case_ahead(tmp_path):
    item = case(tmp_path, "Fall Ü", grid="oblique")
    child = start_child(tmp_path, item, "--keep", "P07")
    said = [json.loads(line) for line in child.stdout]
    assert child.wait(timeout=60) == 0
    child.stdin.close()
    result = next(event for event in said if event["event"] == "result")
    assert result["files"] == {"ct": "ct.nrrd", "adipose": "adipose.nrrd", "brown": "brown.nrrd"}
    ready = find_prepared(item, tmp_path / "scratch")
    assert str(ready.folder) == result["folder"]
    assert ready.facts == result["facts"]


def large_ct():
    """512 x 512 x 300 voxels (157 MB) with some noise."""
    rng = np.random.default_rng(0)
    plane = rng.integers(-1000, 1000, (512, 512), dtype=np.int16)
    affine = np.diag([0.9, 0.9, 1.25, 1.0])
    affine[:3, 3] = (-230, -210, 40)
    array = np.empty((300, 512, 512), np.int16)
    for index in range(300):
        array[index] = np.roll(plane, index)
    return volume_on_own_grid(array.transpose(2, 1, 0), affine)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A scan of usual size as an uncompressed file."""
    folder = tmp_path_factory.mktemp("large")
    path = folder / "ct.nrrd"
    ct = large_ct()
    write_raw(ct, path, Events())
    yield WorkItem("large", "large", {"ct": path}), ct
    shutil.rmtree(folder)


def test_closing_the_input_stops_the_child_within_two_seconds_and_leaves_nothing(tmp_path, large):
    item, _ = large
    child = start_child(tmp_path, item)
    assert "stage" in child.stdout.readline()  # it is at work
    started = time.perf_counter()
    child.stdin.close()
    assert child.wait(timeout=30) == 6
    seconds = time.perf_counter() - started
    child.stdout.close()
    scratch = tmp_path / "scratch"
    assert not scratch.exists() or list(scratch.iterdir()) == []
    assert seconds < 2.0


def seconds_to_read_the_bytes(path):
    """The disk alone: what no program could be faster than."""
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(16 << 20):
            pass
    return time.perf_counter() - started


def test_switching_to_a_scan_that_was_read_ahead_takes_well_under_two_seconds(
    tmp_path, large, record_property
):
    item, ct = large
    ready = prepare(item, tmp_path / "scratch", fat=False)
    measured = []
    for _ in range(3):  # the machine may be busy with other work
        started = time.perf_counter()
        found = find_prepared(item, tmp_path / "scratch")
        volume = found.read("ct")
        measured.append(time.perf_counter() - started)
        if measured[-1] < LIMIT_S / 2:
            break
    seconds = min(measured)
    disk = seconds_to_read_the_bytes(ready.files["ct"])
    record_property("switching_s", round(seconds, 3))
    record_property("disk_s", round(disk, 3))
    print(f"512 x 512 x 300 int16: {seconds:.2f} s to open, {disk:.2f} s for the bytes alone")
    assert np.array_equal(volume.array, ct.array)
    shutil.rmtree(tmp_path / "scratch")
    if disk > LIMIT_S / 2:
        pytest.skip(
            f"the disk alone takes {disk:.1f} s for the bytes of the scan; opening took {seconds:.1f} s"
        )
    assert seconds < LIMIT_S / 2 + disk


def test_a_raw_volume_keeps_types_values_and_place(tmp_path):
    ct = ct_on("oblique and left-handed")
    for dtype in (np.uint8, np.int16, np.int32, np.float32):
        volume = ct.with_array(ct.array.astype(dtype))
        write_raw(volume, tmp_path / "a.nrrd", Events())
        again = read_raw(tmp_path / "a.nrrd")
        assert again.array.dtype == dtype
        assert np.array_equal(again.array, volume.array)
        assert np.abs(again.grid.affine - ct.grid.affine).max() < 1e-12

"""Several machines at one batch: shards, collecting, Dask."""

import csv
import json
import threading
from itertools import chain

import pytest
from small_engine import BROKEN, EXIT

from BATNetLib.batch import collect, parse_shard
from BATNetLib.batch.names import read_key
from BATNetLib.batch.plan import shard_of
from BATNetLib.errors import UsageError


def statuses(out):
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return [row["status"] for row in csv.DictReader(file)]


def test_shards_share_all_cases_without_overlap_and_evenly():
    ids = [f"case-{n:04d}" for n in range(1, 24)]
    parts = [shard_of(ids, (k, 5)) for k in range(1, 6)]
    assert sorted(chain(*parts)) == ids
    assert {len(part) for part in parts} == {4, 5}
    assert shard_of(reversed(ids), None) == ids


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "-1/3", "1/0", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="SLURM"):
        parse_shard(text)


def test_shards_run_at_the_same_time_and_are_collected(tmp_path, scan, batch, calls):
    for number in range(10):
        scan(tmp_path / "study" / f"p{number}" / "ct.nii.gz", BROKEN if number == 4 else 0)
    out = tmp_path / "out"
    batch(tmp_path / "study", out, shard=(1, 3))
    assert statuses(out).count("pending") == 6, "what other shards have not done yet is told"
    threads = [
        threading.Thread(target=batch, args=(tmp_path / "study", out), kwargs={"shard": (k, 3)})
        for k in (2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("results.csv", "summary.json", "contact-sheet.html"):
        (out / name).unlink(missing_ok=True)
    summary = collect(out)
    assert summary["status"] == {"done": 9, "not-assessable": 0, "refused": 0, "failed": 1, "pending": 0}
    assert sorted(statuses(out)) == ["done"] * 9 + ["failed"]
    assert (out / "contact-sheet.html").is_file()
    assert sorted(calls()) == sorted(read_key(tmp_path / "out-key.csv"))
    whole = batch(tmp_path / "study", out)
    assert (whole.ran, whole.skipped) == (0, 10), "a run without shards sees what the shards have done"


def test_collecting_needs_a_batch(tmp_path):
    with pytest.raises(UsageError) as caught:
        collect(tmp_path)
    assert caught.value.code == "not-a-batch"


def test_results_of_former_lists_stay_and_are_counted(tmp_path, scan, batch):
    for number in range(3):
        scan(tmp_path / "study" / f"p{number}" / "ct.nii.gz")
    batch(tmp_path / "study", tmp_path / "out")
    batch(tmp_path / "study" / "p0" / "ct.nii.gz", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["cases"], summary["not_in_the_last_list"]) == (4, 3)


def test_a_dask_cluster_of_two_processes_runs_the_cases_and_survives_a_crash(tmp_path, scan, batch, calls):
    pytest.importorskip("distributed")
    for number in range(8):
        scan(tmp_path / "study" / f"p{number}" / "ct.nii.gz", EXIT if number == 3 else 0)
    out = tmp_path / "out"
    result = batch(tmp_path / "study", out, dask="local:2", keep_names=True)
    assert (result.counts["done"], result.counts["failed"]) == (7, 1)
    assert sorted(calls()) == [f"p{n}" for n in range(8)]
    again = batch(tmp_path / "study", out, keep_names=True, workers=1)
    assert again.ran == 1, "only the lost one is tried once more"


def test_a_dask_address_that_is_none_is_refused(tmp_path, scan, batch):
    pytest.importorskip("distributed")
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    for where in ("local:", "local:zero", "local:0"):
        with pytest.raises(UsageError) as caught:
            batch(tmp_path / "study", tmp_path / "out", dask=where)
        assert caught.value.code == "dask-address"

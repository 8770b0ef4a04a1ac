"""SIGKILL at any time: nothing finished is lost, nothing finished is repeated."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from small_engine import GOOD, NOT_ASSESSABLE, REFUSED

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a matter of POSIX systems")

CASES, SECONDS = 12, 0.1

RUN = """
import sys
from pathlib import Path
from BATNetLib.analysis import AnalysisOptions
from BATNetLib.batch import BatchSettings, find_cases, run_batch
study, out = Path(sys.argv[1]), Path(sys.argv[2])
settings = BatchSettings(
    analyzer="small_engine:analyze_files", models={}, keep_names=True, workers=int(sys.argv[3])
)
result = run_batch(find_cases([study]), out, AnalysisOptions(method="hu-threshold"), settings)
print(result.ran, result.skipped)
"""


@pytest.fixture
def start(tmp_path):
    """Start the batch as a process of its own, in a process group of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "BATNET_TEST_CALLS": str(tmp_path / "calls.txt"),
        "BATNET_TEST_SECONDS": str(SECONDS),
    }

    def run(workers, errors=subprocess.DEVNULL):
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "study"), str(tmp_path / "out"), str(workers)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )

    return run


def finished(out):
    """What identifies each finished result: a repeated case would have another one."""
    marks = {}
    for file in (out / "cases").glob("*/batch.json"):
        marks[file.parent.name] = (file.stat().st_ino, file.stat().st_mtime_ns, file.read_bytes())
    return marks


def ended(out):
    """Times of the records of each case in the journal."""
    times = {}
    for file in (out / "state").glob("journal*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            times.setdefault(record["case"], set()).add(record["time"])
    return times


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_batch_goes_on_without_loss_and_without_repeating(tmp_path, scan, start, workers):
    kinds = {f"p{n:02d}": (GOOD, NOT_ASSESSABLE, REFUSED)[n % 7 % 3] for n in range(CASES)}
    for name, what in kinds.items():
        scan(tmp_path / "study" / name / "ct.nii.gz", what, value=int(name[1:]))
    out = tmp_path / "out"
    chance = random.Random()
    seed = chance.randrange(10**6)
    chance.seed(seed)
    kept, told, kills = {}, {}, 0
    for _ in range(4):
        process = start(workers)
        try:
            process.wait(timeout=chance.uniform(0.25, 1.0))
        except subprocess.TimeoutExpired:
            kills += 1
            if chance.random() < 0.5:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        # What was finished at the moment of the kill is what must survive from here on.
        time.sleep(0.2)
        now = finished(out)
        assert {name: now.get(name) for name in kept} == kept, f"seed {seed}"
        kept, before = now, told
        told = ended(out)
        assert all(times <= told[name] for name, times in before.items()), f"seed {seed}"
    process = start(workers, subprocess.PIPE)
    said, errors = process.communicate(timeout=60)
    assert not errors, f"seed {seed}"
    ran, skipped = map(int, said.split())
    assert kills and process.returncode == 0, f"seed {seed}"
    assert ran + skipped == CASES, f"seed {seed}"
    everything = finished(out)
    assert {name: everything[name] for name in kept} == kept, f"seed {seed}"
    assert sorted(everything) == sorted(name for name, what in kinds.items() if what != REFUSED)
    assert all(len(times) == 1 for times in ended(out).values()), f"a case ended twice, seed {seed}"
    calls = Counter((tmp_path / "calls.txt").read_text().split())
    assert set(calls) == set(kinds)
    # A kill may cost the cases that were running, and only those.
    assert sum(calls.values()) <= CASES + kills * workers, f"seed {seed}"
    rows = (out / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == CASES + 1 and not any("pending" in row for row in rows)
    assert not (out / ".work").exists() and not list(out.glob(".batnet-lock*"))


def test_a_worker_does_not_outlive_a_batch_that_was_killed(tmp_path, scan, start):
    psutil = pytest.importorskip("psutil")
    for number in range(20):
        scan(tmp_path / "study" / f"p{number}" / "ct.nii.gz")
    process = start(2)
    until = time.monotonic() + 20
    while not (tmp_path / "calls.txt").exists() and time.monotonic() < until:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while any(runs(child) for child in children) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [child for child in children if runs(child)]


def runs(process):
    # Nobody may be there to collect an ended process whose parent is gone.
    return process.is_running() and process.status() != "zombie"


@pytest.mark.parametrize("moment", ["before the move", "before the journal", "between two renames"])
def test_a_result_finished_at_the_moment_of_the_kill_is_taken_over(tmp_path, scan, batch, calls, moment):
    """The three narrow moments that a random kill rarely meets, made by hand."""
    scan(tmp_path / "study" / "p1" / "ct.nii.gz")
    out = tmp_path / "out"
    batch(tmp_path / "study", out, keep_names=True)
    work = out / ".work" / "all" / "killed"
    work.mkdir(parents=True)
    if moment == "between two renames":
        (out / "cases" / "p1").replace(work / "former-p1")
    else:
        (out / "state" / "journal.jsonl").unlink()
        if moment == "before the move":
            (out / "cases" / "p1").replace(work / "p1")
    again = batch(tmp_path / "study", out, keep_names=True)
    assert (again.ran, again.skipped, calls()) == (0, 1, ["p1"])
    assert (out / "cases" / "p1" / "analysis.json").is_file()
    assert not (out / ".work").exists()

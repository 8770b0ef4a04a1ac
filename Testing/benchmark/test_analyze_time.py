"""Whole-process time and peak memory of one analysis: ``make benchmark``. Not part of ``make test``.

The bounds are those of the project for 2 cores; on a slower or busier machine read the figures instead.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from realdata import real_data

ROOT = Path(__file__).resolve().parents[2]

#: Name, scan, further words of the command, seconds and gigabytes that must not be passed (None: no bound).
RUNS = [
    ("neck-chest, HU threshold", "ct/neck-chest/ct.nii.gz", ["--method", "hu-threshold"], 30.0, 2.0),
    ("chest, HU threshold", "ct/chest-with-lungs/ct.nii.gz", ["--method", "hu-threshold"], None, 2.0),
    ("neck-chest, demonstration network", "ct/neck-chest/ct.nii.gz", [], None, 2.0),
]


@pytest.mark.parametrize(("name", "scan", "words", "seconds", "gigabytes"), RUNS, ids=[r[0] for r in RUNS])
def test_one_analysis(name, scan, words, seconds, gigabytes, tmp_path):
    path = real_data(scan)
    command = [sys.executable, "-m", "BATNetLib", "analyze", str(path), "--model", "demo", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in kilobytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    stages = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))["seconds"]
    shown = ", ".join(f"{stage} {value:.1f}" for stage, value in stages.items())
    print(
        f"\n{name}: {took:.1f} s, CPU {usage.ru_utime + usage.ru_stime:.1f} s, peak {peak:.2f} GB ({shown})"
    )
    assert process.returncode == 0
    assert seconds is None or took < seconds
    assert peak < gigabytes

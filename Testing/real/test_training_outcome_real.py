"""What a training leaves, on a real abdominal CT whose rows and columns run against the patient's axes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from finishedruns import SPLIT_SHA, adipose_stage, make_run, store_best, trained_threshold
from realdata import real_data

from BATNetLib.dataset import open_dataset
from BATNetLib.events import Events
from BATNetLib.training import examples, examples_adipose, finish, report, runfolder
from BATNetLib.training.contract import Parts


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATNET_HOME", str(tmp_path / "home"))
    folder = tmp_path / "data" / "patient-a"
    folder.mkdir(parents=True)
    shutil.copy(real_data("ct/abdomen-with-fat/ct.nii.gz"), folder / "ct.nii.gz")
    shutil.copy(real_data("ct/abdomen-with-fat/subcutaneous_fat.nii.gz"), folder / "adipose.nii.gz")
    examples_adipose._KEPT.clear()
    return tmp_path


def test_examples_lie_in_the_patient_where_the_scan_does(place: Path) -> None:
    data = open_dataset(place / "data")
    run = make_run(place / "run", "adipose", seconds_per_epoch=200.0)
    parts = Parts((), data.cases, (), sha256=SPLIT_SHA)
    assert examples.write_examples(run, adipose_stage(parts), trained_threshold(), 1)
    (case,) = examples.read_examples(run)["cases"]
    folder = run / runfolder.EXAMPLES
    for role, file in (("ct", "ct.nii.gz"), ("truth", "adipose.nii.gz")):
        whole = sitk.ReadImage(str(place / "data" / "patient-a" / file))
        part = sitk.ReadImage(str(folder / case["files"][role]))
        # Every voxel of the example, read by another program, is that of the scan at the same place.
        found = sitk.GetArrayFromImage(part).astype(float)
        there = sitk.Resample(whole, part, sitk.Transform(), sitk.sitkNearestNeighbor, -9999.0)
        wanted = sitk.GetArrayFromImage(there).astype(float)
        assert len(found) == len(case["slices"]) == examples_adipose.MOST_SLICES
        assert (wanted != -9999).all()
        assert np.abs(found - (np.rint(wanted) if role == "ct" else wanted != 0)).max() <= 0.5


def test_the_model_is_measured_on_a_grid_that_does_not_divide_by_sixteen(place: Path) -> None:
    data = open_dataset(place / "data")
    parts = Parts((), data.cases, (), sha256=SPLIT_SHA)
    run = make_run(place / "run", "adipose", state="running")
    store_best(run, trained_threshold())
    result = finish.finish_run(run, adipose_stage(parts), data, parts, Events())
    told = result["metrics"]["validation"]
    # All fat by its HU against subcutaneous fat alone: related, and far from the same.
    assert 0.3 < told["dice"]["value"] < 0.95
    assert told["hd95_mm"]["value"] > 3
    assert told["dice"]["note"] == "an interval needs two patients"
    assert not result["warnings"]
    assert "patient-a" not in report.render_report(run, result=result)

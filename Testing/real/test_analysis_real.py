"""The whole way on published scans: numbers are not judged here, but places, sides and outcomes are."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from realdata import real_data

from BATNetLib.analysis import AnalysisOptions, CaseInputs, analyze_files
from BATNetLib.lungs import cut_plane, find_lungs
from BATNetLib.volume import read_mask, read_volume

ROOT = Path(__file__).resolve().parents[2]
DEMO = {"method": "hu-threshold", "adipose_model": "demo", "brown_model": "demo"}


def passport_of(folder):
    return json.loads((folder / "analysis.json").read_text(encoding="utf-8"))


def test_neck_and_chest_are_assessed_and_the_results_lie_on_the_scan(tmp_path):
    path = real_data("ct/neck-chest/ct.nii.gz")
    out = analyze_files(CaseInputs(ct=path), tmp_path / "out", AnalysisOptions(**DEMO))
    facts = passport_of(out)
    assert facts["case"]["outcome"] == "assessed" and 0 <= facts["case"]["probability"] <= 1
    assert facts["demonstration"]
    source = nib.load(path)
    image = nib.load(out / "patch_probability.nii.gz")
    assert image.shape == source.shape
    np.testing.assert_allclose(image.affine, source.affine, atol=1e-3)
    # Where a patch lies in millimetres there are its voxels in the file, and its probability.
    stored = np.asarray(image.dataobj)
    inverse = np.linalg.inv(source.affine)
    for patch in facts["patches"]:
        x, y, z = patch["box"]["centre"]
        voxel = tuple(np.rint(inverse @ [-x, -y, z, 1])[:3].astype(int))
        assert stored[voxel] == pytest.approx(patch["probability"], abs=1e-4)
        assert (x > np.mean([p["box"]["centre"][0] for p in facts["patches"]])) == (patch["side"] == "left")
    hu = read_volume(path)
    mask = read_mask(out / "adipose.seg.nrrd", hu, name="adipose mask")
    assert -110 < hu.array[mask.array > 0].mean() < -80, "the mask lies on fat"
    assert not mask.array[facts["lungs"]["cut_slice"] :].any()


def test_given_lungs_and_found_lungs_cut_at_nearly_the_same_place(tmp_path):
    path, contours = real_data("ct/chest-with-lungs/ct.nii.gz"), real_data("ct/chest-with-lungs/lungs.nii.gz")
    options = AnalysisOptions(**DEMO, report=False, attention_stage="none")
    facts = passport_of(analyze_files(CaseInputs(ct=path, lungs=contours), tmp_path / "out", options))
    assert facts["case"]["outcome"] == "assessed" and facts["lungs"]["origin"] == "given"
    found = cut_plane(find_lungs(read_volume(path)))
    # The clinical contours end a little higher than the lungs do; slices are 3 mm thick.
    assert abs(facts["lungs"]["cut_slice"] - found) * 3.0 <= 10.0


def test_an_abdomen_is_not_assessable(tmp_path):
    path = real_data("ct/abdomen-with-fat/ct.nii.gz")
    out = analyze_files(CaseInputs(ct=path), tmp_path / "out", AnalysisOptions(**DEMO))
    facts = passport_of(out)
    assert facts["case"]["outcome"] == "not-assessable" and facts["case"]["probability"] is None
    assert [reason["code"] for reason in facts["case"]["reasons"]] == ["no-lungs"]
    assert "Not assessable" in (out / "report.html").read_text(encoding="utf-8")


def test_a_dicom_series_of_part_of_the_chest_needs_an_override_and_gets_a_dicom_seg(tmp_path):
    series = real_data("dicom/ct-series")
    options = AnalysisOptions(**DEMO, attention_stage="none", report=False)
    facts = passport_of(analyze_files(CaseInputs(ct=series), tmp_path / "first", options))
    assert facts["case"]["outcome"] == "not-assessable"
    codes = [reason["code"] for reason in facts["case"]["reasons"]]
    options = AnalysisOptions(
        **DEMO, attention_stage="none", report=False, overrides=dict.fromkeys(codes, "a test of the way")
    )
    out = analyze_files(CaseInputs(ct=series), tmp_path / "second", options)
    facts = passport_of(out)
    assert facts["case"]["outcome"] == "assessed"
    assert [override["code"] for override in facts["overrides"]] == codes
    ct = read_volume(series)
    mask = read_mask(out / "adipose.seg.nrrd", ct, name="adipose mask").array
    dataset = hd.seg.segread(out / "adipose.seg.dcm")
    frames = dataset.pixel_array
    assert frames.sum() == mask.sum() > 10_000
    assert dataset.FrameOfReferenceUID == facts["inputs"]["ct"]["uids"]["FrameOfReferenceUID"]
    for item, frame in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        z = float(item.PlanePositionSequence[0].ImagePositionPatient[2])
        index = round((ct.grid.affine[2, 3] - z) / ct.spacing[0])
        np.testing.assert_array_equal(frame, mask[index])


def test_memory_stays_bounded_on_a_full_scan(tmp_path):
    """Peak memory of the whole process under 2 GB; time is measured by ``make benchmark``, not here."""
    psutil = pytest.importorskip("psutil")
    path = real_data("ct/neck-chest/ct.nii.gz")
    command = [
        sys.executable, "-m", "BATNetLib", "analyze", str(path.parent), "--method", "hu-threshold",
        "--model", "demo", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak, watched = 0, psutil.Process(process.pid)
    timer = threading.Timer(300, process.kill)
    timer.start()
    try:
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
    finally:
        timer.cancel()
        process.wait()
    assert process.returncode == 0
    assert 100e6 < peak < 2e9, f"{peak / 1e9:.2f} GB"

"""A mask that somebody edited becomes a DICOM SEG of its CT."""

import json

import numpy as np
import pydicom
import pytest
from test_analysis_dicom_seg import places_of, write_series

from BATNetLib.cli import main
from BATNetLib.volume import read_volume, write_volume


@pytest.fixture(scope="module")
def case(phantom, tmp_path_factory):
    """A DICOM series and a mask on its voxels."""
    folder = tmp_path_factory.mktemp("seg")
    series = write_series(phantom, folder / "ct")
    ct = read_volume(series)
    write_volume(phantom.adipose, folder / "mask.nrrd", like=ct)
    return series, folder / "mask.nrrd"


def passport(folder, method, models):
    path = folder / "analysis.json"
    path.write_text(
        json.dumps(
            {"method": {"adipose": method}, "models": models, "case": {"outcome": "assessed"}},
        ),
        encoding="utf-8",
    )
    return path


def test_the_mask_lies_on_the_slices_it_was_drawn_on(case, phantom, tmp_path):
    series, mask = case
    out = tmp_path / "seg.dcm"
    assert main(["dicom-seg", str(series), "--mask", str(mask), "--out", str(out)]) == 0
    found = pydicom.dcmread(out)
    assert found.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert sum(int(frame.sum()) for frame in places_of(found).values()) == int(phantom.adipose.array.sum())
    filled = int(np.any(phantom.adipose.array, axis=(1, 2)).sum())
    assert len(places_of(found)) == filled


def test_a_mask_of_a_network_says_which(case, tmp_path):
    series, mask = case
    model = {"name": "demo-adipose", "sha256": "ab" * 32, "demonstration": True}
    facts = passport(tmp_path, "network", {"adipose": model})
    words = ["dicom-seg", str(series), "--mask", str(mask), "--passport", str(facts)]
    assert main([*words, "--out", str(tmp_path / "seg.dcm")]) == 0
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    assert found.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert "demonstration" in found.SeriesDescription


def test_what_is_no_dicom_or_no_passport_or_there_already_is_refused(case, tmp_path):
    series, mask = case
    out = tmp_path / "seg.dcm"
    assert main(["dicom-seg", str(mask), "--mask", str(mask), "--out", str(out)]) == 3
    words = ["dicom-seg", str(series), "--mask", str(mask), "--passport", str(mask)]
    assert main([*words, "--out", str(out)]) == 2
    assert not out.exists()
    out.write_text("mine")
    assert main(["dicom-seg", str(series), "--mask", str(mask), "--out", str(out)]) == 2
    assert out.read_text() == "mine"

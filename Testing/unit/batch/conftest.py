import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from BATNetLib.analysis import AnalysisOptions
from BATNetLib.batch import BatchSettings, find_cases, run_batch

sys.path.insert(0, str(Path(__file__).parent))

ENGINE = "small_engine:analyze_files"
MODELS = {"brown": {"name": "demo-brown", "sha256": "ab" * 32, "demonstration": True}}


@pytest.fixture
def scan():
    """Write a small NIfTI whose first voxel tells the test engine what to do with it."""

    def write(path, what=0, value=40):
        array = np.full((6, 5, 4), value, np.int16)
        array.flat[0] = what
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([-2.0, -2.0, 3.0, 1.0])), path)
        return path

    return write


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Ids of the cases that the test engine was called with so far."""
    file = tmp_path / "calls.txt"
    monkeypatch.setenv("BATNET_TEST_CALLS", str(file))
    return lambda: file.read_text(encoding="utf-8").split() if file.exists() else []


@pytest.fixture
def batch():
    """Run a batch with the test engine in this process."""

    def run(sources, out, options=None, events=None, on_case=None, **settings):
        settings = {"workers": 0, "analyzer": ENGINE, "models": MODELS, **settings}
        sources = sources if isinstance(sources, list) else [sources]
        found = find_cases(sources)
        options = options or AnalysisOptions(method="hu-threshold", brown_model="demo")
        return run_batch(found, out, options, BatchSettings(**settings), events, on_case)

    return run

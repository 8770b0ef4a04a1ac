"""Small scans and one finished analysis folder, made once for all tests of the analysis."""

import pytest
import torch
from analysis_cases import COARSE, make_models, passport_of, quick

from BATNetLib.analysis import CaseInputs, analyze_files
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.volume import write_volume


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def phantom():
    """Brown fat on the patient's left only."""
    return make_phantom(seed=4, brown="left", spacing=COARSE)


@pytest.fixture(scope="session")
def models(phantom):
    return make_models(phantom.ct)


@pytest.fixture
def options():
    """Options of a quick run: no network for the mask, no attention, no report."""
    return quick()


@pytest.fixture(scope="session")
def scan(phantom, tmp_path_factory):
    """A folder with the phantom as the files of a patient with a name."""
    folder = tmp_path_factory.mktemp("Mustermann^Erika")
    write_volume(phantom.ct, folder / "Mustermann.nii.gz")
    write_volume(phantom.lungs, folder / "Mustermann-lungs.nii.gz")
    write_volume(phantom.adipose, folder / "Mustermann-fat.nii.gz")
    return folder


@pytest.fixture(scope="session")
def finished(scan, phantom, tmp_path_factory):
    """An analysis folder with everything in it, from a demonstration model, lungs given."""
    models = make_models(phantom.ct, demonstration=True)
    out = tmp_path_factory.mktemp("results") / "case"
    inputs = CaseInputs(ct=scan / "Mustermann.nii.gz", lungs=scan / "Mustermann-lungs.nii.gz")
    return analyze_files(inputs, out, quick(attention_stage="stage2", report=True), models)


@pytest.fixture(scope="session")
def facts(finished):
    return passport_of(finished)

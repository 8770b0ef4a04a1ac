"""The preflight on published scans."""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np
import pytest
from realdata import real_data

from BATNetLib.preflight import PreflightReport, preflight
from BATNetLib.volume import Volume, read_volume


@lru_cache(maxsize=2)
def scan(path: str) -> Volume:
    return read_volume(real_data(path))


def levels(report: PreflightReport) -> dict[str, str]:
    return {f.code: f.level for f in report.findings}


def test_a_neck_and_chest_ct_passes_with_what_can_be_seen_on_it() -> None:
    started = time.process_time()
    report = preflight(scan("ct/neck-chest/ct.nii.gz"))
    assert time.process_time() - started < 6
    # It starts 18 mm above the lung apex, ends in the chest, and the image cuts both shoulders off.
    assert levels(report) == {"apex-missing": "warn", "lungs-cut-off": "warn", "body-cut": "warn"}
    assert report.blocking == []
    assert report.of("apex-missing").values["above_apex_mm"] == pytest.approx(18, abs=2)


def test_a_chest_ct_with_raised_arms_passes() -> None:
    report = preflight(scan("ct/chest-with-lungs/ct.nii.gz"))
    assert levels(report) == {"arms": "note"}
    assert report.of("arms").values["parts"] == 2


def test_a_coarse_chest_ct_that_cuts_the_shoulders_off_blocks() -> None:
    report = preflight(scan("ct/tiny-chest/ct-64.nrrd"))
    assert levels(report) == {
        "body-cut": "block",
        "apex-missing": "warn",
        "large-pixels": "warn",
        "small-matrix": "warn",
    }


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("ct/abdomen-with-fat/ct.nii.gz", "no-lungs"),
        ("petct/shoulder/ct.nii.gz", "body-cut"),
        ("petct/axilla/ct.nii.gz", "body-cut"),
        ("petct/shoulder/pet_suv.nii.gz", "not-hu"),
        ("brain/parcellation-t1/brain.nii.gz", "not-hu"),
        ("brain/tumour/brats_2013_pat0004_1/T1c_subtrMeanDivStd.nii.gz", "not-hu"),
        ("brain/stroke/template-t1.nii.gz", "not-hu"),
    ],
)
def test_scans_on_which_no_number_would_make_sense_are_blocked(path: str, code: str) -> None:
    assert code in {f.code for f in preflight(scan(path)).blocking}


def test_windowed_pictures_of_the_neck_are_blocked_as_such() -> None:
    from PIL import Image

    folder = real_data("png/neck-shoulders")
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    stack = np.stack([np.array(Image.open(path).convert("L")) for path in files])
    report = preflight(scan("ct/neck-chest/ct.nii.gz").__class__(stack, _grid(stack.shape)))
    assert [f.code for f in report.blocking] == ["not-hu"]
    assert "8 bits" in report.blocking[0].sentence


def _grid(shape):
    from BATNetLib.volume.geometry import Grid

    return Grid(shape, np.diag([1.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize("path", ["ct/neck-chest/ct.nii.gz", "ct/chest-with-lungs/ct.nii.gz"])
@pytest.mark.parametrize(("axis", "code"), [(0, "upside-down"), (1, "front-to-back")])
def test_wrong_axes_are_seen_in_the_anatomy(path: str, axis: int, code: str) -> None:
    volume = scan(path)
    turned = volume.with_array(np.flip(volume.array, axis))
    assert code in {f.code for f in preflight(turned).blocking}


def test_exchanged_sides_are_suspected_where_the_heart_is_in_the_image() -> None:
    volume = scan("ct/chest-with-lungs/ct.nii.gz")
    assert levels(preflight(volume.with_array(np.flip(volume.array, 2))))["left-right"] == "warn"

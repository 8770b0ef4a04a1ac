"""Real scans as training data: a manifest puts masks of any name beside a scan."""

import pytest
from realdata import real_data

from BATNetLib.dataset import check, open_dataset


@pytest.fixture
def report(tmp_path):
    scan = real_data("ct/abdomen-with-fat/ct.nii.gz")
    fat, muscle = (scan.with_name(f"{name}.nii.gz") for name in ("subcutaneous_fat", "skeletal_muscle"))
    rows = [f"fat,P1,{scan},{fat}", f"muscle,P2,{scan},{muscle}"]
    (tmp_path / "manifest.csv").write_text("\n".join(["case_id,patient,ct,adipose", *rows]) + "\n")
    return check(open_dataset(tmp_path))


def test_a_real_scan_is_measured_and_its_copy_under_another_patient_found(report):
    fat, _ = report.facts
    assert fat.unit == "mL" and fat.shape == (30, 101, 122) and 100 < fat.fat < 20000
    assert fat.spacing == pytest.approx((3, 3, 3), abs=0.01)
    assert [f.code for f in report.findings if f.level == "block"] == ["duplicate-pixels"]


def test_a_mask_of_muscle_is_not_taken_for_fat(report):
    (found,) = (f for f in report.findings if f.code == "mask-not-fat")
    assert found.cases == ("muscle",)

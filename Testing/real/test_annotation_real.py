"""The work of readers on real scans: read ahead, saved, and read back by the library."""

import numpy as np
import pytest
from realdata import real_data

from BATNetLib.annotation import (
    Record,
    Store,
    WorkItem,
    export_manifest,
    fingerprint,
    open_worklist,
    prepare,
)
from BATNetLib.dataset import open_dataset, read_scan
from BATNetLib.volume import read_volume


@pytest.mark.parametrize("scan", ["ct/neck-chest/ct.nii.gz", "ct/tiny-chest/ct-64.nrrd", "dicom/ct-series"])
def test_a_real_scan_read_ahead_is_the_scan_and_its_mask_is_kept_exactly(tmp_path, scan):
    path = real_data(scan)
    item = WorkItem("P01", "P01", {"ct": path})
    ready = prepare(item, tmp_path / "scratch", fat=False)
    ct = ready.read("ct")
    usual = read_volume(path)
    assert np.array_equal(ct.array, usual.array)
    assert ct.grid.same_place(usual.grid)
    assert ready.facts["ct"] == fingerprint(ct)
    store = Store(tmp_path / "reads")
    brown = ct.with_array((ct.array > -90) & (ct.array < -50))
    store.save("P01", "anna", brown, record=Record(ct=ready.facts["ct"]), ct_file=path)
    again = store.read(store.newest("P01", "anna"))[0]
    assert np.array_equal(again.array, brown.array)
    usual.require_same_grid(again, "mask")


def test_a_real_pet_ct_goes_from_the_folder_to_a_manifest_that_training_reads(tmp_path):
    folder = real_data("petct/shoulder")
    store = Store(tmp_path / "reads")
    (item,) = open_worklist(folder, store, "anna").items
    assert item.files["pet"].name == "pet_suv.nii.gz"
    ready = prepare(item, tmp_path / "scratch")
    assert ready.facts["suv"] == "SUVbw"
    assert ready.facts["refused"] == {}
    assert ready.facts["origins"] == {"adipose": "hu-threshold"}
    fat, suv = ready.read("adipose"), ready.read("suv_on_ct")
    brown = fat.with_array((fat.array > 0) & (np.nan_to_num(suv.array) >= 1.5))
    assert brown.array.any()
    store.save(item.case, "anna", brown, adipose=fat, record=Record(status="done"), ct_file=item.files["ct"])
    worklist = open_worklist(folder, store, "anna")
    scan = read_scan(open_dataset(export_manifest(worklist).path).cases[0])
    assert np.array_equal(scan.brown.array > 0, brown.array)
    assert np.array_equal(scan.adipose.array, fat.array)

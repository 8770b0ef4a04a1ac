"""Result folders that do not fit are refused in words, and nothing of them gets into the scene."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import result_cases as cases
import slicer
from BATNetSlicer.scene import load_result

from BATNetLib.errors import InputRefused


def refused(folder, ct, words):
    scene = ct.GetScene()
    before = [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())]
    with pytest.raises(InputRefused, match=words) as refusal:
        load_result(folder, ct)
    assert [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())] == before
    assert str(folder) not in str(refusal.value)
    return refusal.value.code


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(cases.case_folder() / "result", tmp_path / "copy")
    return tmp_path / "copy"


def test_the_result_of_another_ct_is_refused_in_words_and_adds_nothing(scene, copy):
    other = slicer.util.addVolumeFromArray(
        np.zeros((20, 30, 40), np.int16), np.diag([-1.0, -1, 1, 1]), "Other"
    )
    assert refused(copy, other, "The result has 128 x 112 x 36 voxels, the CT 40 x 30 x 20") == "other-grid"
    ct = cases.load_ct()
    origin = np.array(ct.GetOrigin())
    ct.SetOrigin(origin + np.array((0, 0, 0.7)))
    assert refused(copy, ct, "lies elsewhere in space than this CT") == "other-grid"
    ct.SetOrigin(origin)
    assert load_result(copy, ct).assessed


def test_a_folder_that_is_no_result_is_refused_in_words(scene, tmp_path):
    ct = cases.load_ct()
    assert refused(tmp_path, ct, "holds no readable analysis.json") == "not-a-result"
    (tmp_path / "analysis.json").write_text("[1, 2]")
    assert refused(tmp_path, ct, "holds no readable analysis.json") == "not-a-result"


def test_a_result_of_a_newer_version_is_refused_in_words(scene, copy):
    facts = json.loads((copy / "analysis.json").read_text("utf-8"))
    (copy / "analysis.json").write_text(json.dumps(facts | {"schema_version": 99}))
    assert refused(copy, cases.load_ct(), "version 99.*Update the extension") == "result-version"


@pytest.mark.parametrize("name", ["patch_probability.nii.gz", "attention.nii.gz", "adipose.seg.nrrd"])
def test_missing_and_damaged_files_are_refused_in_words(scene, copy, name):
    ct = cases.load_ct()
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) * 2 // 3])
    assert refused(copy, ct, f"{name} of the result folder is damaged") == "result-damaged"
    middle = len(whole) * 2 // 3
    (copy / name).write_bytes(
        whole[:middle] + bytes(b ^ 0x55 for b in whole[middle : middle + 40]) + whole[middle + 40 :]
    )
    assert refused(copy, ct, f"{name} of the result folder is damaged") == "result-damaged"
    (copy / name).unlink()
    assert refused(copy, ct, f"no {name}, although") == "result-missing"

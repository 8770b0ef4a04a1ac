"""Ready-made patches of a BATNet case folder: stage 2 alone, and nothing trusted without a check."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from BATNetLib.batch.patchcase import SHAPE, read_patches
from BATNetLib.errors import InputRefused


def save(path, values):
    import nibabel as nib

    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def made(seed=0):
    generator = np.random.default_rng(seed)
    values = np.zeros(SHAPE, np.float32)
    # The same few numbers again and again, so that the files are small and quickly written.
    values[:, 0] = np.resize(generator.random(997, np.float32) - 0.5, SHAPE[:1] + SHAPE[2:])
    values[:, 1] = np.resize(generator.random(1009) > 0.6, SHAPE[:1] + SHAPE[2:])
    return values


@pytest.fixture
def sides(tmp_path):
    folder = tmp_path / "study" / "17"
    return [save(folder / f"ct_at_{side}_patch.nii.gz", made(i)) for i, side in enumerate(("left", "right"))]


def test_patches_are_read_as_they_were_written(sides):
    patches = read_patches(*sides)
    assert np.array_equal(patches.left, made(0)) and np.array_equal(patches.right, made(1))
    assert patches.left.dtype == np.float32 and patches.boxes == ()


def with_value(channel, value):
    def change(values):
        values[3, channel, 1, 2, 3] = value
        return values

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: v[:15], "patches-shape"),
        (lambda v: np.moveaxis(v, 1, -1), "patches-shape"),
        (lambda v: v[0], "patches-shape"),
        (lambda v: v.astype(np.complex64), "patches-shape"),
        (with_value(0, np.nan), "patches-not-finite"),
        (with_value(1, np.inf), "patches-not-finite"),
        (with_value(0, 0.7), "patches-range"),
        (lambda v: v * 400 - 100, "patches-range"),
        (lambda v: v * np.float32(0), "patches-range"),
        (with_value(1, 0.5), "patches-mask"),
        (lambda v: v[:, ::-1].copy() * np.float32(0.5), "patches-mask"),
    ],
)
def test_what_cannot_be_right_is_refused(sides, change, code):
    save(sides[1], change(made()))
    with pytest.raises(InputRefused) as caught:
        read_patches(*sides)
    assert caught.value.code == code
    assert "ct_at_right_patch.nii.gz" in caught.value.found


def test_masks_that_are_all_empty_are_refused(sides):
    for path in sides:
        save(path, made() * np.array([1, 0], np.float32)[None, :, None, None, None])
    with pytest.raises(InputRefused) as caught:
        read_patches(*sides)
    assert caught.value.code == "adipose-empty"


@pytest.mark.parametrize("kept", [0, 10, 1000])
def test_a_damaged_file_is_refused(sides, kept):
    whole = gzip.compress(gzip.decompress(sides[0].read_bytes()), 1)
    sides[0].write_bytes(whole[:kept])
    with pytest.raises(InputRefused) as caught:
        read_patches(*sides)
    assert caught.value.code == "unreadable"


def test_a_batch_of_patches_gives_the_probabilities_of_the_network(tmp_path, sides, batch):
    pytest.importorskip("torch")
    save(tmp_path / "study" / "18" / "ct_at_left_patch.nii.gz", made() * 2)
    save(tmp_path / "study" / "18" / "ct_at_right_patch.nii.gz", made())
    out = tmp_path / "out"
    batch(tmp_path / "study", out, keep_names=True)
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    assert (rows["18"]["status"], rows["18"]["code"]) == ("refused", "patches-range")
    assert rows["17"]["status"] == "done" and rows["17"]["demonstration"] == "yes"
    import torch

    from BATNetLib.models import load_model

    network = load_model("demo", "brown").network
    with torch.inference_mode():
        case, patch = network(torch.from_numpy(made(0))[None], torch.from_numpy(made(1))[None])
    assert float(rows["17"]["prediction"]) == pytest.approx(float(case.softmax(-1)[0, 1]), abs=1e-5)
    facts = json.loads((out / "cases" / "17" / "patch-analysis.json").read_text(encoding="utf-8"))
    said = [entry["probability"] for entry in facts["patches"]]
    assert said == pytest.approx(patch.softmax(-1)[0, :, 1].tolist(), abs=1e-5)
    assert [entry["side"] for entry in facts["patches"]] == ["right"] * 16 + ["left"] * 16
    assert all(entry["partner"] == (entry["index"] + 16) % 32 for entry in facts["patches"])
    assert "ready-made-patches" in [warning["code"] for warning in facts["warnings"]]
    assert sorted(p.name for p in (out / "cases" / "17").iterdir()) == [
        "batch.json", "patch-analysis.json", "patches.csv", "preview.png", "thumbnail.jpg",
    ]  # fmt: skip
    assert sorted(p.name for p in Path(sides[0]).parent.iterdir()) == [p.name for p in sides]

"""The demonstration: models that ship, and the whole way on a phantom without any download."""

import json

import numpy as np
import pytest

from BATNetLib.adipose.segment import segment_adipose
from BATNetLib.brown.classify import classify
from BATNetLib.brown.patches import extract_patches
from BATNetLib.cli import main
from BATNetLib.dataset.phantom import make_phantom
from BATNetLib.lungs import cut_plane
from BATNetLib.models import load_model

#: Never trained on; see BATNetLib/models/demonstration.py.
HELD_OUT = 2_000_000


@pytest.fixture(scope="module")
def models():
    return {stage: load_model("demo", stage) for stage in ("adipose", "brown")}


@pytest.fixture(scope="module")
def found(models):
    """Truth and result of the demonstration models on phantoms that were not trained on."""
    rows = []
    for index, brown in enumerate(("none", "left", "none", "right", "none", "left", "both", "right")):
        p = make_phantom(HELD_OUT + index, brown=brown)
        until = cut_plane(p.lungs.array)
        mask = segment_adipose(p.ct, models["adipose"], until_slice=until, device="cpu").mask.array
        true = p.adipose.array[:until] > 0
        got = mask[:until] > 0
        patches = extract_patches(p.ct.array, mask, None, p.lungs.array)
        result = classify(patches, models["brown"], device="cpu")
        rows.append((brown, 2 * np.sum(got & true) / (got.sum() + true.sum()), result))
    return rows


@pytest.mark.parametrize("stage", ["adipose", "brown"])
def test_the_models_say_that_they_are_demonstrations(models, stage):
    entry = models[stage].entry
    assert entry.demonstration
    assert not entry.calibrated
    assert entry.operating_points == ()
    assert "trained on phantoms" in entry.title
    assert entry.licence == "MIT"


def test_the_models_are_small(models):
    from BATNetLib.models import resolve

    paths = [resolve("demo", stage).path for stage in models]
    assert sum(p.stat().st_size for p in paths) < 6_000_000


def test_fat_of_unseen_phantoms_is_segmented(found):
    assert min(dice for _, dice, _ in found) > 0.9


def test_unseen_phantoms_with_brown_fat_rank_above_those_without(found):
    with_brown = [r.probability for brown, _, r in found if brown != "none"]
    without = [r.probability for brown, _, r in found if brown == "none"]
    assert min(with_brown) > max(without)


def test_patches_light_up_on_the_side_that_has_brown_fat(found):
    own_side, other_side = [], []
    for brown, _, result in found:
        if brown not in ("left", "right"):
            continue
        right, left = result.patch_probabilities[:16], result.patch_probabilities[16:]
        own, other = (left, right) if brown == "left" else (right, left)
        assert own.max() > 0.5
        assert own.max() > other.max()
        assert own.mean() > other.mean()
        own_side.append(own.mean())
        other_side.append(other.mean())
    assert len(own_side) == 4
    assert np.mean(own_side) > 2 * np.mean(other_side)


def test_the_demo_goes_the_whole_way_and_names_folder_probability_and_truth(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--size", "small", "--seed", "5", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    facts = json.loads((out / "result" / "analysis.json").read_text(encoding="utf-8"))
    truth = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    assert str(out / "result") in said
    assert f"{facts['case']['probability']:.4f}" in said
    assert f"{truth['phantom']['brown_ml']['total']:.0f} mL of brown fat" in said
    assert "demonstration model, trained on phantoms; research use only" in said
    assert facts["demonstration"]
    assert (out / "result" / "report.html").is_file()
    assert (out / "case" / "image.nii.gz").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]

    # A former demonstration is replaced, here by a patient without brown fat.
    assert main(["demo", "--size", "small", "--brown", "none", "--out", str(out), "--events", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines].count("result") == 1
    assert json.loads((out / "demo.json").read_text(encoding="utf-8"))["phantom"]["brown"] == "none"


def test_a_folder_that_is_no_demonstration_is_never_replaced(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "not-a-demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_seed_that_is_no_number_is_wrong_usage():
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--seed", "-3"])
    assert caught.value.code == 2

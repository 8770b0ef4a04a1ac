"""Training of stage 2 as the loop sees it: batches, loss, augmentation, figures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from brownsets import Heard, cohort, parts, workspace
from torch import nn

from BATNetLib.errors import InputRefused
from BATNetLib.training import resolve
from BATNetLib.training.brown_augment import augmentation
from BATNetLib.training.brown_loss import BrownLoss
from BATNetLib.training.brown_stage import build, group
from BATNetLib.training.brown_validate import network_input

WORDS = ("none", "little", "none", "much", "none", "middle")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return cohort(tmp_path_factory.mktemp("cohort") / "data")


@pytest.fixture(scope="module")
def made(dataset, tmp_path_factory):
    """A stage of the dataset for a configuration; patches are cut once."""
    place = workspace(tmp_path_factory.mktemp("run"))
    bins = {c.case: (f"brown fat: {w}",) for c, w in zip(dataset.cases, WORDS, strict=True)}

    def make(*overrides, preset="published", bins=bins, **fields):
        fields = {"width": 4, "device": "cpu", **fields}
        config = resolve("brown", preset, None, ["amp=off", *overrides], **fields)
        return build(config, dataset, parts(dataset, bins=bins), Heard(), place)

    return make


def same(first, second):
    return all(
        torch.equal(first[key], second[key])
        if isinstance(first[key], torch.Tensor)
        else first[key] == second[key]
        for key in first
    )


# --- batches


def test_every_case_comes_once_in_an_epoch_of_the_published_recipe(made):
    stage = made(batch_size=2)
    batches = list(stage.batches(1, 0, 1))
    assert stage.steps_per_epoch() == len(batches) == 2
    assert sorted(name for batch in batches for name in batch["cases"]) == ["p0", "p1", "p2", "p3"]
    orders = {tuple(name for batch in stage.batches(e, 0, 1) for name in batch["cases"]) for e in range(1, 9)}
    assert len(orders) > 1


def test_a_batch_holds_what_an_analysis_gives_to_the_network(made):
    stage = made(batch_size=2)
    batch = next(stage.batches(1, 0, 1))
    case = next(c for c in stage.train_cases if c.case == batch["cases"][0])
    assert batch["patches"].shape == (2, 2, 16, 2, 32, 32, 32)
    assert batch["patches"].dtype == torch.float32
    values = network_input(stage.memory, case)
    assert np.array_equal(batch["patches"][0].numpy(), values)
    assert values[:, :, 0].min() >= -0.5
    assert values[:, :, 0].max() <= 0.5
    assert set(np.unique(values[:, :, 1])) <= {0.0, 1.0}
    assert np.array_equal(batch["patch_labels"][0].numpy(), case.labels)


@pytest.mark.parametrize("preset", ["published", "modern"])
def test_an_epoch_taken_up_in_its_middle_goes_on_as_it_was(made, preset):
    stage = made(preset=preset, batch_size=2)
    whole = list(stage.batches(3, 0, 1))
    again = list(stage.batches(3, 0, 1, start_step=1))
    assert len(again) == len(whole) - 1
    assert all(same(a, b) for a, b in zip(whole[1:], again, strict=True))


def test_processes_share_a_batch_item_by_item(made):
    stage = made(preset="modern", batch_size=4)
    whole = next(stage.batches(2, 0, 1))
    for rank in (0, 1):
        part = next(stage.batches(2, rank, 2))
        assert part["cases"] == whole["cases"][rank::2]
        assert torch.equal(part["patches"], whole["patches"][rank::2])


def test_batches_of_the_modern_preset_are_balanced_by_brown_fat(made):
    stage = made(preset="modern", batch_size=2)
    for epoch in (1, 2, 3):
        batches = list(stage.batches(epoch, 0, 1))
        assert all(batch["labels"].sum() == 1 for batch in batches)
        assert {name for batch in batches for name in batch["cases"]} == {"p0", "p1", "p2", "p3"}


def test_groups_follow_the_split_and_else_the_patches(made):
    assert [group(case) for case in made().train_cases] == [0, 1, 0, 3]
    bins = dict.fromkeys(("p0", "p1", "p2", "p3", "p4", "p5"), ("brown fat: unknown",))
    assert [group(case) > 0 for case in made(bins=bins).train_cases] == [False, True, False, True]


# --- loss


def test_the_loss_is_the_published_one():
    torch.manual_seed(0)
    case, patch = torch.randn(3, 2), torch.randn(3, 32, 2)
    labels = torch.tensor([1, 0, 1])
    patch_labels = torch.randint(-1, 2, (3, 32))
    loss = BrownLoss()
    got, told = loss(
        case,
        patch,
        labels,
        patch_labels,
        loss.weight_of_cases(labels.tolist()),
        loss.weight_of_patches(patch_labels.flatten().tolist()),
    )
    published = nn.CrossEntropyLoss(weight=torch.tensor([1.5, 1.0]), ignore_index=-1)
    of_case, of_patch = published(case, labels), published(patch.view(-1, 2), patch_labels.view(-1))
    assert got == pytest.approx(float(0.7 * of_case + 0.3 * of_patch), abs=1e-6)
    assert float(told["case"]) == pytest.approx(float(of_case), abs=1e-6)
    assert float(told["patch"]) == pytest.approx(float(of_patch), abs=1e-6)


def test_a_batch_whose_patches_are_all_ignored_has_a_loss_that_is_a_number():
    logits = torch.randn(1, 32, 2, requires_grad=True)
    loss = BrownLoss()
    ignored = torch.full((1, 32), -1)
    got, told = loss(torch.zeros(1, 2), logits, torch.tensor([0]), ignored, 1.5, 0.0)
    got.backward()
    assert torch.isfinite(got)
    assert float(told["patch"]) == 0.0
    assert not logits.grad.any()


def test_the_mean_loss_of_two_processes_is_that_of_one(made):
    stage = made(batch_size=4)
    network = stage.network().eval()
    whole, _ = stage.loss(network, next(stage.batches(1, 0, 1)))
    parts_of_it = [stage.loss(network, next(stage.batches(1, rank, 2)))[0] for rank in (0, 1)]
    assert sum(parts_of_it).item() / 2 == pytest.approx(whole.item(), abs=1e-6)


# --- augmentation


def test_a_mirrored_case_exchanges_the_sides_and_flips_columns():
    rng = np.random.default_rng(0)
    case = {
        "ct": rng.uniform(-0.5, 0.5, (32, 4, 4, 4)).astype(np.float32),
        "mask": rng.random((32, 4, 4, 4)) < 0.5,
        "labels": rng.integers(-1, 2, 32).astype(np.int8),
    }
    mirrored = augmentation(shift_hu=0, noise_hu=0, mirror=1.0)(case, np.random.default_rng(1))
    assert np.array_equal(mirrored["ct"][:16], case["ct"][16:, ..., ::-1])
    assert np.array_equal(mirrored["ct"][16:], case["ct"][:16, ..., ::-1])
    assert np.array_equal(mirrored["mask"][:16], case["mask"][16:, ..., ::-1])
    assert np.array_equal(mirrored["labels"], np.roll(case["labels"], 16))
    assert mirrored["labels"].dtype == np.int8
    assert mirrored["mask"].dtype == bool


def test_hu_shift_and_noise_stay_within_what_was_asked_and_in_the_window():
    values = np.zeros((32, 32, 32, 32), np.float32)
    case = {"ct": values, "mask": values > 0, "labels": np.zeros(32, np.int8)}
    augment = augmentation(shift_hu=8, noise_hu=20, mirror=0)
    shifts, spreads = [], []
    for seed in range(12):
        ct = augment(case, np.random.default_rng(seed))["ct"]
        shifts.append(float(ct.mean()) * 400)
        spreads.append(float(ct.std()) * 400)
    assert max(np.abs(shifts)) < 8.2
    assert min(shifts) < -1
    assert max(shifts) > 1
    assert max(spreads) < 20.2
    assert max(spreads) - min(spreads) > 5
    case["ct"] = values + 0.499
    assert augment(case, np.random.default_rng(0))["ct"].max() <= 0.5
    assert not case["mask"].any()


def test_augmentation_depends_on_its_generator_alone():
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (32, 8, 8, 8)).astype(np.float32)
    case = {"ct": values, "mask": values > 0, "labels": np.arange(32) % 2}
    augment = augmentation(shift_hu=8, noise_hu=20, mirror=0.5)
    first = [augment(case, np.random.default_rng(seed)) for seed in (1, 2)]
    np.random.seed(3)
    second = [augment(case, np.random.default_rng(seed)) for seed in (2, 1)]
    assert np.array_equal(first[0]["ct"], second[1]["ct"])
    assert np.array_equal(first[1]["ct"], second[0]["ct"])
    assert not np.array_equal(first[0]["ct"], first[1]["ct"])


# --- figures


def test_figures_of_a_validation_come_from_all_rows(made):
    stage = made(batch_size=2)
    network = stage.network().eval()
    rows = stage.validate(network, 0, 1, Heard())
    assert [row["case"] for row in rows] == ["p4", "p5"]
    split = stage.validate(network, 0, 2, Heard()) + stage.validate(network, 1, 2, Heard())
    assert split == rows
    figures = stage.summarise(rows)
    assert stage.metric.name in figures
    order = [row["probability"] for row in rows]
    assert figures["auc"] == float(order[1] > order[0])
    labels = torch.tensor([row["label"] for row in rows])
    x = torch.from_numpy(np.stack([network_input(stage.memory, c) for c in stage.validation_cases]))
    with torch.inference_mode():
        case, patch = network(x[:, 0], x[:, 1])
    published = nn.CrossEntropyLoss(weight=torch.tensor([1.5, 1.0]), ignore_index=-1)
    patch_labels = torch.tensor([row["patch_labels"] for row in rows])
    whole = 0.7 * published(case, labels) + 0.3 * published(patch.flatten(0, 1), patch_labels.flatten())
    assert figures["validation_loss"] == pytest.approx(float(whole), abs=1e-5)
    chance = torch.softmax(case, -1)[:, 1].numpy()
    assert figures["brier"] == pytest.approx(float(np.mean((chance - labels.numpy()) ** 2)), abs=1e-6)


def test_a_validation_of_one_kind_has_no_auc(made):
    stage = made(batch_size=2)
    rows = stage.validate(stage.network().eval(), 0, 1, Heard())
    assert stage.summarise(rows[:1])["auc"] is None
    assert stage.summarise(rows[:1])["validation_loss"] is not None
    assert stage.summarise([])["auc"] is None


# --- start


def test_a_start_in_fat_answers_to_the_density_of_fat(made):
    stage = made("start=fat", width=4)
    network = stage.network()
    backbone = network.patch_model.shared_backbone.eval()
    answers = []
    for hu in (-110.0, -67.0, 40.0):
        x = torch.zeros(1, 2, 32, 32, 32)
        x[:, 0], x[:, 1] = (hu + 100) / 400, float(hu < 0)
        with torch.no_grad():
            out = backbone.conv1(x)
        answers.append(out[0, :4, 8, 8, 8])
    white, brown, muscle = answers
    assert (brown > white).all()
    assert (white > muscle).all()
    plain = made(width=4).network()
    assert not torch.equal(plain.patch_model.shared_backbone.conv1.weight, backbone.conv1.weight)


# --- refusals


def test_cases_of_one_kind_are_refused_in_words(tmp_path):
    data = cohort(tmp_path / "data", (0.0, 0.0, 0.5))
    config = resolve("brown", "published", None, [], width=4)
    with pytest.raises(InputRefused, match="without brown fat") as caught:
        build(config, data, parts(data, 1), Heard(), workspace(tmp_path))
    assert caught.value.code == "one-class"


def test_a_dry_run_may_look_at_cases_of_one_kind(dataset, tmp_path):
    whole = parts(dataset)
    few = replace(whole, train=whole.train[:1])
    config = resolve("brown", "modern", None, ["amp=off"], width=4)
    stage = build(config, dataset, few, Heard(), workspace(tmp_path))
    assert stage.sample_batch()["labels"].tolist() == [0] * config.batch_size


def test_a_split_without_labelled_cases_to_validate_on_is_refused(tmp_path):
    cohort(tmp_path / "data", (0.0, 0.5, 0.5))
    (tmp_path / "data" / "p2" / "brown_fat_mask.nii.gz").unlink()
    from BATNetLib.dataset import open_dataset

    data = open_dataset(tmp_path / "data")
    config = resolve("brown", "published", None, [], width=4)
    with pytest.raises(InputRefused, match="validate") as caught:
        build(config, data, parts(data, 1), Heard(), workspace(tmp_path))
    assert caught.value.code == "no-labelled-cases"

"""Stage 1 as the loop sees it: slices of any layout and size, augmentation, further outputs, figures."""

import numpy as np
import pytest
import torch
from trainruns import cohort, losses_of, phantom, prepared, split_of, without_the_end

from BATNetLib.dataset import open_dataset
from BATNetLib.dataset.slices import write_slices
from BATNetLib.errors import InputRefused
from BATNetLib.events import Events
from BATNetLib.training.adipose_data import CaseSlices, load_cases
from BATNetLib.training.adipose_network import SupervisedMAMUNet
from BATNetLib.training.adipose_stage import AdiposeTraining, build
from BATNetLib.training.config import Augmentation, resolve
from BATNetLib.training.contract import Parts, Workspace
from BATNetLib.training.sampling import generator
from BATNetLib.training.session import work


def case_of(name, rows=32, columns=32, slices=6, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (slices, rows, columns), dtype=np.uint8)
    mask = np.zeros_like(images)
    mask[:, 2:9, 3:12] = 1
    from BATNetLib.adipose.slabs import slab_indices

    return CaseSlices(name, images, mask, slab_indices(slices))


def stage_of(*cases, validation=(), **fields):
    overrides = fields.pop("overrides", ())
    fields = {"width": 2, "batch_size": 4, "device": "cpu", **fields}
    config = resolve("adipose", fields.pop("preset", None), None, overrides, **fields)
    return AdiposeTraining(config, Parts((), ()), cases, validation)


def test_scans_and_png_slices_give_the_same_samples(tmp_path):
    cohort(tmp_path / "scans", 2)
    for index in range(2):
        made = phantom(index)
        write_slices(tmp_path / "png" / f"p{index}", made.ct.array, made.adipose.array, Events())
    scans, png = (
        load_cases(open_dataset(tmp_path / name).cases, "training", 1, Workspace(), Events())
        for name in ("scans", "png")
    )
    for a, b in zip(scans, png, strict=True):
        assert (a.images == b.images).all() and (a.mask == b.mask).all() and a.images.dtype == np.uint8


def test_images_beyond_the_limit_are_files_and_change_nothing(tmp_path, monkeypatch):
    without_the_end(monkeypatch)
    data = cohort(tmp_path / "data", 3)
    split_of(data)
    one, other = (
        prepared(data, tmp_path / name, f"memory_gb={gb}", epochs=1) for name, gb in (("a", 4), ("b", 0))
    )
    work(one, Events())
    seen = []
    from BATNetLib.training import session

    monkeypatch.setattr(session, "_finish", lambda *_: seen.extend((other / "cache").iterdir()) or {})
    work(other, Events())
    assert len(seen) == 6 and not (other / "cache").exists()
    assert losses_of(one) == losses_of(other)


def test_files_of_the_cache_are_made_again_when_a_scan_changed(tmp_path):
    data = cohort(tmp_path / "data", 1)
    workspace = Workspace(tmp_path / "cache")
    cases = open_dataset(data).cases
    first = load_cases(cases, "training", 0, workspace, Events())
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    load_cases(cases, "training", 0, workspace, Events())
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == made
    (data / "p0" / "ct.nii.gz").touch()
    again = load_cases(cases, "training", 0, workspace, Events())
    assert len(list((tmp_path / "cache").iterdir())) == 4 and (again[0].images == first[0].images).all()
    (data / "p0" / "ct.nii.gz").unlink()
    with pytest.raises(InputRefused) as caught:
        load_cases(cases, "training", 0, workspace, Events())
    assert caught.value.code == "data-vanished" and str(tmp_path) not in str(caught.value)


def test_cases_without_a_mask_are_left_out_with_a_warning_and_none_at_all_is_refused(tmp_path):
    data = cohort(tmp_path / "data", 2)
    (data / "p1" / "adipose.nii.gz").unlink()
    events = Events()
    found = load_cases(open_dataset(data).cases, "training", 1, Workspace(), events)
    assert [case.name for case in found] == ["p0"]
    assert [w["code"] for w in events.warnings] == ["cases-left-out"]
    with pytest.raises(InputRefused) as caught:
        load_cases(open_dataset(data).cases[1:], "validation", 1, Workspace(), Events())
    assert caught.value.code == "nothing-to-validate"


def test_slices_of_other_sizes_are_filled_up_about_their_middle():
    stage = stage_of(case_of("a", 40, 30, 4), case_of("b", 32, 44, 4, 1), batch_size=8)
    batch = next(stage.batches(1, 0, 1))
    assert batch["slabs"].shape == (8, 5, 48, 48) and batch["mask"].shape == (8, 48, 48)
    order = stage._order(1)[0]
    for item, index in enumerate(order):
        number, slice_ = stage._samples[index]
        case = stage.training[number]
        rows, columns = case.images.shape[1:]
        top, left = (48 - rows) // 2, (48 - columns) // 2
        inner = batch["slabs"][item, 2, top : top + rows, left : left + columns].numpy()
        assert (inner == case.images[slice_]).all()
        outer = batch["slabs"][item].clone()
        outer[:, top : top + rows, left : left + columns] = 0
        assert not outer.any()


def test_processes_share_a_batch_and_an_epoch_can_be_taken_up_in_its_middle():
    stage = stage_of(case_of("a"), case_of("b", 48, 32, 6, 1), preset="modern", overrides=["amp=off"])
    whole = list(stage.batches(2, 0, 1))
    assert len(whole) == stage.steps_per_epoch() == 3
    shards = [list(stage.batches(2, rank, 2)) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shards, strict=True):
        for key in ("slabs", "mask"):
            together = torch.stack([part[key] for part in parts], 1).flatten(0, 1)
            assert torch.equal(together, batch[key])
    for batch, later in zip(whole[1:], stage.batches(2, 0, 1, 1), strict=True):
        assert torch.equal(batch["slabs"], later["slabs"])
    other = next(stage.batches(3, 0, 1))
    assert other["slabs"].shape != whole[0]["slabs"].shape or not torch.equal(
        other["slabs"], whole[0]["slabs"]
    )


def test_a_flip_lets_the_sides_change_places_in_image_and_mask():
    from BATNetLib.training.adipose_augment import SlabAugmentation

    case = case_of("a")
    always = Augmentation("modern", flip=1.0, affine=0.0, noise_hu=0, offset_hu=0)
    slab, mask = case.images[case.slabs[1]], case.mask[1]
    image, moved = SlabAugmentation(always)(slab, mask, generator(0, 1, 0, 0))
    assert (image == slab[:, :, ::-1]).all() and (moved == mask[:, ::-1]).all()
    assert (slab == case.images[case.slabs[1]]).all()


def test_augmentation_moves_image_and_mask_alike_and_depends_on_its_numbers_alone():
    from BATNetLib.training.adipose_augment import SlabAugmentation

    case = case_of("a", 64, 64)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 10:30] = 1
    slab = np.repeat(mask[None] * np.uint8(200), 5, axis=0)
    augment = SlabAugmentation(Augmentation("modern", affine=1.0, noise_hu=20, offset_hu=10))
    made = [augment(slab, mask, generator(0, 1, step, 0)) for step in (0, 1, 0)]
    assert (made[0][0] == made[2][0]).all() and (made[0][1] == made[2][1]).all()
    assert (made[0][1] != made[1][1]).any()
    for image, moved in made:
        assert set(np.unique(moved)) <= {0, 1} and image.min() >= 0 and image.max() <= 255
        share = ((image[2] > 100) == (moved > 0)).mean()
        assert share > 0.97
    assert case.images.shape == (6, 64, 64)


def test_further_outputs_serve_training_and_are_not_stored():
    stage = stage_of(case_of("a"), preset="modern", overrides=["amp=off", "augmentation.name=none"])
    torch.manual_seed(0)
    network = stage.network()
    assert isinstance(network, SupervisedMAMUNet)
    from BATNetLib.models.architectures import state_shapes

    stored = stage.trained_weights(network)
    assert {key: tuple(value.shape) for key, value in stored.items()} == state_shapes("MAMUNet", 2)
    x = torch.rand(2, 5, 32, 48)
    outputs = network.train()(x)
    assert [tuple(o.shape) for o in outputs] == [(2, 2, 32, 48)] * 4
    assert isinstance(network.eval()(x), torch.Tensor)
    loss, parts = stage.loss(network.train(), next(stage.batches(1, 0, 1)))
    loss.backward()
    assert parts["finest"] > 0 and all(
        p.grad is not None and p.grad.any() for p in (network.aux6.weight, network.aux8.weight)
    )


class Threshold(torch.nn.Module):
    """Calls every pixel of the middle slice above half fat."""

    def __init__(self):
        super().__init__()
        self.dummy = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        logit = (x[:, 2] - 0.5) * 1000
        return torch.stack([torch.zeros_like(logit), logit], 1)


def test_validation_takes_the_dice_of_whole_cases():
    good, half = case_of("good", 24, 40), case_of("half", 32, 32)
    images = [np.where(c.mask > 0, 255, 0).astype(np.uint8) for c in (good, half)]
    images[1][3:] = 0  # nothing is found in half of the slices
    cases = [
        CaseSlices(c.name, image, c.mask, c.slabs) for c, image in zip((good, half), images, strict=True)
    ]
    stage = stage_of(cases[0], validation=cases)
    with torch.inference_mode():
        rows = stage.validate(Threshold(), 0, 1, Events())
        assert [r["case"] for r in stage.validate(Threshold(), 1, 2, Events())] == ["half"]
    assert [row["dice"] for row in rows] == pytest.approx([1.0, 2 / 3])
    assert rows[0]["loss"] == pytest.approx(0, abs=1e-6) and rows[1]["loss"] > 0.3
    assert rows[1]["truth_voxels"] == 6 * 63 and rows[1]["found_voxels"] == 3 * 63
    assert stage.summarise(rows)["dice"] == pytest.approx(5 / 6)
    assert stage.summarise(rows)["dice_lowest"] == pytest.approx(2 / 3)
    assert stage.summarise([])["dice"] is None


def test_batches_can_be_balanced_by_brown_fat(tmp_path):
    data = cohort(tmp_path / "data", 4)
    split = split_of(data)
    from BATNetLib.training.source import parts_of

    dataset = open_dataset(data)
    config = resolve("adipose", None, None, ["sampler.name=brown-volume"], width=2, device="cpu")
    stage = build(config, dataset, parts_of(dataset, split, None), Events(), Workspace())
    groups = np.array([stage._group(stage.training[c].name) for c, _ in stage._samples])
    assert set(groups) >= {0} and len(set(groups)) > 1
    assert ((groups[stage._order(1)] == 0).sum(axis=1) == 2).all()

"""Both stages on a phantom with narrow networks of random weights: the computation, not its accuracy."""

import tracemalloc

import numpy as np
import pytest
import torch

from BATNetLib.adipose.network import MAMUNet, MirrorAttention
from BATNetLib.adipose.segment import segment_adipose
from BATNetLib.adipose.slabs import make_slabs
from BATNetLib.brown.attention import STAGES, attention
from BATNetLib.brown.classify import classify
from BATNetLib.brown.network import CEBATCls
from BATNetLib.brown.patches import case_label, extract_patches, mirror_partner, patch_boxes, patient_side
from BATNetLib.errors import Cancelled, InputRefused, NoModel, UsageError
from BATNetLib.events import Events
from BATNetLib.models import LoadedModel
from BATNetLib.volume import Grid, Volume


def loaded(network):
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return LoadedModel(network.eval(), entry=None, sha256="0" * 64)


@pytest.fixture(scope="module")
def unet():
    model = loaded(MAMUNet(width=4))
    # Half of the voxels on either side of the threshold, so that the masks compared are not trivial.
    with torch.no_grad():
        logits = model.network(torch.rand(1, 5, 64, 80))
        model.network.conv10.bias[0] += (logits[:, 1] - logits[:, 0]).median()
    return model


@pytest.fixture(scope="module")
def classifier():
    return loaded(CEBATCls(width=8))


@pytest.fixture(scope="module")
def ct():
    rng = np.random.default_rng(0)
    array = rng.integers(-300, 200, (12, 50, 71)).astype(np.int16)
    return Volume(array, Grid(array.shape, np.diag([3.0, 1.0, 1.0, 1.0])))


@pytest.fixture(scope="module")
def patches():
    rng = np.random.default_rng(1)
    return extract_patches(
        rng.integers(-300, 200, (20, 60, 80)).astype(np.int16), rng.random((20, 60, 80)) > 0.5
    )


def test_the_mask_is_the_published_computation_on_padded_slabs(ct, unet):
    mask = segment_adipose(ct, unet, device="cpu").mask.array
    slabs = np.pad(make_slabs(ct.array), ((0, 0), (0, 0), (7, 7), (4, 5)))
    with torch.inference_mode():
        wanted = torch.softmax(unet.network(torch.from_numpy(slabs).float() / 255), dim=1)[:, 1] > 0.5
    assert np.array_equal(mask, wanted[:, 7:57, 4:75].numpy())
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("batch", [1, 3, 5, 100])
def test_the_batch_size_does_not_change_the_mask(ct, unet, batch):
    one = segment_adipose(ct, unet, device="cpu", batch=1).mask.array
    assert (one != segment_adipose(ct, unet, device="cpu", batch=batch).mask.array).mean() < 1e-4


def test_only_slices_above_the_cut_are_computed(ct, unet):
    seen = []
    hook = unet.network.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].shape[0]))
    try:
        result = segment_adipose(ct, unet, until_slice=7, device="cpu", batch=2)
    finally:
        hook.remove()
    assert sum(seen) == 7
    assert not result.mask.array[7:].any()
    whole = segment_adipose(ct, unet, device="cpu").mask.array
    assert (whole[:7] != result.mask.array[:7]).mean() < 1e-4


def test_memory_does_not_grow_with_the_number_of_slices(unet):
    """Beside the mask itself: what the network is given, and what numpy holds at its peak."""
    peaks, given = [], []
    hook = unet.network.register_forward_pre_hook(lambda _m, inputs: given.append(inputs[0].shape[0]))
    try:
        for slices in (20, 20, 80):  # the first run also pays for what is loaded once
            array = np.full((slices, 128, 128), -90, np.int16)
            scan = Volume(array, Grid(array.shape, np.diag([3.0, 1.0, 1.0, 1.0])))
            tracemalloc.start()
            segment_adipose(scan, unet, device="cpu", batch=4)
            peaks.append(tracemalloc.get_traced_memory()[1] - array.size)
            tracemalloc.stop()
    finally:
        hook.remove()
    assert max(given) == 4 and sum(given) == 120
    assert peaks[2] < peaks[1] + array.size / 10, "a tenth of a byte for each voxel"


def test_memory_running_out_in_stage_1_is_recorded_and_the_mask_is_the_same(ct, unet):
    wanted = segment_adipose(ct, unet, device="cpu", batch=1).mask.array

    def too_big(_module, inputs):
        if inputs[0].shape[0] > 2:
            raise torch.OutOfMemoryError("out of memory")

    hook = unet.network.register_forward_pre_hook(too_big)
    try:
        result = segment_adipose(ct, unet, device="cpu", batch=8)
    finally:
        hook.remove()
    assert result.path == [
        "Memory ran out on cpu, went on with batches of 4.",
        "Memory ran out on cpu, went on with batches of 2.",
    ]
    assert (result.mask.array != wanted).mean() < 1e-4


def test_cancelling_stage_1_takes_effect_at_the_next_batch(ct, unet):
    events = Events()
    count = []

    def cancel(_module, _inputs):
        count.append(1)
        if len(count) == 3:
            events.cancel()

    hook = unet.network.register_forward_pre_hook(cancel)
    try:
        with pytest.raises(Cancelled):
            segment_adipose(ct, unet, device="cpu", batch=1, events=events)
    finally:
        hook.remove()
    assert len(count) == 3


def test_mirror_attention_computes_its_convolution_once_and_equals_the_published_form():
    torch.manual_seed(0)
    module, x = MirrorAttention(6), torch.randn(2, 6, 5, 8)
    wanted = x * torch.sigmoid(module.conv(x)) * torch.sigmoid(module.conv(x.flip(-1)))
    calls = []
    module.conv.register_forward_hook(lambda *_: calls.append(1))
    assert torch.allclose(module(x), wanted, atol=1e-6)
    assert len(calls) == 1


def test_stage_2_gives_one_probability_and_32_patches(patches, classifier):
    result = classify(patches, classifier, device="cpu")
    assert 0 <= result.probability <= 1
    assert result.patch_probabilities.shape == (32,)
    assert result.precision == "float32" and result.device == "cpu" and result.path == []


def test_a_network_that_answers_nan_is_a_broken_model_not_a_number(patches):
    broken = loaded(CEBATCls(width=8))
    with torch.no_grad():
        broken.network.case_model.classifier[4].bias[0] = float("nan")
    with pytest.raises(NoModel, match="not a number"):
        classify(patches, broken, device="cpu")


@pytest.mark.parametrize(("stage", "cells"), [(name, cells) for name, (_, cells) in STAGES.items()])
def test_attention_has_the_resolution_it_states(patches, classifier, stage, cells):
    found = attention(patches, classifier, stage=stage, device="cpu")
    assert found.cells == cells and found.values.shape == (32, cells, cells, cells)
    assert found.values.min() >= 0 and found.values.max() in (0.0, 1.0)


def test_attention_is_the_gradient_weighted_map_of_the_log_odds(patches, classifier):
    """Checked against finite differences: scaling a channel of a patch changes the log-odds as stated."""
    backbone, maps = classifier.network.patch_model.shared_backbone, []
    hook = backbone.cim2.register_forward_hook(lambda _m, _i, out: maps.append(out[0].detach().clone()))
    sides = [torch.from_numpy(s)[None] for s in (patches.left, patches.right)]
    classifier.network(*sides)
    hook.remove()
    left, index = maps[0], (5, 11)

    def log_odds(shift):
        def move(_module, _inputs, out):
            changed = out[0].clone()
            changed[index] += shift
            return changed, out[1]

        handle = backbone.cim2.register_forward_hook(move)
        with torch.no_grad():
            case, _ = classifier.network.double()(*(s.double() for s in sides))
        handle.remove()
        return float(case[0, 1] - case[0, 0])

    # Shifting a whole channel by s moves the log-odds by s times the sum of its gradient over 8 cells.
    slope = (log_odds(1e-3) - log_odds(-1e-3)) / 2e-3 / 8
    classifier.network.float()
    seen = {}

    def keep(_module, _inputs, out):
        out[0].retain_grad()
        seen["map"] = out[0]

    handle = backbone.cim2.register_forward_hook(keep)
    attention(patches, classifier, stage="stage3", device="cpu")
    handle.remove()
    assert seen["map"].grad is not None
    assert float(seen["map"].grad[index].mean()) == pytest.approx(slope, rel=1e-3, abs=1e-6)
    assert left.shape == (16, 32, 2, 2, 2)


def test_an_unknown_attention_stage_is_refused_with_the_known_ones(patches, classifier):
    with pytest.raises(UsageError, match="stage1, stage2, stage3"):
        attention(patches, classifier, stage="stage9")


# --- the patch geometry as a user meets it


def test_sides_are_the_patients_and_partners_mirror_each_other():
    fat = np.zeros((40, 60, 80), bool)
    fat[5:35, 10:50, 8:72] = True
    boxes = patch_boxes(fat)
    # The published box ends one plane early on an extent below 100 voxels.
    middle = (8 + 71) / 2
    for index, box in enumerate(boxes):
        centre = (box.start[2] + box.end[2]) / 2
        assert patient_side(index) == ("left" if centre > middle else "right")
        partner = boxes[mirror_partner(index)]
        assert abs((partner.start[2] + partner.end[2]) / 2 - (2 * middle - centre)) <= 1
        assert partner.start[:2] == box.start[:2] and partner.end[:2] == box.end[:2]
        assert mirror_partner(mirror_partner(index)) == index


def test_an_empty_mask_is_refused_instead_of_using_a_box_from_nowhere():
    with pytest.raises(InputRefused) as caught:
        extract_patches(np.zeros((20, 60, 80), np.int16), np.zeros((20, 60, 80)))
    assert caught.value.code == "adipose-empty"


def test_fat_only_below_the_cut_is_refused():
    fat, lungs = np.zeros((20, 60, 80)), np.zeros((20, 60, 80))
    fat[15:] = 1
    lungs[4:20] = 1
    with pytest.raises(InputRefused) as caught:
        extract_patches(np.zeros((20, 60, 80), np.int16), fat, lungs=lungs)
    assert caught.value.code == "adipose-empty"


@pytest.mark.parametrize("thin", [(1, 40, 60), (10, 1, 60), (10, 40, 7)])
def test_a_box_thinner_than_the_grid_of_blocks_is_refused(thin):
    fat = np.zeros((20, 60, 80))
    fat[: thin[0] + 1, : thin[1] + 1, : thin[2] + 1] = 1
    with pytest.raises(InputRefused, match="2 x 2 x 8") as caught:
        extract_patches(np.zeros((20, 60, 80), np.int16), fat)
    assert caught.value.code == "box-too-thin"


@pytest.mark.parametrize("name", ["adipose", "brown", "lungs"])
def test_a_mask_of_another_shape_is_never_replaced_silently(name):
    masks = {"adipose": np.ones((20, 60, 80)), name: np.ones((20, 60, 79))}
    with pytest.raises(InputRefused, match="shape"):
        extract_patches(np.zeros((20, 60, 80), np.int16), **masks)


def test_patches_do_not_change_the_masks_they_are_given():
    fat, lungs = np.ones((20, 60, 80), bool), np.zeros((20, 60, 80))
    lungs[4:20] = 1
    extract_patches(np.zeros((20, 60, 80), np.int16), fat, lungs=lungs)
    assert fat.all()


def test_ignored_patches_stay_ignored_and_never_turn_a_case_positive():
    fat = np.ones((20, 64, 80), bool)
    brown = np.zeros_like(fat)
    brown[:, ::20, ::5] = True  # 1 % of every patch: neither negative nor positive
    patches = extract_patches(np.zeros(fat.shape, np.int16), fat, brown)
    labels = np.concatenate([patches.left_labels, patches.right_labels])
    assert set(labels.tolist()) <= {-1, 0} and -1 in labels
    assert labels.dtype.kind == "i" and np.issubdtype(labels.dtype, np.signedinteger)
    assert case_label(labels) == 0
    assert case_label(np.array([0, 1, -1])) == 1


def test_brown_fat_on_the_patients_left_labels_the_left_patches_only():
    fat = np.ones((20, 64, 80), bool)
    brown = np.zeros_like(fat)
    brown[:10, :, 60:] = True
    patches = extract_patches(np.zeros(fat.shape, np.int16), fat, brown)
    # The authors' "left" holds the low columns, the patient's right.
    assert not (patches.left_labels == 1).any()
    assert (patches.right_labels == 1).any()

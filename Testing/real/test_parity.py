"""Parity with the published computation: golden values for weights that anyone can make again."""

import json
import zlib

import numpy as np
import pytest
import torch
from realdata import parity_file

from BATNetLib.adipose.network import MAMUNet
from BATNetLib.adipose.slabs import make_slabs
from BATNetLib.brown.network import CEBATCls
from BATNetLib.brown.patches import extract_patches
from BATNetLib.lungs import cut_plane


@pytest.fixture(scope="module")
def golden():
    with np.load(parity_file("golden.npz")) as values:
        return dict(values)


def made_weights(module, salt=0):
    """The weights of parity/README.md: a function of each key's name and shape alone."""
    state = {}
    for key, old in module.state_dict().items():
        shape = tuple(old.shape)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        z = np.random.default_rng([zlib.crc32(key.encode()), salt]).standard_normal(shape).astype(np.float32)
        if key.endswith("running_var"):
            value = 1 + 0.1 * np.abs(z)
        elif key in ("case_model.cls_token", "case_model.pos_embed"):
            value = 0.1 * z
        elif len(shape) == 1:
            value = 1 + 0.05 * z if key.endswith("weight") else 0.05 * z
        else:
            value = z * np.sqrt(2 / np.prod(shape[1:]))
        state[key] = torch.from_numpy(np.asarray(value, np.float32))
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.mark.parametrize(("name", "network"), [("mg_atseg", MAMUNet), ("ce_batcls", CEBATCls)])
def test_state_dict_keys_shapes_and_order_are_the_published_ones(name, network):
    wanted = json.loads(parity_file("keys.json").read_text())[name]
    found = [[key, list(value.shape)] for key, value in network().state_dict().items()]
    assert found == [[key, list(shape)] for key, shape in wanted.items()]


def test_stage_1_gives_the_published_probabilities(golden):
    network = made_weights(MAMUNet())
    with torch.inference_mode():
        found = torch.softmax(network(torch.from_numpy(golden["seg_in"]).float()), dim=1).numpy()
    assert np.abs(found - golden["seg_prob"]).max() <= 1e-5


def test_stage_2_gives_the_published_logits(golden):
    network = made_weights(CEBATCls())
    g = np.random.default_rng(int(golden["cls_in_seed"]))
    left, right = (torch.from_numpy(g.random((2, 16, 2, 32, 32, 32), np.float32) - 0.5) for _ in range(2))
    with torch.inference_mode():
        case, patch = network(left, right)
    assert np.abs(case.numpy() - golden["case_logits"]).max() <= 1e-4
    assert np.abs(patch.reshape(-1, 2).numpy() - golden["patch_logits"]).max() <= 1e-4


@pytest.mark.parametrize("slices", [4, 5, 9])
def test_slabs_are_exactly_the_published_ones(golden, slices):
    assert np.array_equal(make_slabs(golden[f"slab_in_{slices}"]), golden[f"slab_out_{slices}"])


@pytest.fixture(scope="module")
def case(golden):
    """CT, adipose, brown fat and lungs of parity/README.md."""
    shape = tuple(int(n) for n in golden["patch_shape"])
    z, y, x = np.mgrid[tuple(slice(0, n) for n in shape)].astype(np.float32)
    ct = (400 * np.sin(z / 9) + 300 * np.cos(y / 17) - 200 * np.sin(x / 23) - 150).astype(np.int16)
    adipose = np.sin(z / 7) + np.cos(y / 11) + np.sin(x / 13) > 0.9
    adipose &= (y >= 25) & (y < 150) & (x >= 18) & (x < 188)
    brown = adipose & (np.sin(z / 5 + 1) + np.cos(x / 9) > 1.2)
    lungs = np.zeros(shape, np.uint8)
    lungs[22:66, 40:140, 30:170] = 1
    return ct, adipose.astype(np.uint8), brown.astype(np.uint8), lungs


@pytest.mark.parametrize("prefix", ["", "lung_"])
def test_patches_and_labels_are_the_published_ones(golden, case, prefix):
    ct, adipose, brown, lungs = case
    patches = extract_patches(ct, adipose, brown, lungs if prefix else None)
    for side in ("left", "right"):
        found = getattr(patches, side)[:, :, ::4, ::4, ::4]
        wanted = golden[f"{prefix}patch_{side}"]
        assert np.abs(found[:, 0] - wanted[:, 0]).max() <= 1e-5
        assert np.array_equal(found[:, 1], wanted[:, 1])
        assert np.array_equal(getattr(patches, f"{side}_labels"), golden[f"{prefix}label_{side}"])


def test_the_lung_cut_leaves_the_published_number_of_voxels(golden, case):
    _, adipose, _, lungs = case
    assert adipose[: cut_plane(lungs)].sum() == golden["lung_cut_voxels"]


def test_the_whole_of_stage_2_gives_the_published_probabilities(golden, case):
    ct, adipose, _, lungs = case
    patches = extract_patches(ct, adipose, lungs=lungs)
    network = made_weights(CEBATCls())
    with torch.inference_mode():
        logits = network(torch.from_numpy(patches.left)[None], torch.from_numpy(patches.right)[None])
    case_probability, patch_probability = (torch.softmax(x, dim=-1)[..., 1].numpy() for x in logits)
    assert np.abs(case_probability - golden["e2e_case_prob"]).max() <= 1e-4
    assert np.abs(patch_probability.ravel() - golden["e2e_patch_prob"]).max() <= 1e-4

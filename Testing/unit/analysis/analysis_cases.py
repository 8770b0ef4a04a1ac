"""Shared by the tests of the analysis: untrained networks, options of quick runs, files in any axis order."""

import json
from pathlib import Path

import numpy as np
import torch

from BATNetLib.adipose.slabs import make_slabs
from BATNetLib.analysis import AnalysisOptions, ModelCache
from BATNetLib.models import LoadedModel
from BATNetLib.models.loading import build_network
from BATNetLib.models.registry import make_entry

#: Voxels this large make a scan of 27 x 80 x 96; the preflight blocks such pixels, hence the override.
COARSE = (8.0, 6.0, 6.0)
OVERRIDES = {"large-pixels": "a small phantom for tests"}


def entry_of(stage, width, **fields):
    return make_entry(
        {
            "name": f"test-{stage}",
            "title": f"Untrained {stage} network",
            "stage": stage,
            "architecture": {"adipose": "MAMUNet", "brown": "CEBATCls"}[stage],
            "width": width,
            "licence": "MIT",
            "source": {"text": "made in a test"},
            "trained_on": "nothing",
            **fields,
        }
    )


def brown_model(**fields):
    """An untrained classifier whose patch probabilities are spread out, not all near one half."""
    torch.manual_seed(3)
    network = build_network("CEBATCls", 8).eval()
    with torch.no_grad():
        network.patch_model.classifier_head[-1].weight.mul_(40)
    return LoadedModel(network, entry_of("brown", 8, **fields), "b" * 64)


def adipose_model(ct):
    """An untrained segmenter, its bias set so that it marks about a third of ``ct``."""
    torch.manual_seed(5)
    network = build_network("MAMUNet", 2).eval()
    # Batch normalisation of an untrained network leaves deep levels at nearly nothing.
    with torch.inference_mode():
        logits = network(torch.from_numpy(make_slabs(ct.array[8:14])).float() / 255)
        margin = (logits[:, 1] - logits[:, 0]).quantile(0.67)
    with torch.no_grad():
        network.conv10.bias[1] -= margin
    return LoadedModel(network, entry_of("adipose", 2), "a" * 64)


def make_models(ct, **fields):
    cache = ModelCache()
    cache.put("batnet", "brown", brown_model(**fields))
    cache.put("batnet", "adipose", adipose_model(ct))
    return cache


def quick(**fields):
    values = {"method": "hu-threshold", "attention_stage": "none", "report": False, "overrides": OVERRIDES}
    return AnalysisOptions(**{**values, **fields})


def passport_of(folder):
    return json.loads((Path(folder) / "analysis.json").read_text(encoding="utf-8"))


def file_array(volume, order, flips):
    """Voxels and affine (to LPS mm) of ``volume`` laid into a file whose axes are permuted and flipped.

    ``order``: canonical axis a becomes file axis ``order[a]``; ``flips``: whether it then runs backwards.
    """
    step = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    inverse = np.argsort(order)
    array = volume.array[step].transpose(inverse)
    affine = volume.grid.affine.copy()
    columns = affine[:3, :3].copy()
    for axis in range(3):
        if flips[axis]:
            affine[:3, 3] += columns[:, axis] * (volume.array.shape[axis] - 1)
            columns[:, axis] *= -1
    affine[:3, :3] = columns[:, inverse]
    return np.ascontiguousarray(array), affine


class DenseFat(torch.nn.Module):
    """A classifier whose answer is known: the share of a patch's fat that is denser than white fat.

    Takes and gives what CEBATCls does. Voxels beside the edge of the fat do not count, because they are
    blurred with muscle.
    """

    def forward(self, left, right):
        x = torch.cat([left, right], dim=1)
        hu, fat = x[:, :, 0] * 400 - 100, x[:, :, 1]
        inside = torch.nn.functional.max_pool3d(1 - fat, 3, 1, 1) < 0.5
        dense = (inside & (hu > -80)).float().sum((2, 3, 4))
        share = dense / inside.float().sum((2, 3, 4)).clamp(min=200)
        patches = torch.stack([torch.zeros_like(share), 40 * (share - 0.5)], dim=-1)
        return patches.max(dim=1).values, patches


def dense_fat_models():
    cache = ModelCache()
    cache.put("batnet", "brown", LoadedModel(DenseFat(), entry_of("brown", 8), "d" * 64))
    return cache

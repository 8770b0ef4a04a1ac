"""The cut plane against the published computation."""

from __future__ import annotations

import numpy as np
from realdata import parity_file

from BATNetLib.lungs import cut_plane, lung_extent


def test_the_cut_leaves_the_published_number_of_adipose_voxels() -> None:
    with np.load(parity_file("golden.npz")) as golden:
        shape = tuple(int(n) for n in golden["patch_shape"])
        wanted = int(golden["lung_cut_voxels"])
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]].astype(np.float32)
    adipose = np.sin(z / 7) + np.cos(y / 11) + np.sin(x / 13) > 0.9
    adipose[:, :25] = adipose[:, 150:] = False
    adipose[:, :, :18] = adipose[:, :, 188:] = False
    lungs = np.zeros(shape, np.uint8)
    lungs[22:66, 40:140, 30:170] = 1

    assert lung_extent(lungs) == (22, 65)
    cut = cut_plane(lungs)
    assert np.count_nonzero(adipose[:cut]) == wanted
    assert np.count_nonzero(adipose[: cut + 1]) != wanted

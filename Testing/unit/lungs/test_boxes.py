from __future__ import annotations

import numpy as np
import pytest

from BATNetLib.errors import InputRefused
from BATNetLib.volume.boxes import bounding_box


def box_of(shape: tuple[int, int, int], z: slice, y: slice, x: slice) -> tuple[tuple, tuple]:
    mask = np.zeros(shape, np.uint8)
    mask[z, y, x] = 1
    return bounding_box(mask)


def test_below_an_extent_of_100_the_last_plane_falls_off() -> None:
    start, end = box_of((70, 180, 200), slice(22, 66), slice(40, 140), slice(30, 130))
    assert start == (22, 40, 30)
    assert end == (65, 139, 129)


def test_from_an_extent_of_100_one_percent_is_added_on_both_sides() -> None:
    start, end = box_of((400, 180, 200), slice(20, 270), slice(40, 141), slice(30, 130))
    assert start == (18, 39, 30)
    assert end == (271, 141, 129)  # 269 + int(2.49), 140 + 1, 129 + 0: exclusive ends


def test_the_padding_stays_inside_the_array() -> None:
    start, end = box_of((300, 180, 200), slice(0, 300), slice(0, 180), slice(0, 200))
    assert start == (0, 0, 0)
    assert end == (300, 180, 200)


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(InputRefused) as refusal:
        bounding_box(np.zeros((4, 5, 6), bool))
    assert refusal.value.code == "mask-empty"

from __future__ import annotations

import numpy as np
import pytest
from unit.anatomy import ct, lungs_of

from BATNetLib.errors import InputRefused
from BATNetLib.lungs import cut_plane, lung_extent


def lungs(depth: int, first: int, last: int) -> np.ndarray:
    mask = np.zeros((depth, 4, 6), np.uint8)
    mask[first : last + 1, 1:3, 1:5] = 1
    return mask


@pytest.mark.parametrize(
    ("first", "last", "cut"), [(22, 65, 52), (0, 90, 54), (40, 90, 78), (3, 3, 3), (10, 11, 12)]
)
def test_the_cut_depends_on_where_the_lungs_start(first: int, last: int, cut: int) -> None:
    assert cut_plane(lungs(200, first, last)) == cut


def test_long_lungs_are_padded_by_one_percent() -> None:
    assert lung_extent(lungs(600, 50, 449)) == (47, 452)
    assert cut_plane(lungs(600, 50, 449)) == (47 + 452) * 3 // 5
    assert lung_extent(lungs(452, 1, 451)) == (0, 452)


def test_any_label_counts_as_lung() -> None:
    mask = lungs(100, 20, 60)
    mask[mask > 0] = 7
    assert cut_plane(mask) == cut_plane(lungs(100, 20, 60))


def test_a_volume_is_taken_as_well_as_its_array() -> None:
    assert cut_plane(ct().with_array(lungs_of())) == cut_plane(lungs_of())


def test_an_empty_mask_has_no_cut() -> None:
    with pytest.raises(InputRefused) as refusal:
        cut_plane(np.zeros((5, 4, 4), np.uint8))
    assert refusal.value.code == "mask-empty"

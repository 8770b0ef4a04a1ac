import numpy as np
import pytest

from BATNetLib.adipose.slabs import make_slabs, slab_indices, window_to_uint8
from BATNetLib.errors import InputRefused


def test_edge_slabs_follow_the_published_rule_not_plain_clamping():
    indices = slab_indices(9)
    assert indices[0].tolist() == [0, 0, 0, 1, 2]
    assert indices[1].tolist() == [0, 1, 1, 2, 3]
    assert indices[4].tolist() == [2, 3, 4, 5, 6]
    assert indices[7].tolist() == [5, 6, 7, 8, 8]
    assert indices[8].tolist() == [6, 7, 8, 8, 8]


def test_the_window_truncates_instead_of_rounding():
    hu = np.array([-2000, -300, -299, -298, 0, 199, 200, 3000], np.int16)
    assert window_to_uint8(hu).tolist() == [0, 0, 0, 1, 153, 254, 255, 255]


def test_three_slices_are_refused_in_words():
    with pytest.raises(InputRefused, match="3 slices") as caught:
        make_slabs(np.zeros((3, 16, 16), np.int16))
    assert caught.value.code == "too-few-slices"

import numpy as np

from BATNetLib.brown.attention import Attention, paint
from BATNetLib.brown.patches import Box


def test_one_value_a_patch_fills_its_box_and_nothing_else():
    boxes = [Box((0, 0, 0), (2, 2, 2)), Box((2, 0, 3), (4, 4, 6))]
    volume = paint(np.array([0.25, 0.75], np.float32), boxes, (4, 4, 6))
    assert (volume[:2, :2, :2] == 0.25).all()
    assert (volume[2:4, 0:4, 3:6] == 0.75).all()
    assert np.count_nonzero(volume) == 8 + 24


def test_cells_stay_visible_as_cells_and_each_covers_its_share_of_the_box():
    cells = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2) + 1
    volume = paint(cells, [Box((0, 0, 0), (6, 5, 4))], (6, 5, 4))
    assert np.unique(volume).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (volume[:3, :2, :2] == 1).all() and (volume[3:, 3:, 2:] == 8).all()


def test_a_box_thinner_than_its_cells_still_shows_a_cell():
    cells = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2) + 1
    volume = paint(cells, [Box((0, 0, 0), (1, 1, 1))], (1, 1, 1))
    assert volume.item() == 8


def test_attention_for_display_repeats_its_cells():
    values = np.random.default_rng(0).random((32, 4, 4, 4), np.float32)
    shown = Attention(values, 4, "stage2").patches
    assert shown.shape == (32, 32, 32, 32)
    assert (shown[:, :8, :8, :8] == values[:, :1, :1, :1]).all()

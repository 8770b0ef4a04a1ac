"""In which order samples come: whole, balanced, and the same for one process and for several."""

import numpy as np
import pytest

from BATNetLib.training.sampling import generator, stratified_order, uniform_order


def test_every_sample_comes_once_an_epoch_and_the_last_batch_is_full():
    order = uniform_order(10, 4, seed=1, epoch=1)
    assert order.shape == (3, 4) and set(order.ravel()) == set(range(10))
    assert len(set(order.ravel()[:10])) == 10
    assert (order == uniform_order(10, 4, 1, 1)).all()
    assert (order != uniform_order(10, 4, 1, 2)).any() and (order != uniform_order(10, 4, 2, 1)).any()


def test_a_batch_may_be_larger_than_the_data():
    assert uniform_order(3, 8, 0, 1).shape == (1, 8)
    assert set(uniform_order(3, 8, 0, 1).ravel()) == {0, 1, 2}


@pytest.mark.parametrize("batch", [2, 4, 5, 8])
@pytest.mark.parametrize("sizes", [(20, 3, 2, 1), (3, 20, 9, 1), (7, 7, 0, 0), (1, 1, 1, 40)])
def test_balanced_batches_hold_half_without_brown_fat_and_every_sample_comes(batch, sizes):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    order = stratified_order(groups, batch, seed=3, epoch=2)
    without = (groups[order] == 0).sum(axis=1)
    assert (without == batch - batch // 2).all()
    assert set(order.ravel()) == set(range(len(groups)))
    # Among those with brown fat, the larger group has the more places.
    seen = [int((groups[order] == g).sum()) for g in range(1, len(sizes))]
    assert [s for _, s in sorted(zip(sizes[1:], seen, strict=True))] == sorted(seen)
    positive = sum(sizes[1:])
    places = order.shape[0] * (batch // 2)
    assert all(abs(s - places * n / positive) < 1 for s, n in zip(seen, sizes[1:], strict=True))


def test_one_kind_alone_is_taken_as_it_is():
    assert (stratified_order([0] * 6, 4, 0, 1) == uniform_order(6, 4, 0, 1)).all()
    assert (stratified_order([2] * 6, 4, 0, 1) == uniform_order(6, 4, 0, 1)).all()


def test_the_numbers_of_an_item_depend_on_its_place_alone():
    same = generator(1, 2, 3, 0).random(4), generator(1, 2, 3, 0).random(4)
    assert (same[0] == same[1]).all()
    others = [
        generator(*place).random() for place in ((1, 2, 3, 1), (1, 2, 4, 0), (1, 3, 3, 0), (2, 2, 3, 0))
    ]
    assert len({same[0][0], *others}) == 5

"""In which order samples come: a function of seed and epoch alone, the same for one process and for many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Numbers that keep draws for different purposes apart.
_ORDER, _ITEM = 1, 2


def generator(seed: int, epoch: int, step: int, item: int) -> np.random.Generator:
    """The random numbers of one item (0 .. batch size - 1) of one global step."""
    return np.random.default_rng([seed, _ITEM, epoch, step, item])


def uniform_order(samples: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """Samples [steps, batch] of an epoch: all of them once, the last batch filled up from the beginning."""
    rng = np.random.default_rng([seed, _ORDER, epoch])
    return _in_batches(rng.permutation(samples), batch)


def stratified_order(groups: Sequence[int], batch: int, seed: int, epoch: int) -> np.ndarray:
    """Samples [steps, batch] of an epoch, every batch balanced over groups.

    ``groups``: group of each sample, 0 for samples without brown fat. Where there are both kinds, half of
    each batch (rounded up) has none; the other places go to the other groups in proportion to their size,
    by largest remainder over the epoch. A group that is too small for its places is gone through again in a
    new order, and the epoch is long enough for every sample to come once.
    """
    rng = np.random.default_rng([seed, _ORDER, epoch])
    of = np.asarray(groups)
    without, rest = np.flatnonzero(of == 0), np.flatnonzero(of != 0)
    if not len(without) or not len(rest) or batch < 2:
        return uniform_order(len(of), batch, seed, epoch)
    halves = (batch - batch // 2, batch // 2)
    steps = max(-(-len(without) // halves[0]), -(-len(rest) // halves[1]))
    negative = _cycled(without, steps * halves[0], rng).reshape(steps, -1)
    positive = _interleaved([np.flatnonzero(of == g) for g in np.unique(of[rest])], steps * halves[1], rng)
    return np.concatenate([negative, positive.reshape(steps, -1)], axis=1)


def _interleaved(members: list[np.ndarray], places: int, rng: np.random.Generator) -> np.ndarray:
    """``places`` samples in which each group is spread evenly, in proportion to its size."""
    sizes = np.array([len(m) for m in members])
    wanted = places * sizes / sizes.sum()
    quotas = np.floor(wanted).astype(int)
    for index in np.argsort(quotas - wanted, kind="stable")[: places - quotas.sum()]:
        quotas[index] += 1
    # Where there are as many places as samples, the quotas are the sizes; with more, none is smaller.
    drawn = [_cycled(m, int(q), rng) for m, q in zip(members, quotas, strict=True)]
    when = np.concatenate([(np.arange(q) + rng.random()) / q for q in quotas if q])
    return np.concatenate(drawn)[np.argsort(when, kind="stable")]


def _cycled(samples: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` samples: all of them in random order, and again in another one."""
    rounds = -(-count // len(samples)) if count else 0
    return np.concatenate([rng.permutation(samples) for _ in range(rounds)] or [samples[:0]])[:count]


def _in_batches(order: np.ndarray, batch: int) -> np.ndarray:
    steps = -(-len(order) // batch)
    return np.resize(order, steps * batch).reshape(steps, batch)

"""A folder of annotations with made-up reads, as the module would leave it."""

from __future__ import annotations

import numpy as np

from BATNetLib.annotation.record import DEPOTS, SIDES, Record
from BATNetLib.annotation.store import Store
from BATNetLib.symmetry import MirrorPlane
from BATNetLib.volume import Grid, Volume

SHAPE = (10, 24, 40)
GRID = Grid.canonical(SHAPE, (3.0, 2.0, 2.0), (-39.0, 0.0, 0.0))
MIDDLE = MirrorPlane.from_angles((0.0, 0.0, 0.0)).as_dict()


def ball(centre, radius, grid=GRID):
    """bool: voxels within ``radius`` mm of ``centre`` (LPS mm)."""
    points = grid.points(np.argwhere(np.ones(grid.shape, bool)))
    return (((points - centre) ** 2).sum(axis=1) <= radius**2).reshape(grid.shape)


def scores_of(value):
    """The same score for every depot and side, or by a function of depot and side."""
    give = value if callable(value) else (lambda depot, side: value)
    return {depot: {side: give(depot, side) for side in SIDES} for depot in DEPOTS}


def keep(
    store, case, reader, mask, *, status="done", scores=None, ct="ct-of-case", grid=GRID, midplane=MIDDLE
):
    """Save one read; returns the version."""
    record = Record(
        status=status,
        scores=scores_of(None) if scores is None else scores,
        ct=ct,
        midplane=midplane,
        seconds=60.0,
    )
    return store.save(case, reader, Volume(mask.astype(np.uint8), grid), record=record)


def cohort(root, readers=("anna", "ben"), cases=8, seed=4):
    """``cases`` reads of each reader that resemble each other; scores follow a common truth mostly."""
    rng = np.random.default_rng(seed)
    store = Store(root)
    for number in range(cases):
        centre = rng.uniform((-24, 16, -20), (24, 30, -8))
        radius = rng.uniform(5.0, 11.0)
        truth = {(depot, side): int(rng.integers(0, 3)) for depot in DEPOTS for side in SIDES}
        for index, reader in enumerate(readers):
            mask = ball(centre + rng.normal(0, 0.7, 3), radius + 0.4 * index + rng.normal(0, 0.3))

            def give(depot, side, truth=truth):
                drawn = truth[depot, side] if rng.random() < 0.8 else int(rng.integers(0, 3))
                return drawn

            keep(store, f"P{number:02d}", reader, mask, scores=scores_of(give))
    return store

"""The curves of a training: loss of the steps, loss and validation figures of the epochs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Points that a curve of steps keeps; more are joined by their means.
MOST_POINTS = 2000


class ThinnedCurve:
    """Points (x, y) with growing x; at most ``most`` are kept, each the mean of as many of those added.

    A point that lies before the last one (a run that was resumed from an earlier step) replaces what lies
    after it.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        self._x: list[float] = []
        self._y: list[float] = []
        self._each = 1
        self._waiting: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._x) + bool(self._waiting)

    def add(self, x: float, y: float) -> None:
        last = self._waiting[-1][0] if self._waiting else self._x[-1] if self._x else -math.inf
        if x <= last:
            self._cut(x)
        self._waiting.append((x, y))
        if len(self._waiting) >= self._each:
            self._join()
            if len(self._x) >= self._most:
                self._halve()

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """float64 [n] of x and y, with the points that wait to be joined as their mean."""
        x, y = list(self._x), list(self._y)
        if self._waiting:
            x.append(self._waiting[-1][0])
            y.append(sum(v for _x, v in self._waiting) / len(self._waiting))
        return np.array(x, float), np.array(y, float)

    def _join(self) -> None:
        self._x.append(self._waiting[-1][0])
        self._y.append(sum(v for _x, v in self._waiting) / len(self._waiting))
        self._waiting = []

    def _halve(self) -> None:
        if len(self._x) % 2:
            self._waiting = [(self._x.pop(), self._y.pop())]
        self._y = [(a + b) / 2 for a, b in zip(self._y[::2], self._y[1::2], strict=True)]
        self._x = self._x[1::2]
        self._each *= 2

    def _cut(self, x: float) -> None:
        self._waiting = [point for point in self._waiting if point[0] < x]
        while self._x and self._x[-1] >= x:
            self._x.pop()
            self._y.pop()


class Curves:
    """What the log of a run says, in numbers. ``changes`` grows with everything that is added."""

    def __init__(self) -> None:
        self.changes = 0
        self.steps_per_epoch = 0
        self.clear()

    def clear(self) -> None:
        self.steps = ThinnedCurve()
        self.epochs: dict[int, dict[str, float]] = {}
        self.best: int | None = None
        self.last_loss: float | None = None
        self.changes += 1

    def add(self, entry: dict[str, Any]) -> None:
        """Take in a line of the log: steps and epochs; others are none of the curves."""
        kind = entry.get("kind")
        if kind == "step":
            self._add_step(entry)
        elif kind == "epoch":
            self._add_epoch(entry)

    def _add_step(self, entry: dict[str, Any]) -> None:
        loss, step = _finite(entry.get("loss")), _finite(entry.get("global_step"))
        if loss is None or step is None:
            return
        self.steps.add(step, loss)
        self.last_loss = loss
        self.changes += 1

    def _add_epoch(self, entry: dict[str, Any]) -> None:
        number = entry.get("epoch")
        if not isinstance(number, int):
            return
        # After a resume from an earlier state the later epochs are made again.
        for later in [n for n in self.epochs if n >= number]:
            del self.epochs[later]
        figures = {"train_loss": _finite(entry.get("train_loss"))}
        validation = entry.get("validation")
        if isinstance(validation, dict):
            figures |= {str(name): _finite(value) for name, value in validation.items()}
        self.epochs[number] = {name: value for name, value in figures.items() if value is not None}
        if entry.get("best"):
            self.best = number
        elif self.best is not None and self.best >= number:
            self.best = None
        self.changes += 1

    def figures(self) -> list[str]:
        """Names of the validation figures, in the order in which they came."""
        names: dict[str, None] = {}
        for figures in self.epochs.values():
            names.update(dict.fromkeys(figures))
        names.pop("train_loss", None)
        return list(names)

    def of_steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Epoch (with its fraction) and loss of the steps; steps themselves where their number is unknown."""
        x, y = self.steps.arrays()
        return (x / self.steps_per_epoch if self.steps_per_epoch else x), y

    def of_epochs(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Epoch and value of a figure, where it is defined."""
        points = [(epoch, f[name]) for epoch, f in sorted(self.epochs.items()) if name in f]
        found = np.array(points, float).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

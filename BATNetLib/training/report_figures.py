"""Curves of a training as PNG: loss, figures of the validation, learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluation.plots import BLUE, GREEN, INK, ORANGE, SOFT, figure_png

_SIZE = (5.2, 3.5)
#: Most points of a line; more cannot be seen.
_POINTS = 1500
#: Figures of the validation by name: title, colour, style.
_LINES = {
    "dice": ("Dice, mean over cases", BLUE, "-"),
    "dice_lowest": ("Dice, lowest case", SOFT, ":"),
    "auc": ("AUC of cases", BLUE, "-"),
    "patch_auc": ("AUC of patches", GREEN, "--"),
    "brier": ("Brier score", ORANGE, "-."),
}
_LOSSES = {
    "validation_loss": ("validation, per epoch", ORANGE, "-"),
    "case_loss": ("validation, cases alone", SOFT, ":"),
}


def curves(log: list[dict[str, Any]], state: dict[str, Any]) -> dict[str, bytes]:
    """PNG by name: "loss", "metrics" and "rate", as far as ``log`` (lines of log.jsonl) tells of them."""
    steps = [line for line in log if line.get("kind") == "step"]
    epochs = [line for line in log if line.get("kind") == "epoch"]
    length = float(state.get("steps") or max([line["step"] for line in steps], default=1))
    figures = {}
    if steps or epochs:
        figures["loss"] = figure_png(lambda f: _loss(f, steps, epochs, length), _SIZE)
    best, chosen = state.get("best"), str((state.get("metric") or {}).get("name") or "")
    names = [n for n in dict.fromkeys([chosen, *_LINES]) if n in {*_LINES, chosen} and _has(epochs, n)]
    if names:
        figures["metrics"] = figure_png(lambda f: _metrics(f, epochs, names, best, chosen), _SIZE)
    if len({line.get("lr") for line in steps}) > 1:
        figures["rate"] = figure_png(lambda f: _rate(f, steps, length), (5.2, 1.9))
    return figures


def _loss(figure: Any, steps: list[dict[str, Any]], epochs: list[dict[str, Any]], length: float) -> None:
    axes = figure.subplots()
    if steps:
        x = np.array([line["global_step"] for line in steps], float) / length
        y = np.array([_number(line.get("loss")) for line in steps])
        chosen = np.unique(np.linspace(0, len(x) - 1, min(_POINTS, len(x))).round().astype(int))
        axes.plot(x[chosen], y[chosen], color=BLUE, lw=0.6, alpha=0.35, label="training, steps")
    values = [(line["epoch"], _number(line.get("train_loss"))) for line in epochs]
    _line(axes, values, "training, per epoch", BLUE, "-")
    for name, (title, colour, style) in _LOSSES.items():
        if _has(epochs, name):
            _line(axes, _of(epochs, name), title, colour, style)
    top = _top(axes)
    if top is not None:
        axes.set_ylim(top=top)
    axes.set(xlabel="Epoch", ylabel="Loss")
    _whole_epochs(axes)
    axes.legend(loc="best")


def _metrics(
    figure: Any,
    epochs: list[dict[str, Any]],
    names: list[str],
    best: dict[str, Any] | None,
    chosen: str,
) -> None:
    axes = figure.subplots()
    for name in names:
        title, colour, style = _LINES.get(name, (name.replace("_", " "), INK, "-"))
        _line(axes, _of(epochs, name), title, colour, style)
    if best and best.get("value") is not None:
        at, value = best["epoch"], best["value"]
        axes.axvline(at, color=SOFT, lw=0.8, ls=":")
        label = f"best: {value:.4f} in epoch {at}"
        axes.plot([at], [value], "o", color=ORANGE, mec="white", ms=8, zorder=5, label=label)
    shares = all(0 <= v <= 1 for name in names for _, v in _of(epochs, name) if np.isfinite(v))
    if shares:
        axes.set_ylim(-0.02, 1.02)
    axes.set(xlabel="Epoch", ylabel="Validation")
    _whole_epochs(axes)
    axes.legend(loc="best")


def _rate(figure: Any, steps: list[dict[str, Any]], length: float) -> None:
    axes = figure.subplots()
    x = [line["global_step"] / length for line in steps]
    axes.plot(x, [_number(line.get("lr")) for line in steps], color=INK, lw=1.3)
    axes.set_yscale("log")
    axes.set(xlabel="Epoch", ylabel="Learning rate")
    _whole_epochs(axes)


def _line(axes: Any, values: list[tuple[int, float]], title: str, colour: str, style: str) -> None:
    known = [(x, y) for x, y in values if np.isfinite(y)]
    if known:
        marker = "o" if len(known) <= 30 else ""
        x, y = zip(*known, strict=True)
        axes.plot(x, y, color=colour, ls=style, lw=1.7, marker=marker, ms=3.5, label=title)


def _top(axes: Any) -> float | None:
    """Where to cut the axis, so that a few wild steps at the beginning do not flatten everything else."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if len(values) < 20:
        return None
    usual = float(np.percentile(values, 97))
    low = float(values.min())
    return usual + 0.15 * (usual - low) if values.max() > usual + (usual - low) else None


def _whole_epochs(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))


def _of(epochs: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["epoch"], _number((line.get("validation") or {}).get(name))) for line in epochs]


def _has(epochs: list[dict[str, Any]], name: str) -> bool:
    return any(np.isfinite(value) for _, value in _of(epochs, name))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")

"""The figures of an agreement as PNG, in the manner of those of an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluation import plots
from .compare import ALL, Agreement
from .facts import Facts

BLUE, GREEN, ORANGE, RED, SOFT = plots.BLUE, plots.GREEN, plots.ORANGE, plots.RED, plots.SOFT
#: Pairs of readers that fit into one figure; more are in the tables.
MOST_PAIRS = 6


def figures_of(facts: Facts) -> dict[str, bytes]:
    """PNG by name: "overlap", "bland-altman" and "scores"; those without values are left out."""
    result = facts.result
    pairs = result.reader_pairs[:MOST_PAIRS]
    found = {}
    overlapping = [p for p in pairs if any(x.state == "both" for x in result.of(*p))]
    if overlapping:
        size = (8.4, 1.3 + 1.25 * len(overlapping))
        found["overlap"] = plots.figure_png(lambda f: _overlaps(f, result, overlapping), size)
    measured = [p for p in pairs if result.limits(*p).spread is not None]
    if measured:
        size = (4.2 * min(2, len(measured)), 3.6 * -(-len(measured) // 2))
        found["bland-altman"] = plots.figure_png(lambda f: _bland_altman(f, result, measured), size)
    tables = {
        (row.first, row.second): np.array(row.table)
        for row in facts.kappas
        if row.group == ALL and row.weights == "linear" and row.table is not None and row.estimate.n
    }
    shown = [(p, tables[p]) for p in pairs if p in tables]
    if shown:
        size = (2.9 * min(3, len(shown)), 3.1 * -(-len(shown) // 3))
        found["scores"] = plots.figure_png(lambda f: _scores(f, shown), size)
    return found


def _overlaps(figure: Any, result: Agreement, pairs: list[tuple[str, str]]) -> None:
    panels = figure.subplots(1, 3, sharey=True)
    titles = (
        ("dice", "Dice", BLUE, (None, 1.0)),
        ("surface_dice", f"Surface Dice at {result.options.tolerance_mm:g} mm", GREEN, (None, 1.0)),
        ("hd95_mm", "HD95, mm", ORANGE, (0.0, None)),
    )
    for axes, (name, title, colour, bounds) in zip(panels, titles, strict=True):
        for place, pair in enumerate(reversed(pairs)):
            values = [p.measures()[name] for p in result.of(*pair) if p.state == "both"]
            plots.cloud(axes, np.array([v for v in values if v is not None], float), place, colour, bounds)
        axes.set(ylim=(-0.5, len(pairs) - 0.3), xlabel=title)
        axes.set_yticks(range(len(pairs)), [f"{_short(a)}\n{_short(b)}" for a, b in reversed(pairs)])
        axes.locator_params(axis="x", nbins=5)


def _bland_altman(figure: Any, result: Agreement, pairs: list[tuple[str, str]]) -> None:
    rows, columns = -(-len(pairs) // 2), min(2, len(pairs))
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in panels[len(pairs) :]:
        axes.remove()
    for axes, (first, second) in zip(panels, pairs, strict=False):
        cases = result.complete((first, second))
        a = np.array([result.volumes[c][first] for c in cases])
        b = np.array([result.volumes[c][second] for c in cases])
        empty = (a == 0) | (b == 0)
        for chosen, face in ((~empty, BLUE), (empty, "none")):
            x, y = (a + b)[chosen] / 2, (a - b)[chosen]
            axes.scatter(x, y, 22, facecolor=face, edgecolor=BLUE, alpha=0.85)
        limits = result.limits(first, second)
        axes.axhline(0, color=SOFT, lw=0.7)
        named = (
            (limits.bias, "-", "bias"),
            (limits.upper, "--", "+1.96 SD"),
            (limits.lower, "--", "−1.96 SD"),
        )
        for estimate, style, name in named:
            if estimate.value is None:
                continue
            axes.axhline(estimate.value, color=ORANGE, ls=style, lw=1.3)
            if estimate.low is not None and estimate.high is not None:
                axes.axhspan(estimate.low, estimate.high, color=ORANGE, alpha=0.10, lw=0)
            axes.annotate(
                f"{name} {estimate.value:+.1f}".replace("-", "−"),
                (0.99, estimate.value),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                fontsize=7.5,
                color=ORANGE,
            )
        axes.margins(x=0.08, y=0.14)
        axes.set(xlabel="Mean volume, mL", ylabel=f"{_short(first)} − {_short(second)}, mL")


def _scores(figure: Any, shown: list[tuple[tuple[str, str], np.ndarray]]) -> None:
    rows, columns = -(-len(shown) // 3), min(3, len(shown))
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in panels[len(shown) :]:
        axes.remove()
    for axes, ((first, second), table) in zip(panels, shown, strict=False):
        axes.imshow(table, cmap="Blues", vmin=0, vmax=max(1, table.max()) * 1.8)
        for row in range(len(table)):
            for column in range(len(table)):
                axes.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=10)
        axes.grid(False)
        axes.set_xticks(range(len(table)))
        axes.set_yticks(range(len(table)))
        axes.set(xlabel=f"Score by {_short(second)}", ylabel=f"Score by {_short(first)}")


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"

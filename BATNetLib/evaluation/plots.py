"""The figures of an evaluation as PNG. Colours are told apart without colour vision (Okabe and Ito)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import RESEARCH_USE_ONLY
from .adipose import MaskEvaluation
from .baseline import missing_package
from .brown import ScoreEvaluation
from .calibration import net_benefit
from .intervals import Estimate
from .overlap import BOTH, EMPTY_BOTH
from .roc import roc_curve

INK, SOFT, GRID = "#1c2126", "#59626c", "#e3e7eb"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#d55e00", "#009e73", "#8c1d18"
_SIZE, _DPI = (5.2, 4.3), 150


def require_matplotlib() -> None:
    """Refuse in words where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_package("matplotlib", "The figures of the report") from error


def mask_figures(result: MaskEvaluation) -> dict[str, bytes]:
    """PNG by name: "raincloud" and, from three cases on, "bland-altman"; none without cases to show."""
    figures = {}
    if result.of_state(BOTH):
        figures["raincloud"] = figure_png(lambda f: _overlap_clouds(f, result), (8.4, 3.4))
    if result.agreement() is not None:
        figures["bland-altman"] = figure_png(lambda f: _bland_altman(f, result))
    return figures


def score_figures(result: ScoreEvaluation) -> dict[str, bytes]:
    """PNG by name: "roc", "reliability", "decision-curve" and "raincloud"."""
    return {
        "roc": figure_png(lambda f: _roc(f, result)),
        "reliability": figure_png(lambda f: _reliability(f, result)),
        "decision-curve": figure_png(lambda f: _decision(f, result)),
        "raincloud": figure_png(lambda f: _score_clouds(f, result)),
    }


def figure_png(draw: Callable[[Any], None], size: tuple[float, float] = _SIZE) -> bytes:
    """Draw without pyplot, so that neither a screen nor the user's settings take part."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 9,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.edgecolor": SOFT,
                "axes.labelcolor": INK,
                "xtick.color": SOFT,
                "ytick.color": SOFT,
                "axes.grid": True,
                "grid.color": GRID,
                "grid.linewidth": 0.7,
                "axes.axisbelow": True,
                "legend.frameon": False,
                "legend.fontsize": 8,
            }
        )
        figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.supxlabel(RESEARCH_USE_ONLY, fontsize=6.5, color=SOFT, x=0.99, ha="right")
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _roc(figure: Any, result: ScoreEvaluation) -> None:
    axes = figure.subplots()
    y = result.scores.labels
    axes.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":", label="chance")
    lines = [("model", result.scores.probabilities, result.metrics["auc_bootstrap"], BLUE, "-")]
    if result.second is not None and result.second_auc is not None:
        lines.append((result.second_name, result.second, result.second_auc, ORANGE, "--"))
    if result.baseline is not None and result.baseline_auc is not None:
        name = ", ".join(result.baseline.columns)
        lines.append((name, result.baseline.probabilities, result.baseline_auc, GREEN, "-."))
    for name, scores, auc, colour, style in lines:
        false, true = roc_curve(y, scores)
        axes.plot(false, true, color=colour, ls=style, lw=1.8, label=f"{name}: AUC {_words(auc, 2)}")
    if result.confusion is not None:
        x = 1 - float(result.metrics["specificity"].value or 0)
        height = float(result.metrics["sensitivity"].value or 0)
        label = f"threshold {result.options.threshold:g}"
        axes.plot(x, height, "o", color=RED, ms=7, mec="white", label=label, zorder=5)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.set(xlabel="1 − specificity", ylabel="Sensitivity")
    axes.legend(loc="lower right")


def _reliability(figure: Any, result: ScoreEvaluation) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    upper.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=":", label="calibrated")
    filled = [b for b in result.bins if b.n]
    x = np.array([b.predicted for b in filled], float)
    y = np.array([b.observed.value for b in filled], float)
    low = np.array([b.observed.low for b in filled], float)
    high = np.array([b.observed.high for b in filled], float)
    # Rounding may put a bound of 0 or 1 a hair beyond the value.
    bars = np.clip([y - low, high - y], 0, None)
    upper.errorbar(x, y, bars, fmt="o-", color=BLUE, ms=5, lw=1.4, elinewidth=1, capsize=2, label="bins")
    slope = result.metrics["calibration_slope"]
    if slope.value is not None:
        upper.plot([], [], " ", label=f"slope {_words(slope, 2)}")
    upper.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), ylabel="Observed share with brown fat")
    named = upper.legend(loc="upper left")
    p, labels = result.scores.probabilities, result.scores.labels
    edges = np.linspace(0, 1, 41)
    for value, sign, colour, name in ((1, 1, ORANGE, "brown fat"), (0, -1, BLUE, "none")):
        counts, _ = np.histogram(p[labels == value], edges)
        lower.bar(edges[:-1], sign * counts, np.diff(edges), align="edge", color=colour, label=name)
    lower.axhline(0, color=SOFT, lw=0.7)
    lower.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    lower.set(xlabel="Predicted probability", ylabel="Cases")
    upper.legend(handles=lower.containers, loc="lower right")
    upper.add_artist(named)


def _decision(figure: Any, result: ScoreEvaluation) -> None:
    axes = figure.subplots()
    benefit = result.benefit
    top = float(np.mean(result.scores.labels))
    axes.axhline(0, color=INK, lw=0.9, label="call nobody positive")
    everybody = "call everybody positive"
    axes.plot(benefit.thresholds, benefit.treat_all, color=SOFT, ls=":", lw=1.4, label=everybody)
    axes.plot(benefit.thresholds, benefit.model, color=BLUE, lw=1.8, label="model")
    others = [(result.second_name, result.second, ORANGE, "--")]
    if result.baseline is not None:
        others.append((", ".join(result.baseline.columns), result.baseline.probabilities, GREEN, "-."))
    for name, scores, colour, style in others:
        if scores is not None:
            curve = net_benefit(result.scores.labels, scores, benefit.thresholds)
            axes.plot(curve.thresholds, curve.model, color=colour, ls=style, lw=1.5, label=name)
    axes.set(xlim=(0, 1), ylim=(-0.15 * top - 0.02, 1.12 * top + 0.02))
    axes.set(xlabel="Threshold probability", ylabel="Net benefit")
    axes.legend(loc="upper right")


def _score_clouds(figure: Any, result: ScoreEvaluation) -> None:
    axes = figure.subplots()
    p, y = result.scores.probabilities, result.scores.labels
    groups = ((0, "none", BLUE), (1, "brown fat", ORANGE))
    for place, (value, _, colour) in enumerate(groups):
        cloud(axes, p[y == value], place, colour, (0.0, 1.0))
    if result.options.threshold is not None:
        axes.axvline(result.options.threshold, color=RED, lw=1.2)
        axes.annotate(
            f"threshold {result.options.threshold:g}",
            (result.options.threshold, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            color=RED,
            fontsize=8,
            va="top",
        )
    names = [f"{name}\nn = {int((y == value).sum())}" for value, name, _ in groups]
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.65), xlabel="Predicted probability")
    axes.set_yticks([0, 1], names)


def _overlap_clouds(figure: Any, result: MaskEvaluation) -> None:
    panels = figure.subplots(1, 3)
    titles = (
        ("dice", "Dice", BLUE, (None, 1.0)),
        ("nsd", f"NSD at {result.options.tolerance_mm:g} mm", GREEN, (None, 1.0)),
        ("hd95_mm", "HD95, mm", ORANGE, (0.0, None)),
    )
    for axes, (name, title, colour, bounds) in zip(panels, titles, strict=True):
        values = np.array([case.measures()[name] for case in result.of_state(BOTH)], float)
        cloud(axes, values, 0, colour, bounds)
        axes.set(ylim=(-0.45, 0.65), yticks=[], xlabel=title)
        axes.locator_params(axis="x", nbins=5)
        axes.spines["left"].set_visible(False)


def _bland_altman(figure: Any, result: MaskEvaluation) -> None:
    axes = figure.subplots()
    limits = result.agreement()
    assert limits is not None
    both = [case.overlap for case in result.of_state(BOTH)]
    rest = [c.overlap for c in result.cases if c.overlap.state not in (BOTH, EMPTY_BOTH)]
    shapes = ((both, "o", BLUE, ""), (rest, "^", "none", "one mask empty (not in the limits)"))
    for cases, marker, face, name in shapes:
        if cases:
            x, y = [(o.truth_ml + o.predicted_ml) / 2 for o in cases], [o.error_ml for o in cases]
            axes.scatter(x, y, 26, marker=marker, facecolor=face, edgecolor=BLUE, alpha=0.85, label=name)
    axes.axhline(0, color=SOFT, lw=0.7)
    for key, style, name in (
        ("bias_ml", "-", "bias"),
        ("high_ml", "--", "+1.96 SD"),
        ("low_ml", "--", "−1.96 SD"),
    ):
        axes.axhline(limits[key], color=ORANGE, ls=style, lw=1.3)
        text = f"{name}\n{limits[key]:+.1f} mL".replace("-", "−")
        axes.annotate(
            text,
            (1.0, limits[key]),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=ORANGE,
        )
    axes.margins(x=0.08, y=0.14)
    axes.set(xlabel="Mean of predicted and true volume, mL", ylabel="Predicted − true volume, mL")
    if rest:
        axes.legend(loc="best")


def cloud(
    axes: Any, values: np.ndarray, place: float, colour: str, bounds: tuple[float | None, float | None]
) -> None:
    """Density above, box in the middle, the single cases below a line at ``place``."""
    if not len(values):
        return
    if len(values) >= 5 and np.ptp(values) > 0:
        from scipy.stats import gaussian_kde

        width = np.ptp(values) * 0.15
        low = values.min() - width if bounds[0] is None else max(bounds[0], values.min() - width)
        high = values.max() + width if bounds[1] is None else min(bounds[1], values.max() + width)
        grid = np.linspace(low, high, 200)
        density = gaussian_kde(values)(grid)
        floor = place + 0.12
        axes.fill_between(grid, floor, floor + 0.4 * density / density.max(), color=colour, alpha=0.35, lw=0)
    axes.boxplot(
        values,
        positions=[place],
        orientation="horizontal",
        widths=0.12,
        showfliers=False,
        manage_ticks=False,
        medianprops={"color": INK, "lw": 1.6},
        boxprops={"color": SOFT},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    jitter = np.random.default_rng(0).uniform(-0.34, -0.13, len(values))
    axes.scatter(values, place + jitter, s=11, color=colour, alpha=0.6, lw=0)


def _words(estimate: Estimate, digits: int) -> str:
    value = "–" if estimate.value is None else f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"

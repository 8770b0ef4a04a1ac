"""The curves as nodes of the scene: tables, series and a chart, shown in a plot view of Slicer.

The nodes are not saved with the scene: the run is in its folder, and is drawn again from there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import slicer
import vtk
from BATNetSlicer.texts import _
from vtk.util.numpy_support import numpy_to_vtk

from .curvedata import Curves
from .words import figure_words

MARK = "BATNetTrain.Curves"
#: What the chart shows besides the figures of the validation.
LOSS = "loss"
_BLUE, _LIGHT = (0.12, 0.47, 0.71), (0.65, 0.81, 0.89)
_ORANGE, _RED = (0.90, 0.45, 0.10), (0.75, 0.10, 0.15)
#: Keys of the series: loss of the steps, mean loss of the epochs, a figure of the validation, its best epoch.
STEPS, EPOCHS, VALIDATION, BEST = "steps", "epochs", "validation", "best"
VALIDATION_LOSS = "validation_loss"
#: Up to so many epochs each is marked by a dot.
_DOTS = 30


class CurveNodes:
    """Made in the scene when first shown; ``remove`` takes them out again."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.chart: Any = None
        self.series: dict[str, Any] = {}
        self._tables: dict[str, Any] = {}
        self._layout: tuple[int, int] | None = None
        self.drawn: tuple[Any, ...] | None = None
        self._ranges: Any = None

    # --- showing
    def show(self, curves: Curves, which: str, title: str) -> None:
        """Draw ``which`` (``LOSS`` or a figure of the validation); nothing where it is drawn already."""
        drawn = (id(curves), curves.changes, curves.steps_per_epoch, which, title)
        if drawn == self.drawn and self._there():
            return
        self._make()
        self.drawn = drawn
        points = self._points(curves, which)
        changed = self.chart.StartModify()
        kind = slicer.vtkMRMLPlotSeriesNode
        for key, (x, y) in points.items():
            self._fill(key, x, y)
            if key in (EPOCHS, VALIDATION):  # a line needs two points to be seen
                dots = len(x) <= _DOTS
                self.series[key].SetMarkerStyle(kind.MarkerStyleCircle if dots else kind.MarkerStyleNone)
            wanted = self.series[key].GetID() if len(x) else None
            present = self.chart.HasPlotSeriesNodeID(self.series[key].GetID())
            if wanted and not present:
                self.chart.AddAndObservePlotSeriesNodeID(wanted)
            elif not wanted and present:
                self.chart.RemovePlotSeriesNodeID(self.series[key].GetID())
        name = _("Loss") if which == LOSS else figure_words(which)
        self.chart.SetTitle(f"{name}, {title}" if title else name)
        self.chart.SetYAxisTitle(name)
        self.chart.SetXAxisTitle(_("Epoch") if curves.steps_per_epoch or which != LOSS else _("Step"))
        self._set_ranges(points)
        self.chart.EndModify(changed)

    def _set_ranges(self, points: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Axes that hold all points. Slicer's own automatic range follows only series that are added, not
        points; and a range that changes seldom leaves the user's zoom alone in between."""
        x = np.concatenate([x for x, _y in points.values()])
        y = np.concatenate([y for _x, y in points.values()])
        ranges = None if not len(x) else (round_range(0.0, x.max()), round_range(y.min(), y.max()))
        if ranges == self._ranges:
            return
        self._ranges = ranges
        for axis, span in zip("XY", ranges or ((0.0, 1.0), (0.0, 1.0)), strict=True):
            getattr(self.chart, f"Set{axis}AxisRangeAuto")(False)
            getattr(self.chart, f"Set{axis}AxisRange")(*span)

    def _points(self, curves: Curves, which: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        none = np.zeros(0), np.zeros(0)
        if which != LOSS:
            x, y = curves.of_epochs(which)
            best = x == (curves.best if curves.best is not None else -1)
            return {STEPS: none, EPOCHS: none, VALIDATION: (x, y), BEST: (x[best], y[best])}
        steps = curves.of_steps()
        found = {STEPS: steps, EPOCHS: none, VALIDATION: none, BEST: none}
        if curves.steps_per_epoch or not len(steps[0]):  # else epochs and steps have no common axis
            found[EPOCHS] = curves.of_epochs("train_loss")
            found[VALIDATION] = curves.of_epochs(VALIDATION_LOSS)
        return found

    def in_view(self) -> None:
        """Show the chart in a plot view; a layout without one gives way to its like with one."""
        if not self._there():
            return
        manager = slicer.app.layoutManager()
        logic = slicer.modules.plots.logic()
        before = manager.layout
        wanted = logic.GetLayoutWithPlot(before)
        if wanted != before:
            self._layout = (before, wanted)
            manager.setLayout(wanted)
        logic.ShowChartInLayout(self.chart)

    # --- taking away
    def remove(self) -> None:
        """Take the nodes out of the scene, and put the layout back where it is still ours."""
        self.forget_layout(restore=True)
        for node in (self.chart, *self.series.values(), *self._tables.values()):
            if node is not None and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self.forget()

    def forget(self) -> None:
        """The scene is closed: the nodes are gone."""
        self.chart, self.series, self._tables = None, {}, {}
        self.drawn = self._ranges = None

    def forget_layout(self, *, restore: bool) -> None:
        if restore and self._layout is not None:
            before, wanted = self._layout
            if slicer.app.layoutManager().layout == wanted:
                slicer.app.layoutManager().setLayout(before)
        self._layout = None

    # --- nodes
    def _there(self) -> bool:
        nodes = (self.chart, *self.series.values(), *self._tables.values())
        return self.chart is not None and all(self._scene.IsNodePresent(node) for node in nodes)

    def _make(self) -> None:
        if self._there():
            return
        self.remove()  # what is left where the user deleted a part
        self.chart = self._node("vtkMRMLPlotChartNode", _("BATNet training"))
        for key, name, colour, marker in (
            (STEPS, _("Training, steps"), _LIGHT, None),
            (EPOCHS, _("Training, mean of the epoch"), _BLUE, None),
            (VALIDATION, _("Validation"), _ORANGE, None),
            (BEST, _("Best"), _RED, "circle"),
        ):
            table = self._tables[key] = self._node("vtkMRMLTableNode", _("BATNet training: {name}"), name)
            table.SetHideFromEditors(True)
            series = self.series[key] = self._node("vtkMRMLPlotSeriesNode", name)
            kind = slicer.vtkMRMLPlotSeriesNode
            series.SetPlotType(kind.PlotTypeScatter)
            series.SetColor(*colour)
            series.SetMarkerStyle(kind.MarkerStyleCircle if marker else kind.MarkerStyleNone)
            series.SetLineStyle(kind.LineStyleNone if marker else kind.LineStyleSolid)
            series.SetLineWidth(2)
            series.SetMarkerSize(9)
            self._fill(key, np.zeros(0), np.zeros(0))
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName("x")
            series.SetYColumnName("y")

    def _node(self, kind: str, title: str, name: str = "") -> Any:
        node = getattr(slicer, kind)()
        node.SetName(title.format(name=name) if name else title)
        node.SetAttribute(MARK, "1")
        node.SetAttribute("SubjectHierarchy.ExcludeFromTree", "1")
        node.SaveWithSceneOff()
        return self._scene.AddNode(node)

    def _fill(self, key: str, x: np.ndarray, y: np.ndarray) -> None:
        node = self._tables[key]
        changed = node.StartModify()
        table = vtk.vtkTable()
        for name, values in (("x", x), ("y", y)):
            column = numpy_to_vtk(np.ascontiguousarray(values, np.float64), deep=True)
            column.SetName(name)
            table.AddColumn(column)
        node.SetAndObserveTable(table)
        node.EndModify(changed)


def round_range(low: float, high: float) -> tuple[float, float]:
    """The range from ``low`` to ``high``, widened to round numbers: (0, 7.1) becomes (0, 8)."""
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span))
    if span / step < 5:
        step /= 2
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    return float(first), float(last if last > first else first + step)

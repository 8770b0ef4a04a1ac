"""Colour legends of overlays, in percent."""

from __future__ import annotations

from typing import Any


def show_legend(volume: Any, title: str, labels: str, count: int) -> Any:
    """A colour legend for a volume, wherever it is shown. ``labels``: printf form of ``count`` numbers.

    No percent sign in ``labels``: VTK prints it once up to 9.5 and twice from 9.6 on.
    """
    import slicer

    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume.GetDisplayNode())
    changed = legend.StartModify()
    legend.SaveWithSceneOff()
    legend.SetTitleText(title)
    legend.SetLabelFormat(labels)
    legend.SetNumberOfLabels(count)
    legend.SetMaxNumberOfColors(256)
    legend.SetUseColorNamesForLabels(False)
    legend.SetOrientation(legend.Vertical)
    legend.SetPosition(0.98, 0.5)
    legend.SetSize(0.07, 0.5)  # labels and title are sized to fit the width
    for text, size in ((legend.GetTitleTextProperty(), 13), (legend.GetLabelTextProperty(), 13)):
        text.SetFontFamilyToArial()
        text.SetFontSize(size)
        text.SetBold(False)
        text.SetItalic(False)
        text.SetShadow(True)
        text.SetColor(1.0, 1.0, 1.0)
    legend.SetVisibility(True)
    legend.EndModify(changed)
    return legend


def hide_legend(volume: Any) -> None:
    """Remove the legend of a volume."""
    import slicer

    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume.GetDisplayNode())
    if legend is not None:
        volume.GetScene().RemoveNode(legend)

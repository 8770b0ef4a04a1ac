"""Colour tables of the overlays: the colours of the report, once in every scene."""

from __future__ import annotations

from typing import Any

from .texts import _

_MARK = "BATNet.Colours"


def probability_colours(scene: Any) -> Any:
    """Colour node of probabilities, low to high in 256 steps."""
    return _colour_node(scene, "PROBABILITY", _("BATNet probability"))


def attention_colours(scene: Any) -> Any:
    """Colour node of attention; its greens cannot be taken for a probability."""
    return _colour_node(scene, "ATTENTION", _("BATNet attention"))


def mask_colour() -> tuple[float, float, float]:
    """Red, green, blue 0..1 of the adipose mask."""
    from BATNetLib.analysis.colours import MASK

    return MASK[0] / 255, MASK[1] / 255, MASK[2] / 255


def _colour_node(scene: Any, ramp: str, name: str) -> Any:
    import slicer

    from BATNetLib.analysis import colours

    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLColorTableNode")
        if node.GetAttribute(_MARK) == ramp:
            return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(name)
    node.SetAttribute(_MARK, ramp)
    steps = getattr(colours, ramp)
    node.SetNumberOfColors(len(steps))
    for index, (red, green, blue) in enumerate(steps / 255.0):
        node.SetColor(index, f"{100 * index / (len(steps) - 1):.1f} %", red, green, blue, 1.0)
    node.SetAttribute("SubjectHierarchy.ExcludeFromTree", "1")
    return scene.AddNode(node)

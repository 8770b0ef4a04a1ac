"""Box outlines in the views: all patches thin, the chosen one thick, its mirror partner dashed."""

from __future__ import annotations

from typing import Any

from .analysis import Analysis
from .colournodes import probability_colours
from .patchboxes import PatchBoxes, box_surfaces, dashed_surface
from .texts import _

_ROLE = "overlay."
_GREY, _WHITE = (0.59, 0.59, 0.59), (1.0, 1.0, 1.0)
ALL, CHOSEN, PARTNER = "boxes", "chosen", "partner"


def show_boxes(analysis: Analysis, boxes: PatchBoxes) -> Any:
    """All 32 outlines: thin and grey in slice views, coloured by probability in 3D views."""
    frame = analysis.frame()
    values = [100 * patch.probability for patch in analysis.patches]
    surface = box_surfaces(boxes, frame, range(len(values)), values)
    model = _model(analysis, ALL, _("BATNet patches"), surface)
    if model.GetNumberOfDisplayNodes() < 2:
        flat, solid = _display(model, _GREY, 1), _display(model, _GREY, 1)
        flat.SetVisibility3D(False)
        solid.SetVisibility2D(False)
        solid.SetScalarVisibility(True)
        solid.SetActiveScalar("Probability (%)", 1)
        solid.SetScalarRangeFlag(solid.UseManualScalarRange)
        solid.SetScalarRange(0, 100)
        solid.SetAndObserveColorNodeID(probability_colours(model.GetScene()).GetID())
        solid.SetLineWidth(2)
    return model


def show_chosen(analysis: Analysis, boxes: PatchBoxes, index: int) -> None:
    """Outline one patch in thick white, and its mirror partner in dashed white."""
    frame = analysis.frame()
    partner = analysis.patches[index].partner
    model = _model(analysis, CHOSEN, _("BATNet chosen patch"), box_surfaces(boxes, frame, [index]))
    if model.GetDisplayNode() is None:
        _display(model, _WHITE, 4).SetLineWidth(5)
    model = _model(analysis, PARTNER, _("BATNet mirror partner"), dashed_surface(boxes, frame, partner))
    if model.GetDisplayNode() is None:
        _display(model, _WHITE, 2).SetVisibility3D(False)


def hide(analysis: Analysis, *roles: str) -> None:
    """Remove outlines."""
    for role in roles:
        model = get(analysis, role)
        if model is not None:
            scene = model.GetScene()
            displays = [model.GetNthDisplayNode(n) for n in range(model.GetNumberOfDisplayNodes())]
            scene.RemoveNode(model)
            for display in displays:
                if display is not None and display.GetScene() is not None:
                    scene.RemoveNode(display)
        if analysis.in_scene:
            analysis.node.RemoveNodeReferenceIDs(_ROLE + role)


def get(analysis: Analysis, role: str) -> Any:
    """The model node of an outline, or None."""
    return analysis.node.GetNodeReference(_ROLE + role) if analysis.in_scene else None


def limit_to(analysis: Analysis, view_ids: list[str]) -> None:
    """Show the outlines only in these views (all views for an empty list)."""
    for role in (ALL, CHOSEN, PARTNER):
        model = get(analysis, role)
        for n in range(model.GetNumberOfDisplayNodes() if model is not None else 0):
            display = model.GetNthDisplayNode(n)
            changed = display.StartModify()
            display.RemoveAllViewNodeIDs()
            for view in view_ids:
                display.AddViewNodeID(view)
            display.EndModify(changed)


def set_3d(analysis: Analysis, visible: bool) -> None:
    """Show or hide the outlines in 3D views."""
    for role, number in ((ALL, 1), (CHOSEN, 0)):
        model = get(analysis, role)
        display = model.GetNthDisplayNode(number) if model is not None else None
        if display is not None:
            display.SetVisibility3D(visible)


def _model(analysis: Analysis, role: str, name: str, surface: Any) -> Any:
    import slicer

    frame, model = analysis.frame(), get(analysis, role)
    if model is None:
        model = slicer.vtkMRMLModelNode()
        model.SetName(name)
        model.SaveWithSceneOff()
        model.SetHideFromEditors(True)
        model.SetSelectable(False)
        model = frame.GetScene().AddNode(model)
        analysis.node.SetNodeReferenceID(_ROLE + role, model.GetID())
    model.SetAndObserveTransformNodeID(frame.GetTransformNodeID())
    model.SetAndObservePolyData(surface)
    return model


def _display(model: Any, colour: tuple[float, float, float], thickness: int) -> Any:
    import slicer

    display = slicer.vtkMRMLModelDisplayNode()
    display.SaveWithSceneOff()
    display.SetColor(*colour)
    display.SetVisibility2D(True)
    display.SetSliceIntersectionThickness(thickness)
    display.SetRepresentation(display.WireframeRepresentation)
    display.SetLighting(False)
    display.SetBackfaceCulling(False)
    display.SetScalarVisibility(False)
    display = model.GetScene().AddNode(display)
    model.AddAndObserveDisplayNodeID(display.GetID())
    return display

"""The foreground of the slice views, borrowed and given back.

What was there before is kept on the view's own node, so that it can be given back after the module was
reloaded, and after a scene that was saved with an overlay on was loaded again. Given back is only what is
still as it was set here: a layer or an opacity that the user chose meanwhile stays.
"""

from __future__ import annotations

import json
from typing import Any

#: Attribute of volume nodes that are shown as an overlay.
OVERLAY = "BATNet.Overlay"
_BEFORE = "BATNet.Before"
_LAYERS = ("Foreground", "Background")


def views(scene: Any) -> list[Any]:
    """The composite nodes of all slice views."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    return [scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode") for index in range(count)]


def views_of(ct: Any) -> list[Any]:
    """The views that show a CT; all views where none does."""
    everything = views(ct.GetScene())
    return [view for view in everything if view.GetBackgroundVolumeID() == ct.GetID()] or everything


def showing(volume: Any) -> list[Any]:
    """The views that show a volume as their foreground."""
    if volume is None or volume.GetScene() is None:
        return []
    return [view for view in views(volume.GetScene()) if view.GetForegroundVolumeID() == volume.GetID()]


def borrowed_for(volume: Any) -> list[Any]:
    """The views whose foreground was borrowed for a volume, whatever they show now."""
    if volume is None or volume.GetScene() is None:
        return []
    return [view for view in views(volume.GetScene()) if (_record(view) or {}).get("shown") == volume.GetID()]


def borrow(view: Any, volume: Any, ct: Any, opacity: float) -> None:
    """Show ``volume`` over ``ct`` in a view."""
    former = _record(view)
    if former is None or not _ours(view, former):
        former = {
            "opacity": view.GetForegroundOpacity(),
            "compositing": view.GetCompositing(),
            "background": view.GetBackgroundVolumeID() != ct.GetID(),
        }
        for layer in _LAYERS:
            view.SetNodeReferenceID(f"{_BEFORE}.{layer}", getattr(view, f"Get{layer}VolumeID")())
    changed = view.StartModify()
    if view.GetBackgroundVolumeID() != ct.GetID():
        fit = view.GetBackgroundVolumeID() is None
        view.SetBackgroundVolumeID(ct.GetID())
        if fit:
            _fit(view)
    view.SetForegroundVolumeID(volume.GetID())
    view.SetForegroundOpacity(opacity)
    view.SetCompositing(0)
    former |= {"shown": volume.GetID(), "set_opacity": opacity, "ct": ct.GetID()}
    view.SetAttribute(_BEFORE, json.dumps(former))
    view.EndModify(changed)


def set_opacity(view: Any, opacity: float) -> None:
    """Change the opacity of a borrowed foreground."""
    former = _record(view)
    if former is not None:
        view.SetAttribute(_BEFORE, json.dumps(former | {"set_opacity": opacity}))
        view.SetForegroundOpacity(opacity)


def give_back(view: Any) -> None:
    """Put back what ``borrow`` has changed; nothing where nothing was borrowed."""
    former = _record(view)
    if former is None:
        return
    changed = view.StartModify()
    if _ours(view, former):
        view.SetForegroundVolumeID(_before(view, "Foreground"))
    if abs(view.GetForegroundOpacity() - former["set_opacity"]) < 1e-6:
        view.SetForegroundOpacity(former["opacity"])
    if view.GetCompositing() == 0:
        view.SetCompositing(former["compositing"])
    if former["background"] and view.GetBackgroundVolumeID() == former["ct"]:
        view.SetBackgroundVolumeID(_before(view, "Background"))
    view.RemoveAttribute(_BEFORE)
    for layer in _LAYERS:
        view.RemoveNodeReferenceIDs(f"{_BEFORE}.{layer}")
    view.EndModify(changed)


def give_back_orphans(scene: Any) -> None:
    """Give back the layers of views whose overlay is no longer there, as after loading a scene."""
    for view in views(scene):
        former = _record(view)
        if former is not None and scene.GetNodeByID(former["shown"]) is None:
            give_back(view)


def _record(view: Any) -> dict[str, Any] | None:
    text = view.GetAttribute(_BEFORE)
    return json.loads(text) if text else None


def _ours(view: Any, former: dict[str, Any]) -> bool:
    """Whether the foreground is still the overlay; one that was deleted leaves nothing, or its id."""
    shown = view.GetForegroundVolumeID()
    return shown == former["shown"] or not shown or view.GetScene().GetNodeByID(shown) is None


def _before(view: Any, layer: str) -> str | None:
    node = view.GetNodeReference(f"{_BEFORE}.{layer}")
    return node.GetID() if node is not None else None


def _fit(view: Any) -> None:
    """Show all of the CT in a view that was empty."""
    import slicer

    application = getattr(slicer, "app", None)
    for logic in application.applicationLogic().GetSliceLogics() if application else ():
        if logic.GetSliceCompositeNode() is view:
            logic.FitSliceToBackground()

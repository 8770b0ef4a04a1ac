"""Switchable overlays of one analysis over its CT.

``overlays = Overlays(analysis)`` shows nothing by itself. Then::

    overlays.mask = True            # fat, as segmentation
    overlays.patch_map = True       # fat in the colour of its patch's probability, box outlines, legend
    overlays.attention = True       # attention cells, legend; takes the place of the patch map
    overlays.opacity = 0.6          # of patch map and attention
    overlays.boxes_in_3d = False
    overlays.select_patch(5)        # all slice views go there; patch 5 thick, its mirror partner dashed
    overlays.patch_at(ras)          # patch index at a point in world RAS mm, or None
    overlays.watch_clicks(chosen)   # chosen(index, ras) for a left click on a patch in a slice view
    overlays.step_back()            # hide the mask: another analysis is shown in its place
    overlays.come_back()            # show it again where step_back() has hidden it
    overlays.refresh()              # after the mask was edited or the result replaced
    overlays.close()                # everything off, no observer left

Which switches are on is read from the scene, so a second ``Overlays`` of the same analysis, as after a module
reload, agrees with the first. One switch may move another: read them again after setting one. Switching off
gives the views back what they showed before (``layers.py``); the CT's window is never touched.
``on_change()`` is called when something else than the caller changed what is shown (a node was deleted, the
scene closed), ``on_notice(text)`` says in words what was deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from . import boxmodels, layers
from .analysis import Analysis
from .fatmap import FatMap
from .geometry import size_of
from .legend import hide_legend, show_legend
from .patchboxes import PatchBoxes, index_to_world, world_to_index
from .picking import ClickWatcher
from .sceneobservers import SceneObservers
from .slicejump import jump_to
from .texts import _

#: Opacity of patch map and attention at first.
OPACITY = 0.75
_COVERED = "BATNet.MaskBefore"
_AWAY = "BATNet.MaskAway"


class Overlays:
    """See the module's text. ``analysis``: whose overlays; ``selected``: the chosen patch, or None."""

    def __init__(
        self,
        analysis: Analysis,
        on_change: Callable[[], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.analysis = analysis
        self.selected: int | None = None
        self.on_change = on_change or (lambda: None)
        self.on_notice = on_notice or (lambda text: None)
        self._opacity = OPACITY
        self._in_3d = True
        self._fat = FatMap(analysis)
        self._boxes: tuple[str, PatchBoxes] | None = None
        self._clicks: ClickWatcher | None = None
        self._known = set(analysis.deleted())
        self._busy = False
        scene = analysis.node.GetScene()
        self._observers = SceneObservers(scene, self._node_leaves, self._node_removed, self._scene_closes)
        layers.give_back_orphans(scene)
        for view in layers.showing(self._shown()):
            self._opacity = view.GetForegroundOpacity()
        if self._shown() is None:
            self._cover_mask(False)

    # --- what can be shown
    def why_not(self, overlay: str) -> str | None:
        """Why "mask", "patch_map" or "attention" cannot be switched on, in words; None where it can."""
        analysis = self.analysis
        if not analysis.in_scene:
            return _("The analysis is no longer in the scene.")
        gone = analysis.deleted()
        if overlay == "mask":
            return (
                None
                if analysis.segment_id
                else gone.get("segmentation", _("The result has no adipose mask."))
            )
        if analysis.ct is None:
            return gone.get("ct", _("The CT of this analysis is not in the scene."))
        if not analysis.patches:
            return _("The scan is not assessable: there are no patches.")
        if overlay == "attention" and analysis.attention is None:
            return gone.get("attention", _("The result has no attention map."))
        return None

    # --- switches
    @property
    def mask(self) -> bool:
        """Whether the adipose mask is shown in slice views. While a coloured map is on it gives way to the
        map; switched on then, it is drawn as an outline."""
        display = self._mask_display()
        return bool(display and display.GetVisibility() and display.GetVisibility2D())

    @mask.setter
    def mask(self, on: bool) -> None:
        display = self._mask_display()
        if display is None:
            self._refuse("mask", on)
            return
        if on:
            display.SetVisibility(True)
            display.SetSegmentVisibility(self.analysis.segment_id, True)
        display.SetVisibility2D(bool(on))
        covered = display.GetAttribute(_COVERED)
        if covered is not None:  # what the user wants now also holds after the map
            display.SetAttribute(_COVERED, json.dumps(json.loads(covered) | {"shown": bool(on)}))

    def step_back(self) -> None:
        """Hide the mask, shown or covered: it would lie over the colours of another analysis."""
        display = self._mask_display()
        if display is not None:
            covered = display.GetAttribute(_COVERED)
            if self.mask or (covered is not None and json.loads(covered)["shown"]):
                self.mask = False
                display.SetAttribute(_AWAY, "1")

    def come_back(self) -> None:
        """Show the mask where ``step_back`` has hidden it."""
        display = self._mask_display()
        if display is not None and display.GetAttribute(_AWAY):
            display.RemoveAttribute(_AWAY)
            self.mask = True

    @property
    def patch_map(self) -> bool:
        """Whether fat is coloured by the probability of its patch."""
        return bool(layers.showing(self._fat.node))

    @patch_map.setter
    def patch_map(self, on: bool) -> None:
        if not on:
            self._hide_patch_map()
            self._settle()
            return
        if self._refuse("patch_map", on):
            return
        if self.attention:
            self._hide_attention()
        with self._quiet():
            volume = self._fat.build(self._patch_boxes())
            self._borrow(volume)
            show_legend(volume, _("Brown-fat\nprobability (%)"), "%.0f", 5)
            boxmodels.show_boxes(self.analysis, self._patch_boxes())
            self._outline()
        self._settle()

    @property
    def attention(self) -> bool:
        """Whether the attention map is shown."""
        return bool(layers.showing(self.analysis.attention))

    @attention.setter
    def attention(self, on: bool) -> None:
        if not on:
            self._hide_attention()
            self._settle()
            return
        if self._refuse("attention", on):
            return
        if self.patch_map:
            self._hide_patch_map()
        with self._quiet():
            volume = self.analysis.attention
            self._borrow(volume)
            title = _("Attention,\nnot brown fat;\ncells in mm:\n{edges}")
            title = title.format(edges=self.analysis.attention_edges)
            show_legend(volume, title, "%.1f", 3)
            boxmodels.show_boxes(self.analysis, self._patch_boxes())
            self._outline()
        self._settle()

    @property
    def opacity(self) -> float:
        """Opacity 0..1 of patch map and attention."""
        return self._opacity

    @opacity.setter
    def opacity(self, value: float) -> None:
        self._opacity = min(1.0, max(0.0, float(value)))
        for view in layers.showing(self._shown()):
            layers.set_opacity(view, self._opacity)

    @property
    def boxes_in_3d(self) -> bool:
        """Whether outlines are drawn in 3D views too."""
        return self._in_3d

    @boxes_in_3d.setter
    def boxes_in_3d(self, on: bool) -> None:
        self._in_3d = bool(on)
        boxmodels.set_3d(self.analysis, self._in_3d)

    # --- patches
    def patch_at(self, ras: Any) -> int | None:
        """Index of the patch at a point in world RAS mm, None outside the boxes."""
        if not self.analysis.in_scene or not self.analysis.patches:
            return None
        ijk = world_to_index(self.analysis, ras)
        return None if ijk is None else self._patch_boxes().index_at(ijk)

    def patch_position(self, index: int) -> Any:
        """Where to look for a patch: world RAS mm [3] of the planes that show most of its fat."""
        frame = self.analysis.frame()
        ijk = self._patch_boxes().focus(index, self._fat.mask(), size_of(frame))
        return index_to_world(self.analysis, ijk)

    def select_patch(self, index: int | None, *, jump: bool = True) -> None:
        """Outline a patch and its mirror partner; with ``jump`` all slice views go there. None: no patch.

        Views stay where they are as far as they can: they only move within their own plane where the patch
        would not be in sight. Raises ``IndexError`` for an index that is no patch.
        """
        if index is not None and not 0 <= index < len(self.analysis.patches):
            raise IndexError(f"there is no patch {index}")
        self.selected = index
        if self.analysis.frame() is None:
            return
        with self._quiet():
            self._outline(always=True)
        if index is not None and jump:
            jump_to(self.analysis.node.GetScene(), self.patch_position(index))

    def watch_clicks(self, chosen: Callable[[int, tuple[float, float, float]], None] | None) -> None:
        """Call ``chosen(index, ras)`` for each left click on a patch in a slice view, while patch map or
        attention are on; None: stop. Call again after the layout has changed."""
        if self._clicks is not None:
            self._clicks.stop()
            self._clicks = None
        if chosen is None:
            return

        def clicked(ras: tuple[float, float, float], node: Any) -> None:
            index = self.patch_at(ras) if self._shown() is not None else None
            if index is not None:
                chosen(index, ras)

        self._clicks = ClickWatcher(clicked)
        self._clicks.start()

    # --- life
    def refresh(self) -> None:
        """Draw again what is on, after the mask was edited or the result was replaced."""
        self._boxes = None
        if self.selected is not None and self.selected >= len(self.analysis.patches):
            self.selected = None
        for name in ("patch_map", "attention"):
            if getattr(self, name):
                setattr(self, name, self.why_not(name) is None)

    def close(self) -> None:
        """Switch all but the mask off, remove the outlines, and take all observers back."""
        self.watch_clicks(None)
        self._observers.stop()
        if self.analysis.in_scene:
            self._hide_patch_map()
            self._hide_attention()
            self.selected = None
            self._settle()
            self._outline()
        self.on_change, self.on_notice = (lambda: None), (lambda text: None)

    # --- inside
    def _patch_boxes(self) -> PatchBoxes:
        key = self.analysis.node.GetParameter("analysis.json")
        if self._boxes is None or self._boxes[0] != key:
            self._boxes = (key, PatchBoxes(self.analysis))
        return self._boxes[1]

    def _shown(self) -> Any:
        if self.patch_map:
            return self._fat.node
        return self.analysis.attention if self.attention else None

    def _mask_display(self) -> Any:
        node = self.analysis.segmentation if self.analysis.in_scene else None
        return node.GetDisplayNode() if node is not None and self.analysis.segment_id else None

    def _refuse(self, overlay: str, on: bool) -> bool:
        """Say why an overlay cannot be switched on; True where it cannot."""
        why = self.why_not(overlay) if on else None
        if why:
            self.on_notice(why)
            self.on_change()
        return bool(why)

    def _borrow(self, volume: Any) -> None:
        ct = self.analysis.ct
        for view in layers.views_of(ct):
            layers.borrow(view, volume, ct, self._opacity)

    def _hide_patch_map(self) -> None:
        with self._quiet():
            for view in layers.borrowed_for(self._fat.node):
                layers.give_back(view)
            self._fat.remove()

    def _hide_attention(self) -> None:
        with self._quiet():
            volume = self.analysis.attention
            for view in layers.borrowed_for(volume):
                layers.give_back(view)
            if volume is not None:
                hide_legend(volume)

    def _outline(self, *, always: bool = False) -> None:
        if self.selected is None:
            boxmodels.hide(self.analysis, boxmodels.CHOSEN, boxmodels.PARTNER)
        elif always or self._shown() is not None:
            boxmodels.hide(self.analysis, boxmodels.CHOSEN, boxmodels.PARTNER)  # made anew, they lie on top
            boxmodels.show_chosen(self.analysis, self._patch_boxes(), self.selected)
        boxmodels.set_3d(self.analysis, self._in_3d)

    def _settle(self) -> None:
        """Outlines and the mask follow what is shown now."""
        shown = self._shown()
        if shown is None:
            with self._quiet():
                boxmodels.hide(self.analysis, boxmodels.ALL)
                if self.selected is None:
                    boxmodels.hide(self.analysis, boxmodels.CHOSEN, boxmodels.PARTNER)
        else:
            scene = self.analysis.node.GetScene()
            ours, everything = layers.showing(shown), layers.views(scene)
            boxmodels.limit_to(self.analysis, [] if len(ours) == len(everything) else _view_ids(scene, ours))
        self._cover_mask(shown is not None)

    def _cover_mask(self, cover: bool) -> None:
        """Under a coloured map the mask gives way: it would tint the colours that are to be read."""
        display = self._mask_display()
        if display is None:
            return
        text = display.GetAttribute(_COVERED)
        if cover and text is None:
            before = {"shown": bool(display.GetVisibility2D()), "filled": bool(display.GetVisibility2DFill())}
            display.SetAttribute(_COVERED, json.dumps(before))
            display.SetVisibility2D(False)
            display.SetVisibility2DFill(False)
        elif not cover and text is not None:
            before = json.loads(text)
            # What somebody else switched on meanwhile stays on.
            display.SetVisibility2D(before["shown"] or bool(display.GetVisibility2D()))
            display.SetVisibility2DFill(before["filled"] or bool(display.GetVisibility2DFill()))
            display.RemoveAttribute(_COVERED)

    def _quiet(self) -> Any:
        return _Busy(self)

    # --- what others do to the scene
    def _node_leaves(self, node: Any) -> None:
        if node is self.analysis.node:
            change = self.on_change
            self.close()
            change()

    def _node_removed(self, node: Any) -> None:
        analysis = self.analysis
        if self._busy or not analysis.in_scene:
            return
        gone = analysis.deleted()
        news = [text for role, text in gone.items() if role not in self._known]
        self._known = set(gone)
        if analysis.ct is None and "ct" in gone:
            self._hide_patch_map()
            self._hide_attention()
            boxmodels.hide(analysis, boxmodels.CHOSEN, boxmodels.PARTNER)
        layers.give_back_orphans(analysis.node.GetScene())
        self._settle()
        for text in news:
            self.on_notice(text)
        if news:
            self.on_change()

    def _scene_closes(self) -> None:
        change = self.on_change
        self.watch_clicks(None)
        self._observers.stop()
        self.on_change, self.on_notice = (lambda: None), (lambda text: None)
        change()


class _Busy:
    """While the overlays themselves add and remove nodes, these are no news."""

    def __init__(self, overlays: Overlays) -> None:
        self._overlays = overlays

    def __enter__(self) -> None:
        self._before, self._overlays._busy = self._overlays._busy, True

    def __exit__(self, *_error: Any) -> None:
        self._overlays._busy = self._before


def _view_ids(scene: Any, composites: list[Any]) -> list[str]:
    """Ids of the slice views of composite nodes, and of all 3D views."""
    names = {composite.GetLayoutName() for composite in composites}
    ids = []
    for kind in ("vtkMRMLSliceNode", "vtkMRMLViewNode"):
        for index in range(scene.GetNumberOfNodesByClass(kind)):
            node = scene.GetNthNodeByClass(index, kind)
            if kind == "vtkMRMLViewNode" or node.GetLayoutName() in names:
                ids.append(node.GetID())
    return ids

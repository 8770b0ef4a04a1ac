"""A second slice view that shows the other side of the body under the same cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from BATNetSlicer.geometry import from_vtk
from BATNetSlicer.slicejump import jump_to
from BATNetSlicer.texts import _

MAIN, MIRROR = "Red", "BATNetMirror"
#: Layouts of Slicer's own have small numbers; those of users start at 500.
LAYOUT = 20500
_MARK = "BATNet.MirrorCursor"
_MAGENTA = (1.0, 0.25, 0.95)
_VIEW = (
    '<item{size}><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">{orientation}</property>'
    '<property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">{color}</property></view></item>'
)


def layout_description() -> str:
    """The axial view beside its mirrored one, sagittal and coronal below."""
    views = [
        (MAIN, "Axial", "R", "#F34A33"),
        (MIRROR, "Axial", "M", "#8C6BB1"),
        ("Yellow", "Sagittal", "Y", "#EDD54C"),
        ("Green", "Coronal", "G", "#6EB04B"),
    ]
    red, mirror, yellow, green = (
        _VIEW.format(size="", tag=tag, orientation=orientation, label=label, color=color)
        for tag, orientation, label, color in views
    )
    row = '<item{size}><layout type="horizontal">{views}</layout></item>'
    return (
        '<layout type="vertical" split="true">'
        + row.format(size=' splitSize="650"', views=red + mirror)
        + row.format(size=' splitSize="350"', views=yellow + green)
        + "</layout>"
    )


class MirrorView:
    """``plane()`` gives the ``MirrorPlane`` of the case, or None while there is none.

    What is scrolled, moved or zoomed in one of the two views is in the other too. ``cursor``: where the mouse
    is, RAS mm, or None.
    """

    def __init__(self, plane: Callable[[], Any], moved: Callable[[], None] = lambda: None) -> None:
        self._plane, self._moved = plane, moved
        self._observed: list[tuple[Any, int]] = []
        self._following = False
        self._before: int | None = None
        self._marker: Any = None
        self.cursor: tuple[float, float, float] | None = None
        self.shown = False

    # --- the cursor, with or without the second view
    def start(self) -> None:
        """Follow the mouse in the slice views."""
        if any(thing.IsA("vtkMRMLCrosshairNode") and thing.GetScene() for thing, _tag in self._observed):
            return
        self._observe(
            crosshair(slicer.mrmlScene), slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._cursor
        )

    def stop(self) -> None:
        """Put the layout back and observe nothing any more."""
        self.hide()
        self.pause()

    def pause(self) -> None:
        """Observe nothing any more and leave the layout as it is: a scene that closes must not be changed."""
        self.shown = False
        self._marker = None
        for thing, tag in self._observed:
            thing.RemoveObserver(tag)
        self._observed = []
        self.cursor = None

    # --- the view
    def show(self) -> None:
        """Put the second view beside the axial one."""
        if self.shown:
            return
        manager = slicer.app.layoutManager()
        if manager is None:  # Slicer without its window
            return
        node = manager.layoutLogic().GetLayoutNode()
        if not node.IsLayoutDescription(LAYOUT):
            node.AddLayoutDescription(LAYOUT, layout_description())
        if int(manager.layout) != LAYOUT:
            self._before = int(manager.layout)
            manager.setLayout(LAYOUT)
        self.shown = True
        for name in (MAIN, MIRROR):
            self._observe(slice_node(name), "ModifiedEvent", lambda name=name: self._moved_in(name))
        self._observe(composite_node(MAIN), "ModifiedEvent", self._layers)
        self.update()

    def hide(self) -> None:
        """Take the view away; the layout of before comes back unless the user has chosen another one."""
        if not self.shown:
            return
        self.shown = False
        kept = []
        for thing, tag in self._observed:
            if thing.IsA("vtkMRMLCrosshairNode"):
                kept.append((thing, tag))
            else:
                thing.RemoveObserver(tag)
        self._observed = kept
        self._remove_marker()
        manager = slicer.app.layoutManager()
        if manager is not None and int(manager.layout) == LAYOUT and self._before is not None:
            manager.setLayout(self._before)

    def update(self) -> None:
        """Show the layers of the axial view, mirrored about the plane as it is now."""
        if self.shown:
            self._layers()
            self._view_changed(MAIN)
            self._mark()

    def _layers(self) -> None:
        main, mirror = composite_node(MAIN), composite_node(MIRROR)
        changed = mirror.StartModify()
        mirror.SetBackgroundVolumeID(main.GetBackgroundVolumeID())
        mirror.SetForegroundVolumeID(main.GetForegroundVolumeID())
        mirror.SetForegroundOpacity(main.GetForegroundOpacity())
        mirror.SetCompositing(main.GetCompositing())
        mirror.EndModify(changed)

    def jump(self, ras: Any) -> None:
        """Move all views to a point, the mirrored one to its mirror image."""
        self._following = True
        try:
            jump_to(slicer.mrmlScene, ras)
        finally:
            self._following = False
        self.update()

    def _moved_in(self, name: str) -> None:
        """A view was moved. The mirrored one leads only where the mouse is in none of the others: what moves
        all views to one point would move it there too, and the axial view away."""
        if name == MIRROR and not self._following:
            under = crosshair(slicer.mrmlScene).GetCursorPositionXYZ([0.0, 0.0, 0.0])
            name = name if under is None or under is slice_node(MIRROR) else MAIN
        self._view_changed(name)

    def _view_changed(self, name: str) -> None:
        plane = self._plane()
        if self._following or plane is None or not self.shown:
            return
        source, target = slice_node(name), slice_node(MIRROR if name == MAIN else MAIN)
        self._following = True
        try:
            place = mirrored_place(plane, from_vtk(source.GetSliceToRAS()))
            changed = target.StartModify()
            matrix = target.GetSliceToRAS()
            if np.abs(from_vtk(matrix) - place).max() > 1e-6:
                for row in range(4):
                    for column in range(4):
                        matrix.SetElement(row, column, float(place[row, column]))
                target.UpdateMatrices()
            _same_zoom(source, target)
            target.EndModify(changed)
        finally:
            self._following = False

    # --- the mirrored cursor
    def _cursor(self) -> None:
        place = [0.0, 0.0, 0.0]
        inside = crosshair(slicer.mrmlScene).GetCursorPositionRAS(place)
        self.cursor = (place[0], place[1], place[2]) if inside else None
        self._mark()
        self._moved()

    def _mark(self) -> None:
        """Show where the mirror image of the cursor lies, in all slice views."""
        plane = self._plane()
        if not self.shown or plane is None or self.cursor is None:
            if self._marker is not None and self._marker.GetScene() is not None:
                self._marker.GetDisplayNode().SetVisibility(False)
            return
        if self._marker is None or self._marker.GetScene() is None:
            self._marker = _new_marker()
        r, a, s = (float(v) for v in plane.reflect_ras(np.array(self.cursor)))
        self._marker.SetNthControlPointPosition(0, r, a, s)
        self._marker.GetDisplayNode().SetVisibility(True)

    def _remove_marker(self) -> None:
        node, self._marker = self._marker, None
        if node is not None and node.GetScene() is not None:
            display, scene = node.GetDisplayNode(), node.GetScene()
            scene.RemoveNode(node)
            if display is not None and display.GetScene() is not None:
                scene.RemoveNode(display)

    @property
    def marker(self) -> Any:
        """The fiducial node at the cursor's mirror image, None while there is none."""
        return self._marker

    def _observe(self, thing: Any, event: Any, answer: Callable[[], None]) -> None:
        self._observed.append((thing, thing.AddObserver(event, lambda *_: answer())))


def mirrored_place(plane: Any, slice_to_ras: np.ndarray) -> np.ndarray:
    """SliceToRAS of the view that shows the other side: what lies under a pixel of one view is the mirror
    image of what lies under that pixel of the other.

    The axis through the view is turned round, which changes no pixel, so that the matrix keeps its handedness
    (that of Slicer's axial views is left-handed): scrolling and painting rely on that.
    """
    return plane.matrix_ras @ slice_to_ras @ np.diag([1.0, 1.0, -1.0, 1.0])


def slice_node(name: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()


def composite_node(name: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()


def crosshair(scene: Any) -> Any:
    """The node that knows where the mouse is; Slicer has one in every scene."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLCrosshairNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLCrosshairNode")
        if node.GetCrosshairName() == "default":
            return node
    node = slicer.vtkMRMLCrosshairNode()
    node.SetCrosshairName("default")
    return scene.AddNode(node)


def _same_zoom(source: Any, target: Any) -> None:
    """The same millimetres a pixel and the same shift, in a view that may be of another size."""
    own, other = source.GetDimensions(), target.GetDimensions()
    if min(own[0], own[1], other[0], other[1]) < 1:
        return
    field = source.GetFieldOfView()
    wanted = (field[0] * other[0] / own[0], field[1] * other[1] / own[1], field[2])
    if np.abs(np.subtract(target.GetFieldOfView(), wanted)).max() > 1e-6:
        target.SetFieldOfView(*wanted)
    if np.abs(np.subtract(target.GetXYZOrigin(), source.GetXYZOrigin())).max() > 1e-6:
        target.SetXYZOrigin(*source.GetXYZOrigin())


def _new_marker() -> Any:
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetName(_("Mirrored cursor"))
    node.SaveWithSceneOff()
    node.SetHideFromEditors(True)
    node.SetAttribute(_MARK, "1")
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetLocked(True)
    node.AddControlPoint(0.0, 0.0, 0.0)
    display = node.GetDisplayNode()
    display.SaveWithSceneOff()
    display.SetGlyphTypeFromString("CrossDot2D")
    display.SetTextScale(0.0)
    display.SetPointLabelsVisibility(False)
    display.SetGlyphScale(4.0)
    display.SetSelectedColor(*_MAGENTA)
    display.SetColor(*_MAGENTA)
    return node

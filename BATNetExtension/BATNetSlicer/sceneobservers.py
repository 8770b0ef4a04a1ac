"""Being told when nodes leave a scene and when it closes, and stopping to be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SceneObservers:
    """``removed(node)`` after a node has left; ``closing()`` once, before a scene is emptied."""

    def __init__(self, scene: Any, removed: Callable[[Any], None], closing: Callable[[], None]) -> None:
        import slicer
        import vtk

        self.scene = scene
        self._removed, self._closing = removed, closing

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def node_removed(caller: Any, event: str, node: Any) -> None:
            if not scene.IsClosing() and node is not None:
                self._removed(node)

        self._tags = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, node_removed),
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, lambda *_: self._closing()),
        ]

    def stop(self) -> None:
        """Take the observers back; nothing is called any more."""
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self._tags = []

"""Being told when nodes leave a scene and when it closes, and stopping to be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SceneObservers:
    """``leaving(node)`` before a node leaves, ``removed(node)`` after it; ``closing()`` before the scene is
    emptied, which says nothing of the single nodes."""

    def __init__(
        self,
        scene: Any,
        leaving: Callable[[Any], None],
        removed: Callable[[Any], None],
        closing: Callable[[], None],
    ) -> None:
        import slicer
        import vtk

        self.scene = scene

        def of_nodes(answer: Callable[[Any], None]) -> Any:
            @vtk.calldata_type(vtk.VTK_OBJECT)
            def observer(caller: Any, event: str, node: Any) -> None:
                if node is not None and not scene.IsClosing():
                    answer(node)

            return observer

        events = slicer.vtkMRMLScene
        self._tags = [
            scene.AddObserver(events.NodeAboutToBeRemovedEvent, of_nodes(leaving)),
            scene.AddObserver(events.NodeRemovedEvent, of_nodes(removed)),
            scene.AddObserver(events.StartCloseEvent, lambda *_: closing()),
        ]

    def stop(self) -> None:
        """Take the observers back; nothing is called any more."""
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self._tags = []

"""Clicks in slice views: which patch is there?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: A click that moved further than this many pixels was a drag (window, pan, zoom).
_STILL = 4


class ClickWatcher:
    """Calls ``clicked(ras, slice_node)`` for a left click in any slice view; ``ras`` in world mm.

    A press that moves before it is released is not a click. Other interaction is not touched. ``stop()``
    takes all observers back.
    """

    def __init__(self, clicked: Callable[[tuple[float, float, float], Any], None]) -> None:
        self._clicked = clicked
        self._observed: list[tuple[Any, int]] = []
        self._press: tuple[int, int] | None = None

    def start(self) -> None:
        """Watch all slice views that there are now; call again after the layout has changed."""
        import slicer
        import vtk

        self.stop()
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames() if manager else ():
            widget = manager.sliceWidget(name)
            interactor, node = widget.sliceView().interactor(), widget.mrmlSliceNode()
            events = {
                vtk.vtkCommand.LeftButtonPressEvent: self._pressed,
                vtk.vtkCommand.LeftButtonReleaseEvent: self._released,
            }
            for event, answer in events.items():
                # Before the view's own interaction, which stops events that it has used.
                tag = interactor.AddObserver(event, _Bound(answer, node), 10.0)
                self._observed.append((interactor, tag))

    def stop(self) -> None:
        for interactor, tag in self._observed:
            interactor.RemoveObserver(tag)
        self._observed.clear()

    def _pressed(self, interactor: Any, node: Any) -> None:
        self._press = None
        if not (interactor.GetShiftKey() or interactor.GetControlKey()):
            self._press = interactor.GetEventPosition()

    def _released(self, interactor: Any, node: Any) -> None:
        press, self._press = self._press, None
        x, y = interactor.GetEventPosition()
        if press is None or max(abs(x - press[0]), abs(y - press[1])) > _STILL:
            return
        r, a, s, _one = node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
        self._clicked((r, a, s), node)


class _Bound:
    """An observer that also knows the view it watches."""

    def __init__(self, answer: Callable[[Any, Any], None], node: Any) -> None:
        self._answer, self._node = answer, node

    def __call__(self, caller: Any, event: str) -> None:
        self._answer(caller, self._node)

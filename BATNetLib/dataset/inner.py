"""Events of one step within many: cancel and warnings pass, the stages of each file are not shown."""

from __future__ import annotations

from ..events import Events


class Inner(Events):
    """Silent but for warnings; asked to stop when ``outer`` is."""

    def __init__(self, outer: Events) -> None:
        super().__init__()
        self._outer = outer

    @property
    def cancelled(self) -> bool:
        return self._outer.cancelled

    def check(self) -> None:
        self._outer.check()

    def on_warning(self, code: str, text: str) -> None:
        self._outer.warning(code, text)

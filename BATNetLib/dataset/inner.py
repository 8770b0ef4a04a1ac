"""One step per case: its events, and several cases at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

from ..events import Events, Stage

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Seconds between two looks whether somebody asked to stop.
_LOOK = 0.2


class Inner(Events):
    """Events of one step within many: asked to stop when ``outer`` is; its stages are not shown.

    ``tell``: whether warnings go on to ``outer``; they are kept here in any case.
    """

    def __init__(self, outer: Events, *, tell: bool = True) -> None:
        super().__init__()
        self._outer, self._tell = outer, tell

    @property
    def cancelled(self) -> bool:
        return self._outer.cancelled

    def check(self) -> None:
        self._outer.check()

    def on_warning(self, code: str, text: str) -> None:
        if self._tell:
            self._outer.warning(code, text)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, stage: Stage
) -> list[Result]:
    """``function`` of each item in their order; ``stage`` moves on with each that is done.

    With ``workers`` above 1 in as many threads: reading and unpacking run beside each other, and no process
    is started, which Slicer would not stand. The first error ends it, as does a wish to stop.
    """
    if workers <= 1:
        results = []
        for item in items:
            results.append(function(item))
            stage.advance()
        return results
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(function, item) for item in items]
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, _LOOK, FIRST_COMPLETED)
                stage.advance(len(done))
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]

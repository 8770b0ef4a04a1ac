"""How a running command is asked to stop: Ctrl-C, SIGTERM, or the end of its standard input.

A program that starts the engine keeps the engine's standard input open and closes it to cancel; when
that program dies, the system closes it. Either way the engine ends within a second: it is first asked
through its events, and if it is deep in a computation then, it removes its unfinished files and leaves.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import EXIT_CANCELLED, Cancelled
from ..events import Events
from ..workfiles import remove_unfinished

#: Seconds between asking the computation to stop and leaving without it.
PATIENCE = 0.6


@contextmanager
def stop_when_asked(events: Events, *, watch_input: bool, patience: float = PATIENCE) -> Iterator[None]:
    """While the block runs, turn the wish to stop into ``events.cancel()`` and, if need be, an exit.

    ``patience``: seconds for the computation to end by itself; a second Ctrl-C does not wait for them.
    """
    finished = threading.Event()

    def stop() -> None:
        events.cancel()
        if not finished.wait(patience):
            _leave(events)

    def on_signal(_number: int, _frame: Any) -> None:
        if events.cancelled and patience > PATIENCE:
            threading.Thread(target=_leave, args=[events], daemon=True).start()
            return
        threading.Thread(target=stop, daemon=True).start()

    def watch() -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        if not finished.is_set():
            stop()

    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            former[number] = signal.signal(number, on_signal)
    if watch_input and _input_is_a_pipe():
        threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        for number, handler in former.items():
            signal.signal(number, handler)


def _input_is_a_pipe() -> bool:
    """A pipe or socket means that a program holds the other end; a terminal or /dev/null does not."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _leave(events: Events) -> None:
    remove_unfinished()
    try:
        events.error(Cancelled())
        sys.stdout.flush()
    finally:
        os._exit(EXIT_CANCELLED)

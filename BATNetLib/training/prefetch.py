"""Batches made one ahead of the step that uses them, in a thread: Slicer's Python stands no processes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .contract import Batch

#: Batches that wait at most.
_AHEAD = 2
_END = object()


@contextmanager
def ahead(batches: Iterator[Batch]) -> Iterator[Iterator[Batch]]:
    """The same batches, the next ones being made meanwhile; an error comes out where its batch would have."""
    ready: queue.Queue[Any] = queue.Queue(_AHEAD)
    over = threading.Event()

    def put(item: Any) -> bool:
        while not over.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((_END, None))
        except BaseException as error:
            put((None, error))

    def taken() -> Iterator[Batch]:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        over.set()
        thread.join()

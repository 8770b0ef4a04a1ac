"""A process of its own that runs cases: a crash of native code ends it, not the batch.

``python -m BATNetLib.batch.worker`` reads one task a line from standard input and answers on standard
output, one JSON object a line. When its input closes, because the batch is done, was cancelled or died,
it removes its unfinished files and ends within a quarter of a second.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

from ..events import Events, Stage
from ..workfiles import remove_unfinished

Task = dict[str, Any]

#: Seconds between two signs of progress of one stage.
_PACE = 0.2
#: Seconds a case is given to stop by itself when the input has closed.
_PATIENCE = 0.15


class WorkerEvents(Events):
    """Sends the stages of a case to the batch, a few times a second."""

    def __init__(self, say: Any) -> None:
        super().__init__()
        self._say = say
        self._said = 0.0

    def on_stage(self, stage: Stage, finished: bool) -> None:
        now = time.monotonic()
        if finished or stage.done == 0 or now - self._said >= _PACE:
            self._said = now
            self._say(
                stage={
                    "name": stage.name,
                    "done": stage.done,
                    "total": stage.total,
                    "seconds": round(stage.seconds, 3),
                    "finished": finished,
                }
            )


def main() -> int:
    # What libraries print must not get between the lines of the protocol.
    channel = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    faulthandler.enable()
    # The batch decides what Ctrl-C and SIGTERM mean; they reach the whole process group.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    lock = threading.Lock()

    def say(**fields: Any) -> None:
        with lock:
            channel.write(json.dumps(fields, ensure_ascii=True) + "\n")
            channel.flush()

    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    current: list[Events] = []
    threading.Thread(target=_listen, args=(tasks, current), daemon=True).start()
    # Only now: a worker whose batch dies while it starts must notice.
    from .engine import Engine

    engine = Engine()
    say(ready=True)
    while True:
        task = tasks.get()
        events = WorkerEvents(say)
        current[:] = [events]
        say(reply=engine.run(task, events))
        current.clear()


def _listen(tasks: queue.SimpleQueue[Task], current: list[Events]) -> None:
    try:
        for line in sys.stdin.buffer:
            tasks.put(json.loads(line))
    finally:
        for events in current:
            events.cancel()
        time.sleep(_PATIENCE if current else 0)
        remove_unfinished()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())

"""Where cases run: in processes of their own (the default), or in this process."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..errors import BATNetError
from ..events import Events
from .engine import Engine, Reply, Task
from .ledger import FAILED

#: Seconds to wait before a worker that was killed counts as crashed: when a whole job is killed, the
#: batch itself must not find time to blame the case.
_GRACE = 1.0
_KILLED = (9, 15)
#: A worker that ends this often before it took its first case will not start at all.
_STARTS = 2
#: Seconds a worker is given to end by itself.
_FAREWELL = 0.2

#: Called with a case id and a stage of it: name, done, total, seconds, finished.
OnStage = Callable[[str, dict[str, Any]], None]


class Backend(Protocol):
    """Runs tasks."""

    @property
    def capacity(self) -> int:
        """How many tasks run at a time."""

    def submit(self, task: Task) -> None:
        """Start a task; there is room for it."""

    def poll(self, seconds: float) -> list[Reply]:
        """Replies that have come in; waits at most ``seconds`` for the first."""

    def close(self) -> None:
        """End everything at once; what was running is given up."""


class InProcess:
    """Runs each case in this process: for debugging, and where no process can be started.

    A crash of native code ends the batch then (it goes on when started again).
    """

    capacity: int = 1

    def __init__(self, events: Events, on_stage: OnStage) -> None:
        self._engine = Engine()
        self._tasks: list[Task] = []
        self._run_events = events
        self._on_stage = on_stage

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def poll(self, seconds: float) -> list[Reply]:
        if not self._tasks:
            return []
        task = self._tasks.pop()
        return [self._engine.run(task, _Nested(self._run_events, task["id"], self._on_stage))]

    def close(self) -> None:
        self._tasks.clear()


class _Nested(Events):
    """The events of one case in the same process; cancelled with those of the batch."""

    def __init__(self, run: Events, case_id: str, on_stage: OnStage) -> None:
        super().__init__()
        self._run, self._case_id, self._tell = run, case_id, on_stage

    @property
    def cancelled(self) -> bool:
        return self._run.cancelled

    def check(self) -> None:
        self._run.check()

    def on_stage(self, stage: Any, finished: bool) -> None:
        self._tell(
            self._case_id,
            {
                "name": stage.name,
                "done": stage.done,
                "total": stage.total,
                "seconds": round(stage.seconds, 3),
                "finished": finished,
            },
        )


class Workers:
    """``count`` processes, each with its models; one that crashes is replaced.

    ``time_limit``: seconds after which a case is given up, None for no limit.
    """

    def __init__(self, count: int, on_stage: OnStage, time_limit: float | None = None) -> None:
        self.capacity = count
        self._on_stage = on_stage
        self._limit = time_limit
        self._said: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def submit(self, task: Task) -> None:
        worker = next((w for w in self._workers if w.task is None), None)
        if worker is None:
            worker = _Worker(self._said, self.capacity)
            self._workers.append(worker)
        worker.take(task)

    def poll(self, seconds: float) -> list[Reply]:
        replies = self._overdue()
        until = time.monotonic() + seconds
        while not replies:
            try:
                worker, message = self._said.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            reply = self._heard(worker, message)
            if reply is not None:
                replies.append(reply)
        return replies

    def close(self) -> None:
        for worker in self._workers:
            worker.hang_up()
        until = time.monotonic() + _FAREWELL
        for worker in self._workers:
            worker.end(until)
        self._workers.clear()

    def _heard(self, worker: _Worker, message: dict[str, Any] | None) -> Reply | None:
        if worker not in self._workers:
            return None
        if message is None:
            return self._crashed(worker)
        if message.get("ready"):
            worker.began()
            self._failed_starts = 0
        elif "stage" in message and worker.task:
            self._on_stage(worker.task["id"], message["stage"])
        elif "reply" in message:
            worker.task = None
            return message["reply"]
        return None

    def _crashed(self, worker: _Worker) -> Reply | None:
        """What became of the case of a worker that has ended; a worker that never started is replaced."""
        self._workers.remove(worker)
        task, code = worker.task, worker.end(time.monotonic() + _GRACE)
        words = worker.last_words()
        if task is None:
            return None
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise BATNetError(
                    "worker-does-not-start",
                    "The processes that run the cases end before they begin.",
                    "A Python that can start itself is needed.",
                    "Say --workers 0 to run the cases in this process, and see batnet doctor.",
                )
            self.submit(task)
            return None
        if -code in _KILLED:
            time.sleep(_GRACE)
        return {**failure(task, "crashed", _crash_in_words(code)), "log": words}

    def _overdue(self) -> list[Reply]:
        if self._limit is None:
            return []
        replies: list[Reply] = []
        for worker in list(self._workers):
            if worker.task is not None and worker.ready and worker.busy_for() > self._limit:
                task = worker.task
                self._workers.remove(worker)
                worker.hang_up()
                worker.end(time.monotonic())
                why = f"The case was given up after {self._limit:g} s (--time-limit)."
                replies.append(failure(task, "time-limit", why))
        return replies


class _Worker:
    def __init__(self, said: queue.SimpleQueue[Any], beside: int) -> None:
        self.task: Task | None = None
        self.ready = False
        self._since = 0.0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        environment = dict(os.environ)
        # The same modules as here, wherever they come from.
        environment["PYTHONPATH"] = module_path()
        if beside > 1:
            threads = str(max(1, (os.cpu_count() or 1) // beside))
            for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
                environment.setdefault(name, threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "BATNetLib.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        threading.Thread(target=self._read, args=(said,), daemon=True).start()

    def take(self, task: Task) -> None:
        self.task = task
        self._since = time.monotonic()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(task).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except OSError:
            # It has ended; its reading thread tells.
            pass

    def began(self) -> None:
        """The process has started; the time of its first case counts from here."""
        self.ready = True
        self._since = time.monotonic()

    def busy_for(self) -> float:
        return time.monotonic() - self._since

    def hang_up(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self, until: float) -> int:
        """Wait for the process, end it when it takes too long, and return its exit code."""
        self.hang_up()
        try:
            return self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str | None:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 4000))
        return self._errors.read().decode("utf-8", errors="replace") or None

    def _read(self, said: queue.SimpleQueue[Any]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said.put((self, json.loads(line)))
            except ValueError:
                continue
        said.put((self, None))


def module_path() -> str:
    """``PYTHONPATH`` with which another process finds the same modules as this one."""
    return os.pathsep.join(path or str(Path.cwd()) for path in sys.path)


def failure(task: Task, code: str, why: str) -> Reply:
    """The reply for a case whose process could not tell itself what became of it."""
    return {
        "id": task["id"],
        "end": FAILED,
        "log": None,
        "record": {
            "case": task["id"],
            "status": FAILED,
            "time": (now := time.time()),
            "finished": now,
            "settings": task["settings"],
            "quick": task["quick"],
            "content": "",
            "attempts": task.get("attempts", 0) + 1,
            "layout": task["layout"],
            "prediction": None,
            "outcome": None,
            "code": code,
            "why": why,
            "warnings": [],
        },
    }


def _crash_in_words(code: int) -> str:
    if code == -9:
        return "The process of the case was killed from outside; most often memory ran out."
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"The process of the case crashed ({how})."

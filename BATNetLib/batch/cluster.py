"""Cases on the machines of a Dask cluster, or on several processes of this one.

Each worker keeps its models between cases. Results are written into the output folder, which all
machines must see under the same path; the journal is written by the process that runs the batch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import Cancelled, UsageError
from ..events import Events
from ..workfiles import whole_file
from .backends import failure, module_path
from .engine import Engine, Reply, Task

#: Seconds between two looks whether the batch still wants the result.
_LOOK_EVERY = 0.3
#: Seconds to wait for a scheduler.
_CONNECT = 20
#: Seconds the parts of a cluster are given to end.
_FAREWELL = 3


class DaskWorkers:
    """Runs tasks on a Dask cluster. ``where``: "local:N" for N processes here, else a scheduler's address.

    Raises ``UsageError`` where Dask is missing, the address is none, or nobody answers.
    """

    def __init__(self, where: str, work: Path, events: Events) -> None:
        try:
            from dask import config
            from dask.distributed import Client, LocalCluster
        except ImportError as error:
            raise UsageError(
                "dask-missing",
                "Dask is not installed.",
                "It is needed for --dask.",
                "Install it (pip install 'dask[distributed]'), or use --workers.",
            ) from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self._work = work
        self._cluster: Any = None
        self._futures: dict[Any, Task] = {}
        count = _local_count(where)
        if count:
            # A case whose process crashes is not tried on every other worker.
            config.set({"distributed.scheduler.allowed-failures": 0})
            self._cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
                env={"PYTHONPATH": module_path()},
            )
        try:
            self._client = Client(self._cluster or where, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                "dask-unreachable",
                "No Dask scheduler answers at the address given.",
                "An address such as tcp://host:8786 of a running scheduler is needed.",
                "Start one (dask scheduler), or say --dask local:4 for 4 processes on this computer.",
            ) from error

    @property
    def capacity(self) -> int:
        """One case at a time per worker; clusters may grow and shrink."""
        return max(1, len(self._client.nthreads()))

    def submit(self, task: Task) -> None:
        future = self._client.submit(run_on_worker, json.dumps(task), str(self._work), pure=False, retries=0)
        self._futures[future] = task

    def poll(self, seconds: float) -> list[Reply]:
        until = time.monotonic() + seconds
        while True:
            done = [future for future in self._futures if future.done()]
            replies = [reply for reply in map(self._reply, done) if reply is not None]
            if replies or time.monotonic() >= until:
                return replies
            time.sleep(0.02)

    def close(self) -> None:
        # A cluster that is slow to say goodbye changes nothing any more.
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._futures))
        self._futures.clear()
        for part in (self._client, self._cluster):
            with contextlib.suppress(Exception):
                if part is not None:
                    part.close(timeout=_FAREWELL)

    def _reply(self, future: Any) -> Reply | None:
        """What became of a case; None where it was lost without a fault of its own and goes on again."""
        task = self._futures.pop(future)
        error = future.exception()
        if error is None:
            return json.loads(future.result())
        # A worker that dies takes with it answers not yet fetched and cases that only waited for it.
        started, answer = _marks(self._work, json.dumps(task))
        if answer.is_file():
            return json.loads(answer.read_text(encoding="utf-8"))
        if not started.is_file():
            self.submit(task)
            return None
        why = "The worker that ran the case was lost; most often it crashed or ran out of memory."
        return {**failure(task, "crashed", why), "log": f"{type(error).__name__}: {error}"}


_ENGINE = Engine()
#: Workers may have several threads; networks and models here are for one at a time.
_ONE_AT_A_TIME = threading.Lock()


def run_on_worker(task: str, work: str) -> str:
    """Run one task in this process; JSON in, JSON out."""
    started, answer = _marks(Path(work), task)
    with _ONE_AT_A_TIME:
        with contextlib.suppress(OSError):
            started.touch()
        reply = json.dumps(_ENGINE.run(json.loads(task), _WantedEvents(Path(work))))
        with contextlib.suppress(OSError), whole_file(answer) as tmp:
            tmp.write_text(reply, encoding="utf-8")
        return reply


def _marks(work: Path, task: str) -> tuple[Path, Path]:
    """Files that a worker leaves when it begins with a task, and with its answer."""
    name = hashlib.sha256(task.encode()).hexdigest()[:32]
    return work / f"{name}.started", work / f"{name}.answer"


class _WantedEvents(Events):
    """Stops a case when the batch that wanted it is gone: it takes its work folder with it."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        self._work = work
        self._next = 0.0

    def check(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK_EVERY
            if not self._work.is_dir():
                raise Cancelled()


def _local_count(where: str) -> int | None:
    kind, mark, number = where.partition(":")
    if kind != "local":
        return None
    if mark and number.isdigit() and int(number) > 0:
        return int(number)
    raise UsageError(
        "dask-address",
        f"'--dask {where}' names no number of processes.",
        "local:N with N processes, or the address of a scheduler, is wanted.",
        "Say for example --dask local:4.",
    )

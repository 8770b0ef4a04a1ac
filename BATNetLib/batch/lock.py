"""One run at a time on an output folder: a lock file that says who holds it.

The file holds host, process id and start of the process. On the same host a lock whose process is gone
is taken over. A lock of another host cannot be checked from here: it is explained, with the age of its
last sign of life (the holder touches the file), and broken only on the user's word.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..locking import LockFile, is_gone, myself, read_holder

__all__ = ["Lock", "in_use", "is_gone", "lock_for", "myself", "read_holder", "take_run_lock"]

_PREFIX = ".batnet-lock"
#: Seconds between two signs of life.
TOUCH_EVERY = 10.0


class Lock:
    """A lock file. ``what``: what it protects, in words ("this output folder, shard 3/10")."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self._file = LockFile(path)
        self._held = False
        self._touched = 0.0

    def take(self, *, break_it: bool = False, wait: float = 0.0) -> None:
        """Take the lock; ``wait``: seconds to wait for another holder.

        Raises ``UsageError`` ("locked") where another run holds it.
        """
        until = time.monotonic() + wait
        while not self._try():
            holder = read_holder(self.path)
            if break_it or (holder is not None and is_gone(holder)):
                self._file.remove_stale(holder, break_it=break_it)
            elif time.monotonic() >= until:
                raise in_use(self.what, holder, self.path)
            else:
                time.sleep(0.05)
        self._held = True

    def touch(self) -> None:
        """A sign of life, at most every ``TOUCH_EVERY`` seconds."""
        if self._held and time.monotonic() - self._touched > TOUCH_EVERY:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def release(self) -> None:
        if self._held:
            self._held = False
            self.path.unlink(missing_ok=True)

    def _try(self) -> bool:
        return self._file.create(myself())


def lock_for(out: Path, shard: tuple[int, int] | None) -> Lock:
    """The lock of a run on ``out``, or of one of its shards (number, count)."""
    if shard is None:
        return Lock(out / _PREFIX, "this output folder")
    return Lock(
        out / f"{_PREFIX}-{shard[0]}-of-{shard[1]}", f"shard {shard[0]}/{shard[1]} of this output folder"
    )


def take_run_lock(out: Path, shard: tuple[int, int] | None, *, break_it: bool = False) -> Lock:
    """Take the lock of a run; other shards of the same count may run beside it, nothing else.

    Raises ``UsageError`` ("locked") where another run is at work on the same cases.
    """
    lock = lock_for(out, shard)
    lock.take(break_it=break_it)
    for other in sorted(out.glob(f"{_PREFIX}*")):
        if other == lock.path or _beside(other.name, shard):
            continue
        holder = read_holder(other)
        if break_it or holder is None or is_gone(holder):
            other.unlink(missing_ok=True)
            continue
        lock.release()
        raise in_use("this output folder", holder, other)
    return lock


def _beside(name: str, shard: tuple[int, int] | None) -> bool:
    """Whether the lock called ``name`` belongs to another shard of the same cut."""
    if shard is None:
        return False
    number, _, count = name.removeprefix(_PREFIX + "-").partition("-of-")
    return number.isdigit() and count == str(shard[1])


def in_use(what: str, holder: dict[str, Any] | None, path: Path) -> UsageError:
    holder = holder or {}
    host = holder.get("host", "unknown")
    here = host == socket.gethostname()
    try:
        age = f", last sign of life {max(0, round(time.time() - path.stat().st_mtime))} s ago"
    except OSError:
        age = ""
    where = "this computer" if here else f"the computer '{host}'"
    return UsageError(
        "locked",
        f"Another run is at work on {what}: process {holder.get('pid', 'unknown')} on {where}, "
        f"since {holder.get('since', 'an unknown time')}{age}.",
        "Two runs on the same cases would write over each other.",
        "Wait for it, choose another --out, or split the work with --shard K/N. "
        + ("" if here else "Whether it still runs cannot be seen from here. ")
        + "If you are sure that it has ended, say --break-lock.",
    )

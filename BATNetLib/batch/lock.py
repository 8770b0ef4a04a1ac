"""One run at a time on an output folder: a lock file that says who holds it.

The file holds host, process id and start of the process. On the same host a lock whose process is gone
is taken over. A lock of another host cannot be checked from here: it is explained, with the age of its
last sign of life (the holder touches the file), and broken only on the user's word.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..workfiles import output_errors

_PREFIX = ".batnet-lock"
#: Seconds between two signs of life.
TOUCH_EVERY = 10.0


class Lock:
    """A lock file. ``what``: what it protects, in words ("this output folder, shard 3/10")."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
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
                self._remove_stale(holder, break_it)
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
        text = json.dumps(myself())
        with output_errors(self.path.parent.name):
            # Written first and named then: killed in between, it would be a lock that says nothing.
            draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{threading.get_ident()}")
            try:
                draft.write_text(text, encoding="utf-8")
                return self._name(draft, text)
            finally:
                draft.unlink(missing_ok=True)

    def _name(self, draft: Path, text: str) -> bool:
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:
            return self._try_without_links(text)
        return True

    def _try_without_links(self, text: str) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return True

    def _remove_stale(self, seen: dict[str, Any] | None, break_it: bool) -> None:
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.stale")
        try:
            self.path.replace(aside)
            if not break_it and read_holder(aside) != seen:
                # Between our look and our grasp another run took the stale lock over: it is theirs.
                os.link(aside, self.path)
        except OSError:
            pass
        aside.unlink(missing_ok=True)


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


def myself() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": _process_start(os.getpid()),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def read_holder(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; an empty dictionary where the file says nothing yet, None where there is none."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this host that does not run any more."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    if not _runs(holder["pid"]):
        return True
    # Process ids are used again: the same id with another start is another process.
    start = _process_start(holder["pid"])
    return start is not None and holder.get("process_start") not in (None, start)


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


def _runs(pid: int) -> bool:
    if sys.platform == "win32":
        return _runs_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # A process that has ended and that nobody has collected yet does nothing any more.
    stat = _stat(pid)
    return stat is None or stat[0] != "Z"


def _runs_on_windows(pid: int) -> bool:
    # os.kill would end the process there.
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined, unused-ignore]
    query_limited, still_active = 0x1000, 259
    handle = kernel.OpenProcess(query_limited, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == still_active


def _process_start(pid: int) -> str | None:
    """A mark that differs between two processes with the same id; None where the system offers none."""
    stat = _stat(pid)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if stat is None else f"{boot[:8]}-{stat[19]}"


def _stat(pid: int) -> list[str] | None:
    """Fields of Linux' /proc/PID/stat from the state on; None on other systems."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

"""Lock files that say who holds them: what the locks of batches and of annotated cases have in common.

A lock is a small JSON file that exists or not. It appears at once with its whole content, so that no look
at it finds half a holder, and is taken away only by whoever saw what it said.
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

from .workfiles import output_errors


class LockFile:
    """A file at ``path`` that is created exclusively. Works on network folders: no ``fcntl``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, holder: dict[str, Any]) -> bool:
        """Make the file with ``holder`` in it; False where somebody has it. Raises ``OutputRefused``."""
        text = json.dumps(holder)
        with output_errors(self.path.parent.name):
            # Written first and named then: killed in between, it would be a lock that says nothing.
            draft = self._aside("")
            try:
                draft.write_text(text, encoding="utf-8")
                return self._name(draft, text)
            finally:
                draft.unlink(missing_ok=True)

    def remove_stale(self, seen: dict[str, Any] | None, *, break_it: bool = False) -> None:
        """Take away the lock whose content was ``seen``, and no other; ``break_it``: whatever it says."""
        aside = self._aside(".stale")
        try:
            self.path.replace(aside)
            if not break_it and read_holder(aside) != seen:
                # Between our look and our grasp another process took the stale lock over: it is theirs.
                os.link(aside, self.path)
        except FileExistsError:
            pass
        except OSError:
            # A disk without hard links.
            if not break_it and read_holder(aside) not in (None, seen) and not self.path.exists():
                with contextlib.suppress(OSError):
                    aside.replace(self.path)
        aside.unlink(missing_ok=True)

    def _aside(self, ending: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{_HERE}.{os.getpid()}.{threading.get_ident()}{ending}")

    def _name(self, draft: Path, text: str) -> bool:
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:
            return self._create_without_links(text)
        return True

    def _create_without_links(self, text: str) -> bool:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        return True


def myself() -> dict[str, Any]:
    """This process: host, pid, process_start (None where the system does not tell), since."""
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


def seconds_since(path: Path) -> float | None:
    """Age of the last change of ``path`` in seconds by the clock of the disk it lies on.

    Clocks of computers on a network folder differ; a file made beside it tells what the disk's own says.
    The local clock where no file can be made; None where ``path`` is gone.
    """
    probe = path.with_name(f".{path.name}.{_HERE}.{os.getpid()}.{threading.get_ident()}.clock")
    now = time.time()
    try:
        probe.touch()
        now = probe.stat().st_mtime
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    try:
        return max(0.0, now - path.stat().st_mtime)
    except OSError:
        return None


def _host_word() -> str:
    """The name of this computer as part of a file name: process ids are the same on many computers."""
    return "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:40]


_HERE = _host_word()


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

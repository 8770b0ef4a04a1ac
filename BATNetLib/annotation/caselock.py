"""One place at a time where a reader works on a case: a lock on the folder of the case and the reader.

It works between computers that share a network folder: the lock is a file that is created exclusively, and
whoever holds it gives a sign of life now and then. Its age is measured by the clock of the disk. A lock
whose process on this computer is gone is taken over; one of another computer is explained, and broken on the
user's word. Nothing is ever lost by breaking one: every save is a version of its own.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputRefused, OutputRefused
from ..locking import LockFile, is_gone, myself, read_holder, seconds_since
from ..workfiles import output_errors

if TYPE_CHECKING:
    from .store import Store

LOCK_NAME = ".lock"
#: Seconds without a sign of life after which a lock counts as stale. Holders give one every minute.
STALE_AFTER = 300.0


class CaseLock:
    """The lock of ``reader`` on ``case`` in ``store``. Also a context manager.

    While it is held, ``store.save`` for this case and reader goes through it, and refuses ("lock-lost") once
    somebody else has broken it.
    """

    def __init__(self, store: Store, case: str, reader: str) -> None:
        self.store, self.case, self.reader = store, case, reader
        self.path: Path = store.folder(case, reader) / LOCK_NAME
        self._file = LockFile(self.path)
        self._token: str | None = None

    @property
    def held(self) -> bool:
        """Whether it was acquired and not released; ``refresh`` tells whether it was broken since."""
        return self._token is not None

    def acquire(self, *, force: bool = False, wait: float = 0.0) -> CaseLock:
        """Take the lock. ``force``: break the lock of another place; ``wait``: seconds to wait for it first.

        Raises ``InputRefused`` ("case-locked"), which names reader, computer, since when and the last sign of
        life; ``OutputRefused`` where the folder cannot be written.
        """
        if self.held:
            self.refresh()
            return self
        self.store.make_place(self.case, self.reader)
        token = secrets.token_hex(8)
        holder = {**myself(), "reader": self.reader, "user": _user(), "token": token}
        until = time.monotonic() + wait
        while not self._file.create(holder):
            seen = read_holder(self.path)
            if force or (seen is not None and is_gone(seen)):
                self._file.remove_stale(seen)  # this one only, not that of somebody who was quicker
                force = False
            elif time.monotonic() >= until:
                raise self._in_use(seen)
            else:
                time.sleep(0.02)
        self._token = token
        self.store.held_locks[self.path.parent] = self
        return self

    def refresh(self) -> None:
        """A sign of life; call it every minute.

        Raises ``InputRefused`` ("lock-lost") where it was broken, ``OutputRefused`` ("store-unreachable")
        where the folder does not answer; the lock counts as held then.
        """
        seen = read_holder(self.path)
        if self.held and (seen == {} or (seen is None and not self.path.parent.is_dir())):
            raise _unreachable()  # it may be ours still
        if self._token is None or seen is None or seen.get("token") != self._token:
            self._forget()
            raise InputRefused(
                "lock-lost",
                self._who_has_it(seen),
                "A case is worked on in one place at a time by one reader.",
                "What was saved is safe, and what is open here is not lost: take the case over again and "
                "save (it becomes a version after the other's), or save under another reader's name.",
            )
        # The server's clock stamps it, not this computer's, where the file system leaves it a choice.
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def release(self) -> None:
        """Give the lock back; one that was broken since is left to its new holder."""
        token, self._token = self._token, None
        self._forget()
        if token is not None and (read_holder(self.path) or {}).get("token") == token:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> CaseLock:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _forget(self) -> None:
        self._token = None
        if self.store.held_locks.get(self.path.parent) is self:
            del self.store.held_locks[self.path.parent]

    def _who_has_it(self, seen: dict[str, Any] | None) -> str:
        if not seen:
            return "The case was taken over elsewhere, or its lock was removed."
        return f"The case was taken over on {_where(seen)}."

    def _in_use(self, seen: dict[str, Any] | None) -> InputRefused:
        seen = seen or {}
        with output_errors(self.path.parent.name):
            age = seconds_since(self.path)
        stale = age is not None and age > STALE_AFTER
        sign = "" if age is None else f", last sign of life {in_words(age)} ago"
        if stale:
            remedy = (
                "It looks abandoned: signs of life come every minute while a case is open. If nobody works "
                "on it there, take the case over (force); what was saved there is kept."
            )
        else:
            remedy = (
                "Close the case there, or take it over (force) if you know that nobody works on it; what was "
                "saved there is kept, what was not yet saved there could then be saved only after taking it "
                "back."
            )
        return InputRefused(
            "case-locked",
            f"The case is open for the reader '{seen.get('reader', self.reader)}' on {_where(seen)}, since "
            f"{seen.get('since', 'an unknown time')}{sign}.",
            "A case is worked on in one place at a time by one reader.",
            remedy,
        )


def in_words(seconds: float) -> str:
    """An age for people: "40 s", "12 min", "3 h", "2 days"."""
    for size, unit in ((172800, "days"), (7200, "h"), (120, "min")):
        if seconds >= size:
            return f"{round(seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit])} {unit}"
    return f"{round(seconds)} s"


def _where(holder: dict[str, Any]) -> str:
    host = holder.get("host")
    if host is None:
        return "a computer that is not named"
    place = "this computer" if host == socket.gethostname() else f"the computer '{host}'"
    user = f", user '{holder['user']}'" if holder.get("user") else ""
    return f"{place} (process {holder.get('pid', 'unknown')}{user})"


def _unreachable() -> OutputRefused:
    return OutputRefused(
        "store-unreachable",
        "The folder of the annotations does not answer.",
        "It must be there to save into.",
        "Check the network or the drive, and save again; what is open here is not lost.",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # an account without a name
        return ""

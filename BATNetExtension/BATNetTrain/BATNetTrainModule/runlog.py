"""Reads ``log.jsonl`` of a run while it grows: only what is new, and only for so long at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 16
#: No line of a log is so long; what is longer is none of ours.
LINE_BYTES = 1 << 20


class RunLog:
    """``entry(fields)`` is called for each line, ``restarted()`` where the file was written anew."""

    def __init__(
        self, path: Path, entry: Callable[[dict[str, Any]], None], restarted: Callable[[], None]
    ) -> None:
        self.path = path
        self._entry, self._restarted = entry, restarted
        self._place, self._rest, self._file = 0, b"", 0

    def read(self, seconds: float) -> bool:
        """Work off what is new for at most about ``seconds``; True where more is waiting.

        A file that cannot be read now (a network drive) is tried again the next time.
        """
        stop = time.perf_counter() + seconds
        try:
            with self.path.open("rb") as file:
                self._look_whether_it_is_the_same(file)
                file.seek(self._place)
                while True:
                    piece = file.read(CHUNK_BYTES)
                    self._place += len(piece)
                    self._take(piece)
                    if len(piece) < CHUNK_BYTES:
                        return False
                    if time.perf_counter() > stop:
                        return True
        except OSError:
            return False

    def _look_whether_it_is_the_same(self, file: Any) -> None:
        import os

        now = os.fstat(file.fileno())
        if now.st_size < self._place or (self._file and now.st_ino != self._file):
            self._place, self._rest = 0, b""
            self._restarted()
        self._file = now.st_ino

    def _take(self, piece: bytes) -> None:
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest if len(rest) < LINE_BYTES else b""
        for line in lines:
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(fields, dict):
                self._entry(fields)

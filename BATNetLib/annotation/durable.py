"""Files and names that are on the disk, not only in memory, when a call returns."""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from ..workfiles import registered


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_file(path: Path) -> None:
    """Wait until the disk has a file that another function wrote."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk too, where the system can be asked for it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems cannot; they write names through.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def write_once(path: Path, content: dict[str, Any]) -> bool:
    """A small JSON file that appears whole; False where somebody was quicker, whose file stays."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with registered(beside):
        write_flushed(beside, json.dumps(content, ensure_ascii=True).encode("ascii") + b"\n")
        try:
            os.link(beside, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            beside.replace(path)
    flush_folder(path.parent)
    return True


def rename_folder(source: Path, target: Path) -> bool:
    """Give a folder with files in it a name that is free; False where the name is taken.

    A folder that holds files is never replaced by this. Windows refuses for a moment where a virus scanner
    has just opened a new file.
    """
    for attempt in range(10):
        try:
            source.rename(target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) or os.path.lexists(target):
                return False
            if os.name != "nt" or not isinstance(error, PermissionError) or attempt == 9:
                raise
            time.sleep(0.05)
        else:
            return True
    return False

"""Results appear whole or not at all: written to a hidden sibling, then renamed.

Temporary places are registered, so that a run that has to end at once (its caller is gone) can still
remove them.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputRefused, UsageError

_LOCK = threading.Lock()
_UNFINISHED: set[Path] = set()
_UNWRITABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.ENOTEMPTY, errno.EIO,
}  # fmt: skip


@contextmanager
def whole_folder(out: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A temporary sibling of ``out`` to write into; renamed onto ``out`` when the block succeeds.

    ``replace``: an existing ``out`` is exchanged for the new folder (the old one goes only after the
    new one is complete). Raises ``UsageError`` where ``out`` exists otherwise, ``OutputRefused`` where
    it cannot be written or the disk is full; nothing half-written stays.
    """
    out = Path(out)
    require_new(out, replace=replace)
    with output_errors(out.name):
        out.parent.mkdir(parents=True, exist_ok=True)
        tmp = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
        # mkdtemp makes it private; a result folder follows the user's umask like any other folder.
        tmp.chmod(0o777 & ~_umask())
    with registered(tmp), output_errors(out.name):
        yield tmp
        _exchange(tmp, out)


def require_new(out: Path, *, replace: bool = False) -> None:
    """Refuse (``UsageError``, "output-exists") an output folder that exists and may not be replaced.

    ``whole_folder`` asks this itself; asked before a long computation, it spares the computation.
    """
    if out.exists() and not replace:
        raise UsageError(
            "output-exists",
            f"The output folder '{out.name}' exists already.",
            "Results are never mixed with former ones.",
            "Choose another folder with --out, or say --replace.",
        )


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary sibling of the file ``path`` with the same suffixes; renamed onto it at success.

    Raises ``OutputRefused`` where it cannot be written or the disk is full.
    """
    path = Path(path)
    with output_errors(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The whole name stays at the end: writers choose the format by it.
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
        tmp = Path(name)
        tmp.chmod(0o666 & ~_umask())
    with registered(tmp), output_errors(path.name):
        yield tmp
        tmp.replace(path)


@contextmanager
def output_errors(name: str) -> Iterator[None]:
    """Turn the operating system's refusals to write into words about the output called ``name``."""
    try:
        yield
    except OSError as error:
        refusal = _in_words(error, name)
        if refusal is None:
            raise
        raise refusal from error


def remove_unfinished() -> None:
    """Remove every temporary place that is still registered; for a run that must end at once."""
    with _LOCK:
        places = list(_UNFINISHED)
    for place in places:
        _remove(place)


@contextmanager
def registered(place: Path) -> Iterator[None]:
    """Remove ``place`` (a file or folder of the caller's own, if it is still there) when the block ends.

    ``remove_unfinished`` removes it too, for a run that must end before its blocks do.
    """
    with _LOCK:
        _UNFINISHED.add(place)
    try:
        yield
    finally:
        _remove(place)
        with _LOCK:
            _UNFINISHED.discard(place)


def _exchange(tmp: Path, out: Path) -> None:
    if not out.exists():
        tmp.replace(out)
        return
    old = tmp.with_name(tmp.name.replace(".partial", ".old"))
    out.replace(old)
    try:
        tmp.replace(out)
    except OSError:
        old.replace(out)
        raise
    _remove(old)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _umask() -> int:
    # Python offers no reading without setting.
    with _LOCK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _in_words(error: OSError, name: str) -> OutputRefused | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputRefused(
            "disk-full",
            f"The disk filled up while '{name}' was written.",
            "Results are written whole or not at all.",
            "Make room or choose another place with --out; nothing half-written was left.",
        )
    if error.errno in _UNWRITABLE:
        return OutputRefused(
            "output-unwritable",
            f"'{name}' cannot be written there ({os.strerror(error.errno).lower().replace('/', ' or ')}).",
            "A folder that you may write into is needed.",
            "Choose another place with --out.",
        )
    if error.errno in (errno.ENAMETOOLONG,):
        return OutputRefused(
            "output-name-too-long",
            f"The name '{name[:40]}...' is too long for this disk.",
            "A shorter path is needed.",
            "Choose another place with --out.",
        )
    return None

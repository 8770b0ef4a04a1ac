"""Opens zip archives from strangers: judged by their table of contents, unpacked by name only.

Nothing of an archive decides where a file is written: the caller names the members it wants and gets
them under those names in a folder of its own. An archive with a path that leaves its folder, a link, or
contents out of proportion is refused as a whole. Both ciphers of zip archives are read: the older one by
Python's zipfile, AES by pyzipper, which is imported only when such a member is met.
"""

from __future__ import annotations

import copy
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from ..errors import InputRefused, NoModel
from ..events import Events
from .weights import cannot_write

#: Limits on what an archive may claim. The published one: 2 networks, 149 MB, hardly compressible.
MOST_MEMBERS = 5_000
MOST_BYTES = 4 * 1024**3
HIGHEST_RATIO = 100
_LARGEST_DIRECTORY = 16 * 1024 * 1024
#: Python decrypts the older cipher at 2 MB/s; a piece must not delay cancelling.
_CHUNK = 1 << 18

_ENCRYPTED, _STRONG = 0x01, 0x40
#: Stands for the compression in the table of contents of an archive that is locked with AES.
_AES_METHOD = 99
#: The kinds of compression whose output Python bounds; of the others a few bytes could fill the memory.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What zipfile raises over broken archives, as found by feeding it some.
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    struct.error,
    ValueError,
    OverflowError,
    IndexError,
    NotImplementedError,
)


def refused_archive(code: str, found: str, remedy: str | None = None) -> InputRefused:
    return InputRefused(
        code,
        found,
        "A zip archive is wanted that holds the files of weights and opens as its source describes.",
        remedy or "Download it again from its source; do not open this copy with other programs.",
    )


class _Guarded:
    """A file that gives no more than ``limit`` bytes at a time; None lifts the limit.

    zipfile reads the whole table of contents at the length that the file claims; this bounds it.
    """

    def __init__(self, file: BinaryIO, limit: int | None) -> None:
        self._file = file
        self.limit = limit
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        if self.limit is None:
            return self._file.read(count)
        data = self._file.read(self.limit + 1 if count < 0 else min(count, self.limit + 1))
        if len(data) > self.limit:
            raise refused_archive("archive-too-large", "The archive's table of contents is absurdly large.")
        return data


@contextmanager
def open_zip(file: BinaryIO, reader: Any = zipfile.ZipFile) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive. Raises ``InputRefused`` where it is broken or its table of contents is absurd.

    ``reader``: what reads it, ``zipfile.ZipFile`` or ``pyzipper.AESZipFile``, which has the same methods.
    """
    guarded = _Guarded(file, _LARGEST_DIRECTORY)
    try:
        archive = reader(cast(BinaryIO, guarded))
    except _broken_for(reader) as error:
        raise refused_archive(
            "archive-broken", "The file is not a whole zip archive: it is broken off or damaged."
        ) from error
    guarded.limit = None
    with archive:
        yield archive


def _broken_for(reader: Any) -> tuple[type[Exception], ...]:
    """What ``reader`` raises over broken archives; pyzipper has a BadZipFile of its own."""
    if reader is zipfile.ZipFile:
        return BROKEN
    import pyzipper

    return (*BROKEN, pyzipper.BadZipFile, KeyError, AttributeError)


def _aes_reader() -> Any:
    try:
        import pyzipper
    except ImportError as error:
        raise NoModel(
            "pyzipper-missing",
            "The archive is locked with AES, and the package pyzipper that opens it is not installed.",
            "Python alone opens only the older kind of locked archives.",
            "Install it (pip install pyzipper) and try again. Or unpack the archive with another program, "
            "such as 7-Zip, and import each .pth file in it: batnet models import FILE",
        ) from error
    return pyzipper.AESZipFile


def inspect(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that tries to reach outside its folder, holds links, or is out of proportion."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise refused_archive("archive-too-large", f"The archive has {len(members)} members.")
    total = 0
    for member in members:
        # zipfile already turned the system's own separator into a slash and cut the name at a zero byte.
        for name in (member.filename, member.orig_filename):
            parts = name.replace("\\", "/").split("/")
            if name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\0" in name:
                raise refused_archive(
                    "archive-path-escapes", "The archive holds a member whose path leads out of its folder."
                )
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise refused_archive("archive-link", "The archive holds a link or a device instead of a file.")
        total += member.file_size
        if member.file_size > HIGHEST_RATIO * max(member.compress_size, 1024):
            raise refused_archive(
                "archive-bomb", "A member of the archive would grow more than a hundredfold when unpacked."
            )
    if total > MOST_BYTES:
        raise refused_archive("archive-too-large", f"The archive would unpack to {total / 1e9:.1f} GB.")


def find_members(archive: zipfile.ZipFile, names: Iterable[str]) -> dict[str, zipfile.ZipInfo]:
    """The members with these base names, wherever in the archive; each must be there exactly once."""
    found: dict[str, zipfile.ZipInfo] = {}
    for name in names:
        matches = [
            member
            for member in archive.infolist()
            if PurePosixPath(member.filename).name == name
            and not member.is_dir()
            and "__MACOSX" not in PurePosixPath(member.filename).parts
        ]
        if len(matches) != 1:
            what = "does not hold" if not matches else "holds more than one"
            raise refused_archive("archive-member-missing", f"The archive {what} {name}.")
        found[name] = matches[0]
    return found


def unpack(
    path: Path,
    names: Iterable[str],
    folder: Path,
    password: bytes | None = None,
    events: Events | None = None,
) -> dict[str, Path]:
    """Unpack the members of these base names into ``folder`` (which exists and is the caller's own).

    Returns name -> path. Raises ``InputRefused``: ``archive-broken``, ``archive-path-escapes``,
    ``archive-link``, ``archive-bomb``, ``archive-too-large``, ``archive-member-missing``,
    ``archive-password``, ``archive-cipher``, ``archive-compression``; ``NoModel`` ``pyzipper-missing`` where
    the members are locked with AES and that package is absent; ``OutputRefused`` where the disk is full.
    What is in ``folder`` then is left to the caller, who made it.
    """
    events = events or Events()
    written: dict[str, Path] = {}
    with path.open("rb") as file, _judged(file, tuple(names)) as (archive, members):
        total = sum(member.file_size for member in members.values())
        with events.stage("unpack", total) as progress:
            for name, member in members.items():
                target = folder / name
                left = member.file_size
                with _writable(target) as out:
                    for chunk in _contents(archive, member, password):
                        left -= len(chunk)
                        if left < 0:
                            raise refused_archive("archive-bomb", "A member is larger than the archive says.")
                        out.write(chunk)
                        progress.advance(len(chunk))
                if left:
                    raise refused_archive(
                        "archive-broken", "A member of the archive is shorter than it says."
                    )
                written[name] = target
    return written


@contextmanager
def _judged(
    file: BinaryIO, names: tuple[str, ...]
) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The inspected archive, opened by what can read it, and its members of these base names."""
    with open_zip(file) as archive:
        inspect(archive)
        members = find_members(archive, names)
        if all(member.compress_type != _AES_METHOD for member in members.values()):
            yield archive, members
            return
    with open_zip(file, _aes_reader()) as archive:
        # Another program reads the table of contents, so what it makes of it is judged too.
        inspect(archive)
        yield archive, find_members(archive, names)


@contextmanager
def _writable(target: Path) -> Iterator[BinaryIO]:
    # What reading the archive raises is a refusal already; an OSError here is that of the disk.
    try:
        with target.open("xb") as out:
            yield out
    except OSError as error:
        raise cannot_write(target, error) from error


def _contents(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: bytes | None) -> Iterator[bytes]:
    locked = bool(member.flag_bits & _ENCRYPTED)
    if member.flag_bits & _STRONG:
        raise refused_archive(
            "archive-cipher", "The archive uses a cipher that only its maker's program opens."
        )
    if locked and password is None:
        raise _wrong_password()
    if member.compress_type not in _BOUNDED:
        raise refused_archive(
            "archive-compression",
            "The archive is compressed in another way than the usual one (deflate).",
            "Unpack it with the program that made it and import each file: batnet models import FILE",
        )
    if isinstance(archive, zipfile.ZipFile):
        # The password check of the older cipher is one byte: 1 wrong password in 256 passes it and ends in
        # noise, which then fails as damaged data.
        damaged = _wrong_password() if locked else _damaged()
    else:
        damaged = _damaged()
        # pyzipper cuts off without a word what is longer than announced, and no checksum tells. With room for
        # one byte more the caller, who counts, finds it out.
        member = copy.copy(member)
        member.file_size += 1
    broken = _broken_for(type(archive))
    try:
        opened = archive.open(member, pwd=password if locked else None)
    except broken as error:
        raise damaged from error
    except RuntimeError as error:
        raise _wrong_password() if locked else damaged from error
    with opened:
        while True:
            try:
                chunk = opened.read(_CHUNK)
            except broken as error:
                raise damaged from error
            if not chunk:
                return
            yield chunk


def _damaged() -> InputRefused:
    return refused_archive("archive-broken", "A member of the archive is damaged and cannot be read back.")


def _wrong_password() -> InputRefused:
    return refused_archive(
        "archive-password",
        "The archive's password is not the one given.",
        "Give the password that its source states: batnet models import FILE --password PASSWORD",
    )

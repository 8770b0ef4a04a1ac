"""Archives from strangers: both ciphers open, and nothing of an archive decides where a file is written."""

from __future__ import annotations

import base64
import stat
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from modelfiles import write_aes_zip, write_locked_zip

from BATNetLib.errors import Cancelled, InputRefused, NoModel
from BATNetLib.events import Events
from BATNetLib.models.archive import unpack

CONTENT = b"weights of a phantom\n" * 3
#: The same text locked by Info-ZIP zip 3.0 with the older cipher, password batnet.
LOCKED_BY_INFO_ZIP = base64.b64decode(
    "UEsDBBQACQAIABsydF2jbRDIJgAAAD8AAAAGABwAbWcudHh0VVQJAAPW5f9q1uX/anV4CwABBAAAAAAEAAAAANyI0j2d2OSQ/7RdJEw3"
    "/VH7R5UKyr4P0s9Dyt3ciCtii2Nl3JydUEsHCKNtEMgmAAAAPwAAAFBLAQIeAxQACQAIABsydF2jbRDIJgAAAD8AAAAGABgAAAAAAAEA"
    "AACkgQAAAABtZy50eHRVVAUAA9bl/2p1eAsAAQQAAAAABAAAAABQSwUGAAAAAAEAAQBMAAAAdgAAAAAA"
)
LOCKED = {
    "info-zip": lambda path: path.write_bytes(LOCKED_BY_INFO_ZIP),
    "old": lambda path: write_locked_zip(path, {"w/mg.txt": CONTENT}, cipher="old"),
    "aes-128": lambda path: write_aes_zip(path, {"w/mg.txt": CONTENT}, bits=128),
    "aes-192": lambda path: write_aes_zip(path, {"w/mg.txt": CONTENT}, bits=192),
    "aes-256": lambda path: write_aes_zip(path, {"w/mg.txt": CONTENT}),
    "aes-256, stored": lambda path: write_aes_zip(
        path, {"w/mg.txt": CONTENT}, compression=zipfile.ZIP_STORED
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "unpacked"
    made.mkdir()
    return made


def refusal(path: Path, folder: Path, password: bytes | None = b"batnet") -> str:
    with pytest.raises(InputRefused) as caught:
        unpack(path, ["mg.txt"], folder, password)
    assert str(path.parent) not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("lock", LOCKED)
def test_locked_archives_open(tmp_path: Path, folder: Path, lock: str) -> None:
    path = tmp_path / "a.zip"
    LOCKED[lock](path)
    written = unpack(path, ["mg.txt"], folder, b"batnet")
    assert written == {"mg.txt": folder / "mg.txt"}
    assert written["mg.txt"].read_bytes() == CONTENT


@pytest.mark.parametrize("lock", LOCKED)
def test_a_wrong_password_or_none_is_refused(tmp_path: Path, folder: Path, lock: str) -> None:
    path = tmp_path / "a.zip"
    LOCKED[lock](path)
    # The older cipher checks one byte of a password, AES two: some wrong one of these is always found out.
    for guess in (b"guess", b"", b"Batnet", None):
        with pytest.raises(InputRefused) as caught:
            unpack(path, ["mg.txt"], folder, guess)
        assert caught.value.code == "archive-password"
        (folder / "mg.txt").unlink()


def test_a_member_larger_than_a_piece_opens_whole(tmp_path: Path, folder: Path) -> None:
    content = np.random.default_rng(0).integers(0, 90, 700_001, np.uint8).tobytes()
    path = write_aes_zip(tmp_path / "a.zip", {"mg.txt": content})
    assert unpack(path, ["mg.txt"], folder, b"batnet")["mg.txt"].read_bytes() == content


def test_without_pyzipper_only_what_is_locked_with_aes_is_refused_and_says_how(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_aes_zip(tmp_path / "a.zip", {"mg.txt": CONTENT})
    old = write_locked_zip(tmp_path / "b.zip", {"mg.txt": CONTENT}, cipher="old")
    monkeypatch.setitem(sys.modules, "pyzipper", None)
    with pytest.raises(NoModel) as caught:
        unpack(path, ["mg.txt"], folder, b"batnet")
    assert (caught.value.code, caught.value.exit_code) == ("pyzipper-missing", 5)
    assert "pip install pyzipper" in caught.value.remedy
    assert "batnet models import" in caught.value.remedy
    assert list(folder.iterdir()) == []
    assert unpack(old, ["mg.txt"], folder, b"batnet")["mg.txt"].read_bytes() == CONTENT


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("locked", [True, False])
def test_compression_whose_output_cannot_be_bounded_is_refused(
    tmp_path: Path, folder: Path, compression: int, locked: bool
) -> None:
    path = tmp_path / "a.zip"
    if locked:
        write_aes_zip(path, {"mg.txt": CONTENT}, compression=compression)
    else:
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("mg.txt", CONTENT)
    assert refusal(path, folder) == "archive-compression"
    assert (folder / "mg.txt").read_bytes() == b""


def test_a_member_that_says_aes_and_is_not_locked_is_refused(tmp_path: Path, folder: Path) -> None:
    path = write_aes_zip(tmp_path / "a.zip", {"mg.txt": CONTENT}, compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for place in (6, data.index(b"PK\1\2") + 8):  # the flags in the member's own head, and in the table
        data[place] &= ~1
    path.write_bytes(data)
    assert refusal(path, folder) == "archive-broken"


@pytest.mark.parametrize("cipher", ["old", "aes"])
def test_every_changed_byte_of_a_locked_member_is_noticed(tmp_path: Path, cipher: str) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": CONTENT}, cipher=cipher)
    whole = path.read_bytes()
    start, stop = 30 + 6 + (11 if cipher == "aes" else 0), whole.index(b"PK\1\2")
    if cipher == "old":
        stop -= 1  # bits that fill the last byte of deflated data mean nothing; AES authenticates them too
    for number, place in enumerate(range(start, stop)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(InputRefused):
            unpack(path, ["mg.txt"], folder, b"batnet")


@pytest.mark.parametrize(
    "name", ["../mg.txt", "a/../../mg.txt", "/mg.txt", "\\mg.txt", "a\\..\\mg.txt", "C:mg.txt", "C:\\mg.txt"]
)
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": CONTENT, name: b"x"})
    assert refusal(path, folder) == "archive-path-escapes"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, folder: Path, kind: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        entry = zipfile.ZipInfo("mg.txt")
        entry.create_system = 3
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert refusal(tmp_path / "a.zip", folder) == "archive-link"
    assert list(folder.iterdir()) == []


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mg.txt", bytes(2_000_000))
    assert (tmp_path / "a.zip").stat().st_size < 10_000
    assert refusal(tmp_path / "a.zip", folder) == "archive-bomb"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cipher", ["old", "aes"])
def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path: Path, folder: Path, cipher: str) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": CONTENT * 1000}, cipher=cipher)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\1\2")
    for place in (22, directory + 24):  # size in the member's own head, and in the table of contents
        data[place : place + 4] = struct.pack("<I", 40)
    path.write_bytes(data)
    assert refusal(path, folder) in ("archive-bomb", "archive-password", "archive-broken")


def test_an_archive_of_absurd_size_is_refused(tmp_path: Path, folder: Path) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {f"{n}.bin": b"x" for n in range(40)} | {"mg.txt": CONTENT})
    data = bytearray(path.read_bytes())
    place = -1
    while (place := data.find(b"PK\1\2", place + 1)) >= 0:
        data[place + 20 : place + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    assert refusal(path, folder) == "archive-too-large"


def test_a_missing_member_and_two_of_a_name_are_refused(tmp_path: Path, folder: Path) -> None:
    assert (
        refusal(write_locked_zip(tmp_path / "a.zip", {"other.txt": b"x"}), folder) == "archive-member-missing"
    )
    twice = write_locked_zip(tmp_path / "b.zip", {"a/mg.txt": b"x", "b/mg.txt": b"y"})
    assert refusal(twice, folder) == "archive-member-missing"


def test_what_macos_adds_to_archives_is_passed_over(tmp_path: Path, folder: Path) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"w/mg.txt": CONTENT, "__MACOSX/w/mg.txt": b"x"})
    assert unpack(path, ["mg.txt"], folder, b"batnet")["mg.txt"].read_bytes() == CONTENT


def test_a_truncated_archive_is_refused(tmp_path: Path, folder: Path) -> None:
    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": CONTENT})
    path.write_bytes(path.read_bytes()[:-30])
    assert refusal(path, folder) == "archive-broken"


def test_unpacking_stops_when_asked(tmp_path: Path, folder: Path) -> None:
    class StopsAtOnce(Events):
        def on_stage(self, stage: object, finished: bool) -> None:
            self.cancel()

    path = write_locked_zip(tmp_path / "a.zip", {"mg.txt": CONTENT})
    with pytest.raises(Cancelled):
        unpack(path, ["mg.txt"], folder, b"batnet", StopsAtOnce())

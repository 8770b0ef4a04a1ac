"""Archives from strangers: both ciphers open, and nothing of an archive decides where a file is written."""

from __future__ import annotations

import base64
import itertools
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from modelfiles import write_locked_zip

from BATNetLib.errors import Cancelled, InputRefused
from BATNetLib.events import Events
from BATNetLib.models import aes
from BATNetLib.models.archive import unpack

CONTENT = b"weights of a phantom\n" * 3
#: The same text locked by other programs (password batnet): Info-ZIP zip 3.0, and pyzipper 0.4.0 with keys of
#: 128 bits (deflated) and 256 bits (stored).
LOCKED_ELSEWHERE = {
    "info-zip": (
        "UEsDBBQACQAIABsydF2jbRDIJgAAAD8AAAAGABwAbWcudHh0VVQJAAPW5f9q1uX/anV4CwABBAAAAAAEAAAAANyI0j2d2OSQ/7RdJEw3"
        "/VH7R5UKyr4P0s9Dyt3ciCtii2Nl3JydUEsHCKNtEMgmAAAAPwAAAFBLAQIeAxQACQAIABsydF2jbRDIJgAAAD8AAAAGABgAAAAAAAEA"
        "AACkgQAAAABtZy50eHRVVAUAA9bl/2p1eAsAAQQAAAAABAAAAABQSwUGAAAAAAEAAQBMAAAAdgAAAAAA"
    ),
    "aes-128": (
        "UEsDBBQAAQBjABsydF0AAAAALgAAAD8AAAAMAAsAbW9kZWwvbWcudHh0AZkHAAIAQUUBCAC2BV32Sxw95TzlRUiwLKZOu9+BgMWsGBLG"
        "4ufMyBh0KWQMqhUaLeEEerOUCsooUEsBAhQDFAABAGMAGzJ0XQAAAAAuAAAAPwAAAAwACwAAAAAAAAAAAIABAAAAAG1vZGVsL21nLnR4"
        "dAGZBwACAEFFAQgAUEsFBgAAAAABAAEARQAAAGMAAAAAAA=="
    ),
    "aes-256": (
        "UEsDBBQAAQBjABsydF0AAAAAWwAAAD8AAAAMAAsAbW9kZWwvbWcudHh0AZkHAAIAQUUDAADkeALWPzLWri9S5/Kwd9eVUdxgRLrnWCbb"
        "COtBft5EAcOnzwvT8ZNgIcQSND/iB/NfwW7HuJcNPx0pU1ICVVbw2rlBHgqQXP7plPftg9yY0VTMLC7q/sX0Vtl9UEsBAhQDFAABAGMA"
        "GzJ0XQAAAABbAAAAPwAAAAwACwAAAAAAAAAAAIABAAAAAG1vZGVsL21nLnR4dAGZBwACAEFFAwAAUEsFBgAAAAABAAEARQAAAJAAAAAA"
        "AA=="
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


@pytest.mark.parametrize(
    ("key", "cipher"),
    [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ],
)
def test_the_cipher_gives_the_examples_of_fips_197(key: int, cipher: str) -> None:
    block = np.frombuffer(bytes.fromhex("00112233445566778899aabbccddeeff"), np.uint8)[:, None]
    found = aes.encrypt_blocks(aes._expanded(bytes(range(key))), block)
    assert found[:, 0].tobytes().hex() == cipher


def test_decrypting_piece_by_piece_is_decrypting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aes, "_BLOCKS_AT_ONCE", 3)
    import hashlib

    check = hashlib.pbkdf2_hmac("sha1", b"p", b"s" * 8, 1000, 34)[-2:]
    data = np.random.default_rng(0).bytes(1000)
    whole = aes.ZipDecryptor(b"p", 1, b"s" * 8, check).decrypt(data)
    pieces = aes.ZipDecryptor(b"p", 1, b"s" * 8, check)
    cut = [0, 1, 17, 18, 300, 301, 999, 1000]
    assert b"".join(pieces.decrypt(data[a:b]) for a, b in itertools.pairwise(cut)) == whole


@pytest.mark.parametrize("program", LOCKED_ELSEWHERE)
def test_archives_locked_by_other_programs_open(tmp_path: Path, folder: Path, program: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(base64.b64decode(LOCKED_ELSEWHERE[program]))
    written = unpack(path, ["mg.txt"], folder, b"batnet")
    assert written == {"mg.txt": folder / "mg.txt"}
    assert written["mg.txt"].read_bytes() == CONTENT


@pytest.mark.parametrize("program", LOCKED_ELSEWHERE)
def test_a_wrong_password_or_none_is_refused(tmp_path: Path, folder: Path, program: str) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(base64.b64decode(LOCKED_ELSEWHERE[program]))
    assert refusal(path, folder, b"guess") == "archive-password"
    (folder / "mg.txt").unlink()
    assert refusal(path, folder, None) == "archive-password"


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
        archive.writestr("mg.txt", bytes(50_000_000))
    assert (tmp_path / "a.zip").stat().st_size < 100_000
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

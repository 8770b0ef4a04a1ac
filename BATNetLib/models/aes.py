"""AES in counter mode as zip archives use it (WinZip AE-1 and AE-2), to open a published archive.

Python's zipfile knows only the older cipher, and a package for this one cannot be installed everywhere the
weights are needed. It serves to unlock a download whose password is public; nothing is kept secret with
it. The cipher follows FIPS 197; the tests hold it against the examples printed there. The bytes of many
blocks are processed together, one array a byte of the block: moving rows is then only renaming.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

import numpy as np

#: Blocks worked on at a time: 16 arrays of 128 kB stay in the processor's cache.
_BLOCKS_AT_ONCE = 1 << 17
_PASSWORD_ROUNDS = 1000
#: Key bytes and salt bytes for the strength byte of the archive.
STRENGTHS = {1: (16, 8), 2: (24, 12), 3: (32, 16)}
#: Bytes of the authentication code behind the data.
CODE_BYTES = 10


@lru_cache(maxsize=1)
def _substitution() -> np.ndarray:
    """The S-box: the inverse in GF(2^8) modulo x^8+x^4+x^3+x+1, then an affine map."""
    powers, logs, value = [0] * 255, [0] * 256, 1
    for exponent in range(255):  # 3 generates the field
        powers[exponent], logs[value] = value, exponent
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    box = []
    for number in range(256):
        inverse = powers[-logs[number] % 255] if number else 0
        turned = inverse
        for _ in range(4):
            inverse = ((inverse << 1) | (inverse >> 7)) & 0xFF
            turned ^= inverse
        box.append(turned ^ 0x63)
    return np.array(box, dtype=np.uint8)


def _expanded(key: bytes) -> np.ndarray:
    """Round keys [rounds + 1, 16] of a key of 16, 24 or 32 bytes."""
    box = _substitution()
    words = [list(key[i : i + 4]) for i in range(0, len(key), 4)]
    length, constant = len(words), 1
    for index in range(length, 4 * (length + 7)):
        word = words[-1]
        if index % length == 0:
            word = [int(box[b]) for b in word[1:] + word[:1]]
            word[0] ^= constant
            constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
        elif length > 6 and index % length == 4:
            word = [int(box[b]) for b in word]
        words.append([a ^ b for a, b in zip(words[index - length], word, strict=True)])
    return np.array(words, dtype=np.uint8).reshape(-1, 16)


def encrypt_blocks(keys: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Encrypt ``blocks`` uint8 [16, n] (one column a block) with the round keys of ``_expanded``."""
    box = _substitution()
    state = [blocks[i] ^ keys[0, i] for i in range(16)]
    for number, key in enumerate(keys[1:], start=1):
        # Byte 4c + r is row r of column c; row r moves r columns to the left.
        state = [box[state[(4 * (c + r) + r) % 16]] for c in range(4) for r in range(4)]
        if number < len(keys) - 1:
            mixed = []
            for c in range(0, 16, 4):
                column = state[c : c + 4]
                total = column[0] ^ column[1] ^ column[2] ^ column[3]
                for r in range(4):
                    pair = column[r] ^ column[(r + 1) % 4]
                    doubled = (pair << 1) ^ ((pair >> 7) * np.uint8(0x1B))
                    mixed.append(column[r] ^ total ^ doubled)
            state = mixed
        state = [part ^ key[i] for i, part in enumerate(state)]
    return np.stack(state)


class ZipDecryptor:
    """Decrypts one member of an archive piece by piece and checks its authentication code.

    ``salt`` and ``check`` (2 bytes) stand before the data in the archive. Raises ``ValueError`` when the
    password is not the one of the archive.
    """

    def __init__(self, password: bytes, strength: int, salt: bytes, check: bytes) -> None:
        size = STRENGTHS[strength][0]
        made = hashlib.pbkdf2_hmac("sha1", password, salt, _PASSWORD_ROUNDS, 2 * size + 2)
        if made[-2:] != check:
            raise ValueError("wrong password")
        self._keys = _expanded(made[:size])
        self._code = hmac.new(made[size : 2 * size], digestmod="sha1")
        self._block = 1  # the counter starts at one, lowest byte first
        self._left = b""

    def decrypt(self, data: bytes) -> bytes:
        self._code.update(data)
        stream = self._left
        if len(stream) < len(data):
            blocks = -(-(len(data) - len(stream)) // 16)
            parts = [
                self._stream(start, min(_BLOCKS_AT_ONCE, blocks - start))
                for start in range(0, blocks, _BLOCKS_AT_ONCE)
            ]
            self._block += blocks
            stream += b"".join(parts)
        self._left = stream[len(data) :]
        plain = np.frombuffer(data, np.uint8) ^ np.frombuffer(stream, np.uint8, len(data))
        return plain.tobytes()

    def _stream(self, start: int, count: int) -> bytes:
        counters = np.arange(self._block + start, self._block + start + count, dtype="<u8")
        blocks = np.zeros((16, count), np.uint8)
        blocks[:8] = counters.view(np.uint8).reshape(count, 8).T
        return np.ascontiguousarray(encrypt_blocks(self._keys, blocks).T).tobytes()

    def authentic(self, code: bytes) -> bool:
        """Whether ``code`` (10 bytes behind the data) belongs to all that was decrypted."""
        return hmac.compare_digest(self._code.digest()[:CODE_BYTES], code)

"""Writes tensors as a file that ``torch.load`` opens, without torch.

The container is the zip of torch 1.6 and later: a pickle that names each tensor by its storage, and the
numbers of each storage beside it. The pickle holds an OrderedDict of float32 and int64 tensors and nothing
else, so ``torch.load(..., weights_only=True)`` takes it. The same tensors give the same file to the byte,
which torch itself does not promise.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..events import Events

#: Version of the container, as torch 1.6 to 2 write it.
_VERSION = b"3\n"
#: torch lays each storage at a multiple of this, so that the file can be mapped into memory.
_ALIGNMENT = 64
#: Length of the fixed part of a member's header in a zip file.
_HEADER = 30
#: Before this date a zip file cannot be; any fixed one keeps the file the same to the byte.
_DATE = (1980, 1, 1, 0, 0, 0)
_FOLDER = "archive"
_KINDS = {"f": ("<f4", "FloatStorage"), "i": ("<i8", "LongStorage")}


def write_torch_file(path: Path, arrays: Mapping[str, np.ndarray], events: Events | None = None) -> None:
    """Write ``arrays`` (name to float or whole-number array) as a state dict, in their order.

    Floats become float32, whole numbers int64. Raises what writing to ``path`` raises.
    """
    events = events or Events()
    values = {name: _plain(array) for name, array in arrays.items()}
    with path.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, file, "data.pkl", _pickled(values))
        _add(archive, file, "byteorder", b"little")
        for number, (array, _) in enumerate(values.values()):
            events.check()
            _add(archive, file, f"data/{number}", array.tobytes())
        _add(archive, file, "version", _VERSION)


def _plain(array: np.ndarray) -> tuple[np.ndarray, str]:
    """The array in the type of its storage, and the name of that storage in torch."""
    element, storage = _KINDS["f" if array.dtype.kind == "f" else "i"]
    return np.ascontiguousarray(array, dtype=element).reshape(array.shape), storage


def _add(archive: zipfile.ZipFile, file: BinaryIO, name: str, data: bytes) -> None:
    member = zipfile.ZipInfo(f"{_FOLDER}/{name}", _DATE)
    # An extra field that nobody reads fills the space up to the next multiple of the alignment.
    start = file.tell() + _HEADER + len(member.filename) + 4
    fill = -start % _ALIGNMENT
    member.extra = b"FB" + struct.pack("<H", fill) + b"Z" * fill
    archive.writestr(member, data)


# --- the pickle, protocol 2; see pickletools for the instructions

_PROTO, _STOP, _MARK, _REDUCE, _EMPTY_TUPLE = b"\x80\x02", b".", b"(", b"R", b")"
_TUPLE, _SET_ITEMS, _PERSISTENT, _FALSE = b"t", b"u", b"Q", b"\x89"
_ORDERED = b"ccollections\nOrderedDict\n" + _EMPTY_TUPLE + _REDUCE


def _pickled(values: Mapping[str, tuple[np.ndarray, str]]) -> bytes:
    entries = [
        _text(name) + _tensor(str(number), array, storage)
        for number, (name, (array, storage)) in enumerate(values.items())
    ]
    return b"".join([_PROTO, _ORDERED, _MARK, *entries, _SET_ITEMS, _STOP])


def _tensor(key: str, array: np.ndarray, storage: str) -> bytes:
    """A call of torch's ``_rebuild_tensor_v2``: storage, offset, shape, strides, no gradient, no hooks."""
    identity = _tuple(
        _text("storage"), f"ctorch\n{storage}\n".encode(), _text(key), _text("cpu"), _whole(array.size)
    )
    strides = [step // array.itemsize for step in array.strides]
    arguments = _tuple(
        identity + _PERSISTENT,
        _whole(0),
        _tuple(*map(_whole, array.shape)),
        _tuple(*map(_whole, strides)),
        _FALSE,
        _ORDERED,
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + _REDUCE


def _tuple(*parts: bytes) -> bytes:
    return _MARK + b"".join(parts) + _TUPLE


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data


def _whole(number: int) -> bytes:
    return b"J" + struct.pack("<i", number)

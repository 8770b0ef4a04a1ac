"""Opens what ``torch.save`` writes, without torch and without running anything of it.

Two containers are known: the zip of torch 1.6 and later, and the older plain file (a row of pickles with
the numbers behind). Either gives a tree of plain values with ``TensorRef`` in it; ``state_dicts`` looks
through the tree for state dicts, bare, in a training checkpoint, or inside a pickled module.
"""

from __future__ import annotations

import struct
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from .archive import BROKEN, open_zip
from .inert import Inert, StorageRef, TensorRef, not_a_checkpoint, too_large
from .pickles import LARGEST_PICKLE, PickleReader

#: Numbers of the old container: its magic, its version.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_VERSION = 1001

#: torch's storage classes; bfloat16 has no numpy type and is widened by hand.
_ELEMENTS: dict[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}
_STATE_NAMES = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights")
_DEEPEST = 12
_MOST_VISITED = 20_000
_LONGEST_KEY = 200

StateDict = dict[str, TensorRef]


class _Storages(Protocol):
    def read(self, storage: StorageRef) -> bytes:
        """The bytes of the whole storage."""


class Checkpoint:
    """An open checkpoint: ``root`` is what was saved, ``array`` reads one of its tensors."""

    def __init__(self, root: Any, storages: _Storages) -> None:
        self.root = root
        self._storages = storages

    def array(self, tensor: TensorRef) -> np.ndarray:
        """The numbers of a tensor as a contiguous array: float32 for every kind of float, else int64.

        Raises ``InputRefused`` where the tensor reaches beyond its storage or has a type that a network's
        weights do not have. The caller has judged the shape before (a stride of 0 makes any size of it).
        """
        storage = tensor.storage
        element = _ELEMENTS.get(storage.kind)
        if element is None:
            raise not_a_checkpoint("The file holds numbers of a type that weights do not have.")
        empty = 0 in tensor.shape
        reach = (
            tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
        )
        if not empty and reach > storage.count:
            raise not_a_checkpoint(
                "A tensor in the file reaches beyond the numbers that the file has for it."
            )
        data = self._storages.read(storage)
        size = 2 if element == "bfloat16" else np.dtype(element).itemsize
        if len(data) != storage.numel * size:
            raise not_a_checkpoint("The file has fewer or more numbers for a tensor than it announces.")
        kind = np.dtype("<u2" if element == "bfloat16" else element)
        flat = np.frombuffer(data, dtype=kind)[storage.first : storage.first + storage.count]
        if empty:
            view = np.empty(tensor.shape, dtype=kind)
        else:
            steps = [stride * kind.itemsize for stride in tensor.strides]
            view = np.lib.stride_tricks.as_strided(
                flat[tensor.offset :], tensor.shape, steps, writeable=False
            )
        return _widened(np.ascontiguousarray(view).reshape(tensor.shape), element)


def _widened(values: np.ndarray, element: str) -> np.ndarray:
    if element == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32 if values.dtype.kind == "f" else np.int64)


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Open a file of ``torch.save``. Raises ``InputRefused`` where it is none, broken, or asks for code."""
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        if head.startswith(b"PK"):
            with open_zip(file) as archive:
                yield _from_zip(archive)
        elif head[:1] == b"\x80":
            yield _from_old(file)
        elif head[257:262] == b"ustar":
            raise not_a_checkpoint("The file is a tar archive, as torch wrote before 2017.")
        elif not head:
            raise not_a_checkpoint("The file is empty.")
        elif head[:64].lstrip().lower().startswith((b"<!doc", b"<html", b"<?xml", b"{")):
            raise not_a_checkpoint("The file is a web page or a text, not weights: the download went wrong.")
        else:
            raise not_a_checkpoint("The file is no checkpoint of torch.")


# --- the zip of torch 1.6 and later


class _ZipStorages:
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive = archive
        self._folder = folder

    def read(self, storage: StorageRef) -> bytes:
        return _member(self._archive, f"{self._folder}data/{storage.key}")


def _member(archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise not_a_checkpoint("A part of the file that it refers to is missing from it.") from error
    # torch stores without compression, so no member can be larger than the file that holds it.
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise not_a_checkpoint("The file's parts are compressed or encrypted, which torch.save does not do.")
    if limit is not None and info.file_size > limit:
        raise too_large(f"The file's pickle has {info.file_size} bytes.")
    try:
        return archive.read(info)
    except (RuntimeError, *BROKEN) as error:
        raise not_a_checkpoint("The file is damaged: a part of it cannot be read back.") from error


def _from_zip(archive: zipfile.ZipFile) -> Checkpoint:
    pickles = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise not_a_checkpoint("The file is a zip archive, but not one that torch.save wrote.")
    folder = pickles[0][: -len("data.pkl")]
    names = set(archive.namelist())
    if f"{folder}constants.pkl" in names:
        raise not_a_checkpoint(
            "The file is a TorchScript program (torch.jit.save), which is code by its nature."
        )
    if f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder", 64) != b"little":
        raise not_a_checkpoint("The file was written on a big-endian machine.")
    root = PickleReader(_member(archive, pickles[0], LARGEST_PICKLE)).read()
    return Checkpoint(root, _ZipStorages(archive, folder))


# --- the older file


class _OldStorages:
    def __init__(self, file: BinaryIO, places: dict[str, tuple[int, int]]) -> None:
        self._file = file
        self._places = places

    def read(self, storage: StorageRef) -> bytes:
        if storage.key not in self._places:
            raise not_a_checkpoint("A part of the file that it refers to is missing from it.")
        start, length = self._places[storage.key]
        self._file.seek(start)
        return self._file.read(length)


def _from_old(file: BinaryIO) -> Checkpoint:
    data = file.read(LARGEST_PICKLE)
    values: list[Any] = []
    end = 0
    storages: dict[str, StorageRef] = {}
    for _ in range(5):  # magic, version, the writing machine, what was saved, keys of the storages
        reader = PickleReader(data, end)
        values.append(reader.read())
        end = reader.end
        storages.update(reader.storages)
        if len(values) == 1 and values[0] != _OLD_MAGIC:
            raise not_a_checkpoint("The file is a pickle, but not one that torch.save wrote.")
    _magic, version, machine, root, keys = values
    if version != _OLD_VERSION:
        raise not_a_checkpoint("The file is of a version of torch.save that is not known.")
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise not_a_checkpoint("The file was written on a big-endian machine.")
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in storages for key in keys):
        raise not_a_checkpoint("The file's list of its numbers is broken.")
    return Checkpoint(root, _OldStorages(file, _old_places(file, end, [storages[key] for key in keys])))


def _old_places(file: BinaryIO, start: int, storages: list[StorageRef]) -> dict[str, tuple[int, int]]:
    """Where each storage lies: before each, its count as a 64-bit number."""
    size = file.seek(0, 2)
    places = {}
    for storage in storages:
        file.seek(start)
        head = file.read(8)
        element = _ELEMENTS.get(storage.kind)
        if element is None:
            raise not_a_checkpoint("The file holds numbers of a type that weights do not have.")
        length = storage.numel * (2 if element == "bfloat16" else np.dtype(element).itemsize)
        if len(head) < 8 or struct.unpack("<q", head)[0] != storage.numel or start + 8 + length > size:
            raise not_a_checkpoint("The file breaks off: some of its numbers are missing.")
        places[storage.key] = (start + 8, length)
        start += 8 + length
    return places


# --- state dicts inside


def state_dicts(root: Any) -> list[StateDict]:
    """All state dicts in what was saved, the likeliest first; a pickled module counts as one.

    Looks through dicts and modules at most 12 levels deep and 20 000 values far; the names that training
    scripts commonly use come before others.
    """
    found: list[StateDict] = []
    waiting: deque[tuple[Any, int]] = deque([(root, 0)])
    seen: set[int] = set()
    visits = iter(range(_MOST_VISITED))
    while waiting and next(visits, None) is not None:
        value, depth = waiting.popleft()
        if id(value) in seen or depth > _DEEPEST:
            continue
        seen.add(id(value))
        if isinstance(value, Inert):
            tensors = _of_module(value, visits)
            if tensors:
                found.append(tensors)
                continue
            value = {**value.state, **value.items}
        if not isinstance(value, dict):
            continue
        tensors = {key: item for key, item in value.items() if _is_entry(key, item)}
        if tensors and len(tensors) * 2 > len(value):
            found.append(tensors)
            continue
        likely = [value[name] for name in _STATE_NAMES if name in value]
        waiting.extend((item, depth + 1) for item in [*likely, *value.values()])
    return found


def _of_module(module: Inert, visits: Iterator[int]) -> StateDict:
    """The state dict of a pickled ``torch.nn.Module``: its tensors, named by the path of attributes."""
    tensors: StateDict = {}
    waiting: deque[tuple[str, Any, int]] = deque([("", module, 0)])
    while waiting and next(visits, None) is not None:
        prefix, part, depth = waiting.popleft()
        if not isinstance(part, Inert) or depth > _DEEPEST:
            continue
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(part.state.get(kind)):
                if _is_entry(name, value) and next(visits, None) is not None:
                    tensors[f"{prefix}{name}"] = value
        for name, child in _entries(part.state.get("_modules")):
            if isinstance(name, str) and len(name) <= _LONGEST_KEY:
                waiting.append((f"{prefix}{name}.", child, depth + 1))
    return tensors


def _entries(values: Any) -> Iterable[tuple[Any, Any]]:
    return values.items() if isinstance(values, dict) else ()


def _is_entry(name: Any, value: Any) -> bool:
    return isinstance(name, str) and len(name) <= _LONGEST_KEY and isinstance(value, TensorRef)

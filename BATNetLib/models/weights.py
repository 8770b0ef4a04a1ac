"""Files of weights on disk: hash, read, write, judge. numpy only, no torch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..errors import InputRefused, OutputRefused
from ..workfiles import registered, whole_file
from .architectures import Architecture, differences, is_counter, recognise
from .inert import not_a_checkpoint, too_large

#: Larger files are none of these networks (the larger one has 127 MB).
LARGEST_FILE = 2 * 1024**3
_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "<u1"}

Arrays = dict[str, np.ndarray]


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_safetensors(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a safetensors file: a length, then a JSON object."""
    return len(head) > 8 and head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 100_000_000


def read_safetensors(data: bytes) -> Arrays:
    """The tensors of a safetensors file: float32 for every kind of float, int64 for whole numbers.

    Raises ``InputRefused`` ``checkpoint-unreadable`` where it is broken off, damaged or of other types.
    """
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
    except (SafetensorError, ValueError, OverflowError) as error:
        raise not_a_checkpoint(
            "The file is no whole safetensors file: it is broken off or damaged."
        ) from error
    arrays: Arrays = {}
    for name, entry in entries:
        kind = _KINDS.get(entry["dtype"])
        if kind is None:
            raise not_a_checkpoint("The file holds numbers of a type that weights do not have.")
        values = np.frombuffer(entry["data"], dtype=kind).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = values.astype(np.float32 if values.dtype.kind == "f" else np.int64, copy=False)
    return arrays


def read_limited(path: Path) -> bytes:
    """The whole file. Raises ``InputRefused`` where it is missing, a folder, or absurdly large."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise too_large(f"{path.name} has {path.stat().st_size / 1e9:.1f} GB.")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path) from error


def unreadable(path: Path) -> InputRefused:
    missing = not path.exists()
    return InputRefused(
        "file-missing" if missing else "file-unreadable",
        f"{path.name} {'does not exist' if missing else 'cannot be read'}.",
        "A file of weights is wanted.",
        "Check the path and the permission to read it.",
    )


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Write tensors to ``path``, whole or not at all; returns the SHA-256 of the file.

    The same tensors give the same file to the byte. Raises ``OutputRefused`` where it cannot be written.
    """
    from safetensors.numpy import save

    # One entry of metadata only: the order of several is not fixed, and the hash would not be either.
    # ascontiguousarray gives numbers without dimensions one; the shape is put back.
    whole = {key: np.ascontiguousarray(value).reshape(value.shape) for key, value in arrays.items()}
    data = save(whole, {"format": "pt"})
    write_whole(path, data)
    return sha256_of(data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises ``OutputRefused`` where it cannot be written."""
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except (OutputRefused, OSError) as error:
        raise cannot_write(path, error) from error


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder beside the models that is gone afterwards, even when the run has to end at once."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".work-", dir=parent))
    except OSError as error:
        raise cannot_write(parent / "models", error) from error
    _sweep(parent)
    with registered(made):
        yield made


def _sweep(parent: Path) -> None:
    """Remove what a run that was killed left here; a day is longer than any run of now takes."""
    for place in parent.glob(".work-*"):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > 86_400:
                shutil.rmtree(place)


def cannot_write(path: Path, error: Exception | None = None) -> OutputRefused:
    full = getattr(error, "errno", None) == errno.ENOSPC or getattr(error, "code", None) == "disk-full"
    return OutputRefused(
        "disk-full" if full else "models-unwritable",
        f"The disk filled up while {path.name} was written."
        if full
        else f"{path.name} cannot be written to the folder of models.",
        "A folder with room, in which files can be made, is wanted.",
        "Free some room or set BATNET_HOME to another folder; 'batnet models where' names the one in use.",
    )


def judge(arrays: Mapping[str, np.ndarray]) -> tuple[Architecture, int, str | None]:
    """Architecture and width of tensors, and in words what keeps them from being it (None: nothing).

    Raises ``InputRefused`` ``not-this-network`` where they belong to no network of this program.
    """
    shapes = {key: value.shape for key, value in arrays.items()}
    known = recognise(shapes)
    if known is None:
        raise not_this_network(arrays)
    architecture, width = known
    found = differences(shapes, architecture.name, width)
    return architecture, width, found.in_words() if found else first_unusable(arrays)


def not_this_network(tensors: object) -> InputRefused:
    """The refusal of a file whose ``tensors`` (a collection) are of no network of this program."""
    return InputRefused(
        "not-this-network",
        "The file holds weights, but of neither of the two networks."
        if tensors
        else "The file holds no tensors at all.",
        "Weights of MG-ATSeg (MAMUNet) or CE-BATCls (CEBATCls) are wanted.",
        "Check that the right file was chosen; 'batnet models list' names the models.",
    )


def first_unusable(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Names the first tensor with numbers no network can compute with, None when there is none."""
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            what = "not a number" if np.isnan(values).any() else "infinite"
            return f"the tensor {key} holds a value that is {what}"
        if key.endswith("running_var") and (values < 0).any():
            return f"the tensor {key} holds a negative variance"
        if is_counter(key) != (values.dtype.kind != "f"):
            return f"the tensor {key} is of another type of number"
    return None

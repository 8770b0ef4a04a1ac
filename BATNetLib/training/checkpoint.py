"""The state of a training on disk: whole or not at all, checked by its hash, read without running anything.

``checkpoint/last.pt`` with ``last.pt.sha256`` beside. A new state is written under another name and takes
the place of the last one when it is complete; killed at any moment, one whole state is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputRefused
from ..workfiles import output_errors
from .runfolder import CHECKPOINTS

SCHEMA_VERSION = 1
LAST, NEXT, FORMER = "last.pt", "next.pt", "former.pt"


def save(run: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, texts, lists, dictionaries) as the last state of the run.

    Raises ``OutputRefused`` (such as "disk-full"); the former state then stays.
    """
    folder = run / CHECKPOINTS
    # Into memory first: writing to a full disk, torch fails in words of its own, and the hash is at hand.
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA_VERSION, **state}, buffer)
    data = buffer.getbuffer()
    digest = hashlib.sha256(data).hexdigest()
    with output_errors(run.name):
        folder.mkdir(exist_ok=True)
        try:
            _write(folder / NEXT, data)
            _write(_hash_of(folder / NEXT), digest.encode())
        except OSError:
            _remove(folder / NEXT)
            raise
        for old, new in ((LAST, FORMER), (NEXT, LAST)):
            for path, target in (
                (folder / old, folder / new),
                (_hash_of(folder / old), _hash_of(folder / new)),
            ):
                if path.exists():
                    path.replace(target)
        _remove(folder / FORMER)


def load(run: Path) -> dict[str, Any] | None:
    """The last whole state on the CPU, or None where none was saved yet.

    Raises ``InputRefused`` ("checkpoint-damaged") where there are states and none is whole.
    """
    folder = run / CHECKPOINTS
    there = [folder / name for name in (NEXT, LAST, FORMER) if (folder / name).is_file()]
    for path in there:
        state = _read(path)
        if state is not None:
            return state
    if there:
        raise InputRefused(
            "checkpoint-damaged",
            "The saved state of the training is damaged: its hash is another one.",
            "It must be as it was written.",
            f"Start again from the weights, with --start-from and best.safetensors of '{run.name}'.",
        )
    return None


def exists(run: Path) -> bool:
    """Whether a state was saved."""
    return any((run / CHECKPOINTS / name).is_file() for name in (LAST, NEXT, FORMER))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
        known = _hash_of(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    if hashlib.sha256(data).hexdigest() != known:
        return None
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state if isinstance(state, dict) and state.get("schema") == SCHEMA_VERSION else None


def _write(path: Path, data: Any) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _hash_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _remove(path: Path) -> None:
    for each in (path, _hash_of(path)):
        with contextlib.suppress(OSError):
            each.unlink()


# --- random states


def seed_everything(seed: int) -> None:
    """Begin all global random generators of this process at ``seed``."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def random_states() -> dict[str, Any]:
    """States of all global random generators of this process, as plain values and tensors."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
        "python": [version, list(words), gauss],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put the global random generators back where ``random_states`` found them."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))

"""Reads a file of weights that anybody wrote, without running any of it, and only if it is whole.

Takes a state dict, a pickled module or a pickled DataParallel of torch, a training checkpoint that holds
one, or a safetensors file. Keys and shapes are compared with those of the two networks, from the file's
table of contents, before its numbers are read. Needs numpy, not torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from ..errors import InputRefused
from ..events import Events
from .architectures import ARCHITECTURES, Differences, Shape, differences, is_counter, recognise
from .checkpoints import open_checkpoint, state_dicts
from .inert import too_large
from .weights import (
    LARGEST_FILE,
    Arrays,
    file_sha256,
    first_unusable,
    is_safetensors,
    not_this_network,
    read_limited,
    read_safetensors,
    unreadable,
)

#: Words that wrappers put before every key (DataParallel, torch.compile, a training loop's attribute).
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")


class _Shaped(Protocol):
    @property
    def shape(self) -> Shape: ...


T = TypeVar("T", bound=_Shaped)


@dataclass(frozen=True)
class Weights:
    """Tensors of one network, checked: complete, of the right shapes, finite."""

    architecture: str
    stage: str
    width: int
    arrays: Arrays
    source_sha256: str
    filled_in: tuple[str, ...] = ()


def read_weights(path: Path, stage: str | None = None, events: Events | None = None) -> Weights:
    """Read and check a file of weights (not an archive of several).

    Raises ``InputRefused``: ``file-missing``, ``checkpoint-unreadable``, ``checkpoint-too-large``,
    ``checkpoint-runs-code``, ``not-this-network``, ``weights-differ`` (names tensors missing, superfluous or
    of another shape), ``weights-not-finite``, ``wrong-stage`` where ``stage`` is given and is another.
    """
    events = events or Events()
    with events.stage("read weights"):
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise too_large(f"{path.name} has {path.stat().st_size / 1e9:.1f} GB.")
            with path.open("rb") as file:
                head = file.read(64)
            digest = file_sha256(path)
        except OSError as error:
            raise unreadable(path) from error
        events.check()
        if is_safetensors(head):
            arrays = read_safetensors(read_limited(path))
            architecture, width, chosen = _choose([_unwrapped(arrays)])
            _check_stage(path, architecture, stage)
            tensors = dict(chosen)
        else:
            with open_checkpoint(path) as checkpoint:
                found = [_unwrapped(state) for state in state_dicts(checkpoint.root)]
                architecture, width, chosen_refs = _choose(found)
                _check_stage(path, architecture, stage)
                tensors = {}
                for key, ref in chosen_refs.items():
                    events.check()
                    tensors[key] = checkpoint.array(ref)
    filled = _fill_counters(tensors, architecture, width)
    complaint = first_unusable(tensors)
    if complaint:
        raise InputRefused(
            "weights-not-finite",
            f"{path.name} cannot be used: {complaint}.",
            "Finite numbers in every tensor are wanted.",
            "Take an earlier checkpoint of the training, or get the file again from its source.",
        )
    return Weights(architecture, ARCHITECTURES[architecture].stage, width, tensors, digest, filled)


# --- choosing among what a file holds


def _unwrapped(state: Mapping[str, T]) -> dict[str, T]:
    """The state dict without what a wrapper put before every key."""
    found = dict(state)
    for _ in range(4):
        if recognise({key: value.shape for key, value in found.items()}):
            break
        wrapper = next((w for w in _WRAPPERS if found and all(key.startswith(w) for key in found)), None)
        if wrapper is None:
            break
        found = {key[len(wrapper) :]: value for key, value in found.items()}
    return found


def _choose(states: list[dict[str, T]]) -> tuple[str, int, dict[str, T]]:
    """The first state dict that is exactly one of the networks; else says what is wrong with the nearest."""
    nearest: tuple[int, str, int, Differences] | None = None
    for state in states:
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        known = recognise(shapes)
        if known is None:
            continue
        architecture, width = known
        found = differences(shapes, architecture.name, width)
        # Batch normalisation before torch 0.4.1 did not count its batches; no result depends on the count.
        missing = tuple(key for key in found.missing if not is_counter(key))
        serious = Differences(missing, found.extra, found.wrong_shape)
        if not serious:
            return architecture.name, width, state
        weight = len(serious.missing) + len(serious.extra) + len(serious.wrong_shape)
        if nearest is None or weight < nearest[0]:
            nearest = weight, architecture.name, width, serious
    if nearest is None:
        raise not_this_network([state for state in states if state])
    _weight, name, width, serious = nearest
    raise InputRefused(
        "weights-differ",
        f"The file is not a whole {name} of width {width}: {serious.in_words()}.",
        "Exactly the tensors of the network are wanted, in their shapes.",
        "Check which version of the network it was trained with.",
    )


def _check_stage(path: Path, architecture: str, stage: str | None) -> None:
    found = ARCHITECTURES[architecture].stage
    if stage not in (None, found):
        raise InputRefused(
            "wrong-stage",
            f"{path.name} holds weights of the {found} stage ({architecture}).",
            f"Weights of the {stage} stage are wanted.",
            f"Choose the other file, or import it with --stage {found}.",
        )


def _fill_counters(arrays: Arrays, architecture: str, width: int) -> tuple[str, ...]:
    wanted = differences({key: value.shape for key, value in arrays.items()}, architecture, width).missing
    for key in wanted:
        arrays[key] = np.zeros((), np.int64)
    return wanted

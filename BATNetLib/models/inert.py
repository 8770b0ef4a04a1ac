"""What a stranger's pickle is turned into: plain records that can do nothing, and the refusals around it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputRefused
from .printable import printable

#: Standard library modules whose objects are plain data in a checkpoint. Any other says that the file wants
#: something run; nothing runs here, and the file is refused so that nobody opens it elsewhere.
_DATA_MODULES = frozenset(
    {
        "_codecs",
        "argparse",
        "array",
        "collections",
        "copy_reg",
        "copyreg",
        "datetime",
        "decimal",
        "enum",
        "fractions",
        "pathlib",
        "types",
        "uuid",
    }
)
_DATA_BUILTINS = frozenset(
    kind.__name__
    for kind in (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, range, set, str)
)
_BUILTINS = frozenset({"builtins", "__builtin__"})
_PYTHON_2_MODULES = frozenset({"commands", "copy_reg", "urllib2", "thread"})


@dataclass(frozen=True)
class Global:
    """The name of a class or function that the file refers to; the thing itself is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Inert:
    """What stands for an object of a class that is not ours: its class name and its recorded state."""

    of: Global | None
    state: dict[Any, Any] = field(default_factory=dict)
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StorageRef:
    """A run of ``count`` numbers, from number ``first`` on, in the storage ``key`` of ``numel`` numbers."""

    key: str
    kind: str
    numel: int
    first: int
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor as the file describes it: a strided view of a storage; offset and strides in elements."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def not_a_checkpoint(found: str, code: str = "checkpoint-unreadable") -> InputRefused:
    return InputRefused(
        code,
        found,
        "A file of weights is wanted, written by torch.save (.pth, .pt) or as .safetensors.",
        "Download or export it again, and check its size against the source.",
    )


def too_large(found: str) -> InputRefused:
    return InputRefused(
        "checkpoint-too-large",
        found,
        "The weights of the two networks have 127 MB and 22 MB.",
        "Save the state dict alone (torch.save(network.state_dict(), ...)) and import that.",
    )


def refuse_code(named: Global) -> None:
    """Refuse a file that names a function of Python itself that has no place among weights."""
    package = named.module.split(".", 1)[0]
    if package in _BUILTINS:
        harmless = named.name in _DATA_BUILTINS
    else:
        of_python = package in sys.stdlib_module_names or package in _PYTHON_2_MODULES
        harmless = not of_python or package in _DATA_MODULES
    if harmless:
        return
    raise InputRefused(
        "checkpoint-runs-code",
        f"The file asks to use {printable(named, 80)}, which has no place in a file of weights. "
        "Nothing of it was run.",
        "A file that holds tensors and names only is wanted.",
        "Do not open this file with other programs. Get the weights from their source; of a training of your "
        "own, save the state dict alone (torch.save(network.state_dict(), ...)).",
    )

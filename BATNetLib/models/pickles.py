"""Reads a pickle without being able to run anything of it.

Python's own unpickler is a small machine whose instructions call functions; whoever writes the file
chooses them. Forbidding some leaves the machine in place, and torch's restricted loader was broken
twice that way (CVE-2025-32434, CVE-2026-24747). This reader has no instruction that calls, imports or sets
an attribute: a call in the file becomes a record of what would have been called (``Inert``), and the few
calls that mean a tensor become a description of it (``TensorRef``), still without a number read.
Lists, dicts, tuples, text and numbers are built as they are.

It knows the binary instructions of protocols 2 to 5, which are those ``torch.save`` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..errors import InputRefused
from .inert import Global, Inert, StorageRef, TensorRef, not_a_checkpoint, refuse_code, too_large

#: A checkpoint's pickle holds names and shapes, not numbers: 19 kB for the larger of the two networks, 35 kB
#: when the module itself was saved.
LARGEST_PICKLE = 8 * 1024 * 1024
#: Instructions after which a pickle is no table of contents any more (that of the saved module: 14 477).
MOST_INSTRUCTIONS = 1_000_000
#: Whole numbers of more bytes than this stand for nothing in a checkpoint.
_LONGEST_NUMBER = 64
_LONGEST_NAME = 1024
#: Dimensions of a tensor, and members of a storage's identity.
_MOST_DIMENSIONS = 16


class _Mark:
    """Marks where the arguments of a collecting instruction begin on the stack."""


_MARK = _Mark()


class PickleReader:
    """One pickle in ``data`` from ``start`` on. ``read`` returns its value; ``end`` is where it stopped.

    Raises ``InputRefused``: ``checkpoint-unreadable`` where it breaks off or is none,
    ``checkpoint-too-large`` past the limits above, ``checkpoint-runs-code`` where it names a function of the
    standard library that has no place in a file of weights.
    """

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self.end = start
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0
        self.storages: dict[str, StorageRef] = {}

    def read(self) -> Any:
        steps = _STEPS
        try:
            for _ in range(MOST_INSTRUCTIONS):
                code = self._take(1)[0]
                if code == 0x2E:  # STOP
                    return self._pop()
                step = steps.get(code)
                if step is None:
                    raise not_a_checkpoint(
                        f"The file's pickle uses the instruction {code:#04x}, which is none of torch.save."
                    )
                step(self)
        except InputRefused:
            raise
        # Whatever else a broken pickle can provoke in the steps below, all of it means the same.
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise not_a_checkpoint("The file's pickle is broken.") from error
        raise too_large(f"The file's pickle has more than {MOST_INSTRUCTIONS} instructions.")

    # --- bytes
    def _take(self, count: int) -> bytes:
        start, self.end = self.end, self.end + count
        if self.end > len(self._data):
            raise not_a_checkpoint("The file's pickle breaks off before its end.")
        return self._data[start : self.end]

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        stop = self._data.find(b"\n", self.end, self.end + 1024)
        if stop < 0:
            raise not_a_checkpoint("The file's pickle has an endless name.")
        text = self._take(stop - self.end)
        self.end += 1
        return text.decode("utf-8")

    # --- stack
    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def _pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        values.reverse()
        return values

    def _top(self) -> Any:
        value = self._stack[-1]
        if value is _MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top()

    def _spend(self, entries: int) -> None:
        """Count what is copied: a file that copies one long list over and over would fill the memory."""
        self._copied += entries
        if self._copied > MOST_INSTRUCTIONS:
            raise too_large("The file's pickle copies its own lists without end.")

    # --- objects
    def _name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is no text")
        if len(module) + len(name) > _LONGEST_NAME:
            raise ValueError("a name of absurd length")
        found = Global(module, name)
        refuse_code(found)
        self._push(found)

    def _call(self) -> None:
        arguments = self._pop()
        self._push(self._meaning(self._pop(), arguments))

    def _meaning(self, function: Any, arguments: Any, depth: int = 0) -> Any:
        """What a call would have made: a tensor's description, an ordered dict, else an inert record."""
        if not isinstance(function, Global):
            return Inert(None)
        if function.module == "torch._utils" and isinstance(arguments, tuple):
            if function.name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
                return _tensor(*arguments[:4])
            if function.name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
                return arguments[0]
        if function == Global("torch._tensor", "_rebuild_from_type_v2") and depth == 0:
            inner, _type, inner_arguments = arguments[:3]
            return self._meaning(inner, inner_arguments, depth=1)
        if function == Global("collections", "OrderedDict"):
            pairs = arguments[0] if arguments else ()
            if not isinstance(pairs, (list, tuple)):
                return {}
            self._spend(len(pairs))
            return _kept(pairs)
        if function == Global("torch", "Size") and arguments and isinstance(arguments[0], tuple):
            return arguments[0]
        return Inert(function)

    def _make(self) -> None:
        self._pop()
        made = self._pop()
        self._push(Inert(made if isinstance(made, Global) else None))

    def _make_with_keywords(self) -> None:
        self._pop()
        self._make()

    def _set_state(self) -> None:
        state = self._pop()
        owner = self._top()
        if isinstance(state, tuple) and state:
            state = state[0]
        if isinstance(owner, Inert) and isinstance(state, dict):
            self._spend(len(state))
            owner.state.update(state)

    def _set_items(self, values: list[Any]) -> None:
        owner = self._top()
        target = owner if isinstance(owner, dict) else owner.items if isinstance(owner, Inert) else None
        if target is not None:
            target.update(_kept(zip(values[::2], values[1::2], strict=True)))

    def _append(self, values: list[Any]) -> None:
        owner = self._top()
        if isinstance(owner, list):
            owner.extend(values)

    def _persistent(self) -> None:
        self._push(self._storage(self._pop()))

    def _storage(self, identity: Any) -> Any:
        """torch's persistent ids: ("storage", type, key, device, count[, view]) or ("module", class, ...)."""
        if not isinstance(identity, tuple) or not 0 < len(identity) <= _MOST_DIMENSIONS:
            return Inert(None)
        if identity[0] == "module" and len(identity) > 1:
            return identity[1]
        if identity[0] != "storage" or len(identity) < 5:
            return Inert(None)
        _word, kind, key, _device, numel, *view = identity
        if not isinstance(kind, Global) or not isinstance(key, str) or not _is_count(numel):
            raise TypeError("a storage of no known form")
        first, count = 0, numel
        if view and view[0] is not None:
            _view_key, first, count = view[0]
            if not (_is_count(first) and _is_count(count) and first + count <= numel):
                raise ValueError("a view beyond its storage")
        whole = StorageRef(key, kind.name, numel, 0, numel)
        if self.storages.setdefault(key, whole) != whole:
            raise ValueError("one storage told of in two ways")
        return StorageRef(key, kind.name, numel, first, count)

    def _long(self, length: int) -> None:
        if not 0 <= length <= _LONGEST_NUMBER:
            raise not_a_checkpoint("The file's pickle has a number of absurd length.")
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    def _text(self, length: int) -> None:
        # Python writes lone surrogates with this error handler; they occur in names of files.
        self._push(self._take(length).decode("utf-8", "surrogatepass"))

    def _old_text(self, length: int) -> None:
        # Text as Python 2 wrote it.
        self._push(self._take(length).decode("latin-1"))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _kept(pairs: Any) -> dict[Any, Any]:
    """The pairs whose key is text or a small number.

    Hashing a deeply nested tuple would exhaust the C stack, and large numbers can be chosen to collide.
    """
    return {key: value for key, value in pairs if type(key) is str or (type(key) is int and abs(key) < 2**31)}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorRef | Inert:
    if not isinstance(storage, StorageRef):
        return Inert(None)
    if not len(shape) == len(strides) <= _MOST_DIMENSIONS:
        raise ValueError("a tensor of no known form")
    if not all(_is_count(value) for value in (offset, *shape, *strides)):
        raise ValueError("a tensor of no known form")
    return TensorRef(storage, offset, tuple(shape), tuple(strides))


def _stack_global(reader: PickleReader) -> None:
    name, module = reader._pop(), reader._pop()
    reader._name(module, name)


def _frozen(reader: PickleReader) -> None:
    # Members may be unhashable records; a set has no part in a state dict.
    reader._pop_to_mark()
    reader._push(Inert(Global("builtins", "frozenset")))


def _tuple_of(count: int) -> Callable[[PickleReader], None]:
    def step(reader: PickleReader) -> None:
        reader._push(tuple(reversed([reader._pop() for _ in range(count)])))

    return step


def _pop_top(reader: PickleReader) -> None:
    reader._stack.pop()


_Step = Callable[[PickleReader], Any]

#: Instruction -> what it does. What is not here is refused: the calling forms of old protocols (INST, OBJ),
#: the extension registry, text numbers and buffers from outside.
_STEPS: dict[int, _Step] = {
    0x80: lambda r: r._take(1),  # PROTO
    0x95: lambda r: r._take(8),  # FRAME
    ord("("): lambda r: r._push(_MARK),
    ord("N"): lambda r: r._push(None),
    0x88: lambda r: r._push(True),
    0x89: lambda r: r._push(False),
    ord("J"): lambda r: r._push(r._number("<i")),
    ord("K"): lambda r: r._push(r._number("<B")),
    ord("M"): lambda r: r._push(r._number("<H")),
    ord("G"): lambda r: r._push(r._number(">d")),
    0x8A: lambda r: r._long(r._number("<B")),
    0x8B: lambda r: r._long(r._number("<i")),
    ord("X"): lambda r: r._text(r._number("<I")),
    0x8C: lambda r: r._text(r._number("<B")),
    0x8D: lambda r: r._text(r._number("<Q")),
    ord("U"): lambda r: r._old_text(r._number("<B")),
    ord("T"): lambda r: r._old_text(r._number("<I")),
    ord("C"): lambda r: r._push(r._take(r._number("<B"))),
    ord("B"): lambda r: r._push(r._take(r._number("<I"))),
    0x8E: lambda r: r._push(r._take(r._number("<Q"))),
    ord("]"): lambda r: r._push([]),
    ord("}"): lambda r: r._push({}),
    ord(")"): lambda r: r._push(()),
    0x8F: lambda r: r._push(Inert(Global("builtins", "set"))),
    0x90: lambda r: r._pop_to_mark(),  # ADDITEMS: members of a set are of no interest
    0x91: _frozen,
    ord("t"): lambda r: r._push(tuple(r._pop_to_mark())),
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    ord("a"): lambda r: r._append([r._pop()]),
    ord("e"): lambda r: r._append(r._pop_to_mark()),
    ord("s"): lambda r: r._set_items(list(reversed([r._pop(), r._pop()]))),
    ord("u"): lambda r: r._set_items(r._pop_to_mark()),
    ord("q"): lambda r: r._remember(r._number("<B")),
    ord("r"): lambda r: r._remember(r._number("<I")),
    0x94: lambda r: r._remember(len(r._memo)),
    ord("h"): lambda r: r._push(r._memo[r._number("<B")]),
    ord("j"): lambda r: r._push(r._memo[r._number("<I")]),
    ord("c"): lambda r: r._name(r._line(), r._line()),
    0x93: _stack_global,
    ord("R"): lambda r: r._call(),
    0x81: lambda r: r._make(),
    0x92: lambda r: r._make_with_keywords(),
    ord("b"): lambda r: r._set_state(),
    ord("Q"): lambda r: r._persistent(),
    ord("0"): _pop_top,
    ord("1"): lambda r: r._pop_to_mark(),
    ord("2"): lambda r: r._push(r._top()),
}

"""Signals as PythonQt offers them: by signature or by name, surplus arguments dropped, nothing swallowed.

An exception in a slot goes to ``sys.excepthook``, where the tests pick it up.
"""

from __future__ import annotations

import functools
import inspect
import sys

import shiboken6
from PySide6 import QtCore

_raw_get = QtCore.QObject.__getattribute__
_connect = QtCore.QObject.connect
_disconnect = QtCore.QObject.disconnect

# (address of the sender) -> list of (signal name, signature or None, callable, connection)
_connections: dict[int, list[tuple[str, str | None, object, object]]] = {}


def positional_limit(slot) -> int | None:
    """How many positional arguments ``slot`` takes at most; None where there is no limit."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def receiver(slot, given: int | None):
    """A callable for PySide6 that passes at most ``given`` arguments and no more than ``slot`` takes."""
    if isinstance(slot, BoundSignal):
        slot = slot.emit
    if not callable(slot):
        raise TypeError(f"{slot!r} is not callable and cannot be connected")
    if inspect.isbuiltin(slot) and isinstance(getattr(slot, "__self__", None), QtCore.QObject):
        return slot  # a slot of Qt: Qt itself drops what it does not take
    limits = [n for n in (positional_limit(slot), given) if n is not None]
    limit = min(limits) if limits else None

    def call(*args):
        try:
            slot(*(args if limit is None else args[:limit]))
        except Exception:
            sys.excepthook(*sys.exc_info())

    return call


def _remember(sender, name, signature, slot, connection) -> bool:
    if not connection:
        raise RuntimeError(f"could not connect {signature or name} of {type(sender).__name__}")
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections:
        _connections[address] = []
        _raw_get(sender, "destroyed").connect(functools.partial(_connections.pop, address, None))
    _connections[address].append((name, signature, slot, connection))
    return True


def first_signature(sender, name: str) -> str | None:
    """The signature that PythonQt means by a bare name: the first one declared; None where Qt has none."""
    meta = _raw_get(sender, "metaObject")()
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.Signal and bytes(method.name().data()).decode() == name:
            return bytes(method.methodSignature().data()).decode()
    return None


def signal_of(sender, signature: str):
    """(name, exact Qt signature or None for a signal of a stand-in, number of arguments)."""
    normal = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    name, _, arguments = normal.partition("(")
    arguments = arguments.removesuffix(")")
    count = arguments.count(",") + 1 if arguments else 0
    if normal in getattr(type(sender), "SIGNATURES", ()):
        return name, None, count
    meta = _raw_get(sender, "metaObject")()
    if meta.indexOfSignal(normal) < 0 or not hasattr(sender, name):
        raise AttributeError(
            f"{type(sender).__name__} has no signal '{signature}' in the Qt that Slicer uses"
        )
    return name, normal, count


def connect(sender, signature: str, slot) -> bool:
    """``sender.connect('clicked(bool)', slot)``."""
    name, normal, count = signal_of(sender, signature)
    if normal is None:
        connection = _raw_get(sender, name).connect(receiver(slot, count))
    else:
        connection = _connect(sender, QtCore.SIGNAL(normal), receiver(slot, count))
    return _remember(sender, name, signature, slot, connection)


def disconnect(sender, signature: str | None = None, slot=None) -> bool:
    """Undo ``connect``; without ``slot`` all of that signal, without a signature all of this sender."""
    name = signal_of(sender, signature)[0] if signature else None
    return _forget(sender, name, slot)


def _forget(sender, name, slot) -> bool:
    listed = _connections.get(shiboken6.getCppPointer(sender)[0], [])
    chosen = [c for c in listed if (name is None or c[0] == name) and (slot is None or c[2] == slot)]
    for entry in chosen:
        listed.remove(entry)
        _disconnect(entry[3])
    return bool(chosen)


class BoundSignal:
    """``button.clicked``: connect, disconnect, emit; calling it emits, as in PythonQt."""

    def __init__(self, sender, name: str, signal) -> None:
        self._sender = sender
        self._name = name
        self._signal = signal

    def connect(self, slot) -> bool:
        # PySide6 would choose among overloads by what the slot takes; PythonQt takes the first declared.
        signature = first_signature(self._sender, self._name)
        if "PyObject" in signature:
            connection = self._signal.connect(receiver(slot, None))
        else:
            connection = _connect(self._sender, QtCore.SIGNAL(signature), receiver(slot, None))
        return _remember(self._sender, self._name, None, slot, connection)

    def disconnect(self, slot=None) -> bool:
        return _forget(self._sender, self._name, slot)

    def emit(self, *args) -> None:
        self._signal.emit(*args)

    __call__ = emit

"""Gives PySide6 the manners of PythonQt, the Qt binding inside Slicer.

In PythonQt a Qt property is a value (``label.text``, ``button.checked = True``) while its setter stays a
method; signals are connected by signature (``button.connect('clicked(bool)', f)``) or by name; surplus
arguments of a signal are dropped; an attribute that Qt does not know cannot be set. ``adopt`` changes the
PySide6 classes in place, so that objects made by anybody (``QUiLoader``, a layout, a stand-in) behave the
same.

What only Qt 6 has is taken away, because Slicer runs on Qt 5.15 (``qt6_only.txt``); what only Qt 5 has does
not exist here in the first place. What passes here uses the common part.
"""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path

import shiboken6
from PySide6 import QtCore

from . import qt_signals

# What PySide6 adds for Python and PythonQt does not have.
PYSIDE_ONLY = {"Signal", "Slot", "Property", "ClassInfo", "QEnum", "QFlag", "SIGNAL", "SLOT", "exec"}

_raw_get = QtCore.QObject.__getattribute__
_raw_set = QtCore.QObject.__setattr__
_raw_getters: dict[type, object] = {}  # classes with a look-up of their own, such as QFile for ``exists``
_traits: dict[type, Traits] = {}
_methods_here: dict[str, set[str]] = {}
_removed: dict[str, set[str]] = {}
_bound: set[type] = set()
_loading_ui = False


def read_table() -> tuple[dict[str, set[str]], set[str]]:
    """``qt6_only.txt`` as (class -> names, whole classes)."""
    per_class, classes = {}, set()
    for line in Path(__file__).with_name("qt6_only.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, _, names = line.partition(": ")
        if kind == "classes":
            classes = set(names.split())
        else:
            per_class[kind] = set(names.split())
    return per_class, classes


class Traits:
    """What the attributes of one class are: Qt properties, or names of a Python subclass."""

    def __init__(self, kind: type) -> None:
        self.is_qobject = issubclass(kind, QtCore.QObject)
        self.get = next((_raw_getters[base] for base in kind.__mro__ if base in _raw_getters), _raw_get)
        self.python_names: set[str] = set()
        self.has_python_part = False
        self.removed: set[str] = set(PYSIDE_ONLY)
        methods: set[str] = set()
        for base in kind.__mro__:
            if base in _bound:
                methods |= _methods_here.get(base.__name__, set())
                self.removed |= _removed.get(base.__name__, set())
            elif base not in (object, shiboken6.Object):
                self.has_python_part = True
                self.python_names.update(vars(base))
        self.properties: set[str] = set()
        if self.is_qobject:
            meta = kind.staticMetaObject
            self.properties = {meta.property(i).name() for i in range(meta.propertyCount())}
            self.properties -= self.python_names | methods


def traits(kind: type) -> Traits:
    known = _traits.get(kind)
    if known is None:
        known = _traits[kind] = Traits(kind)
    return known


def _get(self, name):
    known = traits(type(self))
    if name.startswith("_"):
        return known.get(self, name)
    if name in known.python_names or (known.has_python_part and name in known.get(self, "__dict__")):
        value = known.get(self, name)
        return (
            qt_signals.BoundSignal(self, name, value) if isinstance(value, QtCore.SignalInstance) else value
        )
    if name in known.properties and name not in known.removed:
        return _value(self, name)
    if name == "name":
        return _raw_get(self, "objectName")()
    special = SPECIAL.get(name)
    if special is not None:
        return partial(special, self)
    if name in known.removed:
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' in PythonQt on Qt 5.15")
    value = known.get(self, name)
    return qt_signals.BoundSignal(self, name, value) if isinstance(value, QtCore.SignalInstance) else value


def _value(self, name):
    """Value of a Qt property, through its getter where it has one (typed) and ``property()`` otherwise."""
    for getter in (f"is{name[0].upper()}{name[1:]}", name):
        try:
            found = _raw_get(self, getter)
        except AttributeError:
            continue
        if callable(found) and not isinstance(found, QtCore.SignalInstance):
            return found()
    return _raw_get(self, "property")(name)


def _set(self, name, value):
    known = traits(type(self))
    if name in known.python_names or name.startswith("_") or isinstance(value, QtCore.SignalInstance):
        _raw_set(self, name, value)  # PySide6 itself keeps the signals of a widget from a .ui file there
    elif (name in known.properties and name not in known.removed) or name == "name":
        name = "objectName" if name == "name" else name
        try:
            setter = _raw_get(self, f"set{name[0].upper()}{name[1:]}")
        except AttributeError:
            if not _raw_get(self, "property")(name) == value and not _raw_get(self, "setProperty")(
                name, value
            ):
                raise AttributeError(f"{type(self).__name__}.{name} can only be read") from None
        else:
            setter(value)
    elif known.has_python_part:
        _raw_set(self, name, value)
    elif not _loading_ui:  # QUiLoader hangs every child on its root; PythonQt does not
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' to set")


def _set_value_type(self, name, value):
    if not traits(type(self)).has_python_part and not hasattr(type(self), name):
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' to set")
    shiboken6.Object.__setattr__(self, name, value)


SPECIAL = {
    "connect": qt_signals.connect,
    "disconnect": qt_signals.disconnect,
    "className": lambda self: _raw_get(self, "metaObject")().className(),
    "delete": shiboken6.delete,
}


class loading_ui:
    """While QUiLoader builds widgets, attributes it sets on the root are dropped silently."""

    def __enter__(self):
        global _loading_ui
        _loading_ui = True

    def __exit__(self, *_):
        global _loading_ui
        _loading_ui = False


def adopt(modules) -> dict[str, object]:
    """Change every class of the PySide6 ``modules`` in place; returns the names that belong into ``qt``."""
    per_class, classes = read_table()
    names = {}
    for module in modules:
        for name in dir(module):
            found = getattr(module, name)
            if not isinstance(found, type) or issubclass(found, enum.Enum) or not name.startswith("Q"):
                continue
            _bound.add(found)
            if name not in PYSIDE_ONLY and name not in classes:
                names[name] = found
    for kind in _bound:
        removed = per_class.get(kind.__name__, set())
        _removed[kind.__name__] = {name for name in removed if not name.endswith("()")}
        _methods_here[kind.__name__] = {name.removesuffix("()") for name in removed if name.endswith("()")}
        if "exec" in vars(kind):
            kind.exec_ = vars(kind)["exec"]
        for name in removed:
            found = vars(kind).get(name)
            if callable(found) and not isinstance(found, type):  # PySide6 itself needs the enumerations
                delattr(kind, name)
        if kind is not QtCore.QObject:  # through it the others still reach the original
            kind.__setattr__ = _set if issubclass(kind, QtCore.QObject) else _set_value_type
        if issubclass(kind, QtCore.QObject) and "__getattribute__" in vars(kind):
            _raw_getters[kind] = vars(kind)["__getattribute__"]
            kind.__getattribute__ = _get
    return names

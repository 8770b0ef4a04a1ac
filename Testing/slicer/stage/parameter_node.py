"""``slicer.parameterNodeWrapper``: typed fields over a real vtkMRMLScriptedModuleNode, connected to widgets.

Numbers, texts, truth values, paths, enumerations, nodes (and None or one of several classes), lists and
dictionaries of simple values. Values are stored on the node as Slicer stores them, except lists and
dictionaries (JSON here). Stricter than Slicer: a public attribute that is no parameter cannot be set on the
wrapper. Parameter packs are not supported.
"""

from __future__ import annotations

import enum
import json
import pathlib
import types
import typing
from collections.abc import MutableMapping, MutableSequence

import slicer
import vtk

from .parameter_gui import SlicerParameterNamePropertyName, connector_for

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]


class Default:
    def __init__(self, value) -> None:
        self.value = value


class Decimals(Default):
    """Digits after the point in the connected widget."""


class SingleStep(Default):
    """Step of the connected widget."""


class FloatRange(typing.NamedTuple):
    minimum: float
    maximum: float


class Validator:
    def validate(self, value) -> None:
        if not self.allows(value):
            raise ValueError(f"{value!r} is not allowed: {self!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(v) for v in vars(self).values())})"


class WithinRange(Validator):
    def __init__(self, minimum, maximum) -> None:
        self.minimum, self.maximum = minimum, maximum

    def allows(self, value) -> bool:
        return self.minimum <= value <= self.maximum


class Minimum(Validator):
    def __init__(self, minimum) -> None:
        self.minimum = minimum

    def allows(self, value) -> bool:
        return value >= self.minimum


class Maximum(Validator):
    def __init__(self, maximum) -> None:
        self.maximum = maximum

    def allows(self, value) -> bool:
        return value <= self.maximum


class Choice(Validator):
    def __init__(self, choices) -> None:
        self.choices = list(choices)

    def allows(self, value) -> bool:
        return value in self.choices


class Exclude(Validator):
    def __init__(self, excludedValues) -> None:
        self.excludedValues = excludedValues

    def allows(self, value) -> bool:
        return value not in self.excludedValues


class StoredList(MutableSequence):
    """A list that writes itself back to the node when it is changed."""

    def __init__(self, values, save) -> None:
        self._values, self._save = list(values), save

    def __getitem__(self, index):
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, index, value) -> None:
        self._values[index] = value
        self._save(self._values)

    def __delitem__(self, index) -> None:
        del self._values[index]
        self._save(self._values)

    def insert(self, index, value) -> None:
        self._values.insert(index, value)
        self._save(self._values)

    def __eq__(self, other) -> bool:
        return self._values == list(other)

    def __repr__(self) -> str:
        return repr(self._values)


class StoredDict(MutableMapping):
    """A dictionary that writes itself back to the node when it is changed."""

    def __init__(self, values, save) -> None:
        self._values, self._save = dict(values), save

    def __getitem__(self, key):
        return self._values[key]

    def __iter__(self):
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, key, value) -> None:
        self._values[key] = value
        self._save(self._values)

    def __delitem__(self, key) -> None:
        del self._values[key]
        self._save(self._values)


class Parameter:
    """One field: its type, default, validators, and how it lies on the node."""

    def __init__(self, name, annotation, default) -> None:
        self.name = name
        self.annotation = annotation
        self.annotations = list(getattr(annotation, "__metadata__", ()))
        kind = typing.get_args(annotation)[0] if self.annotations else annotation
        self.validators = [a for a in self.annotations if isinstance(a, Validator)]
        alternatives = (
            typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
        )
        self.optional = type(None) in alternatives
        self.kinds = tuple(a for a in alternatives if a is not type(None))
        self.container = typing.get_origin(kind) if typing.get_origin(kind) in (list, dict) else None
        self.kind = self.container or (kind if len(self.kinds) > 1 else self.kinds[0])
        self.is_node = all(isinstance(k, type) and issubclass(k, slicer.vtkMRMLNode) for k in self.kinds)
        self._check_supported()
        given = next((a.value for a in self.annotations if type(a) is Default), None)
        self.default = given if default is None and given is not None else default
        if self.default is None and not self.is_node and not self.optional:
            self.default = self._natural_default()

    def _natural_default(self):
        if self._is_enum():
            return next(iter(self.kind))
        return FloatRange(0.0, 0.0) if self.kind is FloatRange else self.kind()

    def _is_enum(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)

    def _check_supported(self) -> None:
        if self.is_node or self.container or (len(self.kinds) == 1 and self._is_enum()):
            return
        supported = (bool, int, float, str, FloatRange)
        if len(self.kinds) == 1 and (self.kind in supported or issubclass(self.kind, pathlib.PurePath)):
            return
        raise TypeError(f"{self.name}: {self.annotation} cannot be a parameter on this stage")

    # --- the node
    def is_in(self, node) -> bool:
        return bool(node.HasParameter(self.name))

    def read(self, node):
        if not self.is_in(node):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.optional and text == "None":
            return None
        if self.container is list:
            return StoredList(json.loads(text or "[]"), lambda values: self.write(node, values))
        if self.container is dict:
            return StoredDict(json.loads(text or "{}"), lambda values: self.write(node, values))
        if self.kind is bool:
            return text == "True"
        if self.kind is FloatRange:
            return FloatRange(*json.loads(text))
        return self.kind[text] if self._is_enum() else self.kind(text)

    def write(self, node, value) -> None:
        self.check(value)
        if self.is_node:
            modified = node.StartModify()
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            node.EndModify(modified)
        elif self.container or self.kind is FloatRange:
            plain = dict(value) if self.container is dict else list(value)
            node.SetParameter(self.name, json.dumps(plain))
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def check(self, value) -> None:
        """Refuse what the field does not take, with the kinds of errors that Slicer raises."""
        if value is None:
            if self.optional or (self.is_node and len(self.kinds) == 1):
                return
            if self.is_node:  # one of several classes takes None only where None is one of them
                raise TypeError(f"Unable to write value 'None' of type {type(None)}")
            raise ValueError(f"{self.name} must not be None")
        wanted = {float: (int, float), list: (list, tuple, StoredList), dict: (dict, StoredDict)}
        kinds = self.kinds if self.is_node else wanted.get(self.kind, self.kind)
        if not isinstance(value, kinds) or (self.kind in (int, float) and isinstance(value, bool)):
            raise TypeError(f"{self.name} takes {kinds}, not {type(value).__name__} {value!r}")
        for validator in self.validators:
            validator.validate(value)


class Wrapper:
    """What a decorated class becomes; the fields are properties made by the decorator."""

    allParameters: dict

    def __init__(self, parameterNode, prefix=None) -> None:
        self._connections: dict = {}
        self._next_tag = 0
        self._updating = False
        self._node = parameterNode
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)

    def __setattr__(self, name, value) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no parameter '{name}'")
        super().__setattr__(name, value)

    @property
    def parameterNode(self):
        return self._node

    def _known(self, name) -> Parameter:
        if name not in self.allParameters:
            raise ValueError(f"{type(self).__name__} has no parameter '{name}'")
        return self.allParameters[name]

    def getValue(self, name):
        return self._known(name).read(self._node)

    def setValue(self, name, value) -> None:
        self._known(name).write(self._node, value)

    def default(self, name):
        return Default(self._known(name).default)

    def dataType(self, name):
        return self._known(name).annotation

    def isCached(self, name) -> bool:
        return False

    # --- widgets
    def connectGui(self, gui) -> int:
        """Connect every widget with the property SlicerParameterName; returns a tag for ``disconnectGui``."""
        import qt

        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else vars(gui).values()
        mapping = {}
        for widget in widgets:
            name = widget.property(SlicerParameterNamePropertyName)
            if name:
                mapping[name] = widget
        return self.connectParametersToGui(mapping)

    def connectParametersToGui(self, mapping) -> int:
        connectors = {name: connector_for(widget, self._known(name)) for name, widget in mapping.items()}
        tag = self._next_tag
        self._next_tag += 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.watch(lambda name=name, connector=connector: self._from_gui(name, connector))
        observer = self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._to_gui)
        self._connections[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag) -> None:
        connectors, observer = self._connections.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.unwatch()
        if observer is not None:
            self._node.RemoveObserver(observer)

    def _from_gui(self, name, connector) -> None:
        if not self._updating:
            self.setValue(name, connector.read())

    def _to_gui(self, *_) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connectors, _observer in self._connections.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updating = False

    # --- as on the node
    def StartModify(self):
        return self._node.StartModify()

    def EndModify(self, previous):
        return self._node.EndModify(previous)

    def AddObserver(self, event, callback, priority=0.0):
        return self._node.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self._node.RemoveObserver(tag)

    def Modified(self):
        return self._node.Modified()


def _field(parameter: Parameter) -> property:
    return property(
        lambda self: parameter.read(self._node), lambda self, value: parameter.write(self._node, value)
    )


def parameterNodeWrapper(kind=None):
    """Class decorator: annotated names become parameters on the node."""

    def wrap(decorated):
        members = dict(vars(decorated))
        hints = typing.get_type_hints(decorated, include_extras=True)
        parameters = {name: Parameter(name, hint, members.get(name)) for name, hint in hints.items()}
        taken = sorted(set(parameters) & set(dir(Wrapper)))
        if taken:
            raise ValueError(f"a parameter cannot be named {', '.join(taken)}")
        body = {k: v for k, v in members.items() if k not in ("__dict__", "__weakref__", *parameters)}
        body.update({name: _field(parameter) for name, parameter in parameters.items()})
        body["allParameters"] = parameters
        body["_is_parameter_node_wrapper"] = True
        return type(decorated.__name__, (Wrapper,), body)

    return wrap if kind is None else wrap(kind)


def isParameterNodeWrapper(thing) -> bool:
    return getattr(thing, "_is_parameter_node_wrapper", False)

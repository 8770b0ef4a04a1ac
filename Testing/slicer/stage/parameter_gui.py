"""Which widget shows which kind of parameter, with the same pairs as Slicer and no more.

A pair that Slicer does not connect raises RuntimeError here too. As in Slicer, the range of a spin box
comes from the parameter (``WithinRange``, ``Minimum``, ``Maximum``) and not from the ``.ui`` file, and the
entries of a combo box come from ``Choice`` or the enumeration.
"""

from __future__ import annotations

import enum
import pathlib

import ctk
import qt
import slicer

SlicerParameterNamePropertyName = "SlicerParameterName"
INTEGERS = (-(2**31), 2**31 - 1)
NUMBERS = (float("-inf"), float("inf"))


class Connector:
    """Reads, writes and watches one widget."""

    def __init__(self, widget, signal, read, write) -> None:
        self._widget, self._signal, self.read, self._write = widget, signal, read, write
        self._callback = None

    def write(self, value) -> None:
        if self.read() != value:
            self._write(value)

    def watch(self, callback) -> None:
        self._callback = lambda: callback()
        getattr(self._widget, self._signal).connect(self._callback)

    def unwatch(self) -> None:
        if self._callback is not None:
            getattr(self._widget, self._signal).disconnect(self._callback)
            self._callback = None


def _property(widget, name, signal, convert=lambda value: value):
    return Connector(
        widget, signal, lambda: convert(getattr(widget, name)), lambda value: setattr(widget, name, value)
    )


def _limits(parameter, default):
    low, high = default
    for annotation in parameter.annotations:
        low = getattr(annotation, "minimum", low)
        high = getattr(annotation, "maximum", high)
    return low, high


def _number(widget, parameter):
    is_int = parameter.kind is int
    low, high = _limits(parameter, INTEGERS if is_int else NUMBERS)
    slider = type(widget) in (qt.QSlider, ctk.ctkSliderWidget)
    if slider and (low in (INTEGERS[0], NUMBERS[0]) or high in (INTEGERS[1], NUMBERS[1])):
        raise RuntimeError(f"{parameter.name}: a slider needs a parameter with a range")
    for annotation in parameter.annotations:
        if type(annotation).__name__ == "Decimals":
            widget.decimals = annotation.value
        if type(annotation).__name__ == "SingleStep":
            widget.singleStep = annotation.value
    widget.setRange(low, high)
    return _property(widget, "value", "valueChanged")


def _choice(widget, values, labels):
    widget.clear()
    for label in labels:
        widget.addItem(label)

    def write(value):
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _node(widget, parameter):
    widget.nodeTypes = [kind.__name__ for kind in parameter.kinds]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def connector_for(widget, parameter) -> Connector:
    """The connector of ``widget`` for ``parameter``; RuntimeError where Slicer has none."""
    kind, exact = parameter.kind, type(widget)
    simple = isinstance(kind, type)
    if parameter.is_node and exact is slicer.qMRMLNodeComboBox:
        return _node(widget, parameter)
    if kind is bool and exact is qt.QCheckBox:
        return _property(widget, "checked", "stateChanged")
    if kind is bool and exact is qt.QPushButton:
        widget.checkable = True
        return _property(widget, "checked", "toggled")
    if (kind is int and exact in (qt.QSlider, qt.QSpinBox)) or (
        kind is float and exact in (qt.QDoubleSpinBox, ctk.ctkSliderWidget)
    ):
        return _number(widget, parameter)
    if simple and exact is qt.QComboBox and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda member: member.name)
        return _choice(widget, list(kind), [label(member) for member in kind])
    if exact is qt.QComboBox and kind in (int, float, str, bool):
        choices = next((a.choices for a in parameter.annotations if hasattr(a, "choices")), None)
        if choices is None:
            raise RuntimeError(f"{parameter.name}: a combo box needs the annotation Choice")
        return _choice(widget, choices, [str(choice) for choice in choices])
    if kind is str and exact is qt.QLineEdit:
        return _property(widget, "text", "textChanged")
    if kind is str and exact is qt.QTextEdit:
        return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    if simple and issubclass(kind, pathlib.PurePath) and exact is ctk.ctkPathLineEdit:
        return Connector(
            widget,
            "currentPathChanged",
            lambda: kind(widget.currentPath),
            lambda value: setattr(widget, "currentPath", str(value)),
        )
    if simple and issubclass(kind, pathlib.PurePath) and exact is ctk.ctkDirectoryButton:
        return Connector(
            widget,
            "directoryChanged",
            lambda: kind(widget.directory),
            lambda value: setattr(widget, "directory", str(value)),
        )
    if kind.__class__ is type and kind.__name__ == "FloatRange" and exact is ctk.ctkRangeWidget:
        return Connector(
            widget,
            "valuesChanged",
            lambda: kind(widget.minimumValue, widget.maximumValue),
            lambda value: widget.setValues(value.minimum, value.maximum),
        )
    raise RuntimeError(
        f"{parameter.name}: Slicer cannot connect {parameter.annotation} to a {exact.__name__}"
    )

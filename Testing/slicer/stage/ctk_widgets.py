"""Stand-ins for the ctk widgets that module panels use: same properties, signals and look in outline."""

from __future__ import annotations

from pathlib import Path

import qt
from PySide6.QtCore import Property, Signal


class ctkCollapsibleButton(qt.QWidget):
    """A header that shows or hides what is below it."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)
    clicked = Signal(bool)

    def __init__(self, text="", parent=None) -> None:
        super().__init__(parent if isinstance(text, str) else text)
        self._text = text if isinstance(text, str) else ""
        self._collapsed = False
        self._hidden: list = []
        self._apply_margins()

    def _header_height(self) -> int:
        return self.fontMetrics().height() + 10

    def _apply_margins(self) -> None:
        self.setContentsMargins(0, self._header_height(), 0, 0)

    def _get_text(self) -> str:
        return self._text

    def setText(self, text) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed) -> None:
        collapsed = bool(collapsed)
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        children = [child for child in self.children() if child.isWidgetType()]
        if collapsed:
            self._hidden = [child for child in children if child.isHidden()]
            for child in children:
                child.setVisible(False)
            self.setMaximumHeight(self._header_height())
        else:
            self.setMaximumHeight(16777215)
            for child in children:
                child.setVisible(child not in self._hidden)
        self.update()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def setChecked(self, checked) -> None:
        self.setCollapsed(not checked)

    def minimumSizeHint(self):
        hint = super().minimumSizeHint()
        width = self.fontMetrics().horizontalAdvance(self._text) + 32
        height = self._header_height() if self._collapsed else max(hint.height(), self._header_height())
        return qt.QSize(max(hint.width(), width), height)

    def sizeHint(self):
        hint = super().sizeHint()
        least = self.minimumSizeHint()
        height = least.height() if self._collapsed else max(hint.height(), least.height())
        return qt.QSize(max(hint.width(), least.width()), height)

    def mouseReleaseEvent(self, event) -> None:
        if event.pos().y() < self._header_height():
            self.setCollapsed(not self._collapsed)
            self.clicked.emit(not self._collapsed)

    def paintEvent(self, event) -> None:
        painter = qt.QPainter(self)
        header = qt.QRect(0, 0, self.rect.width(), self._header_height())
        painter.fillRect(header, self.palette.color(qt.QPalette.Button).darker(108))
        painter.setPen(self.palette.color(qt.QPalette.ButtonText))
        arrow = "\N{BLACK RIGHT-POINTING TRIANGLE}" if self._collapsed else "\N{BLACK DOWN-POINTING TRIANGLE}"
        painter.drawText(header.adjusted(6, 0, 0, 0), int(qt.Qt.AlignVCenter), f"{arrow}  {self._text}")
        painter.end()

    text = Property(str, _get_text, setText)
    collapsed = Property(bool, _get_collapsed, setCollapsed)
    checked = Property(bool, lambda self: not self._collapsed, setChecked)


class ctkCollapsibleGroupBox(qt.QGroupBox):
    """A group box that folds by its check mark."""

    def __init__(self, title="", parent=None) -> None:
        super().__init__(parent if isinstance(title, str) else title)
        if isinstance(title, str):
            self.setTitle(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(self._show_contents)

    def _show_contents(self, shown) -> None:
        for child in self.children():
            if child.isWidgetType():
                child.setVisible(shown)

    def setCollapsed(self, collapsed) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: not self.isChecked(), setCollapsed)


class ctkPathLineEdit(qt.QWidget):
    """A path with a button that opens a file dialog."""

    currentPathChanged = Signal(str)
    Files, Dirs, Drives, Readable, Writable, NoDot, NoDotDot, Executable = 2, 1, 4, 16, 32, 8192, 16384, 64

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._edit = qt.QLineEdit(self)
        self._button = qt.QToolButton(self)
        self._button.setText("\N{HORIZONTAL ELLIPSIS}")
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(self._button)
        self._filters = self.Files
        self._name_filters: list = []
        self._setting_key = ""
        self._label = ""
        self._edit.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def browse(self) -> None:
        if self._filters & self.Dirs:
            chosen = qt.QFileDialog.getExistingDirectory(self, "Select a folder")
        else:
            chosen = qt.QFileDialog.getOpenFileName(self, "Select a file")
        if chosen:
            self.setCurrentPath(chosen)

    def setCurrentPath(self, path) -> None:
        self._edit.setText("" if str(path) == "." else str(path))

    def addCurrentPathToHistory(self) -> None:
        if self._setting_key:
            qt.QSettings().setValue(self._setting_key, [self._edit.text])

    def _set(name):
        return lambda self, value: setattr(self, name, value)

    currentPath = Property(str, lambda self: self._edit.text, setCurrentPath)
    filters = Property(int, lambda self: self._filters, _set("_filters"))
    nameFilters = Property("QStringList", lambda self: self._name_filters, _set("_name_filters"))
    settingKey = Property(str, lambda self: self._setting_key, _set("_setting_key"))
    label = Property(str, lambda self: self._label, _set("_label"))
    showHistoryButton = Property(bool, lambda self: False, lambda self, value: None)


class ctkDirectoryButton(qt.QPushButton):
    """A button that shows and changes a folder."""

    directoryChanged = Signal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent if isinstance(parent, qt.QWidget) else None)
        self._directory = str(Path.cwd())
        self._caption = ""
        self.clicked.connect(self.browse)

    def browse(self) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(self, self._caption or "Select a folder")
        if chosen:
            self.setDirectory(chosen)

    def setDirectory(self, directory) -> None:
        if str(directory) != self._directory:
            self._directory = str(directory)
            self.setText(self._directory)
            self.directoryChanged.emit(self._directory)

    def setCaption(self, caption) -> None:
        self._caption = caption

    directory = Property(str, lambda self: self._directory, setDirectory)
    caption = Property(str, lambda self: self._caption, setCaption)


class ctkDoubleSpinBox(qt.QDoubleSpinBox):
    """ctk's spin box has more options; value, range, step, decimals, prefix and suffix are the same."""


class ctkSliderWidget(qt.QWidget):
    """A slider for decimal numbers with a spin box beside it."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    STEPS = 100000

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self._slider = qt.QSlider(qt.Qt.Horizontal, self)
        self._slider.setRange(0, self.STEPS)
        self._spin = qt.QDoubleSpinBox(self)
        self._spin.setRange(0, 99)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._tracking = True
        self._following = False
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._typed)

    def _slid(self, position) -> None:
        if not self._following:
            low, high = self._spin.minimum, self._spin.maximum
            self._spin.setValue(low + (high - low) * position / self.STEPS)

    def _typed(self, value) -> None:
        self._follow()
        self.valueChanged.emit(value)

    def _follow(self) -> None:
        low, high = self._spin.minimum, self._spin.maximum
        self._following = True
        self._slider.setValue(
            round(self.STEPS * (self._spin.value - low) / (high - low)) if high > low else 0
        )
        self._following = False

    def setValue(self, value) -> None:
        self._spin.setValue(value)

    def setRange(self, low, high) -> None:
        self._spin.setRange(low, high)
        self._follow()

    def setMinimum(self, value) -> None:
        self.setRange(value, max(value, self._spin.maximum))

    def setMaximum(self, value) -> None:
        self.setRange(min(value, self._spin.minimum), value)

    def spinBox(self):
        return self._spin

    def slider(self):
        return self._slider

    def _spin_property(kind, name):
        return Property(
            kind, lambda self: getattr(self._spin, name), lambda self, value: setattr(self._spin, name, value)
        )

    value = Property(float, lambda self: self._spin.value, setValue)
    minimum = Property(float, lambda self: self._spin.minimum, setMinimum)
    maximum = Property(float, lambda self: self._spin.maximum, setMaximum)
    singleStep = _spin_property(float, "singleStep")
    pageStep = Property(float, lambda self: 10.0, lambda self, value: None)
    decimals = _spin_property(int, "decimals")
    prefix = _spin_property(str, "prefix")
    suffix = _spin_property(str, "suffix")
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, value: self._spin.setVisible(value)
    )
    tracking = Property(
        bool, lambda self: self._tracking, lambda self, value: setattr(self, "_tracking", value)
    )


class ctkRangeWidget(qt.QWidget):
    """Two numbers, the lower never above the upper."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._low, self._high = qt.QDoubleSpinBox(self), qt.QDoubleSpinBox(self)
        for spin in (self._low, self._high):
            spin.setRange(0, 99)
            layout.addWidget(spin)
        self._high.setValue(99)
        self._low.valueChanged.connect(self._changed)
        self._high.valueChanged.connect(self._changed)

    def _changed(self, *_) -> None:
        self.valuesChanged.emit(self._low.value, self._high.value)

    def setValues(self, low, high) -> None:
        low, high = min(low, high), max(low, high)
        self._low.setValue(low)
        self._high.setValue(high)

    def setRange(self, low, high) -> None:
        for spin in (self._low, self._high):
            spin.setRange(low, high)

    minimum = Property(
        float, lambda self: self._low.minimum, lambda self, v: self.setRange(v, self._low.maximum)
    )
    maximum = Property(
        float, lambda self: self._low.maximum, lambda self, v: self.setRange(self._low.minimum, v)
    )
    minimumValue = Property(float, lambda self: self._low.value, lambda self, v: self._low.setValue(v))
    maximumValue = Property(float, lambda self: self._high.value, lambda self, v: self._high.setValue(v))
    singleStep = Property(float, lambda self: self._low.singleStep, lambda self, v: None)
    decimals = Property(int, lambda self: self._low.decimals, lambda self, v: None)
    suffix = Property(str, lambda self: self._low.suffix, lambda self, v: None)


class ctkMenuButton(qt.QPushButton):
    """A push button with a small menu arrow."""


class ctkPushButton(qt.QPushButton):
    """A push button that can draw its icon and text where told."""


class ctkCheckBox(qt.QCheckBox):
    """A check box that can show icons instead of a mark."""


class ctkComboBox(qt.QComboBox):
    """A combo box with a text for "nothing chosen"."""

    _default_text = ""

    def setDefaultText(self, text) -> None:
        self._default_text = text
        self.setPlaceholderText(text)

    defaultText = Property(str, lambda self: self._default_text, setDefaultText)


class ctkSearchBox(qt.QLineEdit):
    """A line to search in."""


class ctkFittedTextBrowser(qt.QTextBrowser):
    """A text browser as high as its text."""


class ctkExpandableWidget(qt.QFrame):
    """A frame the user can make higher."""


class ctkColorPickerButton(qt.QPushButton):
    colorChanged = Signal(qt.QColor)

    def __init__(self, parent=None) -> None:
        super().__init__(parent if isinstance(parent, qt.QWidget) else None)
        self._color = qt.QColor(0, 0, 0)

    def setColor(self, color) -> None:
        if color != self._color:
            self._color = qt.QColor(color)
            self.colorChanged.emit(self._color)

    color = Property(qt.QColor, lambda self: self._color, setColor)


WIDGETS = {name: kind for name, kind in vars().copy().items() if name.startswith("ctk")}

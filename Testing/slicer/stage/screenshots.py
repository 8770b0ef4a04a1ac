"""Pictures of panels, at 100 % and at larger text."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import qt


@contextmanager
def scaled(widget, scale: float):
    """While the block runs, text and ``widget`` are ``scale`` times as large, as on a display set to that
    scale.

    Sizes that code gives in pixels stay as they are: what breaks at 150 % on a display breaks here.
    """
    before, size = qt.QApplication.font(), widget.size
    font = qt.QFont(before)
    font.setPointSizeF(before.pointSizeF() * scale)
    if scale != 1.0:
        qt.QApplication.setFont(font)
        widget.resize(round(size.width() * scale), round(size.height() * scale))
    settle(widget)
    try:
        yield widget
    finally:
        if scale != 1.0:
            qt.QApplication.setFont(before)
            widget.resize(size)
        settle(widget)


def settle(widget) -> None:
    """Let layouts come to rest."""
    if not widget.visible:
        widget.show()
    for _ in range(3):
        for child in widget.findChildren(qt.QWidget):
            if child.layout() is not None:
                child.layout().activate()
        qt.QApplication.instance().processEvents()


def grab(widget, path, scale: float = 1.0) -> Path:
    """Save a picture of ``widget`` as PNG, with text ``scale`` times as large."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with scaled(widget, scale):
        if not widget.grab().save(str(path), "PNG"):
            raise OSError(f"the picture {path.name} could not be written")
    return path

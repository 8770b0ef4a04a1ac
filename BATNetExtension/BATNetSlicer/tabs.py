"""Tabs in the module panel of Slicer, which scrolls as a whole."""

from __future__ import annotations

from typing import Any

import qt


def lay_out(tabs: Any) -> None:
    """Lay the pages of a tab widget below its bar, so that the panel is as long as the page that is shown.

    A tab widget gives all its pages the height of the longest, and a short page ends far below what is seen.
    ``tabs.currentIndex`` says as before which page is shown.
    """
    pages = [tabs.widget(index) for index in range(tabs.count)]
    titles = [tabs.tabText(index) for index in range(tabs.count)]
    layout = tabs.parentWidget().layout()
    place = layout.indexOf(tabs) + 1
    tabs.clear()
    for page, title in zip(reversed(pages), reversed(titles), strict=True):
        tabs.insertTab(0, qt.QWidget(), title)
        layout.insertWidget(place, page, 1)
    tabs.currentIndex = 0
    tabs.documentMode = True
    tabs.setMaximumHeight(tabs.tabBar().sizeHint.height())

    soon = qt.QTimer(tabs)
    soon.setSingleShot(True)
    soon.setInterval(0)
    soon.connect("timeout()", lambda: _fit_again(tabs))

    def show(chosen: int) -> None:
        for index, page in enumerate(pages):
            page.visible = index == chosen
        soon.start()

    tabs.connect("currentChanged(int)", show)
    show(0)


def _fit_again(widget: Any) -> None:
    """Have the scroll area around a widget look at its contents: it grows by itself, but does not shrink."""
    while widget is not None and not widget.inherits("QScrollArea"):
        widget = widget.parentWidget()
    if widget is not None and widget.widgetResizable:
        widget.widgetResizable = False
        widget.widgetResizable = True

"""Example predictions of the best epoch so far: a picture in the panel, and the slices in the views."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer import tables
from BATNetSlicer.steps import Steps
from BATNetSlicer.texts import _

from .examplenodes import ExampleGone, ExampleNodes
from .heights import AsHighAsItsRows
from .runwatch import RunWatch
from .words import number

FILE = "examples.json"
#: Largest width and height in pixels: a wider picture would widen Slicer's module panel.
_PICTURE = (320, 300)


class ExamplesCard:
    """``show()`` follows the watched run. ``refused(error)`` is told of what is none of the expected."""

    def __init__(self, ui: Any, watch: RunWatch, refused: Callable[[Exception], None]) -> None:
        self.ui, self._watch, self._refused = ui, watch, refused
        self.nodes = ExampleNodes(slicer.mrmlScene)
        self.facts: dict[str, Any] = {}
        self._seen: Any = None
        self._height = AsHighAsItsRows(ui.examplesTable)
        self._steps: Steps | None = None
        self._shown: str | None = None
        ui.examplesTable.connect("currentCellChanged(int,int,int,int)", lambda *_: self._show_picture())
        ui.examplesTable.connect("cellDoubleClicked(int,int)", lambda *_: self.show_in_views())
        ui.showExampleButton.connect("clicked()", self.show_in_views)
        ui.hideExampleButton.connect("clicked()", self.remove)
        self.show()

    # --- following the run
    def show(self) -> None:
        """Read the examples where they are new; one that is in the views is laid there anew."""
        folder = self._folder()
        mark = None
        if folder is not None:
            try:
                stamp = (folder / FILE).stat()
                mark = (str(folder), stamp.st_mtime_ns, stamp.st_ino)
            except OSError:
                pass
        if mark != self._seen or mark is None:
            self._seen = mark
            self.facts = _read(folder / FILE) if folder is not None and mark is not None else {}
            self._fill()
            if self._shown is not None and self.nodes.there():
                self._load(self._shown, fit=False)
        self._enable()

    def cases(self) -> list[dict[str, Any]]:
        return self.facts.get("cases") or []

    def _folder(self) -> Path | None:
        return None if self._watch.folder is None else self._watch.folder / "examples"

    def _fill(self) -> None:
        ui, cases = self.ui, self.cases()
        row = max(ui.examplesTable.currentRow(), 0)
        if cases:
            part = _("trained on") if self.facts.get("part") == "train" else _("of the validation")
            ui.examplesLabel.text = _("Epoch {epoch}, the best so far; cases {part}.").format(
                epoch=self.facts.get("epoch"), part=part
            )
        else:
            ui.examplesLabel.text = _("Examples are made at each epoch that is the best so far.")
        if any("probability" in case for case in cases):
            head = [_("Case"), _("Probability"), _("Brown fat")]
            rows = [
                [str(c["id"]), _percent(c.get("probability")), _("yes") if c.get("label") else _("no")]
                for c in cases
            ]
        else:
            head = [_("Case"), _("Dice of the slices"), _("Slices")]
            rows = [[str(c["id"]), number(c.get("dice")), str(len(c.get("slices") or []))] for c in cases]
        tables.fill(ui.examplesTable, head, rows)
        ui.examplesTable.visible = bool(cases)
        self._height.fit()
        if cases:
            ui.examplesTable.setCurrentCell(min(row, len(cases) - 1), 0)
        self._show_picture()

    def _enable(self) -> None:
        case = self._case()
        self.ui.showExampleButton.visible = self.ui.hideExampleButton.visible = bool(self.cases())
        can = case is not None and "ct" in (case.get("files") or {})
        self.ui.showExampleButton.enabled = can and self._steps is None
        self.ui.showExampleButton.toolTip = "" if can else _("This stage has pictures only")
        self.ui.hideExampleButton.enabled = self.nodes.there()

    def _case(self) -> dict[str, Any] | None:
        row = self.ui.examplesTable.currentRow()
        return self.cases()[row] if 0 <= row < len(self.cases()) else None

    def _show_picture(self) -> None:
        case, picture = self._case(), None
        names = (case or {}).get("pictures") or []
        if names:
            picture = qt.QPixmap(str(self._folder() / Path(names[len(names) // 2]).name))
        there = picture is not None and not picture.isNull()
        if there:
            width, height = min(_PICTURE[0], picture.width()), min(_PICTURE[1], picture.height())
            small = picture.scaled(width, height, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation)
            self.ui.exampleLabel.setPixmap(small)
        self.ui.exampleLabel.visible = there
        self._enable()

    # --- in the views
    def show_in_views(self) -> None:
        case = self._case()
        if case is not None and self._steps is None:
            self._load(case["id"], fit=True)

    def _load(self, name: str, *, fit: bool) -> None:
        case = next((case for case in self.cases() if case["id"] == name), None)
        if case is None or "ct" not in (case.get("files") or {}) or self._steps is not None:
            return
        # Names of files in a file of the run lead nowhere but into its own folder.
        files = {role: Path(str(file)).name for role, file in case["files"].items()}
        work = self.nodes.loading(self._folder(), files, str(name), fit=fit)
        self._shown = name
        self._steps = Steps(work, self._loaded, self._failed)
        self._enable()

    def _loaded(self, _outcome: Any) -> None:
        self._steps = None
        self._enable()

    def _failed(self, error: Exception) -> None:
        self._steps = None
        self._shown = None
        if isinstance(error, ExampleGone):
            self.ui.examplesLabel.text = _("The examples have just been made anew; show them once more.")
            self._seen = None
        else:
            self._refused(error)
        self._enable()

    def remove(self) -> None:
        self._stop()
        self.nodes.remove()
        self._enable()

    def _stop(self) -> None:
        self._shown = None
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.stop()

    def scene_closes(self) -> None:
        self._stop()
        self.nodes.forget()

    def close(self) -> None:
        self.remove()


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    fits = isinstance(facts, dict) and facts.get("schema") == 1
    return facts if fits and all(isinstance(c, dict) and "id" in c for c in facts.get("cases") or []) else {}


def _percent(value: Any) -> str:
    return "–" if not isinstance(value, int | float) else _("{percent:.0f} %").format(percent=100 * value)

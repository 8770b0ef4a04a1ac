"""Which patients are trained on and which judge the training: made by ``batnet dataset split``, or opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from BATNetSlicer import tables
from BATNetSlicer.job_contract import JobRunner, Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.texts import _

from .calls import Call
from .data_card import DataCard
from .form import offer
from .heights import AsHighAsItsRows

PARTS, FOLDS, GIVEN = "parts", "folds", "as-given"
#: A split of more than a hundred thousand cases is a few of these; what is larger is no split.
_LARGEST = 64 << 20


class SplitCard:
    """``changed()`` is called when another split is there."""

    def __init__(
        self, ui: Any, runner: Callable[[], JobRunner], data: DataCard, changed: Callable[[], None]
    ) -> None:
        self.ui, self._runner, self._data, self._changed = ui, runner, data, changed
        self._call: Call | None = None
        self.split: dict[str, Any] | None = None
        self._height = AsHighAsItsRows(ui.splitTable)
        offer(
            ui.kindCombo,
            [(_("Train, validation, test"), PARTS), (_("Folds"), FOLDS), (_("As the data say"), GIVEN)],
        )
        ui.kindCombo.connect("currentIndexChanged(int)", lambda *_: self.show())
        ui.makeSplitButton.connect("clicked()", self.make)
        ui.splitCancelButton.connect("clicked()", self.cancel)
        ui.splitOpenButton.connect("clicked()", self._open)
        ui.splitEdit.connect("editingFinished()", self.read)
        self._say("")
        self.show()

    # --- what was chosen
    @property
    def path(self) -> str:
        return self.ui.splitEdit.text.strip()

    def arguments(self) -> list[str]:
        """The split and the fold that is validated on, for ``batnet train``."""
        words = ["--split", self.path]
        fold = self.ui.foldCombo.itemData(self.ui.foldCombo.currentIndex)
        if self.split is not None and self.split.get("kind") == "folds" and fold:
            words += ["--fold", fold]
        return words

    def why_not(self) -> str | None:
        return _("Make a split, or open one.") if self.split is None else None

    # --- making one
    def make(self) -> None:
        """Ask where the split is kept, and let the engine make it."""
        why_not = self._data.why_not() or self._wrong_numbers()
        if why_not is not None:
            self._say(why_not)
            return
        start = self.path or str(Path(self._data.source).parent / "split.json")
        path = qt.QFileDialog.getSaveFileName(None, _("Keep the split as"), start, "JSON (*.json)")
        if not path:
            return
        self.close()
        words = ["dataset", "split", *self._data.arguments(), *self._kind_words()]
        # The dialog has asked already whether a file may be replaced.
        words += ["--seed", str(self.ui.splitSeedBox.value), "--out", str(path), "--replace"]
        self._say(_("Looking for cases ..."))
        self._call = Call(
            self._runner(),
            words,
            lambda result: self._made(path, result),
            self._failed,
            self._cancelled,
            self._say,
        )
        self.show()

    def _kind_words(self) -> list[str]:
        ui, kind = self.ui, self._kind()
        if kind == FOLDS:
            return ["--folds", str(ui.foldsBox.value)]
        if kind == GIVEN:
            return ["--as-given"]
        return ["--fractions", *(f"{share / 100:g}" for share in self._shares())]

    def _shares(self) -> list[int]:
        ui = self.ui
        shares = [ui.trainShareBox.value, ui.validationShareBox.value, ui.testShareBox.value]
        return shares if shares[2] else shares[:2]

    def _wrong_numbers(self) -> str | None:
        if self._kind() == PARTS and sum(self._shares()) != 100:
            return _("The shares make {sum} %; they must make 100 %.").format(sum=sum(self._shares()))
        return None

    def _kind(self) -> str:
        return self.ui.kindCombo.itemData(self.ui.kindCombo.currentIndex)

    def cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self.ui.splitCancelButton.enabled = False

    def close(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.close()

    def _made(self, path: str, result: Result) -> None:
        warnings = " ".join(self._call.warnings) if self._call is not None else ""
        self._call = None
        self.ui.splitEdit.text = path
        self.read()
        if warnings and self.split is not None:
            self._say(warnings)

    def _failed(self, failure: Failure) -> None:
        self._call = None
        self._say(failure.text)
        self.show()

    def _cancelled(self) -> None:
        self._call = None
        self._say(_("Cancelled."))
        self.show()

    # --- reading one
    def _open(self) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Open a split"), "", "JSON (*.json)")
        if path:
            self.ui.splitEdit.text = path
            self.read()

    def read(self) -> None:
        """Show the split in the file that is named; the engine checks it again before it trains."""
        self.split = _content(Path(self.path)) if self.path else None
        if self.path and self.split is None:
            self._say(_("'{name}' is no split that can be read.").format(name=Path(self.path).name))
        else:
            self._say("")
        self.show()
        self._changed()

    # --- showing
    def show(self) -> None:
        ui, busy, kind = self.ui, self._call is not None, self._kind()
        ui.foldsBox.visible = kind == FOLDS
        for box in (ui.trainShareBox, ui.validationShareBox, ui.testShareBox):
            box.visible = kind == PARTS
        ui.splitSeedBox.enabled = kind != GIVEN
        ui.makeSplitButton.visible, ui.splitCancelButton.visible = not busy, busy
        ui.splitCancelButton.enabled = busy
        folds = list(self.split["shares"]) if self.split and self.split["kind"] == "folds" else []
        offer(ui.foldCombo, [(fold, fold) for fold in folds])
        ui.foldCombo.visible = ui.foldLabel.visible = bool(folds)
        ui.splitTable.visible = self.split is not None
        if self.split is not None:
            names = list(self.split["shares"])
            rows = [
                [bin_words(row.get("bin")), str(row.get("all", "")), *(str(row.get(n, "")) for n in names)]
                for row in self.split["distribution"]
            ]
            tables.fill(ui.splitTable, ["", _("all"), *map(_part_words, names)], rows)
            self._height.fit()

    def _say(self, words: str) -> None:
        self.ui.splitNote.text = words
        self.ui.splitNote.visible = bool(words)


def bin_words(name: Any) -> str:
    """A row of the distribution in words; names of centres stay."""
    words = {"patients": _("patients"), "cases": _("cases")}
    return words.get(str(name), str(name))


def _part_words(name: str) -> str:
    words = {"train": _("train"), "validation": _("validation"), "test": _("test")}
    return words.get(name, name)


def _content(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        fits = isinstance(content["shares"], dict) and content["kind"] in ("folds", "parts")
        fits = fits and all(isinstance(row, dict) for row in content["distribution"])
        return content if fits else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None

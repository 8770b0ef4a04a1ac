"""The patches: switches of the overlays, the table of 16 mirrored pairs, and how they follow the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from BATNetSlicer import tables
from BATNetSlicer.overlays import Overlays
from BATNetSlicer.scene import Analysis
from BATNetSlicer.texts import _, millilitres

from .result_card import percent

PLACE, RIGHT, LEFT, DIFFERENCE, FAT = range(5)


class PatchesCard:
    """``notice(text)`` is told what was deleted and what cannot be shown."""

    def __init__(self, ui: Any, notice: Callable[[str], None]) -> None:
        self.ui, self._notice = ui, notice
        self.overlays: Overlays | None = None
        self.analysis: Analysis | None = None
        self._showing = False
        self._watching = False
        ui.maskBox.connect("toggled(bool)", lambda on: self._switch("mask", on))
        ui.patchMapBox.connect("toggled(bool)", lambda on: self._switch("patch_map", on))
        ui.attentionBox.connect("toggled(bool)", lambda on: self._switch("attention", on))
        ui.patchTable.connect("currentCellChanged(int,int,int,int)", self._row_chosen)
        self.show(None)

    def show(self, analysis: Analysis | None) -> None:
        """Show the patches of an analysis. Overlays of another one go; those of the same are drawn anew."""
        if self.overlays is not None and self.analysis == analysis:
            self.overlays.refresh()
        else:
            if self.overlays is not None and analysis is not None:
                self.overlays.step_back()
            self._drop()
            self.analysis = analysis
            if analysis is not None:
                self.overlays = Overlays(analysis, self.show_switches, self._notice)
                self.overlays.come_back()
                self._watch()
        self._fill()
        self.show_switches()

    def close(self) -> None:
        self._drop()
        self.analysis = None

    def scene_closes(self) -> None:
        """The overlays end themselves with the scene."""
        self.overlays = None
        self.analysis = None

    def _drop(self) -> None:
        overlays, self.overlays = self.overlays, None
        if overlays is not None:
            overlays.close()

    # --- the module is chosen, or left
    def enter(self) -> None:
        self._watching = True
        self._watch()

    def exit(self) -> None:
        """Clicks in the views belong to other modules now."""
        self._watching = False
        self._watch()

    def _watch(self) -> None:
        if self.overlays is not None:
            self.overlays.watch_clicks(self._clicked if self._watching else None)

    # --- switches
    def set_opacity(self, value: float) -> None:
        if self.overlays is not None and abs(self.overlays.opacity - value) > 1e-6:
            self.overlays.opacity = value

    def set_boxes_in_3d(self, on: bool) -> None:
        if self.overlays is not None and self.overlays.boxes_in_3d != on:
            self.overlays.boxes_in_3d = on

    def switch_on(self, overlay: str) -> None:
        """Switch an overlay on where it can be shown."""
        if self.overlays is not None and self.overlays.why_not(overlay) is None:
            self._switch(overlay, True)

    def show_mask_alone(self) -> None:
        """For the Segment Editor: what is painted is seen, and the CT below it."""
        if self.overlays is not None:
            for overlay in ("patch_map", "attention"):
                if getattr(self.overlays, overlay):
                    setattr(self.overlays, overlay, False)
            self.overlays.mask = True
            self.show_switches()

    def _switch(self, overlay: str, on: bool) -> None:
        if self._showing or self.overlays is None:
            return
        setattr(self.overlays, overlay, bool(on))
        self.show_switches()

    def show_switches(self) -> None:
        """Make the switches agree with what the views show."""
        ui, overlays = self.ui, self.overlays
        self._showing = True
        try:
            boxes = {"mask": ui.maskBox, "patch_map": ui.patchMapBox, "attention": ui.attentionBox}
            for name, box in boxes.items():
                why = overlays.why_not(name) if overlays is not None else _("No analysis yet.")
                box.enabled = why is None
                box.toolTip = why or ""
                box.checked = overlays is not None and why is None and getattr(overlays, name)
        finally:
            self._showing = False
        there = overlays is not None and self.analysis is not None and self.analysis.in_scene
        note = self.analysis.attention_note if there else None
        ui.attentionLabel.text = note or ""
        ui.attentionLabel.visible = bool(note) and ui.attentionBox.checked

    # --- the table
    def _fill(self) -> None:
        table = self.ui.patchTable
        self._showing = True
        try:
            pairs = self.analysis.pairs if self.analysis is not None else []
            head = [_("Place"), _("Right"), _("Left"), _("Diff."), _("Fat, mL")]
            rows = []
            for pair in pairs:
                difference = signed(100 * pair.difference)
                sides = [percent(pair.right.probability), percent(pair.left.probability)]
                rows.append([pair.place, *sides, difference, millilitres(pair.adipose_ml)])
            tables.fill(table, head, rows)
            for row, pair in enumerate(pairs):
                _colour(table.item(row, RIGHT), pair.right.probability)
                _colour(table.item(row, LEFT), pair.left.probability)
            if pairs:
                table.clearSelection()
                table.setCurrentCell(-1, -1)
            table.visible = bool(pairs)
            tips = [
                _("Place that both patches share"),
                _("Probability on the patient's right"),
                _("Probability on the patient's left"),
                _("Right minus left, in percentage points"),
                _("Fat in both patches"),
            ]
            for column, text in enumerate(tips if pairs else []):
                table.horizontalHeaderItem(column).setToolTip(text)
        finally:
            self._showing = False

    def _row_chosen(self, row: int, column: int, *_before: int) -> None:
        if self._showing or self.overlays is None or not 0 <= row < len(self.analysis.pairs):
            return
        self.overlays.select_patch(self._patch_of(row, column).index)

    def _patch_of(self, row: int, column: int) -> Any:
        """The patch of a cell: of that side, else the more probable one of the pair."""
        pair = self.analysis.pairs[row]
        if column in (RIGHT, LEFT):
            return pair.right if column == RIGHT else pair.left
        return max(pair.right, pair.left, key=lambda patch: patch.probability)

    def _clicked(self, index: int, _ras: tuple[float, float, float]) -> None:
        """A patch was clicked in a view: choose its row, and leave the views where the user is looking."""
        patch = self.analysis.patches[index]
        numbers = [pair.number for pair in self.analysis.pairs]
        self._showing = True
        try:
            table = self.ui.patchTable
            table.setCurrentCell(numbers.index(patch.pair), RIGHT if patch.side == "right" else LEFT)
            table.scrollToItem(table.currentItem())
        finally:
            self._showing = False
        self.overlays.select_patch(index, jump=False)


def signed(points: float) -> str:
    """ "+7", "0" or "−9": whole percentage points."""
    rounded = round(points)
    return "0" if rounded == 0 else f"{rounded:+d}".replace("-", "\N{MINUS SIGN}")


def _colour(item: Any, probability: float) -> None:
    """The colour of the map as background, with text that can be read on it."""
    from BATNetLib.analysis.colours import PROBABILITY, colour

    red, green, blue = (int(value) for value in colour(PROBABILITY, probability))
    item.setBackground(qt.QBrush(qt.QColor(red, green, blue)))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    item.setForeground(qt.QBrush(qt.QColor(0, 0, 0) if bright else qt.QColor(255, 255, 255)))

"""The result: probability and what it means, or why there is none; volumes; edits of the mask."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import qt
import slicer
from BATNetSlicer import tables
from BATNetSlicer.colours import AMBER
from BATNetSlicer.scene import Analysis, edited_fraction
from BATNetSlicer.texts import _, millilitres

#: After the last brush stroke, before the mask is compared.
EDIT_PAUSE_MS = 700
LITTLE_ML = 0.005


class ResultCard:
    """``show(analysis)`` or ``show(None)``. ``edited()`` is called when the mask was found changed or not,
    ``editing()`` before the Segment Editor is opened."""

    def __init__(
        self, ui: Any, edited: Callable[[], None], editing: Callable[[], None] = lambda: None
    ) -> None:
        self.ui, self._edited, self._editing = ui, edited, editing
        self.analysis: Analysis | None = None
        self.is_edited = False
        self._observed: Any = None
        self._tags: list[int] = []
        self._pause = qt.QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(EDIT_PAUSE_MS)
        self._pause.connect("timeout()", self.look_for_edits)
        ui.resultLabel.textFormat = qt.Qt.RichText
        ui.editButton.connect("clicked()", self.open_editor)
        self.show(None)

    def show(self, analysis: Analysis | None) -> None:
        self.analysis, self.is_edited = analysis, False
        ui = self.ui
        ui.resultLabel.text = result_words(analysis)
        rows = volume_rows(analysis)
        ui.volumesTable.visible = bool(rows)
        if rows:
            names, cells = zip(*rows, strict=True)
            tables.fill(ui.volumesTable, [_("Fat, mL"), _("Mean HU")], list(cells), list(names))
        has_mask = analysis is not None and analysis.segment_id is not None
        ui.editButton.visible = ui.againButton.visible = has_mask
        self._watch(analysis.segmentation if has_mask else None)
        self.look_for_edits()

    # --- edits
    def look_for_edits(self) -> None:
        """Compare the mask with the one that the numbers rest on, and say how it differs."""
        words, edited = "", False
        if self.analysis is not None and self.analysis.in_scene:
            since_run = edited_fraction(self.analysis, "run")
            edited = since_run is not None and since_run.edited
            if edited:
                words = _("The mask was changed since: {edit}. The numbers do not count that yet.").format(
                    edit=edit_words(since_run)
                )
            elif self.analysis.passport["method"]["adipose"] == "given":
                computed = edited_fraction(self.analysis, "computed")
                if computed is not None and computed.edited:
                    words = _(
                        "Edited mask: {edit} against the computed one, Dice {dice:.3f}. The numbers count it."
                    ).format(edit=edit_words(computed), dice=computed.dice)
        self.is_edited = edited
        self.ui.editLabel.text = words
        self.ui.editLabel.visible = bool(words)
        self._edited()

    def _watch(self, segmentation: Any) -> None:
        if self._observed is not None:
            for tag in self._tags:
                self._observed.RemoveObserver(tag)
        self._observed, self._tags = None, []
        if segmentation is not None:
            self._observed = segmentation.GetSegmentation()
            events = slicer.vtkSegmentation
            for event in (
                events.SourceRepresentationModified,
                events.SegmentModified,
                events.SegmentRemoved,
            ):
                self._tags.append(self._observed.AddObserver(event, lambda *_: self._pause.start()))

    def close(self) -> None:
        self._pause.stop()
        self._watch(None)
        self.analysis = None

    def open_editor(self) -> None:
        """Go to the Segment Editor with the mask and its CT."""
        analysis = self.analysis
        if analysis is None or analysis.segmentation is None:
            return
        self._editing()
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSegmentationNode(analysis.segmentation)
        set_source = getattr(editor, "setSourceVolumeNode", None) or editor.setMasterVolumeNode
        set_source(analysis.ct)
        editor.setCurrentSegmentID(analysis.segment_id)


def edit_words(edit: Any) -> str:
    """ "+3.2 mL, -0.4 mL" """
    parts = []
    if edit.added_ml > LITTLE_ML:
        parts.append(f"+{edit.added_ml:.2f} mL")
    if edit.removed_ml > LITTLE_ML:
        parts.append(f"\N{MINUS SIGN}{edit.removed_ml:.2f} mL")
    return ", ".join(parts) or _("a few voxels")


def percent(probability: float) -> str:
    """ "51 %"; never a rounded 0 or 100 that is neither."""
    value = 100 * probability
    if 0 < value < 0.5:
        return "< 1 %"
    if 99.5 < value < 100:
        return "> 99 %"
    return f"{value:.0f} %"


def result_words(analysis: Analysis | None) -> str:
    """The result in marked-up words."""
    if analysis is None:
        return _("No analysis yet.")
    if not analysis.assessed:
        lines = [
            f'<span style="font-size: x-large"><b>{_("Not assessable")}</b></span>',
            _("This is not a negative result: nothing can be said of this scan."),
        ]
        for reason in analysis.reasons:
            lines.append(f"{html.escape(reason['text'])} <i>{html.escape(reason['advice'])}</i>")
        return "<br>".join(lines)
    case, model = analysis.passport["case"], analysis.passport["model"] or {}
    lines = [
        f'<span style="font-size: xx-large"><b>{percent(analysis.probability)}</b></span>&nbsp; '
        + html.escape(_("brown-fat probability of the scan")),
        decision_words(case),
    ]
    if not case["calibrated"]:
        lines.append(
            _("Not calibrated: compare it with scans of the same model; it is no share of patients.")
        )
    sha = str(model.get("sha256") or "")[:12]
    lines.append(
        html.escape(_("Model: {name} ({sha})").format(name=model.get("title") or model.get("name"), sha=sha))
    )
    overrides = analysis.passport.get("overrides") or []
    for override in overrides:
        text = _("Gone on over '{code}': {reason}").format(**override)
        lines.append(f'<span style="color: {AMBER}">{html.escape(text)}</span>')
    return "<br>".join(lines)


def decision_words(case: dict[str, Any]) -> str:
    """Yes or no by the operating point of the model, or that it has none."""
    decision, point = case.get("decision"), case.get("operating_point")
    if not decision or not point:
        return _("No yes or no answer: the model carries no operating point.")
    words = _(
        "<b>{outcome}</b> at {threshold:.2f} (cohort {cohort}, n = {n}: Se {se:.2f}, Sp {sp:.2f})"
    ).format(
        outcome=_("Positive") if decision["positive"] else _("Negative"),
        threshold=point["threshold"],
        cohort=html.escape(str(point["cohort"])),
        n=point["n"],
        se=point["sensitivity"],
        sp=point["specificity"],
    )
    values = decision.get("predictive_values")
    if values and values["positive"] is not None and values["negative"] is not None:
        words += _("; at a prevalence of {p:.0f} %: PPV {ppv:.2f}, NPV {npv:.2f}").format(
            p=100 * values["prevalence"], ppv=values["positive"], npv=values["negative"]
        )
    return words


def _hu(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def volume_rows(analysis: Analysis | None) -> list[tuple[str, list[str]]]:
    """Name of the row and its cells; empty where no fat was measured."""
    facts = analysis.adipose if analysis is not None else None
    if not facts:
        return []
    sides = facts.get("sides") or {}
    parts = [
        (_("Right"), sides.get("right")),
        (_("Left"), sides.get("left")),
        (_("Both"), facts),
    ]
    rows = []
    for name, part in parts:
        if part:
            hu = part.get("mean_hu")
            volume = millilitres(part["volume_ml"])
            rows.append((name, [volume, _hu(hu)]))
    return rows

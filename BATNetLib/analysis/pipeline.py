"""One scan, from CT to probability: each step in order, and a reason in words where it ends early."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..body import Body, find_body
from ..brown.patches import Patches, extract_patches
from ..device import choose_device
from ..errors import InputRefused, UsageError
from ..events import Events
from ..lungs import check_lungs, cut_plane, find_lungs, lung_extent
from ..preflight import PreflightLimits, PreflightReport, preflight, with_adipose
from ..volume import Volume
from .cache import ADIPOSE, BROWN, ModelCache, models_needed
from .measures import adipose_facts, patch_results
from .options import AnalysisOptions
from .recorder import CaseEvents
from .result import ASSESSED, NOT_ASSESSABLE, Analysis, Lungs, Reason

#: Refusals of a step that mean "nothing can be said of this scan", not "this file is wrong".
_NOT_ASSESSABLE_CODES = {"no-body", "no-lungs", "adipose-empty", "box-too-thin"}


class _NotAssessable(Exception):
    def __init__(self, reasons: list[Reason]) -> None:
        super().__init__(reasons[0].code)
        self.reasons = reasons


def analyze(
    ct: Volume,
    lungs: Volume | None = None,
    pet: Volume | None = None,
    adipose: Volume | None = None,
    *,
    options: AnalysisOptions | None = None,
    models: ModelCache | None = None,
    events: Events | None = None,
) -> Analysis:
    """Analyse one chest CT.

    Parameters
    ----------
    ct : HU in canonical axes.
    lungs, adipose : masks on the grid of ``ct``; lungs are found and fat is segmented where they are None.
    pet : SUV (body weight) on any grid in the same patient space; gives SUVmax and SUVmean of the fat of
        each patch, and changes nothing else.
    options, models, events : see ``AnalysisOptions``, ``ModelCache``, ``Events``.

    Returns
    -------
    ``Analysis`` with ``outcome`` "assessed", or "not-assessable" with the reasons and no probability: a
    blocking finding of the preflight that is not overridden, no body, no lungs, no fat above the cut.

    Raises
    ------
    InputRefused : a mask on another grid, with wrong values or empty; memory too small.
    NoModel, UsageError : as the models and devices raise them, before any long step.
    Cancelled : ``events`` asked to stop.
    """
    options = options or AnalysisOptions()
    case = events if isinstance(events, CaseEvents) else CaseEvents(events)
    run = _Run(ct, options, models or ModelCache(), case)
    check_options(options)
    given = {"ct": ct, "lungs": lungs, "adipose": adipose, "pet": pet}
    run.result.given = {what: volume for what, volume in given.items() if volume is not None}
    run.check_masks(adipose, pet)
    run.load_models()
    try:
        run.look(lungs)
        run.find_adipose()
        run.classify()
    except _NotAssessable as stop:
        run.result.outcome, run.result.reasons = NOT_ASSESSABLE, stop.reasons
    return run.finished()


def check_scan(
    ct: Volume,
    lungs: Volume | None = None,
    adipose: Volume | None = None,
    *,
    options: AnalysisOptions | None = None,
    events: Events | None = None,
) -> PreflightReport:
    """The findings with which ``analyze`` would begin; no model is needed. Arguments as in ``analyze``.

    Raises ``InputRefused`` for masks on another grid, empty or with wrong values; ``Cancelled``.
    """
    case = events if isinstance(events, CaseEvents) else CaseEvents(events)
    run = _Run(ct, options or AnalysisOptions(), ModelCache(), case)
    run.check_masks(adipose, None)
    with suppress(_NotAssessable):
        run.look(lungs)
    assert run.result.preflight is not None
    return run.result.preflight


class _Run:
    """The state of one analysis between its steps."""

    def __init__(self, ct: Volume, options: AnalysisOptions, models: ModelCache, events: CaseEvents) -> None:
        self.ct, self.options, self.models, self.events = ct, options, models, events
        self.body: Body | None = None
        self.result = Analysis(ct, options, options.method, NOT_ASSESSABLE)
        self.result.created = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- before anything long
    def check_masks(self, adipose: Volume | None, pet: Volume | None) -> None:
        self.result.pet = pet
        if adipose is None:
            if self.options.method == "given":
                raise InputRefused(
                    "adipose-missing",
                    "The method is 'given', but no adipose mask was handed in.",
                    "A mask on the grid of the CT is needed.",
                    "Give one with --adipose, or choose --method network.",
                )
            return
        self.ct.require_same_grid(adipose, "adipose mask")
        self.result.adipose = adipose.with_array(_binary(adipose.array, "adipose mask"))
        self.result.method = "given"

    def load_models(self) -> None:
        needed = models_needed(self.options, mask_given=self.result.method == "given")
        if not all((name, stage) in self.models for stage, name in needed.items()):
            with self.events.phase("read"):
                for stage, name in needed.items():
                    self.models.get(name, stage, self.events)
        for stage, name in needed.items():
            self.result.models[stage] = self.models.get(name, stage).passport()
        operating_point_of(self.models.get(needed[BROWN], BROWN).entry, self.options)
        if self.result.demonstration:
            self.events.warning(
                "demonstration-model",
                "A demonstration model was used, trained on phantoms: its numbers mean nothing for patients.",
            )

    # --- preflight and lungs
    def look(self, given: Volume | None) -> None:
        """Lungs, cut and preflight, so that a scan on which no number would make sense ends here."""
        with self.events.phase("lungs"):
            missing = self._lungs(given)
        self._preflight()
        if missing is not None and missing.code not in self.options.overrides:
            raise _NotAssessable([missing])

    def _lungs(self, given: Volume | None) -> Reason | None:
        try:
            if given is None:
                self.body = find_body(self.ct)
                mask, origin = find_lungs(self.ct, self.events, body=self.body), "found"
            else:
                mask, origin = self._given_lungs(given), "given"
        except InputRefused as error:
            if error.code not in _NOT_ASSESSABLE_CODES:
                raise
            return _reason(error)
        first, last = lung_extent(mask.array)
        self.result.lungs = Lungs(mask, origin, first, last, cut_plane(mask))
        return None

    def _given_lungs(self, given: Volume) -> Volume:
        """The user's mask, checked; as it is where no body is found (the preflight says so and blocks)."""
        try:
            self.body = find_body(self.ct)
        except InputRefused:
            self.ct.require_same_grid(given, "lung mask")
            return given.with_array(_binary(given.array > 0, "lung mask"))
        return check_lungs(given, self.ct, self.events, body=self.body)

    def _preflight(self) -> None:
        lungs = self.result.lungs.mask if self.result.lungs else None
        with self.events.phase("preflight"):
            report = preflight(
                self.ct,
                lungs,
                self.result.adipose,
                self.options.limits or None,
                events=self.events,
                body=self.body,
            )
        self._judge(report)

    def _judge(self, report: PreflightReport) -> None:
        """Take the overrides in, keep the report, and stop where something still blocks."""
        report.apply_overrides(self.options.overrides)
        self.result.preflight = report
        self.result.overrides = [
            {"code": finding.code, "reason": str(finding.override)} for finding in report.overridden
        ]
        if report.blocking:
            raise _NotAssessable(
                [Reason(finding.code, finding.sentence, finding.advice) for finding in report.blocking]
            )

    # --- stage 1
    def find_adipose(self) -> None:
        given, result = self.result.adipose is not None, self.result
        until = min(self.cut, self.ct.array.shape[0])
        if not given:
            with self.events.phase("adipose"):
                self._segment(until)
            assert result.adipose is not None and result.preflight is not None
            with self.events.phase("preflight"):
                report = with_adipose(result.preflight, result.adipose)
            self._judge(report)
        assert result.adipose is not None
        segmented = (0, self.ct.array.shape[0] if given else until)
        result.adipose_facts = adipose_facts(self.ct, result.adipose, self.cut, segmented, ())

    @property
    def cut(self) -> int:
        """First slice that no longer counts; the end of the volume where lungs are overridden."""
        return self.result.lungs.cut if self.result.lungs else self.ct.array.shape[0]

    def _segment(self, until: int) -> None:
        if self.result.method == "hu-threshold":
            from ..adipose.threshold import adipose_by_threshold

            try:
                self.result.adipose = adipose_by_threshold(
                    self.ct, self.options.hu_range, body=self.body, until_slice=until, events=self.events
                )
            except InputRefused as error:
                raise self._stop(error) from error
            return
        from ..adipose.segment import segment_adipose

        found = segment_adipose(
            self.ct,
            self.models.get(self.options.adipose_model, ADIPOSE, self.events),
            until_slice=until,
            device=self.options.device,
            batch=self.options.batch,
            events=self.events,
        )
        self.result.adipose = found.mask
        self._ran(ADIPOSE, found)

    # --- patches and stage 2
    def classify(self) -> None:
        from ..brown.classify import classify

        result = self.result
        assert result.adipose is not None and result.adipose_facts is not None
        with self.events.phase("patches"):
            patches = self._patches(result.adipose)
        model = self.models.get(self.options.brown_model, BROWN, self.events)
        with self.events.phase("classify"):
            found = classify(patches, model, device=self.options.device, events=self.events)
        self._ran(BROWN, found)
        result.probability = float(found.probability)
        result.patches = patch_results(
            self.ct, result.adipose, self.cut, patches.boxes, found.patch_probabilities, result.pet
        )
        result.adipose_facts = adipose_facts(
            self.ct, result.adipose, self.cut, result.adipose_facts.slices, patches.boxes
        )
        result.decision = decision(result.probability, model.entry, self.options)
        if self.options.attention_stage != "none":
            from ..brown.attention import attention

            with self.events.phase("attention"):
                result.attention = attention(
                    patches,
                    model,
                    stage=self.options.attention_stage,
                    device=self.options.device,
                    events=self.events,
                )
        result.outcome = ASSESSED

    def _patches(self, adipose: Volume) -> Patches:
        lungs = self.result.lungs.mask.array if self.result.lungs else None
        try:
            return extract_patches(self.ct.array, adipose.array, lungs=lungs)
        except InputRefused as error:
            raise self._stop(error) from error

    # --- the end
    def _stop(self, error: InputRefused) -> Exception:
        return _NotAssessable([_reason(error)]) if error.code in _NOT_ASSESSABLE_CODES else error

    def _ran(self, stage: str, found: Any) -> None:
        self.result.devices[stage] = found.device
        self.result.precision[stage] = found.precision
        self.result.path += found.path

    def finished(self) -> Analysis:
        result = self.result
        if result.outcome == NOT_ASSESSABLE:
            result.probability, result.decision, result.patches, result.attention = None, None, [], None
        result.warnings = list(self.events.warnings)
        result.seconds = dict(self.events.seconds)
        return result


def check_options(options: AnalysisOptions) -> None:
    """Refuse what could not be done later: unknown findings, limits and devices.

    Raises ``UsageError``, and ``NoModel`` ("torch-missing") where no network can run at all.
    """
    PreflightReport().apply_overrides(options.overrides)
    PreflightLimits.of(options.limits or None)
    choose_device(options.device)


def operating_point_of(entry: Any, options: AnalysisOptions) -> Any:
    """The operating point to decide by, None where the model has none and none was asked for by name."""
    from ..models.registry import operating_point

    point = operating_point(entry, options.operating_point)
    if point is None and options.operating_point is not None:
        raise UsageError(
            "unknown-operating-point",
            f"The model {entry.name} has no operating point of the cohort '{options.operating_point}'.",
            "An operating point is a threshold with the cohort that it was measured on.",
            "Leave --operating-point out, or import one with the model.",
        )
    return point


def decision(probability: float, entry: Any, options: AnalysisOptions) -> dict[str, Any] | None:
    """Yes or no by the operating point that was loaded with the model; None without one.

    With a prevalence also the predictive values there (Bayes' theorem).
    """
    point = operating_point_of(entry, options)
    if point is None:
        return None
    found: dict[str, Any] = {"positive": probability >= point.threshold, "operating_point": asdict(point)}
    if options.prevalence is not None:
        shares = point.sensitivity, point.specificity
        found["predictive_values"] = predictive_values(*shares, options.prevalence)
    return found


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> dict[str, float | None]:
    """Positive and negative predictive value at a prevalence 0..1; None for an empty group."""
    hit, false_alarm = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    clear, miss = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return {
        "prevalence": prevalence,
        "positive": hit / (hit + false_alarm) if hit + false_alarm else None,
        "negative": clear / (clear + miss) if clear + miss else None,
    }


def _reason(error: InputRefused) -> Reason:
    return Reason(error.code, error.found, f"{error.wanted} {error.remedy}")


def _binary(array: np.ndarray, name: str) -> np.ndarray:
    """uint8 0/1 of a mask of 0 and one other whole number; refuses other values and an empty mask."""
    low, high = array.min(), array.max()
    if low == high == 0:
        raise InputRefused(
            "mask-empty",
            f"The {name} is empty: none of its voxels is set.",
            "A mask with the fat of neck and chest is needed.",
            "Check that it was saved after drawing and belongs to this CT.",
        )
    inside = array == high
    if low != 0 or np.count_nonzero(array) != np.count_nonzero(inside):
        raise InputRefused(
            "mask-values",
            f"The {name} has values from {low} to {high}, more than background and one label.",
            "A mask holds 0 outside and one other value inside.",
            "Export the one segment that is meant as a mask of its own.",
        )
    return inside.astype(np.uint8)

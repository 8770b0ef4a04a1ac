"""All checks of one scan, in an order that stops where the next one would make no sense."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..body import Body, find_body
from ..errors import InputRefused
from ..events import Events
from ..lungs import coarse_lungs
from ..lungs.search import name_sides
from ..volume.geometry import Volume
from . import intensity
from .coverage import coverage
from .limits import PreflightLimits
from .orientation import orientation
from .position import position
from .report import BLOCK, Finding, PreflightReport
from .sampling import sampling
from .tissue import tissue
from .view import View


def preflight(
    ct: Volume,
    lungs: Volume | None = None,
    adipose: Volume | None = None,
    config: PreflightLimits | Mapping[str, Any] | str | Path | None = None,
    *,
    body: Body | None = None,
    events: Events | None = None,
) -> PreflightReport:
    """Look at a scan before anything is computed from it.

    Parameters
    ----------
    ct : HU, canonical axes.
    lungs : mask from ``find_lungs`` or ``check_lungs``; looked for on coarse blocks where it is None.
    adipose : adipose mask, if it is there already; it is looked at above the cut plane.
    config : ``PreflightLimits``, a mapping of those that differ, or a JSON file of them.
    body : result of ``find_body``, if it is there already.

    Returns
    -------
    ``PreflightReport``, worst findings first. Where the values are no HU, or there is no body, only that
    is said: everything else would be a guess.

    Raises ``UsageError`` ("preflight-limits"), ``InputRefused`` ("other-grid", "mask-empty") for a mask
    that lies elsewhere or a lung mask without a voxel.
    """
    limits = PreflightLimits.of(config)
    events = events or Events()
    if lungs is not None:
        ct.require_same_grid(lungs, "lung mask")
    with events.stage("Preflight", 4) as stage:
        findings = [*sampling(ct, limits), *intensity.scale(ct, limits)]
        stage.advance()
        if any(finding.code == "not-hu" for finding in findings):
            return PreflightReport(findings, limits.as_dict())
        try:
            body = body or find_body(ct)
        except InputRefused as refusal:
            return PreflightReport([*findings, _refused("no-body", refusal)], limits.as_dict())
        blocks = None
        try:
            if lungs is None:
                blocks = coarse_lungs(body)
            else:
                blocks = name_sides(body.coarse.shrink_mask(lungs.array), body)
        except InputRefused as refusal:
            findings.append(_refused("no-lungs", refusal))
        view = View(ct, limits, body, blocks, lungs if blocks is not None else None)
        stage.advance()
        findings += [*intensity.peaks(view), *intensity.metal(view)]
        if blocks is not None:
            findings += [*intensity.contrast(view), *coverage(view), *orientation(view)]
        elif (ct.facts or {}).get("contrast_agent"):
            findings += intensity.contrast(view)
        stage.advance()
        findings += position(view)
        if adipose is not None:
            findings += tissue(view, adipose)
    return PreflightReport(findings, limits.as_dict(), view)


def with_adipose(report: PreflightReport, adipose: Volume) -> PreflightReport:
    """The report of a scan, made before its adipose mask was there, with the findings on that mask.

    Raises ``InputRefused`` ("other-grid") for a mask that lies elsewhere.
    """
    if report.view is None:
        return report
    return PreflightReport([*report.findings, *tissue(report.view, adipose)], report.limits, report.view)


def _refused(code: str, refusal: InputRefused) -> Finding:
    return Finding(code, BLOCK, refusal.found, refusal.remedy)

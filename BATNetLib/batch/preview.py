"""What a batch would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..events import Events
from . import names
from .cases import UNUSABLE, Case, Found
from .ledger import Ledger
from .output import OutputFolder
from .plan import make_plan
from .settings import BatchSettings


def preview(found: Found, out: Path | None, settings: BatchSettings) -> dict[str, Any]:
    """Cases and what was passed over, by the user's own names, as plain JSON values.

    ``state`` of a case: "new", its status in ``out``, "unusable", or "other shard". Whether options and
    models are as they were is not judged here. Nothing is written.
    """
    cases = [case.as_used(settings.fat_masks).read_as(settings.axes) for case in found.cases]
    known = _known(cases, out, settings) if out is not None else {}
    return {
        "cases": [
            {
                "name": case.name,
                "layout": case.layout,
                "files": sorted(case.files),
                "state": "unusable" if case.kind == UNUSABLE else known.get(case.name, "new"),
                "why": case.refusal.found if case.refusal else None,
            }
            for case in cases
        ],
        "passed_over": [
            {"name": skipped.name, "why": skipped.why, "detail": skipped.detail}
            for skipped in found.passed_over
        ],
    }


def _known(cases: list[Case], out: Path, settings: BatchSettings) -> Mapping[str, str]:
    """Case name to its state in an output folder."""
    output = OutputFolder(out, settings.shard)
    if output.settings() is None:
        return {}
    if settings.keep_names:
        ids = names.kept_names(cases)
    else:
        ids = names.pseudonyms(cases, settings.key or names.key_file_of(out), write=False)
    ledger = Ledger(output.state)
    ledger.refresh()
    there = [case for case in cases if case.name in ids]
    steps = make_plan(
        there, ids, ledger, "", shard=settings.shard, rerun=None, folders=set(), events=Events()
    )
    mine = {step.case.name: ledger.records.get(step.case_id, {}).get("status", "new") for step in steps}
    return {case.name: mine.get(case.name, "other shard") for case in there}

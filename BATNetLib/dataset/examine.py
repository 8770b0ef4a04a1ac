"""Looking at one case of any layout: what it measures and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..batch.patchcase import read_patches
from ..brown.patches import PATCH_SIZE, POSITIVE
from ..errors import BATNetError, Cancelled
from ..events import Events
from .cases import TrainingCase
from .findings import BLOCK, WARN, CaseFacts
from .inner import Inner
from .patchfiles import read_labels, read_note, stale
from .pixels import hash_wherever
from .scans import examine_scan
from .slices import examine_slices

#: What each stage of training needs of a scan.
NEEDS: dict[str | None, tuple[str, ...]] = {None: (), "adipose": ("adipose",), "brown": ("adipose", "brown")}


def examine(
    case: TrainingCase, events: Events, *, stage: str | None = None, picture: bool = False
) -> CaseFacts:
    """Read a case and say what was found; nothing is raised for bad data, it becomes findings that block.

    ``stage``: "adipose" or "brown" asks for the masks that its training needs. ``picture``: also draw a
    thumbnail. Raises ``Cancelled`` only.
    """
    inner = Inner(events, tell=False)
    try:
        facts = _look(case, inner, NEEDS[stage], picture)
    except Cancelled:
        raise
    except BATNetError as error:
        facts = CaseFacts(case)
        facts.refuse(error)
    for warning in inner.warnings:
        facts.find(WARN, warning["code"], warning["text"], "Look at the scan; keep it if this is all right.")
    return facts


def _look(case: TrainingCase, events: Events, needs: Collection[str], picture: bool) -> CaseFacts:
    if case.refusal is not None:
        raise case.refusal
    if case.has_scan:
        return _scan(case, events, needs, picture)
    if case.has_slices or "slice_masks" in case.files:
        return _slices(case, events, picture)
    return _patches(case, events, picture)


def _scan(case: TrainingCase, events: Events, needs: Collection[str], picture: bool) -> CaseFacts:
    facts, scan = examine_scan(case, events, needs=needs)
    if picture:
        from .thumbnails import scan_thumbnail

        facts.picture = scan_thumbnail(scan)
    if case.has_patches:
        # Patches that lie in the case folder belong to the scan beside them.
        facts.findings += _patches(case, events, False).findings
    return facts


def _slices(case: TrainingCase, events: Events, picture: bool) -> CaseFacts:
    facts, images, masks = examine_slices(case, events)
    if picture:
        from .thumbnails import slice_thumbnail

        facts.picture = slice_thumbnail(images, masks)
    return facts


def _patches(case: TrainingCase, events: Events, picture: bool) -> CaseFacts:
    facts = CaseFacts(case, unit="patches")
    absent = [role for role in ("left", "right") if role not in case.files]
    if absent:
        facts.find(
            BLOCK,
            "patch-file-missing",
            f"The patches of one side only are there ({absent[0]} is missing).",
            "Make the patches again, or copy the missing file.",
        )
        return facts
    patches = read_patches(case.files["left"], case.files["right"])
    events.check()
    folder = case.files["left"].parent
    values = np.concatenate([patches.left, patches.right])
    facts.shape = (PATCH_SIZE, PATCH_SIZE, PATCH_SIZE)
    pixels = hash_wherever(values[:, 0].reshape(-1, PATCH_SIZE, PATCH_SIZE))
    facts.planes = (bytes.fromhex(pixels)[:16],)
    # Patches of one scan cut over two masks differ; the scan that they were made from does not.
    source = ((read_note(folder) or {}).get("made_from") or {}).get("ct") or {}
    facts.voxels = source.get("voxels") or pixels
    facts.fat = float(values[:, 1].any(axis=(1, 2, 3)).sum())
    positive = 0
    for role in ("left_label", "right_label"):
        if role not in case.files:
            facts.find(
                BLOCK,
                "labels-missing",
                f"The labels of one side are not there ({role}).",
                "Make the patches again with the brown-fat mask.",
            )
            continue
        try:
            positive += int((read_labels(case.files[role]) == POSITIVE).sum())
        except BATNetError as error:
            facts.refuse(error)
    if facts.usable:
        facts.brown = float(positive)
    _judge_age(facts, folder, case, events)
    if picture:
        from .thumbnails import patch_thumbnail

        facts.picture = patch_thumbnail(patches)
    return facts


def _judge_age(facts: CaseFacts, folder: Path, case: TrainingCase, events: Events) -> None:
    if read_note(folder) is None:
        facts.find(
            WARN,
            "patches-untraced",
            "Nothing says what the patches were made from.",
            "Make them with 'batnet dataset patches', which keeps a note, or trust whoever made them.",
        )
        return
    why = stale(folder, case if case.has_scan else None, events)
    if why is not None:
        facts.find(
            BLOCK, "patches-stale", why, "Make them again: 'batnet dataset patches' does so where needed."
        )

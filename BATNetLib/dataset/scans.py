"""A scan with its masks: read in canonical axes, looked at before anything is trained on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..errors import BATNetError, InputRefused
from ..events import Events
from ..lungs import check_lungs
from ..volume import Volume, read_mask, read_volume
from .cases import TrainingCase
from .findings import BLOCK, NOTE, WARN, CaseFacts
from .pixels import hash_planes, hash_wherever

#: Where the middle of fat lies in HU; elsewhere the mask does not belong to the scan.
_FAT_HU = (-190.0, -30.0)
#: Brown fat outside the adipose mask: worth a look from the first share on, wrong from the second.
_OUTSIDE = (0.01, 0.50)
#: What users call the masks.
NAMES = {"adipose": "adipose mask", "brown": "brown-fat mask", "lungs": "lung mask"}


@dataclass(frozen=True)
class Scan:
    """Canonical volumes of a case. Masks: uint8 0 and 1 (lungs may have more labels), or None."""

    ct: Volume
    adipose: Volume | None = None
    brown: Volume | None = None
    lungs: Volume | None = None

    @property
    def spacing_known(self) -> bool:
        return not (self.ct.facts or {}).get("spacing_unknown")


def read_ct(case: TrainingCase, events: Events) -> Volume:
    """The CT of a case; raises what ``read_volume`` raises."""
    return read_volume(case.files["ct"], axes=cast(Any, case.axes), series=case.series, events=events)


def read_scan(
    case: TrainingCase, roles: Collection[str] = tuple(NAMES), events: Events | None = None
) -> Scan:
    """The CT and those masks of ``roles`` that there are; empty masks are allowed.

    A mask of 0 and 255 counts as 0 and 1. Raises ``InputRefused`` as ``read_volume`` and ``read_mask`` do,
    and "mask-values" for other labels in an adipose or brown-fat mask.
    """
    events = events or Events()
    ct = read_ct(case, events)
    masks = {
        role: binary(_mask(case, role, ct, events), role)
        for role in NAMES
        if role in roles and role in case.files
    }
    return Scan(ct, **masks)


def examine_scan(
    case: TrainingCase, events: Events, *, needs: Collection[str] = ()
) -> tuple[CaseFacts, Scan]:
    """Look at a scan and its masks; findings go into the facts. ``needs``: masks that must be there.

    Raises ``BATNetError`` where the CT itself cannot be read.
    """
    facts = CaseFacts(case)
    ct = read_ct(case, events)
    masks: dict[str, Volume] = {}
    for role in NAMES:
        events.check()
        if role in case.files:
            try:
                masks[role] = _labels(_mask(case, role, ct, events), role, facts)
            except BATNetError as error:
                facts.refuse(error)
    scan = Scan(ct, **masks)
    facts.shape = ct.grid.shape
    facts.spacing = ct.spacing if scan.spacing_known else None
    facts.unit = "mL" if scan.spacing_known else "voxels"
    facts.voxels, facts.planes = hash_wherever(ct.array), hash_planes(ct.array, events)
    events.check()
    each = ct.voxel_ml if scan.spacing_known else 1.0
    for role in ("adipose", "brown"):
        if role in masks:
            amount = float(np.count_nonzero(masks[role].array)) * each
            if role == "adipose":
                facts.fat = amount
            else:
                facts.brown = amount
    _judge_masks(facts, scan, needs)
    # Lungs are judged by their size.
    if scan.lungs is not None and scan.spacing_known:
        _judge_lungs(facts, scan, events)
    if not scan.spacing_known:
        facts.find(
            NOTE,
            "spacing-unknown",
            "The files do not say how large a voxel is.",
            "Volumes are counted in voxels; keep files with their geometry if you can.",
        )
    return facts, scan


def binary(mask: Volume, role: str) -> Volume:
    """An adipose or brown-fat mask as 0 and 1. Raises ``InputRefused`` for labels beside 0, 1 and 255."""
    if role == "lungs":
        return mask
    values = [int(v) for v in np.unique(mask.array) if v]
    if not set(values) <= {1} and values != [255]:
        raise InputRefused(
            "mask-values",
            f"The {NAMES[role]} has voxels of {', '.join(map(str, values[:10]))}.",
            "It may hold 0 and 1 only (or 0 and 255).",
            "Write the wanted label alone as 1.",
        )
    return mask.with_array((mask.array > 0).astype(np.uint8))


def _labels(mask: Volume, role: str, facts: CaseFacts) -> Volume:
    if role != "lungs" and int(mask.array.max()) == 255:
        made = binary(mask, role)
        facts.find(
            WARN,
            "mask-255",
            f"The {NAMES[role]} holds 0 and 255 in place of 0 and 1.",
            "It is read as 0 and 1; 'dataset convert' writes it so.",
        )
        return made
    return binary(mask, role)


def _judge_masks(facts: CaseFacts, scan: Scan, needs: Collection[str]) -> None:
    here = facts.case.files
    for role in sorted(needs):
        if role not in here:
            facts.find(
                BLOCK,
                f"{role}-missing",
                f"There is no {NAMES[role]} beside the scan.",
                "Add it under a known name (see --help) or name it in a manifest.",
            )
    if not needs and "adipose" not in here and "brown" not in here:
        facts.find(
            BLOCK,
            "masks-missing",
            "There is neither an adipose mask nor a brown-fat mask beside the scan.",
            "Add one under a known name (see --help) or name it in a manifest.",
        )
    if facts.fat == 0:
        facts.find(
            BLOCK,
            "mask-empty",
            "The adipose mask is empty.",
            "Nobody is without fat: give the mask of this scan, or take the case out.",
        )
    if facts.brown == 0:
        facts.find(
            NOTE,
            "brown-empty",
            "The brown-fat mask is empty.",
            "The case counts as one without brown fat; check that it was looked for.",
        )
    if scan.adipose is not None and facts.fat:
        inside = scan.ct.array[scan.adipose.array > 0]
        middle = float(np.median(inside))
        if not _FAT_HU[0] <= middle <= _FAT_HU[1]:
            facts.find(
                WARN,
                "mask-not-fat",
                f"The middle value under the adipose mask is {middle:.0f} HU, which is not that of fat.",
                "Check that the mask belongs to this scan and is not mirrored, and that the scan is in HU.",
            )
    if scan.adipose is not None and scan.brown is not None and facts.brown:
        _judge_outside(facts, scan.adipose.array, scan.brown.array)


def _judge_lungs(facts: CaseFacts, scan: Scan, events: Events) -> None:
    """The lungs say where patches end, so a wrong mask spoils the labels of brown fat, and only these."""
    assert scan.lungs is not None
    try:
        check_lungs(scan.lungs, scan.ct, events)
    except InputRefused as error:
        level = BLOCK if scan.brown is not None else WARN
        facts.find(level, error.code, f"{error.found} {error.wanted}", error.remedy)


def _judge_outside(facts: CaseFacts, adipose: np.ndarray, brown: np.ndarray) -> None:
    marked = brown > 0
    share = float(np.count_nonzero(marked & (adipose == 0)) / np.count_nonzero(marked))
    if share > 0:
        level = BLOCK if share >= _OUTSIDE[1] else WARN if share >= _OUTSIDE[0] else NOTE
        facts.find(
            level,
            "brown-outside-adipose",
            f"{share:.1%} of the brown fat ({share * (facts.brown or 0):.3g} {facts.unit}) lies outside the "
            "adipose mask.",
            "Brown fat is fat: complete the adipose mask, or cut the brown-fat mask to it. Labels of patches "
            "count what lies inside.",
        )


def _mask(case: TrainingCase, role: str, ct: Volume, events: Events) -> Volume:
    return read_mask(case.files[role], ct, name=NAMES[role], allow_empty=True, events=events)

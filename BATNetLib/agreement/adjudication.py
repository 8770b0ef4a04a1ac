"""One mask from several: what all marked, and region by region what somebody decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

import numpy as np

from .. import RESEARCH_USE_ONLY
from ..annotation.manifest import ADJUDICATED
from ..annotation.record import Record, Scores, no_scores
from ..annotation.store import Store
from ..annotation.versions import Version
from ..errors import InputRefused, UsageError
from ..volume.geometry import Volume
from ..workfiles import whole_file
from .regions import Disagreement, Region

#: What happens to regions nobody was asked about.
Rest = Literal["majority", "mark", "leave"]
REST = {
    "majority": "marked where more than half of the readers marked it",
    "mark": "marked",
    "leave": "not marked",
}


__all__ = ["ADJUDICATED", "REST", "Adjudicated", "Decision", "Rest", "adjudicate", "save_adjudicated"]


@dataclass(frozen=True)
class Decision:
    """What was decided of a region. ``marked``: it belongs to the final mask. ``as_reader``: the choice was
    "as this reader", None for a choice of its own. ``by``: who decided; ``time``: UTC, ISO 8601."""

    region: Region
    marked: bool
    as_reader: str | None
    by: str
    time: str

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.region.as_dict(),
            "marked": self.marked,
            "as_reader": self.as_reader,
            "decided_by": self.by,
            "time": self.time,
        }


@dataclass(frozen=True)
class Adjudicated:
    """``mask``: uint8 0/1 on the readers' grid. ``rest``: rule for the regions too small to be listed, None
    where there were none; ``rest_ml``: what it marked."""

    mask: Volume
    ml: float
    decisions: tuple[Decision, ...]
    readers: tuple[str, ...]
    rest: str | None
    rest_ml: float
    agreed_ml: float

    def words(self) -> str:
        """One sentence for the record and for the panel."""
        taken = [d for d in self.decisions if d.marked]
        marked = sum(d.region.ml for d in taken)
        by = ", ".join(sorted({d.by for d in self.decisions})) or "nobody, none was open"
        text = (
            f"Adjudication of {' and '.join(self.readers)}: {self.agreed_ml:.2f} mL marked by all, and "
            f"{marked:.2f} mL in {len(taken)} of {len(self.decisions)} regions in dispute (decided by {by})."
        )
        if self.rest is not None:
            text += f" Smaller regions were {REST[self.rest]}: {self.rest_ml:.2f} mL."
        return text

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": "batnet-adjudication",
            "schema_version": 1,
            "statement": RESEARCH_USE_ONLY,
            "readers": list(self.readers),
            "ml": round(self.ml, 4),
            "agreed_ml": round(self.agreed_ml, 4),
            "smaller_regions": None if self.rest is None else REST[self.rest],
            "smaller_regions_ml": round(self.rest_ml, 4),
            "decisions": [d.as_dict() for d in self.decisions],
        }


def adjudicate(
    masks: Mapping[str, Volume],
    found: Disagreement,
    choices: Mapping[int, bool | str],
    *,
    by: str | Mapping[int, str],
    rest: Rest | None = None,
    now: datetime | None = None,
) -> Adjudicated:
    """The final mask: voxels that all marked, plus the regions that were decided to belong to it.

    ``masks``: of the readers, as given to ``find_regions``, whose result is ``found``. ``choices``: number of
    a region to True (marked), False (not), or the name of a reader (as this reader has it). ``by``: who
    decided, for all regions or by number. ``rest``: rule for regions too small to be listed ("majority",
    ties not marked; "mark"; "leave"); listed ones are always decided by somebody.

    Raises ``InputRefused`` ("adjudication-open") where a region has no choice or small regions have no rule,
    and ``UsageError`` ("adjudication-choice", "adjudication-by") for choices that name nothing.
    """
    time = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).isoformat(timespec="seconds")
    unknown = sorted(set(choices) - set(found.by_number))
    if unknown or tuple(masks) != found.readers:
        what = "regions " + ", ".join(map(str, unknown)) if unknown else "masks of other readers"
        raise _choice(f"The decisions are about {what}, which were not found here.")
    open_regions = [region for region in found.regions if region.number not in choices]
    if open_regions:
        ml = sum(region.ml for region in open_regions)
        number = len(open_regions)
        raise InputRefused(
            "adjudication-open",
            f"{number} region{'s' if number != 1 else ''} with {ml:.2f} mL in all "
            f"{'is' if number == 1 else 'are'} not decided yet, the largest {open_regions[0].words()}.",
            "Every region in dispute needs a decision.",
            "Decide them one by one.",
        )
    if found.small_regions and rest is None:
        raise InputRefused(
            "adjudication-open",
            f"{found.small_regions} regions below {found.smallest_ml:g} mL ({found.small_ml:.2f} mL in all) "
            "have no decision.",
            "A rule for them is needed.",
            "Choose one: by majority, all marked, or none marked; or list all regions.",
        )
    decisions = []
    for region in found.regions:
        choice = choices[region.number]
        if isinstance(choice, str) and choice not in found.readers:
            raise _choice(f"Region {region.number} shall be as {choice!r} has it, who is no reader here.")
        marked = choice in region.has if isinstance(choice, str) else bool(choice)
        who = by if isinstance(by, str) else by.get(region.number, "")
        if not who.strip():
            raise UsageError(
                "adjudication-by",
                f"Nobody's name stands for the decision on region {region.number}.",
                "Who decided is kept with every decision.",
                "Enter the name.",
            )
        decisions.append(Decision(region, marked, choice if isinstance(choice, str) else None, who, time))
    arrays = [masks[name].array > 0 for name in found.readers]
    agreed = np.logical_and.reduce(arrays)
    taken = np.zeros(len(found.regions) + 1, bool)
    taken[[d.region.number for d in decisions if d.marked]] = True
    small = _small(arrays, found, rest)
    mask = agreed | taken[found.labels] | small
    voxel_ml = found.grid.voxel_ml
    return Adjudicated(
        next(iter(masks.values())).with_array(mask.view(np.uint8)),
        float(np.count_nonzero(mask)) * voxel_ml,
        tuple(decisions),
        found.readers,
        rest if found.small_regions else None,
        float(np.count_nonzero(small)) * voxel_ml,
        float(np.count_nonzero(agreed)) * voxel_ml,
    )


def save_adjudicated(
    store: Store,
    case: str,
    result: Adjudicated,
    *,
    versions: Mapping[str, int],
    scores: Scores | None = None,
    ct: str | None = None,
    midplane: Mapping[str, Any] | None = None,
    seconds: float = 0.0,
) -> Version:
    """Keep an adjudicated mask as a version of the reader "adjudicated", who decided what beside it.

    ``versions``: reader to the version that was compared. The decisions lie as
    ``adjudication-v0001.json`` beside the version of that number. Raises what ``Store.save`` raises.
    """
    made_from = ", ".join(f"{name} v{versions[name]:04d}" for name in result.readers)
    record = Record(
        status="done",
        seconds=seconds,
        scores=no_scores() if scores is None else scores,
        comment=result.words(),
        edited_from=f"adjudication of {made_from}",
        midplane=midplane,
        ct=ct,
    )
    newest = store.newest(case, ADJUDICATED)
    version = store.save(
        case, ADJUDICATED, result.mask, record=record, parent=None if newest is None else newest.number
    )
    facts = result.as_dict() | {"case": case, "version": version.number, "versions": dict(versions)}
    with whole_file(version.folder.parent / f"adjudication-{version.name}.json") as path:
        path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return version


def _small(arrays: list[np.ndarray], found: Disagreement, rest: str | None) -> np.ndarray:
    if not found.small_regions or rest == "leave":
        return np.zeros(found.grid.shape, bool)
    if rest == "mark":
        return found.small
    if rest != "majority":
        raise _choice(f"The rule {rest!r} for small regions is not known.")
    votes = np.zeros(found.grid.shape, np.uint8)
    for array in arrays:
        votes += array
    return found.small & (votes * 2 > len(arrays))


def _choice(found: str) -> UsageError:
    return UsageError(
        "adjudication-choice",
        found,
        "A decision names a region of the list and says marked, not marked, or as which reader has it.",
        "List the regions again; the masks may have changed since.",
    )

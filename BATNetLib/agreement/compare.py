"""Agreement of readers over a set of cases: masks, volumes, scores and the regions in dispute."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..annotation.record import DEPOTS, SIDES, Record
from ..annotation.store import Store
from ..errors import InputRefused, UsageError
from ..evaluation.cohort import patients_of
from ..evaluation.intervals import FEW, RESAMPLES, SEED, Estimate, mean_and_median
from ..evaluation.overlap import BOTH, EMPTY_BOTH, EMPTY_PREDICTION, EMPTY_TRUTH, Overlap, compare_masks
from ..evaluation.tables import count_of, listed
from ..events import Events
from ..symmetry import MirrorPlane
from ..volume.geometry import Volume
from .kappa import WEIGHTS, Kappa, Weights, kappa_over_patients, mean_pairwise_kappa
from .reads import LeftOut, Reads, find_reads
from .regions import MOST_READERS, Region, find_regions
from .volumes import ICC, BlandAltman, bland_altman, icc_2_1

#: Names of the states of a pair of masks; evaluation calls the first one "truth".
STATES = {
    BOTH: "both",
    EMPTY_BOTH: "both-empty",
    EMPTY_TRUTH: "first-empty",
    EMPTY_PREDICTION: "second-empty",
}
#: Measures of a pair of masks: name, title, unit.
MEASURES = (
    ("dice", "Dice", ""),
    ("surface_dice", "Surface Dice", ""),
    ("hd95_mm", "HD95", "mm"),
)
#: What scores are grouped by in the table of kappas: depots on both sides, and sides.
ALL = "all depots"


@dataclass(frozen=True)
class Options:
    """``tolerance_mm``: of the surface Dice. ``smallest_ml``: smaller regions in dispute are counted, not
    listed. ``drafts``: reads not marked as done count too. ``resamples``, ``seed``: of the bootstrap."""

    tolerance_mm: float = 2.0
    smallest_ml: float = 0.05
    drafts: bool = False
    resamples: int = RESAMPLES
    seed: int = SEED


@dataclass(frozen=True)
class Pair:
    """Masks of two readers on one case. ``overlap``: None where they could not be compared, and then
    ``problem`` says why."""

    case: str
    patient: str
    first: str
    second: str
    overlap: Overlap | None
    problem: str = ""

    @property
    def state(self) -> str:
        return "not-compared" if self.overlap is None else STATES[self.overlap.state]

    def measures(self) -> dict[str, float | None]:
        o = self.overlap
        if o is None:
            return {name: None for name, _, _ in MEASURES}
        return {"dice": o.dice, "surface_dice": o.nsd, "hd95_mm": o.hd95_mm}


@dataclass(frozen=True)
class CaseRegions:
    """Regions in dispute of one case. ``small``, ``small_ml``: those too small to be listed. ``readers``:
    whose masks were compared. ``sided``: whether a record told the plane between right and left."""

    case: str
    readers: tuple[str, ...]
    regions: tuple[Region, ...]
    small: int
    small_ml: float
    agreed_ml: float
    sided: bool


@dataclass
class Agreement:
    """Everything measured. ``cases``: with two reads or more. ``volumes``: case to reader to mL. ``records``:
    the same to the sidecar. ``patients``: of each case; ``patients_given``: whether a table told them."""

    options: Options
    readers: tuple[str, ...]
    cases: list[str]
    patients: dict[str, str]
    patients_given: bool
    left_out: list[LeftOut]
    remarks: list[str]
    pairs: list[Pair] = field(default_factory=list)
    volumes: dict[str, dict[str, float]] = field(default_factory=dict)
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    regions: list[CaseRegions] = field(default_factory=list)

    # --- masks
    @property
    def reader_pairs(self) -> list[tuple[str, str]]:
        return list(itertools.combinations(self.readers, 2))

    def of(self, first: str, second: str) -> list[Pair]:
        """Pairs of these two readers, in the order of cases."""
        return [p for p in self.pairs if (p.first, p.second) == (first, second)]

    def overlap(self, first: str, second: str) -> dict[str, tuple[Estimate, Estimate]]:
        """Mean and median of each measure over the cases in which both marked something."""
        both = [p for p in self.of(first, second) if p.state == "both"]
        return {name: self._mean(name, both) for name, _, _ in MEASURES}

    def overlap_together(self) -> dict[str, tuple[Estimate, Estimate]]:
        """The same over all pairs of readers; each case counts with the mean of its pairs."""
        found = {}
        for name, _, _ in MEASURES:
            per_case: dict[str, list[float]] = {}
            for pair in self.pairs:
                value = pair.measures()[name]
                if pair.state == "both" and value is not None:
                    per_case.setdefault(pair.case, []).append(value)
            means = {case: sum(values) / len(values) for case, values in per_case.items()}
            found[name] = self._estimates(list(means.values()), [self.patients[c] for c in means])
        return found

    def states(self, first: str, second: str) -> dict[str, int]:
        """How many cases are in which state."""
        found = dict.fromkeys((*STATES.values(), "not-compared"), 0)
        for pair in self.of(first, second):
            found[pair.state] += 1
        return found

    # --- volumes
    def complete(self, readers: Sequence[str]) -> list[str]:
        """Cases whose volume all of ``readers`` have measured."""
        return [c for c in self.cases if all(reader in self.volumes.get(c, {}) for reader in readers)]

    def icc(self, readers: Sequence[str] | None = None) -> ICC:
        """ICC(2,1) of the volumes over the cases that all of ``readers`` (None: of all) have read."""
        import numpy as np

        readers = self.readers if readers is None else readers
        rows = [[self.volumes[case][reader] for reader in readers] for case in self.complete(readers)]
        return icc_2_1(np.array(rows, float).reshape(len(rows), len(readers)))

    def limits(self, first: str, second: str) -> BlandAltman:
        """Bland-Altman of the volumes, first minus second reader, mL; empty masks count as 0 mL."""
        cases = self.complete((first, second))
        return bland_altman([self.volumes[c][first] - self.volumes[c][second] for c in cases])

    # --- scores
    def scored(self, readers: Sequence[str], group: str) -> tuple[list[list[int]], list[str]]:
        """Scores of each of ``readers`` for the depots and sides of ``group`` that all of them scored, and
        the patient of each. ``group``: ``ALL``, a depot, or a side."""
        scores: list[list[int]] = [[] for _ in readers]
        patients: list[str] = []
        for case in self.cases:
            records = [self.records.get(case, {}).get(reader) for reader in readers]
            for depot, side in itertools.product(DEPOTS, SIDES):
                if group not in (ALL, depot, side):
                    continue
                given = [None if r is None else r.scores.get(depot, {}).get(side) for r in records]
                known = [value for value in given if value is not None]
                if len(known) == len(readers):
                    for own, value in zip(scores, known, strict=True):
                        own.append(value)
                    patients.append(self.patients[case])
        return scores, patients

    def kappa(self, first: str, second: str, group: str = ALL, weights: Weights = "linear") -> Kappa:
        """Weighted kappa of two readers' scores; interval from resampled patients."""
        (a, b), patients = self.scored((first, second), group)
        o = self.options
        return kappa_over_patients(a, b, patients, weights=weights, resamples=o.resamples, seed=o.seed)

    def kappa_together(self, group: str = ALL, weights: Weights = "linear") -> Estimate:
        """Mean of the weighted kappas of all pairs, over what all readers scored."""
        scores, patients = self.scored(self.readers, group)
        o = self.options
        return mean_pairwise_kappa(scores, patients, weights=weights, resamples=o.resamples, seed=o.seed)

    # --- in words
    def words(self) -> list[str]:
        """The main results, a sentence each: for a panel and for the command line."""
        from ..evaluation.words import estimate_words, interval_words

        lines = [f"{len(self.cases)} case{'s' if len(self.cases) != 1 else ''} with two reads or more."]
        for first, second in self.reader_pairs:
            dice = self.overlap(first, second)["dice"][0]
            states = self.states(first, second)
            name = f"{first} and {second}"
            if dice.n:
                lines.append(
                    f"{name}: Dice {estimate_words(dice)} in the mean of {dice.n} "
                    f"({interval_words(dice)}); {states['both-empty']} empty in both, "
                    f"{states['first-empty'] + states['second-empty']} in one only."
                )
            else:
                lines.append(f"{name}: no case in which both marked something.")
            limits = self.limits(first, second)
            if limits.spread is not None:
                bias, low, high = (estimate_words(e, 1) for e in (limits.bias, limits.lower, limits.upper))
                lines.append(f"{name}: volume bias {bias} mL, limits of agreement {low} to {high} mL.")
            for weights in WEIGHTS:
                kappa = self.kappa(first, second, weights=weights).estimate
                said = (
                    kappa.note
                    if kappa.value is None
                    else f"{estimate_words(kappa)} ({interval_words(kappa)})"
                )
                lines.append(f"{name}: {weights} weighted kappa of scores: {said}.")
        icc = self.icc().estimate
        said = icc.note if icc.value is None else f"{estimate_words(icc)} ({interval_words(icc)})"
        lines.append(f"ICC(2,1) of volumes over {icc.n} cases that all read: {said}.")
        total = sum(len(c.regions) for c in self.regions)
        lines.append(f"{total} regions in dispute of {self.options.smallest_ml:g} mL or more.")
        return lines

    def _mean(self, name: str, pairs: list[Pair]) -> tuple[Estimate, Estimate]:
        known = [(value, p.patient) for p in pairs if (value := p.measures()[name]) is not None]
        return self._estimates([v for v, _ in known], [patient for _, patient in known])

    def _estimates(self, values: list[float], patients: list[str]) -> tuple[Estimate, Estimate]:
        return mean_and_median(values, patients, resamples=self.options.resamples, seed=self.options.seed)


def agreement(
    root: str | Path | Store,
    readers: Sequence[str] | None = None,
    options: Options | None = None,
    *,
    patients: Mapping[str, str] | None = None,
    events: Events | None = None,
) -> Agreement:
    """Compare the newest reads of ``readers`` (None: of all) below the folder of annotations ``root``.

    ``patients``: case to patient, where patients have several scans; else each case is one. Cases that only
    one reader has finished, reads on other grids and reads on another CT are left out and named, in words.

    Raises ``UsageError`` ("tolerance", "agreement-readers", "agreement-no-store") and ``InputRefused``
    ("agreement-no-cases" where no case has two reads, "patients-missing").
    """
    options, events = options or Options(), events or Events()
    if not 0 < options.tolerance_mm < 100:
        raise UsageError(
            "tolerance",
            f"The tolerance is {options.tolerance_mm:g} mm.",
            "It must be above 0 and below 100 mm.",
            "Choose what counts as the same border, for example 2.",
        )
    reads = find_reads(root, readers, drafts=options.drafts)
    if not reads.cases:
        # A damaged store must not look like one in which nobody has finished.
        example = reads.left_out[0]
        raise _no_cases(
            f"No case has finished reads of two of {', '.join(reads.readers)}. For example {example.case}: "
            f"{example.words}"
        )
    told = {case: (patients or {}).get(case) for case in reads.cases}
    patient, given = patients_of(reads.cases, told)
    result = Agreement(
        options, reads.readers, list(reads.cases), patient, given, reads.left_out, reads.remarks
    )
    if len(set(patient.values())) < FEW:
        events.warning(
            "few-patients",
            f"Only {len(set(patient.values()))} patients: below about {FEW}, intervals from resampling are "
            "too narrow.",
        )
    if given and len(set(patient.values())) < len(reads.cases):
        events.warning(
            "repeated-patients",
            "Patients have several scans: the intervals of ICC and limits of agreement take scans for "
            "independent and are too narrow; all others draw patients whole.",
        )
    with events.stage("Compare reads", len(reads.cases)) as stage:
        for case in reads.cases:
            _compare_case(result, reads, case)
            stage.advance()
    result.cases = [case for case in result.cases if len(result.volumes[case]) > 1]
    if not result.cases:
        raise _no_cases("Every case was read on different CTs by different readers.")
    unsided = [c.case for c in result.regions if c.regions and not c.sided]
    if unsided:
        result.remarks.append(
            f"{count_of(unsided, 'case')} without a mid-plane in any record: regions there have no side "
            f"({listed(unsided)})."
        )
    for text in result.remarks:
        events.warning("agreement-remark", text)
    return result


def _no_cases(found: str) -> InputRefused:
    return InputRefused(
        "agreement-no-cases",
        found,
        "Agreement needs cases that two readers have marked as done.",
        "Finish the reads, or count drafts too (--drafts).",
    )


def _compare_case(result: Agreement, reads: Reads, case: str) -> None:
    masks: dict[str, Volume] = {}
    records: dict[str, Record] = {}
    for reader, version in reads.versions[case].items():
        masks[reader], _, records[reader] = reads.store.read(version)
    for reader in _on_another_ct(records):
        result.left_out.append(LeftOut(case, reader, f"The read of {reader} was made on another CT."))
        del masks[reader], records[reader]
    result.records[case] = records
    result.volumes[case] = {
        name: float((mask.array > 0).sum()) * mask.voxel_ml for name, mask in masks.items()
    }
    fitting = True
    for first, second in result.reader_pairs:
        if first in masks and second in masks:
            pair = _pair(result, case, first, second, masks)
            fitting &= pair.overlap is not None
            result.pairs.append(pair)
    if fitting and 2 <= len(masks) <= MOST_READERS:
        plane = _plane(records)
        found = find_regions(masks, plane=plane, smallest_ml=result.options.smallest_ml)
        result.regions.append(
            CaseRegions(
                case,
                found.readers,
                tuple(found.regions),
                found.small_regions,
                found.small_ml,
                found.agreed_ml,
                plane is not None,
            )
        )
    elif len(masks) > MOST_READERS:
        result.remarks.append(f"Case {case}: regions are listed for at most {MOST_READERS} readers.")


def _pair(result: Agreement, case: str, first: str, second: str, masks: dict[str, Volume]) -> Pair:
    a, b = masks[first], masks[second]
    patient = result.patients[case]
    if not a.grid.same_place(b.grid):
        problem = f"The masks of {first} and {second} lie on different grids."
        result.remarks.append(f"Case {case}: {problem} Their overlap was not measured.")
        return Pair(case, patient, first, second, None, problem)
    tolerance = result.options.tolerance_mm
    overlap = compare_masks(a.array > 0, b.array > 0, a.spacing, tolerance_mm=tolerance)
    return Pair(case, patient, first, second, overlap)


def _on_another_ct(records: Mapping[str, Record]) -> list[str]:
    """Readers whose CT differs from the one that most read; without a majority, from the first reader's."""
    known = [record.ct for record in records.values() if record.ct]
    if len(set(known)) < 2:
        return []
    usual = max(known, key=lambda ct: (known.count(ct), -known.index(ct)))
    return [reader for reader, record in records.items() if record.ct and record.ct != usual]


def _plane(records: Mapping[str, Record]) -> MirrorPlane | None:
    """The mid-plane that the first reader's record tells who has one."""
    for record in records.values():
        if record.midplane:
            try:
                return MirrorPlane.from_dict(record.midplane)
            except InputRefused:
                continue
    return None

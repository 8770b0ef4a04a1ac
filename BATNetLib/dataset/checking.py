"""Checking training data before anything is trained on it. Nothing is changed: each finding suggests."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..batch.words import private_words, safe_cell, without_names
from ..errors import UsageError
from ..events import Events
from ..workfiles import whole_file
from .cases import Dataset, TrainingCase
from .examine import NEEDS, examine
from .findings import BLOCK, LEVELS, NOTE, WARN, CaseFacts, Finding
from .inner import in_order
from .leaks import patients_in_two_splits, same_pixels

COLUMNS = ("level", "code", "cases", "finding", "suggestion")
#: Slices this much thicker or thinner than the middle of the set are named.
_THICKNESS = 2.0


@dataclass(frozen=True)
class CheckReport:
    """What a check found: ``findings`` by level, ``facts`` in the order of the cases."""

    dataset: Dataset
    facts: tuple[CaseFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def blocking(self) -> bool:
        return any(finding.level == BLOCK for finding in self.findings)

    def counts(self) -> dict[str, int]:
        return {level: sum(f.level == level for f in self.findings) for level in LEVELS}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; no paths."""
        return {
            "dataset": self.dataset.digest(),
            "cases": [fact.as_dict() for fact in self.facts],
            "patients": len(self.dataset.patients()),
            "blocking": self.blocking,
            "counts": self.counts(),
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def renamed(self, names: Mapping[str, str]) -> CheckReport:
        """The report under pseudonyms: case names by ``names``, patients numbered after their first case."""
        patients = {p: f"patient of {names[cases[0].case]}" for p, cases in self.dataset.patients().items()}
        known = {name: name for name in names.values()}
        cases = tuple(replace(c, case=names[c.case], patient=patients[c.patient]) for c in self.dataset.cases)
        words = {c.case: private_words(c.case, c.files.values()) for c in self.dataset.cases}
        findings = []
        for finding in self.findings:
            text = finding.text
            for case in finding.cases:
                text = without_names(text, words.get(case, ()), "the file")
            renamed = tuple(names.get(c) or known.get(c, "passed over") for c in finding.cases)
            findings.append(replace(finding, text=text, cases=renamed))
        facts = tuple(replace(f, case=case) for f, case in zip(self.facts, cases, strict=True))
        return CheckReport(replace(self.dataset, name="", cases=cases), facts, tuple(findings))

    def table(self) -> str:
        """The findings as text for a terminal, blocking ones first."""
        counts = self.counts()
        head = (
            f"{len(self.facts)} cases of {len(self.dataset.patients())} patients: {counts[BLOCK]} findings "
            f"block, {counts[WARN]} warnings, {counts[NOTE]} notes."
        )
        lines = [head]
        for finding in _together(self.findings):
            where = ", ".join(finding.cases[:6]) + (" ..." if len(finding.cases) > 6 else "")
            lines.append(f"\n{finding.level.upper():<6}{finding.code}" + (f"   {where}" if where else ""))
            lines += [f"      {finding.text}", f"      -> {finding.suggestion}"]
        return "\n".join(lines)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """UTF-8, a row per finding; no cell is one that a spreadsheet program would execute."""
        with whole_file(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for f in self.findings:
                cells = [f.level, f.code, "; ".join(f.cases), f.text, f.suggestion]
                writer.writerow([safe_cell(cell) for cell in cells])


def check(
    dataset: Dataset,
    *,
    stage: str | None = None,
    pictures: bool = False,
    workers: int = 1,
    events: Events | None = None,
) -> CheckReport:
    """Look at all cases, alone and against each other.

    ``stage``: "adipose" or "brown" asks for the masks that its training needs; None is content with
    either. ``workers``: cases read at the same time, in threads; each holds a scan in memory.

    Raises ``UsageError`` for another stage, ``Cancelled``; bad data become findings.
    """
    events = events or Events()
    if stage not in NEEDS:
        raise UsageError(
            "stage-unknown",
            f"The stage {stage!r} was asked for.",
            "Known are adipose and brown.",
            "Choose one.",
        )

    def look(case: TrainingCase) -> CaseFacts:
        return examine(case, events, stage=stage, picture=pictures)

    with events.stage("check cases", len(dataset.cases)) as running:
        facts = in_order(look, dataset.cases, workers, running)
    findings = [finding for fact in facts for finding in fact.findings]
    findings += patients_in_two_splits(dataset.cases)
    findings += same_pixels(facts)
    findings += _of_the_set(dataset, facts)
    findings.sort(key=lambda f: (LEVELS.index(f.level), f.code))
    return CheckReport(dataset, tuple(facts), tuple(findings))


def _together(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that say the same of single cases as one of them all."""
    joined: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        # Pairs stay pairs.
        pair = finding.cases if len(finding.cases) > 1 else None
        key = (finding.level, finding.code, finding.text, finding.suggestion, pair)
        former = joined.get(key)
        cases = (*former.cases, *finding.cases) if former else finding.cases
        joined[key] = replace(finding, cases=cases)
    return list(joined.values())


def _of_the_set(dataset: Dataset, facts: list[CaseFacts]) -> list[Finding]:
    """What concerns several cases or the whole set."""
    found = [
        Finding(
            WARN,
            "pair-missing" if "without a scan" in entry.why else "passed-over",
            f"Something looks like data and is not used: {entry.why}.",
            "Name it in a manifest where it belongs to a case; else leave it.",
            (entry.name,),
        )
        for entry in dataset.passed_over
    ]
    found += [Finding(WARN, "list", text, "Check the list.") for text in dataset.warnings]
    if not dataset.patients_known and len(dataset.cases) > 1:
        found.append(
            Finding(
                NOTE,
                "patients-unknown",
                "Nothing says which cases are of the same patient; each name counts as a patient of its own.",
                "If any patient has several scans, name patients in a manifest (column patient) or say "
                "--patient-pattern.",
            )
        )
    found += _patients_alike(dataset)
    scans = [fact.case for fact in facts if fact.case.has_scan]
    for_brown = any("brown" in case.files for case in scans)
    without = tuple(case.case for case in scans if "brown" not in case.files)
    if without and for_brown:
        found.append(
            Finding(
                NOTE,
                "brown-missing",
                f"{len(without)} of {len(scans)} scans have no brown-fat mask.",
                "They can train stage 1 only; add an empty mask where there is no brown fat.",
                without,
            )
        )
    uncut = tuple(case.case for case in scans if not case.has_patches)
    if uncut and len(uncut) < len(scans):
        found.append(
            Finding(
                WARN,
                "patches-missing",
                f"{len(uncut)} of {len(scans)} scans have no prepared patches, others have.",
                "Make them: 'batnet dataset patches' keeps those that are fresh.",
                uncut,
            )
        )
    no_lungs = tuple(case.case for case in scans if "lungs" not in case.files)
    if no_lungs and for_brown:
        found.append(
            Finding(
                NOTE,
                "lungs-missing",
                f"{len(no_lungs)} of {len(scans)} scans have no lung mask; their patches are not cut there.",
                "Add lung masks where the scan reaches below the lung apex; analyses cut there.",
                no_lungs,
            )
        )
    return found + _thickness(facts)


def _patients_alike(dataset: Dataset) -> list[Finding]:
    """Patients whose names differ in capitals, spaces or signs only."""
    alike: dict[str, list[str]] = {}
    for patient in dataset.patients():
        plain = "".join(c for c in patient.casefold() if c.isalnum())
        alike.setdefault(plain, []).append(patient)
    patients = dataset.patients()
    return [
        Finding(
            WARN,
            "patients-alike",
            f"{len(names)} patients have names that differ in capitals, spaces or signs only.",
            "If they are one patient, name them alike in a manifest; a split could part them.",
            tuple(case.case for name in names for case in patients[name]),
        )
        for plain, names in alike.items()
        if plain and len(names) > 1
    ]


def _thickness(facts: list[CaseFacts]) -> list[Finding]:
    known = {f.case.case: f.spacing[0] for f in facts if f.spacing}
    if len(known) < 3:
        return []
    middle = statistics.median(known.values())
    odd = tuple(c for c, mm in known.items() if not middle / _THICKNESS <= mm <= middle * _THICKNESS)
    if not odd:
        return []
    return [
        Finding(
            NOTE,
            "slice-distance-differs",
            f"In {len(odd)} of {len(known)} scans, slices lie more than {_THICKNESS:g} times further apart "
            f"or closer than in the middle of the set ({middle:.3g} mm).",
            "Five slices then show another depth of the body; keep such scans out, or in every split.",
            odd,
        )
    ]

"""Which cases are compared: true and predicted ones by id, and what is missing said by name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..batch.names import read_key
from ..errors import InputRefused, UsageError
from ..events import Events
from .tables import count_of, listed, read_table


def require_predictions(
    truth: Collection[str], predicted: Collection[str], *, allow_missing: bool, events: Events
) -> tuple[list[str], list[str]]:
    """Ids with truth and prediction, and those with truth only, both sorted.

    Refuses cases without a prediction unless ``allow_missing``: leaving out what a method failed on flatters
    it. Predictions without truth are left out with a warning.
    """
    both = sorted(set(truth) & set(predicted))
    missing = sorted(set(truth) - set(predicted))
    extra = sorted(set(predicted) - set(truth))
    if not both:
        raise InputRefused(
            "no-common-cases",
            f"Truth names {listed(sorted(truth))}; predictions name {listed(sorted(predicted))}.",
            "At least one case must have the same id in both.",
            "Name them alike. A batch under pseudonyms needs its key: --key FILE.",
        )
    if missing and not allow_missing:
        raise InputRefused(
            "predictions-missing",
            f"{count_of(missing, 'case')} of {len(truth)} without a prediction: {listed(missing)}.",
            "Every case with a truth needs a prediction: leaving out what failed flatters the method.",
            "Add them, or say --allow-missing: they are then counted and named in the report.",
        )
    if missing:
        events.warning(
            "predictions-missing", f"{count_of(missing, 'case')} had no prediction: {listed(missing)}."
        )
    if extra:
        events.warning(
            "truth-missing",
            f"{count_of(extra, 'prediction')} had no truth and did not count: {listed(extra)}.",
        )
    return both, missing


def by_pseudonym(names: Collection[str], key: Path) -> dict[str, str]:
    """What each of ``names`` is called in the results: its pseudonym in the key of a batch.

    A name is known with or without the endings of a file and the folders before it. One that the key does
    not know becomes "unlisted-1" and so on, so that no name gets into a result. Raises ``UsageError`` where
    the file is no key or knows none of them.
    """
    from ..analysis.casefolder import stem

    known: dict[str, str] = {}
    for case_id, (name, _) in read_key(key).items():
        for form in {name, stem(name), stem(name.rsplit("/", 1)[-1])}:
            # A form that two cases share names neither.
            known[form] = "" if form in known else case_id
    if not any(known.get(name) for name in names):
        raise UsageError(
            "key-unknown",
            f"'{key.name}' knows none of the cases of the truth.",
            "The key of the batch tells the name of each pseudonym.",
            "Name the key that lies beside the output folder of this batch.",
        )
    unlisted = (f"unlisted-{number}" for number in itertools.count(1))
    return {name: known.get(name) or next(unlisted) for name in sorted(names)}


def patients_of(ids: Sequence[str], told: Mapping[str, str | None]) -> tuple[dict[str, str], bool]:
    """Patient of each case, and whether patients were told at all; else each case is its own patient.

    Refuses, naming them, cases without a patient where others have one: they would count as people more.
    """
    nameless = [case_id for case_id in ids if not told.get(case_id)]
    if len(nameless) == len(ids):
        return {case_id: case_id for case_id in ids}, False
    if nameless:
        raise InputRefused(
            "patients-missing",
            f"{count_of(nameless, 'case')} of {len(ids)} without a patient: {listed(nameless)}.",
            "Where patients are told, every case needs one.",
            "Fill in the column patient, or leave it out where each case is another patient.",
        )
    return {case_id: str(told[case_id]) for case_id in ids}, True


def read_patients(path: Path | None) -> dict[str, str]:
    """Case id to patient of a CSV with ``case_id`` and ``patient``; empty without a file."""
    if path is None:
        return {}
    table = read_table(path, needed=["patient"])
    return {case_id: row["patient"] for case_id, row in table.rows.items() if row.get("patient")}

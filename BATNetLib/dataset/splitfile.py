"""The file of a split: which case is in which fold, and the list of cases that it was made for."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputRefused, UsageError
from ..workfiles import whole_file
from .cases import Dataset
from .split import Split


def write_split(split: Split, path: str | os.PathLike[str]) -> Path:
    """Write a split as JSON, whole. Raises ``OutputRefused``."""
    path = Path(path)
    content: dict[str, Any] = {
        "schema": 1,
        "kind": split.kind,
        "software": __version__,
        "seed": split.seed,
        "shares": dict(split.shares),
        "dataset": split.dataset,
        "patients": dict(split.patients),
        "cases": {case: {"fold": fold, "bins": list(split.bins[case])} for case, fold in split.cases.items()},
        "distribution": split.distribution(),
    }
    content["sha256"] = _digest(content)
    with whole_file(path) as tmp:
        tmp.write_text(
            json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
    return path


def read_split(path: str | os.PathLike[str], dataset: Dataset | None = None) -> Split:
    """Read a split; with ``dataset`` it must be the one that the split was made for.

    Cases that could not be used when it was made are in no fold.

    Raises ``UsageError`` for a file that is no split, ``InputRefused``: a file changed by hand
    ("split-changed"), a patient in two folds ("patient-in-two-splits"), another list of cases
    ("split-of-other-data").
    """
    path = Path(path)
    content = _content(path)
    if content.get("sha256") != _digest(content):
        raise InputRefused(
            "split-changed",
            f"'{path.name}' was changed after it was written.",
            "The split that a model is trained on must be the one that was made.",
            "Make the split again with 'batnet dataset split'.",
        )
    split = _from(content, path)
    if dataset is not None:
        _require_same_cases(split, dataset, path.name)
    return split


def _require_same_cases(split: Split, dataset: Dataset, name: str) -> None:
    if split.dataset != dataset.digest():
        now, then = {case.case for case in dataset.cases}, set(split.cases)
        raise InputRefused(
            "split-of-other-data",
            f"'{name}' was made for another list of cases: {len(now - then)} cases are not in it and "
            f"{len(then - now)} of it are not there, or patients or centres have changed.",
            "Cases, patients and centres must be those that were split.",
            "Make the split again with 'batnet dataset split', or give the data it was made for.",
        )
    # Who is one patient is decided by the data, not by the file of the split.
    for cases in dataset.patients().values():
        if len({split.cases[case.case] for case in cases if case.case in split.cases}) > 1:
            raise _torn()


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            "source-missing",
            f"'{path.name}' does not exist.",
            "A file of a split is needed.",
            "Check the path.",
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not isinstance(content, dict) or content.get("schema") != 1:
        raise _unreadable(path)
    return content


def _from(content: dict[str, Any], path: Path) -> Split:
    try:
        cases = {case: str(entry["fold"]) for case, entry in content["cases"].items()}
        bins = {case: tuple(entry["bins"]) for case, entry in content["cases"].items()}
        split = Split(
            content["kind"],
            int(content["seed"]),
            {name: float(share) for name, share in content["shares"].items()},
            dict(content["patients"]),
            cases,
            bins,
            content["dataset"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(path) from error
    return split


def _digest(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _torn() -> InputRefused:
    return InputRefused(
        "patient-in-two-splits",
        "Cases of one patient lie in two folds of the split.",
        "All cases of a patient lie in one fold.",
        "Make the split again with 'batnet dataset split'.",
    )


def _unreadable(path: Path) -> UsageError:
    return UsageError(
        "split-unreadable",
        f"'{path.name}' is no file of a split.",
        "A JSON file that 'batnet dataset split' wrote is needed.",
        "Name the right file.",
    )

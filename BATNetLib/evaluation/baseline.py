"""What age, sex and body mass index alone would predict: the least a model of images must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import InputRefused, UsageError
from .tables import Table, count_of, listed, numbers

COLUMNS = ("age", "sex", "bmi")
_SEX = {
    "m": 1.0,
    "male": 1.0,
    "man": 1.0,
    "f": 0.0,
    "female": 0.0,
    "w": 0.0,
    "woman": 0.0,
    "1": 1.0,
    "0": 0.0,
}
FOLDS = 5


@dataclass(frozen=True)
class Baseline:
    """``probabilities``: float64 [n], each predicted by a fit that did not see its patient; ``columns``:
    those used; ``folds``: how many fits."""

    probabilities: np.ndarray
    columns: tuple[str, ...]
    folds: int


def covariates(table: Table, ids: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Float64 [n, k] of those of age, sex and BMI that ``table`` has, and their names.

    ``sex``: m, f, male, female, 1 (man) or 0. Refuses, naming the cases, what is missing or no number.
    """
    names = tuple(column for column in COLUMNS if column in table.columns)
    if not names:
        raise UsageError(
            "baseline-columns",
            f"{table.name} has none of the columns age, sex and bmi.",
            "The baseline is made from them.",
            "Name the columns so in the first row.",
        )
    absent = [case_id for case_id in ids if case_id not in table.rows]
    if absent:
        raise InputRefused(
            "baseline-missing",
            f"{table.name} lacks {count_of(absent, 'case')}: {listed(absent)}.",
            "The baseline is compared on the same cases as the model.",
            "Add them to the table.",
        )
    columns = []
    for name in names:
        if name == "sex":
            values = {c: _SEX.get(table.rows[c].get(name, "").casefold(), math.nan) for c in ids}
            wrong = [c for c, value in values.items() if math.isnan(value)]
            if wrong:
                raise InputRefused(
                    "baseline-sex",
                    f"{table.name} gives no sex that is understood for {count_of(wrong, 'case')}: "
                    f"{listed(wrong)}.",
                    "It can be m, f, male, female, 1 (man) or 0 (woman).",
                    "Correct the table, or leave the column out.",
                )
        else:
            values = numbers(table, name, ids)
        columns.append([values[c] for c in ids])
    return np.array(columns).T, names


def cross_validated(
    values: np.ndarray, labels: np.ndarray, patient: np.ndarray, names: tuple[str, ...], *, seed: int
) -> Baseline:
    """Logistic regression (scikit-learn, L2 with C = 1 on standardised columns), cross-validated by patient.

    ``values``: [n, k]; ``labels``: 0/1 [n]; ``patient``: int [n]. Folds hold whole patients and about the
    same share of label 1; there are fewer than five where a class has fewer patients. Raises ``UsageError``
    without scikit-learn and ``InputRefused`` with fewer than two patients in a class.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedGroupKFold
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise missing_package("scikit-learn", "The baseline from age, sex and BMI") from error
    smallest = min(len(np.unique(patient[labels == value])) for value in (0, 1))
    folds = min(FOLDS, smallest)
    if folds < 2:
        raise InputRefused(
            "baseline-too-small",
            "One of the classes has a single patient.",
            "A cross-validated baseline needs at least two patients in each class.",
            "Leave the baseline out.",
        )
    found = np.full(len(labels), np.nan)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    for train, test in splitter.split(values, labels, patient):
        if len(np.unique(labels[train])) < 2:
            raise InputRefused(
                "baseline-too-small",
                "The patients cannot be divided so that every part has both classes.",
                "A cross-validated baseline needs more patients.",
                "Leave the baseline out.",
            )
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
        found[test] = model.fit(values[train], labels[train]).predict_proba(values[test])[:, 1]
    return Baseline(found, names, folds)


def missing_package(package: str, what: str) -> UsageError:
    """The refusal where an optional package is wanted and not there."""
    return UsageError(
        "package-missing",
        f"{what} needs {package}, which is not installed.",
        "It belongs to the extra 'evaluate'; analysing scans does not need it.",
        "Install it: pip install 'batnet[evaluate]'.",
    )

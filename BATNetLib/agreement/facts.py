"""An agreement as tables and plain JSON values; made once and used by the CSV files and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..analysis.passport import SOFTWARE
from ..annotation.record import DEPOTS, SCORES, SIDES
from ..evaluation.intervals import Estimate
from ..evaluation.overlap import HD95_DEFINITION, NSD_DEFINITION
from .compare import ALL, MEASURES, Agreement
from .kappa import WEIGHTS
from .volumes import ICC_DEFINITION, LIMITS_DEFINITION

#: Groups of scores in the order of the tables.
GROUPS = (ALL, *SIDES, *DEPOTS)
KAPPA_DEFINITION = (
    "Weighted kappa (Cohen 1968) of the scores 0, 1 and 2: disagreement by one step counts half (linear) or "
    "a quarter (quadratic) of one by two steps. Kappa falls where one score prevails, so the share of each "
    "score stands beside it."
)


@dataclass(frozen=True)
class KappaRow:
    """One weighted kappa. ``first`` and ``second`` are None for the mean over all pairs. ``prevalence``:
    share of each score with the first and the second reader."""

    first: str | None
    second: str | None
    group: str
    weights: str
    estimate: Estimate
    exact: float | None
    prevalence: tuple[list[float], list[float]] | None
    table: list[list[int]] | None


@dataclass(frozen=True)
class VolumeRow:
    """``readers``: two, or all. ``measure``: "ICC(2,1)", "bias", "lower limit" or "upper limit" (mL)."""

    readers: tuple[str, ...]
    measure: str
    estimate: Estimate


@dataclass(frozen=True)
class Facts:
    """All tables of a report and ``summary`` as plain JSON values."""

    result: Agreement
    kappas: list[KappaRow]
    volumes: list[VolumeRow]
    overlaps: list[tuple[str, str, dict[str, tuple[Estimate, Estimate]], dict[str, int]]]
    together: dict[str, tuple[Estimate, Estimate]]
    summary: dict[str, Any]


def facts_of(result: Agreement, warnings: list[dict[str, str]]) -> Facts:
    """Compute every table once: the bootstrap takes its time."""
    kappas = _kappas(result)
    volumes = _volumes(result)
    overlaps = [(a, b, result.overlap(a, b), result.states(a, b)) for a, b in result.reader_pairs]
    together = result.overlap_together()
    summary = {
        "schema_version": 1,
        "statement": RESEARCH_USE_ONLY,
        "software": {"name": SOFTWARE, "version": __version__},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "agreement": "brown-fat masks and scores of readers",
        "options": asdict(result.options),
        "readers": list(result.readers),
        "cases": len(result.cases),
        "patients": len({result.patients[case] for case in result.cases}),
        "patients_given": result.patients_given,
        "warnings": warnings,
        "left_out": [asdict(entry) for entry in result.left_out],
        "versions": {
            case: {reader: record.version for reader, record in records.items()}
            for case, records in result.records.items()
        },
        "masks": [
            {
                "readers": [first, second],
                "states": states,
                **{name: {"mean": asdict(m), "median": asdict(d)} for name, (m, d) in measures.items()},
            }
            for first, second, measures, states in overlaps
        ],
        "masks_all_pairs": {n: {"mean": asdict(m), "median": asdict(d)} for n, (m, d) in together.items()},
        "volumes": [
            {"readers": list(row.readers), "measure": row.measure, **asdict(row.estimate)} for row in volumes
        ],
        "scores": [
            {
                "readers": None if row.first is None else [row.first, row.second],
                "group": row.group,
                "weights": row.weights,
                **asdict(row.estimate),
                "exact": row.exact,
                "prevalence": row.prevalence,
                "table": row.table,
            }
            for row in kappas
        ],
        "regions": {
            "listed": sum(len(c.regions) for c in result.regions),
            "listed_ml": sum(r.ml for c in result.regions for r in c.regions),
            "smaller": sum(c.small for c in result.regions),
            "smaller_ml": sum(c.small_ml for c in result.regions),
            "agreed_ml": sum(c.agreed_ml for c in result.regions),
        },
        "definitions": {
            "surface_dice": NSD_DEFINITION,
            "hd95": HD95_DEFINITION,
            "icc": ICC_DEFINITION,
            "limits": LIMITS_DEFINITION,
            "kappa": KAPPA_DEFINITION,
        },
    }
    return Facts(result, kappas, volumes, overlaps, together, summary)


def notes(result: Agreement) -> list[str]:
    """How the numbers were made, in sentences."""
    options = result.options
    text = [
        "Means and medians of mask measures are over cases in which both readers marked something; empty "
        "masks are told apart. In volumes an empty mask counts as 0 mL. Over all pairs of readers, each "
        "case counts with the mean of its pairs.",
        f"Surface Dice is the normalised surface distance. {NSD_DEFINITION} Tolerance here: "
        f"{options.tolerance_mm:g} mm.",
        HD95_DEFINITION,
        KAPPA_DEFINITION + " For more than two readers: mean over their pairs (Light 1971).",
        f"Intervals are 95 %. Of mask measures and kappa: percentiles of {options.resamples} resamples of "
        f"patients (seed {options.seed}); all scans and depots of a patient are drawn together.",
        ICC_DEFINITION,
        LIMITS_DEFINITION,
        "Regions in dispute: voxels that share faces, lie on one side of the mid-plane and were marked by "
        f"the same readers; those below {options.smallest_ml:g} mL are counted, not listed.",
    ]
    if not result.patients_given:
        text.append("No patients were told: each case counted as another patient.")
    if options.drafts:
        text.append("Drafts were counted too: reads that their readers had not marked as done.")
    return text


def _kappas(result: Agreement) -> list[KappaRow]:
    rows = []
    for first, second in result.reader_pairs:
        for group in GROUPS:
            for weights in WEIGHTS:
                found = result.kappa(first, second, group, weights)
                rows.append(
                    KappaRow(
                        first,
                        second,
                        group,
                        weights,
                        found.estimate,
                        found.exact,
                        found.prevalence if found.estimate.n else None,
                        found.table.astype(int).tolist(),
                    )
                )
    if len(result.readers) > 2:
        for group in GROUPS:
            for weights in WEIGHTS:
                estimate = result.kappa_together(group, weights)
                rows.append(KappaRow(None, None, group, weights, estimate, None, None, None))
    return rows


def _volumes(result: Agreement) -> list[VolumeRow]:
    rows = [VolumeRow(result.readers, "ICC(2,1)", result.icc().estimate)]
    for pair in result.reader_pairs:
        if len(result.readers) > 2:
            rows.append(VolumeRow(pair, "ICC(2,1)", result.icc(pair).estimate))
        limits = result.limits(*pair)
        rows += [
            VolumeRow(pair, "bias", limits.bias),
            VolumeRow(pair, "lower limit", limits.lower),
            VolumeRow(pair, "upper limit", limits.upper),
        ]
    return rows


__all__ = ["GROUPS", "MEASURES", "SCORES", "Facts", "KappaRow", "VolumeRow", "facts_of", "notes"]

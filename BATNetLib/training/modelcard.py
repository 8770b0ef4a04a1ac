"""The card of a trained model: what it is for, what it learnt from, how good it is, what limits it.

``model-card.json`` holds the facts, ``model-card.md`` the same for people. Neither holds names of patients,
cases or folders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..analysis.passport import DEMONSTRATION
from ..errors import OutputRefused
from ..evaluation.intervals import Estimate
from ..evaluation.overlap import HD95_DEFINITION, NSD_DEFINITION
from ..evaluation.words import estimate_words, interval_words
from ..models.architectures import ARCHITECTURES
from ..models.registry import ModelEntry
from ..workfiles import whole_file
from .config import Config
from .measuring import Measured, metrics_of
from .runfolder import now, read_json

CARD, CARD_TEXT = "model-card.json", "model-card.md"
SCHEMA = 1
_TEMPLATE = "modelcard.md.j2"

_USE = {
    "adipose": "Marks adipose tissue on chest CT, slice by slice, for research; its masks are stage 1 of the "
    "search for brown fat and need a look before they are used.",
    "brown": "Ranks chest CT scans by how likely they show brown adipose tissue, for research, from a CT and "
    "a mask of adipose tissue. It shows a probability; a yes or no needs a threshold with its own cohort.",
}
_LIMITS = {
    "adipose": [
        "It was trained and measured on the data named here. For other scanners, protocols, contrast phases "
        "and patients its quality is not known.",
        "A slice is judged with two slices on either side and with its mirror image about the image's "
        "centre: a patient far from the centre, or rolled, makes the mask worse.",
    ],
    "brown": [
        "It was trained and measured on the data named here. For other scanners, protocols and patients its "
        "quality is not known; contrast medium changes the HU of brown fat.",
        "It sees fat above the lung cut only (neck, supraclavicular, axillary) and says nothing about "
        "paraspinal, abdominal or perirenal depots.",
        "Its probabilities are not calibrated and there is no validated threshold. Class weights and the "
        "share of brown fat in the training data shift them.",
        "A model like this should be compared with one from age, sex and BMI alone "
        "(batnet evaluate brown --baseline).",
    ],
}
_CHOSEN = (
    "The best epoch was chosen by the figures of the validation cases, so these are flattered; those of test "
    "cases are not."
)
NOT_VALIDATED = (
    "It was not validated: the split had no cases to validate on. Nothing is known of how good it is."
)
NOT_MEASURED = "Its figures could not be measured: {why}"


def card_facts(
    entry: ModelEntry,
    file: str,
    run: dict[str, Any],
    state: dict[str, Any],
    config: Config,
    measured: Sequence[Measured],
    patients: dict[str, int],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """All that the card says, as plain JSON values.

    ``entry``, ``file``: the model as it is listed and the name of its file; ``run``, ``state``, ``config``:
    of the run; ``measured``: of validation and test, as far as there are such cases; ``patients``: number
    of each part; ``warnings``: what went wrong, as sentences.
    """
    metric = state.get("metric") or {}
    return {
        "schema": SCHEMA,
        "statement": RESEARCH_USE_ONLY,
        "demonstration": DEMONSTRATION if entry.demonstration else None,
        "created": now(),
        "model": {
            **{key: value for key, value in entry.as_dict().items() if key not in ("source", "notes")},
            "architecture_title": ARCHITECTURES[entry.architecture].title,
            "file": file,
        },
        "intended_use": _USE[entry.stage],
        "limits": [*_LIMITS[entry.stage], *_limits(measured, entry)],
        "data": {**run["data"], "patients": patients},
        "split": run["split"],
        "training": {
            "preset": config.preset,
            "epochs_done": state.get("epoch"),
            "epochs_planned": config.epochs,
            "best": state.get("best"),
            "metric": metric,
            "started_from": run.get("start_from"),
            "resumed": len(run.get("resumed") or []),
            "seed": config.seed,
            "device": run.get("device"),
            "config": config.as_dict(),
            "config_sha256": config.digest(),
        },
        "metrics": [part.as_dict() for part in measured],
        "software": {"batnet": __version__, **run.get("software", {})},
        "warnings": list(dict.fromkeys(warnings)),
    }


def write_card(folder: Path, facts: dict[str, Any]) -> list[str]:
    """Write both files into ``folder``; their names. Without Jinja2 only the JSON file is written."""
    with whole_file(folder / CARD) as temporary:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    try:
        text = card_text(facts)
    except OutputRefused:
        return [CARD]
    with whole_file(folder / CARD_TEXT) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [CARD, CARD_TEXT]


def card_text(facts: dict[str, Any]) -> str:
    """The card as Markdown. Raises ``OutputRefused`` where Jinja2 is missing."""
    try:
        import jinja2
    except ImportError as error:
        raise OutputRefused(
            "jinja2-missing",
            "The card cannot be written as a text: Jinja2 is not installed.",
            "Jinja2 is needed for pages.",
            "Install what training needs: pip install 'batnet[train]'.",
        ) from error
    # Markdown for people to read as it is; nothing of it is a web page.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", "/").replace("\n", " ")
    return environment.get_template(_TEMPLATE).render(
        facts=facts,
        tables=[(part, metric_rows(facts["model"]["stage"], part)) for part in facts["metrics"]],
        definitions=definitions(facts),
        settings=settings(facts["training"]["config"]),
    )


def read_card(folder: Path) -> dict[str, Any] | None:
    """The facts of the card of a run; None where there is none that can be read."""
    from ..errors import InputRefused

    try:
        facts = read_json(folder / CARD)
    except InputRefused:
        return None
    return facts if facts.get("schema") == SCHEMA else None


# --- words, for the card and the report


def metric_rows(stage: str, part: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of a table of figures: title, value, interval, how it was made, number of cases."""
    rows = []
    for name, title, unit in metrics_of(stage):
        if name not in part["metrics"]:
            continue
        estimate = Estimate(**part["metrics"][name])
        digits = 1 if unit else 3
        known = estimate.low is not None
        rows.append(
            {
                "name": name,
                "title": f"{title}, {unit}" if unit else title,
                "value": estimate_words(estimate, digits),
                "interval": interval_words(estimate, digits) if known else "–",
                "method": estimate.method if known else estimate.note,
                "n": str(estimate.n),
            }
        )
    return rows


def states_words(stage: str, part: dict[str, Any]) -> str:
    """Which masks were empty, or how many cases had brown fat, as a sentence."""
    states = part["states"]
    if stage == "brown":
        return ", ".join(f"{count} {name}" for name, count in states.items()) + "."
    titles = (
        ("prediction-empty", "missed altogether"),
        ("truth-empty", "with an empty true mask and a predicted one"),
        ("both-empty", "with both masks empty"),
    )
    told = [f"{states[name]} {title}" for name, title in titles if states.get(name)]
    return f"Not averaged in, but for the line that says so: {', '.join(told)}." if told else ""


def definitions(facts: dict[str, Any]) -> list[str]:
    """How the figures were made."""
    if not facts["metrics"]:
        return []
    lines = [
        "Intervals are 95 %. Bootstrap: 2000 resamples of patients, all scans of a patient drawn together; "
        "AUC also by DeLong."
        if facts["model"]["stage"] == "brown"
        else "Intervals are 95 %, percentiles of 2000 resamples of patients, all scans of a patient drawn "
        "together."
    ]
    if facts["model"]["stage"] == "adipose":
        lines += [f"{NSD_DEFINITION} Tolerance: 2 mm.", HD95_DEFINITION]
    if not all(part["patients_given"] for part in facts["metrics"]):
        lines.append("No patients were told: each case counted as another patient.")
    return lines


def settings(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Fields of a configuration with dotted names, as text."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            rows += settings(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, _value(value)))
    return rows


def summary_words(stage: str, measured: Sequence[Measured]) -> str:
    """The figures that matter most in a line, for the list of models."""
    main = ("dice", "Dice") if stage == "adipose" else ("auc", "AUC")
    said = []
    for part in measured:
        estimate = part.metrics.get(main[0])
        if estimate is None or estimate.value is None:
            continue
        words = f"{main[1]} {estimate_words(estimate)}"
        words += f" ({interval_words(estimate)})" if estimate.low is not None else " (no interval)"
        said.append(f"{part.part.capitalize()}, {_count(part.cases, 'case')}: {words}.")
    return " ".join(said)


def _limits(measured: Sequence[Measured], entry: ModelEntry) -> list[str]:
    parts = {part.part: part for part in measured}
    said = []
    if "validation" in parts:
        said.append(_CHOSEN)
    if measured and "test" not in parts:
        said.append("The split has no test cases: no figure is free of the choice of the best epoch.")
    said += [f"Known patent: {patent}." for patent in entry.patents]
    return said


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

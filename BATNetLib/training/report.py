"""The report of a training: one self-contained page from the run folder alone, at every end of the run."""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY, __version__
from ..analysis import colours
from ..analysis.passport import DEMONSTRATION, SOFTWARE
from ..errors import BATNetError, OutputRefused
from ..workfiles import whole_file
from . import pictures
from .caseids import case_ids_of_split, unnaming
from .examples import read_examples
from .finish import EVALUATION
from .modelcard import metric_rows, read_card, settings, states_words
from .runfolder import (
    CONFIG,
    DONE,
    EXAMPLES,
    FAILED,
    REPORT,
    SPLIT,
    STOPPED,
    liveness,
    now,
    read_json,
    read_log,
    read_run,
    read_state,
)

TEMPLATE = "report.html.j2"
STAGES = {"adipose": "stage 1, adipose tissue", "brown": "stage 2, brown-fat probability"}
#: State of a run in words; "lost" is a run that ended without a word.
STATES = {
    DONE: "finished",
    STOPPED: "stopped",
    FAILED: "failed",
    "lost": "ended without a word",
}
_AT_WORK = "at work"
#: Figures of an evaluation that the page shows, by stage.
_SHOWN = {"adipose": ("raincloud",), "brown": ("roc", "reliability")}
#: Cases below which a figure shows no more than the table.
_FEW = 5
#: Figures of the validation: what they are called and how many digits they have.
METRICS = {
    "dice": "Dice",
    "dice_lowest": "Dice, lowest case",
    "auc": "AUC",
    "patch_auc": "AUC of patches",
    "brier": "Brier score",
    "validation_loss": "Loss of the validation",
}


#: What an older run folder may not say.
_ABSENT: dict[str, Any] = {"name": None, "device": None, "start_from": None, "resumed": [], "software": {}}


def write_report(run: Path, *, result: dict[str, Any] | None = None) -> Path:
    """Write ``report.html`` of a run; its path.

    ``result``: of ``finish_run``, which writes the report right before the state says "done". Raises
    ``OutputRefused`` where it cannot be written or Jinja2 or matplotlib is missing, ``InputRefused`` where
    the run folder is damaged.
    """
    page = render_report(run, result=result)
    with whole_file(run / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run / REPORT


def render_report(run: Path, *, result: dict[str, Any] | None = None) -> str:
    """The page as HTML. Raises as ``write_report``."""
    environment = _environment()
    facts, state = read_run(run), read_state(run)
    split = _split(run)
    without = _unnaming(split, facts)
    if state.get("error"):
        told = {key: without(str(state["error"].get(key, ""))) for key in ("found", "wanted", "remedy")}
        state = {**state, "error": {**state["error"], **told}}
    shown = _state(run, state, result)
    stage = str(facts["stage"])
    log = read_log(run)
    card = read_card(run) if shown == DONE else None
    return environment.get_template(TEMPLATE).render(
        statement=RESEARCH_USE_ONLY,
        demonstration=DEMONSTRATION if facts.get("demonstration") else None,
        written=now(),
        software=f"{SOFTWARE} {__version__}",
        folder=run.name,
        run={**_ABSENT, **facts},
        stage=stage,
        stage_title=STAGES[stage],
        state=state,
        shown=shown,
        state_title=STATES.get(shown, _AT_WORK),
        metric_title=METRICS.get(str((state.get("metric") or {}).get("name")), "Figure of the validation"),
        parts=_parts(split, facts),
        curves=_encoded(_curves(log, state)),
        epochs=_epochs(log, state),
        metrics=METRICS,
        seconds=sum(float(line.get("seconds") or 0) for line in log if line.get("kind") == "epoch"),
        told=_told(log, without),
        card=card,
        result=result or state.get("result"),
        tables=[
            (part, metric_rows(stage, part), states_words(stage, part), _figures(run, stage, part))
            for part in (card or {}).get("metrics", [])
        ],
        examples=_examples(run),
        config=settings(_config(run)),
        key={name: colours.css(getattr(pictures, name)) for name in ("BOTH", "MISSED", "INVENTED")},
        ramp=[colours.css(colours.PROBABILITY[index]) for index in range(0, 256, 17)],
    )


def _environment() -> Any:
    from ..evaluation.plots import require_matplotlib

    require_matplotlib()
    try:
        import jinja2
    except ImportError as error:
        raise OutputRefused(
            "jinja2-missing",
            "The report cannot be written: Jinja2 is not installed.",
            "Jinja2 is needed for pages.",
            "Install what training needs: pip install 'batnet[train]'.",
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"duration": duration, "figure": figure}
    return environment


def duration(seconds: float | None) -> str:
    """Such as "42 s", "3 min 20 s" or "5 h 12 min"."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def figure(value: float | None) -> str:
    """A loss or a figure of the validation, with four digits behind the point where that says enough."""
    if value is None:
        return "–"
    plain = value == 0 or 0.001 <= abs(value) < 100
    return (f"{value:.4f}" if plain else f"{value:.4g}").replace("-", "−")


# --- what the page shows


def _state(run: Path, state: dict[str, Any], result: dict[str, Any] | None) -> str:
    if result is not None:
        return DONE
    if state.get("state") in (DONE, STOPPED, FAILED):
        return str(state["state"])
    return "lost" if liveness(run, state) == "lost" else _AT_WORK


def _split(run: Path) -> dict[str, Any]:
    """The file of the split; empty where there is none that can be read."""
    try:
        return read_json(run / SPLIT)
    except BATNetError:
        return {}


def _unnaming(split: dict[str, Any], facts: dict[str, Any]) -> Callable[[str], str]:
    try:
        ids = case_ids_of_split(split, (facts.get("split") or {}).get("fold"))
        return unnaming(ids, map(str, split.get("patients", {})))
    except (AttributeError, KeyError, TypeError):
        return unnaming({})


def _parts(split: dict[str, Any], facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Cases and, as far as the split tells, patients of each part."""
    fold = str((facts.get("split") or {}).get("fold"))
    patients: dict[str, int] = {}
    with contextlib.suppress(AttributeError):
        patients = dict(Counter(str(where) for where in split.get("patients", {}).values()))
    if split.get("kind") == "folds":
        others = sum(count for name, count in patients.items() if name != fold)
        patients = {"train": others, "validation": patients.get(fold, 0)}
    return [
        {"name": name, "cases": count, "patients": patients.get(name)}
        for name, count in facts["data"]["cases"].items()
        if count or name != "test"
    ]


def _curves(log: list[dict[str, Any]], state: dict[str, Any]) -> dict[str, bytes]:
    from .report_figures import curves

    return curves(log, state)


def _epochs(log: list[dict[str, Any]], state: dict[str, Any]) -> list[dict[str, Any]]:
    """The first, the best and the last epochs, as rows of a table."""
    lines = [line for line in log if line.get("kind") == "epoch"]
    best = (state.get("best") or {}).get("epoch")
    chosen = {0, *range(max(0, len(lines) - 5), len(lines))}
    chosen |= {index for index, line in enumerate(lines) if line.get("epoch") == best}
    rows, last = [], -1
    for index in sorted(index for index in chosen if index < len(lines)):
        line = lines[index]
        rows.append(
            {
                "gap": index > last + 1 and last >= 0,
                "epoch": line["epoch"],
                "train_loss": line.get("train_loss"),
                "validation": line.get("validation") or {},
                "seconds": line.get("seconds"),
                "best": line["epoch"] == best,
            }
        )
        last = index
    return rows


def _told(log: list[dict[str, Any]], without: Callable[[str], str]) -> list[dict[str, Any]]:
    """Warnings and notes, each once, without names and places."""
    seen: dict[str, dict[str, Any]] = {}
    for line in log:
        if line.get("kind") in ("warning", "note") and line.get("text"):
            text = without(str(line["text"]))
            entry = seen.setdefault(text, {"kind": line["kind"], "text": text, "times": 0})
            entry["times"] += 1
    return sorted(seen.values(), key=lambda entry: entry["kind"] != "warning")


def _examples(run: Path) -> dict[str, Any] | None:
    """The examples with their pictures inside."""
    facts = read_examples(run)
    if facts is None:
        return None
    cases = []
    for case in facts.get("cases", []):
        images = {}
        for name in case.get("pictures", []):
            path = run / EXAMPLES / Path(name).name
            if path.is_file():
                images[name] = path.read_bytes()
        cases.append({**case, "images": list(_encoded(images).values())})
    return {**facts, "cases": cases}


def _figures(run: Path, stage: str, part: dict[str, Any]) -> dict[str, str]:
    if part["cases"] < _FEW:
        return {}
    folder = run / EVALUATION / str(part["part"])
    found = {name: folder / f"{name}.png" for name in _SHOWN[stage]}
    return _encoded({name: path.read_bytes() for name, path in found.items() if path.is_file()})


def _config(run: Path) -> dict[str, Any]:
    """The stored configuration as plain values; without PyYAML or where it is damaged, none."""
    from .config import read_config

    try:
        return read_config(run / CONFIG).as_dict()
    except (BATNetError, json.JSONDecodeError):
        return {}


def _encoded(images: dict[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(data).decode("ascii") for name, data in images.items()}

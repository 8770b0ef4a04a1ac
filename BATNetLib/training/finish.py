"""The end of a training: its best weights become a model of the list, measured and described.

Nothing that goes wrong here loses the training: what cannot be measured or stored is said in the card and in
the result, and the weights stay in the run folder.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..dataset.cases import Dataset
from ..errors import BATNetError, Cancelled, OutputRefused
from ..evaluation.adipose import MaskEvaluation
from ..evaluation.save import require_report, save_masks, save_scores
from ..events import Events
from ..models.loading import LoadedModel
from ..models.reading import Weights, read_weights
from ..models.registry import ModelEntry, is_name, load_registry, make_entry
from ..models.store import catalogue, description_path, description_text, models_folder
from ..models.weights import write_safetensors, write_whole
from .config import read_config
from .contract import Parts, StageTraining
from .measuring import Measured, measure, refusal_words, unnamed
from .modelcard import NOT_MEASURED, NOT_VALIDATED, card_facts, summary_words, write_card
from .predicting import model_of
from .runfolder import BEST, CONFIG, LAST, read_run, read_state

#: Below the run folder: an evaluation of each part, as ``batnet evaluate`` writes it.
EVALUATION = "evaluation"
PARTS = ("validation", "test")
LICENCE = "own data"
_TITLES = {"adipose": "Adipose tissue", "brown": "Brown-fat probability"}


def finish_run(
    run: Path, stage: StageTraining, dataset: Dataset, parts: Parts, events: Events | None = None
) -> dict[str, Any]:
    """Measure the best weights of a run, enter them in the user's list of models, write card and report.

    Returns plain JSON values for ``state.json``: ``model`` (its name in the list, None where it could not be
    stored), ``sha256``, ``file``, ``files`` (names in the run folder), ``metrics`` (part to name to value,
    low, high, n) and ``warnings``. Calling it again gives the same model its name again.

    Raises ``Cancelled`` where it is asked to stop; resuming the run then finishes it.
    """
    events = events or Events()
    facts, state, config = read_run(run), read_state(run), read_config(run / CONFIG)
    weights, digest = _own_form(run / (BEST if (run / BEST).is_file() else LAST))
    warnings: list[str] = []
    name = _free_name(str(facts.get("name") or f"{stage.stage}-model"), digest, warnings)
    model = model_of(weights.arrays, name, digest, demonstration=bool(facts.get("demonstration")))
    measured = _measured(run, stage, model, parts, dataset.patients_known, events, warnings)
    entry = _entry(name, weights, digest, facts, state, parts, measured)
    file = _store(run, weights, entry, events, warnings)
    patients = {
        part: len({case.patient for case in getattr(parts, part)}) for part in ("train", "validation", "test")
    }
    card = card_facts(entry, file or BEST, facts, state, config, measured, patients, warnings)
    files = [BEST, *write_card(run, card)]
    result = {
        "model": name if file else None,
        "sha256": digest,
        "file": file,
        "files": files,
        "metrics": {part.part: part.as_dict()["metrics"] for part in measured},
        "warnings": warnings,
    }
    files += _report(run, result, warnings)
    for text in warnings:
        events.warning("training-finish", text)
    return result


def _own_form(path: Path) -> tuple[Weights, str]:
    """The weights, with their file rewritten as the list of models keeps it, so that both have one hash."""
    weights = read_weights(path)
    target = path.with_name(BEST)
    return weights, write_safetensors(target, weights.arrays)


def _free_name(wanted: str, digest: str, warnings: list[str]) -> str:
    """``wanted``, or it with a number where it stands for other weights already."""
    registry = load_registry()
    wanted = wanted if is_name(wanted) else "trained-model"
    here = {line.entry.name: line.entry.sha256 for line in catalogue()}
    for number in itertools.count(1):
        name = wanted if number == 1 else f"{wanted[:58].rstrip('.-')}-{number}"
        taken = name in registry.sets or name in registry.models or here.get(name, digest) != digest
        if not taken:
            break
    if name != wanted:
        warnings.append(f"The name {wanted} stands for another model; this one is called {name}.")
    return name


def _measured(
    run: Path,
    stage: StageTraining,
    model: LoadedModel,
    parts: Parts,
    patients_known: bool,
    events: Events,
    warnings: list[str],
) -> list[Measured]:
    device = str(getattr(getattr(stage, "config", None), "device", "auto"))
    found = []
    for part in PARTS:
        try:
            measured = measure(
                part, stage, model, parts, patients_known=patients_known, device=device, events=events
            )
            if measured is not None:
                _save(run / EVALUATION / part, measured, events, warnings)
                found.append(measured)
        except Exception as error:
            warnings.append(unnamed(parts)(NOT_MEASURED.format(why=refusal_words(error))))
    if not parts.validation:
        warnings.append(NOT_VALIDATED)
    return found


def _save(out: Path, measured: Measured, events: Events, warnings: list[str]) -> None:
    """The tables and figures of a part; without them the figures of the card stand all the same."""
    evaluation = measured.evaluation
    if evaluation is None:
        return
    events.check()
    try:
        report = True
        try:
            require_report()
        except OutputRefused as error:
            report = False
            warnings.append(f"{error.found} {error.remedy}")
        if isinstance(evaluation, MaskEvaluation):
            save_masks(evaluation, out, warnings=measured.warnings, replace=True, report=report)
        else:
            save_scores(evaluation, out, warnings=measured.warnings, replace=True, report=report)
    except Cancelled:
        raise
    except BATNetError as error:
        warnings.append(f"The evaluation was not written: {error.found}")


def _entry(
    name: str,
    weights: Weights,
    digest: str,
    run: dict[str, Any],
    state: dict[str, Any],
    parts: Parts,
    measured: Sequence[Measured],
) -> ModelEntry:
    cases, patients = len(parts.train), len({case.patient for case in parts.train})
    best = state.get("best") or {}
    epoch = f", best epoch {best['epoch']} of {state.get('epoch')}" if best else ""
    demonstration = bool(run.get("demonstration"))
    what = _TITLES[weights.stage]
    title = f"{what}, trained on {cases} case{'s' if cases != 1 else ''}, {run['created'][:10]}"
    start = run.get("start_from")
    known = load_registry().models
    return make_entry(
        {
            "name": name,
            "title": f"Demonstration model, trained on phantoms: {what.lower()}" if demonstration else title,
            "stage": weights.stage,
            "architecture": weights.architecture,
            "width": weights.width,
            "licence": LICENCE,
            "source": {
                "text": f"trained here with BATNet {run.get('software', {}).get('batnet', '')}, preset "
                f"{run['preset']}, seed {run['seed']}{epoch}"
                + (f", starting from {start['name']}" if start else "")
            },
            "trained_on": f"{cases} case{'s' if cases != 1 else ''} of {patients} "
            f"patient{'s' if patients != 1 else ''} (list of cases SHA-256 {run['data']['digest'][:12]}, "
            f"split SHA-256 {parts.sha256[:12]})",
            "demonstration": demonstration,
            "calibrated": False,
            "sha256": digest,
            "patents": [] if demonstration else list(known["batnet-brown"].patents),
            "notes": summary_words(weights.stage, measured) or NOT_VALIDATED,
        }
    )


def _store(run: Path, weights: Weights, entry: ModelEntry, events: Events, warnings: list[str]) -> str | None:
    """The name of the stored file; None, with a warning, where it could not be stored."""
    from ..models.importing import store_weights

    beside = description_path(run / BEST)
    with contextlib.suppress(OSError):
        # It would not fit the weights of a later best.
        beside.unlink(missing_ok=True)
    try:
        return store_weights(weights, entry, models_folder(), events=events).path.name
    except Cancelled:
        raise
    except BATNetError as error:
        # So that the import knows what these weights are.
        write_whole(beside, description_text(entry))
        warnings.append(
            f"The model was not entered in the list: {error.found} It lies in the run folder; enter it with: "
            f"batnet models import {BEST} --name {entry.name}"
        )
        return None


def _report(run: Path, result: dict[str, Any], warnings: list[str]) -> list[str]:
    try:
        from .report import write_report

        return [write_report(run, result=result).name]
    except Cancelled:
        raise
    except Exception as error:
        warnings.append(f"No report was written: {refusal_words(error)}")
        return []

"""``batnet demo --train``: from an empty folder to two trained models, measured on phantoms never seen.

Every step is the public one: the cohort lies on disk as a user's does, is checked and split, both stages are
trained by ``session``, the models enter a list of their own, a batch analyses the unseen phantoms, and
``evaluation`` compares its results with what is true.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BATNetError
from ..events import Events
from . import runfolder
from .config import Config, resolve
from .demo_cohort import (
    Spacing,
    checked_and_split,
    part_of,
    write_cohort,
    write_splits,
    write_unseen,
)
from .demo_patches import patch_auc

#: What lies in the folder of the demonstration.
COHORT, CHECK, RUNS, HOME = "cohort", "check.csv", "runs", "home"
UNSEEN, TRUTH, RESULTS, EVALUATION, SUMMARY = "unseen", "truth", "results", "evaluation", "summary.csv"
MODELS = {"adipose": "phantom-adipose", "brown": "phantom-brown"}
STAGES = ("adipose", "brown")
_PRESETS = Path(__file__).with_name("presets")


@dataclass(frozen=True)
class Plan:
    """How much is made and trained.

    ``phantoms``: of the cohort; ``unseen``: measured on; ``spacing``: mm along slice, row, column;
    ``adipose_cases``: phantoms that stage 1 learns from and is validated on; ``overrides``: of the presets,
    by stage; ``targets``: figure to the value it must be above; others are told only.
    """

    phantoms: int
    unseen: int
    spacing: Spacing
    adipose_cases: tuple[int, int]
    overrides: dict[str, tuple[str, ...]]
    targets: dict[str, float]


FULL = Plan(
    phantoms=98,
    unseen=36,
    spacing=(3.0, 3.0, 3.0),
    adipose_cases=(14, 2),
    overrides={"adipose": (), "brown": ()},
    targets={"dice": 0.90, "auc": 0.90},
)
#: For tests: coarser and fewer phantoms, smaller batches. Untrained networks (four seeds) have a Dice of 0 to
#: 0.09 and an AUC of patches of 0.35 to 0.60 on these phantoms, trained ones (four seeds) 0.92 to 0.97 and
#: 0.86 to 0.99. What patches mean for a case takes more steps, so the AUC of cases is only told.
QUICK = Plan(
    phantoms=28,
    unseen=8,
    spacing=(4.0, 4.0, 4.0),
    adipose_cases=(12, 1),
    overrides={"adipose": ("epochs=1", "batch_size=3"), "brown": ("epochs=9", "batch_size=2")},
    targets={"dice": 0.85, "patch_auc": 0.75},
)


@dataclass(frozen=True)
class Figure:
    """A measured figure with its interval (95 %). ``target``: what it must be above, None: only told."""

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    target: float | None

    @property
    def reached(self) -> bool:
        return self.target is None or (self.value is not None and self.value > self.target)


def run_demo(folder: Path, plan: Plan, seed: int, device: str, events: Events) -> list[Figure]:
    """Fill ``folder`` (which is there and empty) with cohort, runs, results and evaluation; the figures.

    The models do not enter the user's own list but one below ``folder``. Raises what its steps raise.
    """
    workers = max(1, min(4, os.cpu_count() or 1))
    write_cohort(folder / COHORT, plan.phantoms, seed, plan.spacing, workers, events)
    labels = write_unseen(folder / UNSEEN, folder / TRUTH, plan.unseen, seed, plan.spacing, workers, events)
    _, whole = checked_and_split(folder / COHORT, folder / CHECK, seed, events)
    splits = write_splits(whole, part_of(whole, *plan.adipose_cases), folder)
    with own_models(folder / HOME):
        for stage in STAGES:
            config = demo_config(stage, plan, seed, device)
            train(folder / COHORT, splits[stage], config, folder / RUNS / stage, events)
        analyse(folder / UNSEEN, folder / RESULTS, device, events)
    figures = evaluate(folder, labels, plan, events)
    write_summary(folder / SUMMARY, figures)
    return figures


def demo_config(stage: str, plan: Plan, seed: int, device: str) -> Config:
    """The preset of the demonstration with the changes of ``plan``."""
    file = _PRESETS / f"demo-{stage}.yaml"
    return resolve(stage, None, file, plan.overrides[stage], seed=seed, device=device)


def train(data: Path, split: Path, config: Config, run: Path, events: Events) -> dict[str, Any]:
    """One training as ``batnet train`` does it; its result, with the model in the list."""
    from .prepare import prepare
    from .session import work
    from .source import Source

    prepare(Source(data, split), config, run, events, name=MODELS[config.stage])
    facts = runfolder.read_run(run)
    # The model's card and every result made with it say that it has seen phantoms only.
    runfolder.write_json(run / runfolder.RUN, {**facts, "demonstration": True})
    return work(run, events)


def analyse(scans: Path, out: Path, device: str, events: Events) -> None:
    """Analyse the scans with the trained models, as a batch; lungs are found as for a patient.

    Raises ``BATNetError`` ("demo-batch-failed") where a phantom was refused or failed.
    """
    from ..analysis import AnalysisOptions
    from ..batch import BatchSettings, find_cases, run_batch

    options = AnalysisOptions(
        adipose_model=MODELS["adipose"],
        brown_model=MODELS["brown"],
        device=device,
        attention_stage="none",
        report=False,
        dicom_seg=False,
    )
    found = find_cases([scans], events=events)
    result = run_batch(found, out, options, BatchSettings(workers=0, keep_names=True), events)
    if result.exit_code:
        raise BATNetError(
            "demo-batch-failed",
            f"Of {len(found.cases)} phantoms {result.counts['refused']} were refused and "
            f"{result.counts['failed']} failed in the analysis.",
            "Every phantom can be analysed.",
            "This is a defect of ours; please report it with results.csv.",
        )


def evaluate(folder: Path, labels: Path, plan: Plan, events: Events) -> list[Figure]:
    """Compare the results of the batch with what is true, with report, figures and tables for each stage."""
    from ..evaluation import evaluate_adipose, evaluate_brown, require_report, save_masks, save_scores

    require_report()
    masks = evaluate_adipose(folder / TRUTH / "adipose", folder / RESULTS, patients=labels, events=events)
    save_masks(masks, folder / EVALUATION / "adipose", warnings=events.warnings)
    scores = evaluate_brown(folder / RESULTS, labels=labels, patients=labels, events=events)
    save_scores(scores, folder / EVALUATION / "brown", warnings=events.warnings)
    # A missed mask counts as 0: a network that finds nothing must not look good on what is left.
    dice, _ = masks.dice_with_misses()
    patches = patch_auc(folder / UNSEEN, folder / TRUTH / "brown", folder / RESULTS, events)
    found = {
        "dice": ("Dice of adipose tissue above the lung cut, mean", dice),
        "auc": ("AUC of brown fat, cases", scores.metrics["auc_bootstrap"]),
        "patch_auc": ("AUC of brown fat, patches", patches),
    }
    return [
        Figure(name, title, e.value, e.low, e.high, e.n, plan.targets.get(name))
        for name, (title, e) in found.items()
    ]


def write_summary(path: Path, figures: Sequence[Figure]) -> None:
    """The figures as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("figure", "value", "low", "high", "n", "target", "reached"))
        for figure in figures:
            numbers = ["" if v is None else f"{v:.4f}" for v in (figure.value, figure.low, figure.high)]
            target = "" if figure.target is None else f"{figure.target:g}"
            reached = "" if figure.target is None else "yes" if figure.reached else "no"
            writer.writerow((figure.name, *numbers, figure.n, target, reached))


def missed(figures: Sequence[Figure]) -> BATNetError | None:
    """The refusal for figures below their targets; None where all are reached."""
    below = [figure for figure in figures if not figure.reached]
    if not below:
        return None
    found = "; ".join(
        f"{figure.title}: " + ("not defined" if figure.value is None else f"{figure.value:.4f}")
        for figure in below
    )
    return BATNetError(
        "demo-target-missed",
        f"{found}.",
        "; ".join(f"above {figure.target:g} is expected" for figure in below) + ".",
        "The folder is complete and shows where it went wrong (runs, evaluation). Please report it.",
    )


def processor_seconds() -> float:
    """Processor time of this process and of those it has started and waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def follow_to(folder: Path, former: Path) -> None:
    """The runs were made below ``former``: their private notes of where the data lie follow to ``folder``."""
    before, after = str(former.absolute()), str(folder.absolute())
    for path in sorted((folder / RUNS).glob(f"*/{runfolder.PATHS}")):
        places = runfolder.read_json(path)
        for key, value in places.items():
            if isinstance(value, str) and value.startswith(before):
                places[key] = after + value[len(before) :]
        runfolder.write_json(path, places)


@contextmanager
def own_models(home: Path) -> Iterator[None]:
    """While the block runs, the list of models is one below ``home``, also for processes started in it."""
    former = os.environ.get("BATNET_HOME")
    os.environ["BATNET_HOME"] = str(home)
    try:
        yield
    finally:
        if former is None:
            del os.environ["BATNET_HOME"]
        else:
            os.environ["BATNET_HOME"] = former

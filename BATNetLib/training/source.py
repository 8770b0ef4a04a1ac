"""What a training reads: data, split and fold, and the cases that follow from them. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..dataset.cases import Dataset
from ..errors import InputRefused, UsageError
from ..events import Events
from .contract import Parts
from .runfolder import PATHS, read_json, read_run

if TYPE_CHECKING:
    from ..dataset.split import Split


@dataclass(frozen=True)
class Source:
    """What a training reads, as absolute paths. ``start_from``: a model's name or file."""

    data: Path
    split: Path | None = None
    fold: str | None = None
    manifest: Path | None = None
    patient_pattern: str | None = None
    patches: Path | None = None
    start_from: str | None = None


def open_data(source: Source, stage: str, events: Events) -> Dataset:
    """The cases of a run. Raises as ``open_dataset``."""
    from ..dataset.layouts import open_dataset

    dataset = open_dataset(
        source.data,
        manifest=source.manifest,
        patient_pattern=source.patient_pattern,
        mask_role=stage,
        events=events,
    )
    if source.patches is not None:
        from ..dataset.prepare import with_patches

        dataset = with_patches(dataset, source.patches)
    return dataset


def split_of(source: Source, dataset: Dataset, events: Events) -> Split:
    """The split to train on: the user's file, or what folders or a manifest say, checked.

    Raises ``UsageError`` ("split-missing") where there is neither; else as ``read_split``,
    ``split_as_given``.
    """
    from ..dataset.splitfile import read_split

    if source.split is not None:
        return read_split(source.split, dataset)
    if any(case.split is None for case in dataset.cases if case.refusal is None):
        raise UsageError(
            "split-missing",
            f"Nothing says which cases of '{dataset.name}' to train on and which to validate on.",
            "A split by whole patients is needed.",
            f"Make one: batnet dataset split {dataset.name} --fractions 0.7 0.15 0.15 --out split.json; then "
            "say --split split.json.",
        )
    from ..dataset.checking import check
    from ..dataset.split import split_as_given

    return split_as_given(dataset, check(dataset, events=events).facts)


def parts_of(dataset: Dataset, split_file: Path, fold: str | None) -> Parts:
    """The cases to train, validate and test on. ``fold``: its name ("fold 2") or number.

    Raises ``UsageError`` ("fold-unknown"), ``InputRefused`` ("validation-missing", leaks).
    """
    from ..dataset.splitfile import read_split

    split = read_split(split_file, dataset)
    if fold is not None and fold.isdigit():
        fold = f"fold {fold}"
    training, validation = split.training_and_validation(fold)
    by_name = {case.case: case for case in dataset.cases}

    def cases(names: list[str]) -> tuple[Any, ...]:
        return tuple(by_name[name] for name in names)

    made = Parts(
        cases(training),
        cases(validation),
        cases(split.of("test")) if split.kind == "parts" else (),
        fold,
        read_json(split_file)["sha256"],
        split,
    )
    for part, word in ((made.train, "train"), (made.validation, "validate")):
        if not part:
            raise InputRefused(
                f"{'training' if word == 'train' else 'validation'}-missing",
                f"The split has no case to {word} on.",
                "Both are needed: epochs are compared on cases that are not trained on.",
                "Make a split with 'batnet dataset split'.",
            )
    return made


def source_of(folder: Path) -> Source:
    """What the run reads. Raises ``InputRefused`` where its files are damaged."""
    paths, run = read_json(folder / PATHS), read_run(folder)
    try:
        return Source(
            Path(paths["data"]),
            None,
            run["split"]["fold"],
            _path(paths["manifest"]),
            paths["patient_pattern"],
            _path(paths["patches"]),
            paths["start_from"],
        )
    except (KeyError, TypeError) as error:
        raise InputRefused(
            "run-damaged",
            f"'{PATHS}' of the run does not say where its data are.",
            "The files of a run must be those that 'batnet train' wrote.",
            "Start the training again in a new folder.",
        ) from error


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)

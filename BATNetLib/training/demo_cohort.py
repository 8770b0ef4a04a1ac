"""The cohort of ``batnet demo --train``: phantoms to learn from, and others that are only measured on."""

from __future__ import annotations

import csv
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from ..dataset.cases import Dataset
from ..dataset.checking import CheckReport, check
from ..dataset.inner import in_order
from ..dataset.layouts import open_dataset
from ..dataset.phantom import make_phantom, write_phantom
from ..dataset.split import Split, make_split
from ..dataset.splitfile import write_split
from ..errors import InputRefused
from ..events import Events
from ..volume import write_volume

#: Brown fat of one phantom after the other: half of them have none.
KINDS = ("none", "both", "none", "left", "none", "right")
#: Unseen phantoms have seeds far from those of the cohort.
_UNSEEN = 1_000_000
Spacing = tuple[float, float, float]


def write_cohort(folder: Path, count: int, seed: int, spacing: Spacing, workers: int, events: Events) -> None:
    """``count`` phantoms as case folders (CT, lungs, adipose and brown-fat mask) below ``folder``."""

    def write(index: int) -> None:
        phantom = make_phantom(seed * 1000 + index, brown=KINDS[index % len(KINDS)], spacing=spacing)
        write_phantom(phantom, folder / f"phantom-{index + 1:03d}")

    with _one_thread(), events.stage("write phantoms to learn from", count) as stage:
        in_order(write, range(count), workers, stage)


def write_unseen(
    scans: Path, truth: Path, count: int, seed: int, spacing: Spacing, workers: int, events: Events
) -> Path:
    """``count`` other phantoms: the CT alone in ``scans``, true masks in ``adipose`` and ``brown`` below
    ``truth``.

    Returns the table of labels (``case_id``, ``label``: 1 with brown fat, ``patient``).
    """

    def write(index: int) -> str:
        kind = KINDS[index % len(KINDS)]
        phantom = make_phantom(_UNSEEN + seed * 1000 + index, brown=kind, spacing=spacing)
        name = f"unseen-{index + 1:03d}"
        write_volume(phantom.ct, scans / f"{name}.nii.gz")
        write_volume(phantom.adipose, truth / "adipose" / f"{name}.nii.gz")
        write_volume(phantom.brown, truth / "brown" / f"{name}.nii.gz")
        return kind

    with _one_thread(), events.stage("write phantoms never seen", count) as stage:
        kinds = in_order(write, range(count), workers, stage)
    table = truth.with_name("labels.csv")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case_id", "label", "patient"))
        for index, kind in enumerate(kinds, 1):
            writer.writerow((f"unseen-{index:03d}", int(kind != "none"), f"phantom {index}"))
    return table


def _one_thread() -> AbstractContextManager[object]:
    """Keep numpy's products of small matrices in one thread: threads that wait for one another in a loop took
    six times the processor time, and the phantoms are made side by side anyway."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


def checked_and_split(cohort: Path, report: Path, seed: int, events: Events) -> tuple[Dataset, Split]:
    """Open, check and split the cohort as a user does; ``report``: table of the check.

    Raises ``InputRefused`` where the check would keep anybody from training.
    """
    dataset = open_dataset(cohort, events=events)
    found: CheckReport = check(dataset, events=events)
    found.write_csv(report)
    if found.blocking:
        raise InputRefused(
            "cohort-blocked",
            "The check of the phantoms found what keeps them from being trained on.",
            "Phantoms without findings that block are expected.",
            f"See '{report.name}'; this is a defect of ours, please report it.",
        )
    return dataset, make_split(dataset, found.facts, fractions=(0.86, 0.14), seed=seed)


def part_of(split: Split, train: int, validation: int) -> Split:
    """The same split with the first cases of each part only, every one a patient of its own: stage 1 learns
    slice by slice and needs few."""
    kept = dict.fromkeys(split.of("train")[:train], "train")
    kept |= dict.fromkeys(split.of("validation")[:validation], "validation")
    return replace(
        split,
        cases=kept,
        bins={case: split.bins[case] for case in kept},
        patients={case: fold for case, fold in split.patients.items() if case in kept},
    )


def write_splits(whole: Split, part: Split, folder: Path) -> dict[str, Path]:
    """The files of the splits by stage."""
    return {
        "adipose": write_split(part, folder / "split-adipose.json"),
        "brown": write_split(whole, folder / "split-brown.json"),
    }

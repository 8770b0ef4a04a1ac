"""Trains and measures the demonstration models: small networks that have seen phantoms only.

    python -m BATNetLib.models.demonstration --out Resources/models              train both, then measure
    python -m BATNetLib.models.demonstration --out Resources/models --evaluate   only measure

They show the way of the data without a download and mean nothing for a patient. All is seeded; the
figures hold for phantoms that were not trained on. Run by hand: nothing else imports this module.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..adipose.network import MAMUNet
from ..adipose.segment import segment_adipose
from ..brown.classify import classify
from ..brown.network import CEBATCls
from ..brown.patches import extract_patches
from ..dataset.phantom import make_phantom
from ..dataset.phantom.samples import CaseSample, as_sample, case_phantom, case_sample, slab_samples
from ..events import Events
from ..lungs import cut_plane
from ..training.brown_start import start_in_fat
from . import LoadedModel, describe_model, load_model

SEED = 20
#: Seeds from here on are never trained on.
HELD_OUT = 1_000_000
#: Width of the networks (64 as published).
ADIPOSE_WIDTH, BROWN_WIDTH = 8, 8
#: Stage 1 trains on these grids: size, spacing in mm (None = of the size), phantoms, slabs of each, batch.
GRIDS: tuple[tuple[str, tuple[float, float, float] | None, int, int, int], ...] = (
    ("small", None, 40, 14, 4),
    ("small", (3.0, 2.0, 2.0), 20, 10, 2),
    ("small", (5.0, 1.5, 1.5), 14, 10, 1),
    ("full", None, 9, 16, 1),
)
#: Most rows of a training slice; columns stay whole, because the network mirrors about their middle.
MOST_ROWS = 256
ADIPOSE_STEPS = 1500
BROWN_CASES, BROWN_STEPS, BROWN_BATCH = 320, 450, 4
#: Share of the window (400 HU) that brown fat is lifted by at first; it fades away in half of the steps.
LIFT = 0.15


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m BATNetLib.models.demonstration", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="folder of the models")
    parser.add_argument("--only", choices=["adipose", "brown"], help="train one of the two")
    parser.add_argument("--evaluate", action="store_true", help="only measure the models in the folder")
    parser.add_argument("--real", type=Path, help="also compare stage 1 with the HU range on this CT")
    parser.add_argument("--faster", type=float, default=1.0, help="divide the number of steps by this")
    parser.add_argument("--workers", type=int, default=2, help="processes that make phantoms")
    parser.add_argument("--threads", type=int, default=1, help="threads that train")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if not args.evaluate:
        if args.only != "brown":
            train_adipose(args.out, args.workers, args.faster)
        if args.only != "adipose":
            train_brown(args.out, args.workers, args.faster)
    print(json.dumps(evaluate(args.out, args.real), indent=2))
    return 0


# --- stage 1


def train_adipose(out: Path, workers: int, faster: float = 1.0) -> None:
    """Train MAMUNet on slabs of phantoms of several grids and store it with its description."""
    start = time.perf_counter()
    torch.manual_seed(SEED)
    groups = []
    first = 0
    for size, spacing, phantoms, slabs, batch in GRIDS:
        phantoms = max(2, int(phantoms / faster))
        jobs = [(seed, spacing, size, slabs) for seed in range(first, first + phantoms)]
        made = list(_parallel(_slab_job, jobs, workers))
        groups.append((np.concatenate([m[0] for m in made]), np.concatenate([m[1] for m in made]), batch))
        first += 1000
        _say(f"{phantoms} phantoms, {groups[-1][0].shape}", start)
    network = MAMUNet(width=ADIPOSE_WIDTH)
    rng = np.random.default_rng(SEED)
    steps = int(ADIPOSE_STEPS / faster)

    def batch_of_slabs() -> tuple[Tensor, Tensor]:
        slabs, masks, size = groups[rng.integers(len(groups))]
        chosen = rng.integers(len(slabs), size=size)
        first_row = int(rng.integers(max(1, slabs.shape[2] - MOST_ROWS + 1)))
        rows = slice(first_row, first_row + MOST_ROWS)
        x = torch.from_numpy(slabs[chosen][:, :, rows]).float() / 255
        y = torch.from_numpy(masks[chosen][:, rows]).long()
        if rng.random() < 0.5:
            x, y = x.flip(-1), y.flip(-1)
        return x, y

    def loss_of_slabs() -> Tensor:
        x, y = batch_of_slabs()
        logits = network(x)
        share = torch.softmax(logits, 1)[:, 1]
        dice = 1 - (2 * (share * y).sum() + 1) / (share.sum() + y.sum() + 1)
        return nn.functional.cross_entropy(logits, y) + dice

    _train(network, loss_of_slabs, steps, 4e-3, start)
    _settle(network, (batch_of_slabs()[0] for _ in range(80)), lambda x: network(x))
    _store(network, out, "adipose", f"{sum(len(g[0]) for g in groups)} slabs, {steps} steps", start)


def _slab_job(job: tuple[int, tuple[float, float, float] | None, str, int]) -> tuple[np.ndarray, np.ndarray]:
    return slab_samples(*job)


# --- stage 2


def train_brown(out: Path, workers: int, faster: float = 1.0) -> None:
    """Train CEBATCls on patches of phantoms, a sixteenth of them over masks of the stage-1 network."""
    start = time.perf_counter()
    torch.manual_seed(SEED)
    count = max(14, int(BROWN_CASES / faster))
    seeds = range(10_000, 10_000 + count)
    segmenter = load_model(out / "demo-adipose.safetensors", "adipose")
    cases = list(_parallel(case_sample, [s for s in seeds if s % 16], workers))
    _say(f"{len(cases)} cases over masks near the true ones", start)
    cases += [_segmented_case(seed, segmenter) for seed in seeds if seed % 16 == 0]
    _say(f"{len(cases)} cases, {sum(c.label for c in cases)} of them positive", start)
    network = CEBATCls(width=BROWN_WIDTH)
    rng = np.random.default_rng(SEED)
    start_in_fat(network, _batch_of_cases(cases, rng)[0].flatten(0, 2))
    steps = int(BROWN_STEPS / faster)
    lifts = iter([max(0.0, LIFT * (1 - 2 * step / steps)) for step in range(steps)])
    patch_weights = torch.tensor([1.0, 2.0])

    def loss_of_cases() -> Tensor:
        x, labels, label = _batch_of_cases(cases, rng, next(lifts))
        case, patch = network(x[:, 0], x[:, 1])
        of_patches = nn.functional.cross_entropy(
            patch.flatten(0, 1), labels.flatten(), patch_weights, ignore_index=-1
        )
        return 0.5 * nn.functional.cross_entropy(case, label) + 0.5 * of_patches

    _train(network, loss_of_cases, steps, 2e-3, start)
    _settle(network, (_batch_of_cases(cases, rng)[0] for _ in range(30)), lambda x: network(x[:, 0], x[:, 1]))
    _store(network, out, "brown", f"{len(cases)} cases, {steps} steps", start)


def _segmented_case(seed: int, segmenter: LoadedModel) -> CaseSample:
    phantom = case_phantom(seed)
    until = cut_plane(phantom.lungs.array)
    mask = segment_adipose(phantom.ct, segmenter, until_slice=until, device="cpu").mask.array
    return as_sample(phantom, mask)


def _batch_of_cases(
    cases: list[CaseSample], rng: np.random.Generator, lift: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Patches [B, 2 sides, 16, 2 channels, 32, 32, 32], patch labels [B, 32], case labels [B], augmented."""
    xs, ys, zs = [], [], []
    for index in rng.integers(len(cases), size=BROWN_BATCH):
        case = cases[index]
        ct = case.ct.astype(np.float32) + case.brown * np.float32(lift)
        # Scanners differ by some HU (400 HU are 1 here), and noise differs.
        ct += np.float32(rng.normal(0, 4 / 400))
        ct += rng.standard_normal(ct.shape, dtype=np.float32) * np.float32(rng.uniform(0, 6) / 400)
        x = np.stack([np.clip(ct, -0.5, 0.5), case.mask.astype(np.float32)], axis=2)
        labels = case.labels
        if rng.random() < 0.5:
            x, labels = x[::-1, ..., ::-1], labels[::-1]
        xs.append(x)
        ys.append(labels.reshape(-1))
        zs.append(case.label)
    return (
        torch.from_numpy(np.stack(xs)),
        torch.from_numpy(np.stack(ys).astype(np.int64)),
        torch.tensor(zs),
    )


# --- common


def _train(network: nn.Module, loss_of: Callable[[], Tensor], steps: int, rate: float, start: float) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    warm = max(1, steps // 25)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: min((n + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * n / steps)) + 1e-3
    )
    network.train()
    recent: list[float] = []
    for step in range(1, steps + 1):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        recent.append(float(loss.detach()))
        if step % max(1, steps // 12) == 0:
            _say(f"step {step} of {steps}, loss {np.mean(recent):.4f}", start)
            recent.clear()


def _settle(network: nn.Module, batches: Iterable[Tensor], run: Callable[[Tensor], Any]) -> None:
    """Average the statistics of batch normalisation over many batches, now that the weights stand still."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.inference_mode():
        for x in batches:
            run(x)
    network.eval()


def _store(network: nn.Module, out: Path, stage: str, trained: str, start: float) -> None:
    path = out / f"demo-{stage}.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    path.chmod(0o644)
    task = {"adipose": "adipose tissue", "brown": "brown-fat probability"}[stage]
    describe_model(
        path,
        {
            "name": f"demo-{stage}",
            "title": f"Demonstration model, trained on phantoms: {task}",
            "licence": "MIT",
            "source": "Trained by python -m BATNetLib.models.demonstration of this project",
            "trained_on": f"Phantoms of this project, seed {SEED}: {trained}; no patient was seen",
            "demonstration": True,
            "notes": "Shows the way of the data without a download. Its result means nothing for a patient.",
        },
    )
    _say(f"stored {path.name}, {path.stat().st_size / 1e6:.2f} MB", start)


def _parallel(function: Callable[[Any], Any], jobs: list[Any], workers: int) -> Iterable[Any]:
    """Results of ``function`` over ``jobs``, in order."""
    if workers < 2:
        return [function(job) for job in jobs]
    # Each worker is one thread: they are as many as the machine has cores.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, jobs, chunksize=2))


def _say(text: str, start: float) -> None:
    print(f"[{time.perf_counter() - start:6.0f} s] {text}", file=sys.stderr, flush=True)


# --- measuring


def evaluate(out: Path, real: Path | None = None, small: int = 70, full: int = 3) -> dict[str, Any]:
    """Figures of both models on phantoms that were not trained on, through the same code as an analysis."""
    start = time.perf_counter()
    adipose, brown = (load_model(out / f"demo-{s}.safetensors", s) for s in ("adipose", "brown"))
    truth, found, dice, own_side, other_side = [], [], [], [], []
    kinds = ("none", "both", "none", "left", "none", "right")
    for index in range(small):
        kind = kinds[index % len(kinds)]
        phantom = make_phantom(HELD_OUT + index, brown=kind)
        until = cut_plane(phantom.lungs.array)
        mask = segment_adipose(phantom.ct, adipose, until_slice=until, device="cpu").mask.array
        dice.append(_dice(mask[:until], phantom.adipose.array[:until]))
        patches = extract_patches(phantom.ct.array, mask, phantom.brown.array, phantom.lungs.array)
        result = classify(patches, brown, device="cpu")
        truth.append(kind != "none")
        found.append(result.probability)
        right, left = result.patch_probabilities[:16].mean(), result.patch_probabilities[16:].mean()
        if kind in ("left", "right"):
            own_side.append(float(left if kind == "left" else right))
            other_side.append(float(right if kind == "left" else left))
    positive, negative = np.array(found)[truth], np.array(found)[~np.array(truth)]
    figures: dict[str, Any] = {
        "small phantoms": {
            "cases": small,
            "seeds": f"{HELD_OUT} to {HELD_OUT + small - 1}",
            "adipose Dice above the cut, mean and lowest": _rounded([np.mean(dice), np.min(dice)]),
            "case AUC": round(auc(positive, negative), 4),
            "probability with brown fat, mean and lowest": _rounded([positive.mean(), positive.min()]),
            "probability without, mean and highest": _rounded([negative.mean(), negative.max()]),
            "one-sided cases": len(own_side),
            "mean patch probability on the side of the brown fat, and on the other": _rounded(
                [np.mean(own_side), np.mean(other_side)]
            ),
            "one-sided cases whose own side is higher": int(
                np.sum(np.array(own_side) > np.array(other_side))
            ),
        }
    }
    rows = []
    for index in range(full):
        kind = ("both", "none", "left")[index % 3]
        phantom = make_phantom(HELD_OUT + 500 + index, brown=kind, size="full")
        until = cut_plane(phantom.lungs.array)
        begun = time.perf_counter()
        mask = segment_adipose(phantom.ct, adipose, until_slice=until, device="cpu").mask.array
        seconds = time.perf_counter() - begun
        patches = extract_patches(phantom.ct.array, mask, None, phantom.lungs.array)
        rows.append(
            {
                "brown": kind,
                "Dice": round(_dice(mask[:until], phantom.adipose.array[:until]), 4),
                "probability": round(classify(patches, brown, device="cpu").probability, 4),
                "seconds of stage 1": round(seconds, 1),
            }
        )
    figures["full phantoms"] = rows
    if real is not None:
        figures["real CT, which has no known answer"] = _against_hu_range(real, adipose)
    figures["seconds"] = round(time.perf_counter() - start, 1)
    return figures


def _against_hu_range(path: Path, adipose: LoadedModel) -> dict[str, Any]:
    from ..adipose.threshold import adipose_by_threshold
    from ..volume import read_volume

    ct = read_volume(path)
    network = segment_adipose(ct, adipose, device="cpu", events=Events()).mask.array
    by_hu = adipose_by_threshold(ct).array
    return {
        "Dice of the network with the HU range": round(_dice(network, by_hu), 4),
        "mL by the network": round(float(network.sum() * ct.voxel_ml), 1),
        "mL by the HU range": round(float((by_hu > 0).sum() * ct.voxel_ml), 1),
    }


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of pairs in which the positive case has the higher value; ties count half."""
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0, b > 0
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def _rounded(values: Iterable[Any]) -> list[float]:
    return [round(float(v), 4) for v in values]


if __name__ == "__main__":
    raise SystemExit(main())

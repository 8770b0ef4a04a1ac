"""Optimiser and learning rate from the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch.optim.lr_scheduler import LambdaLR

from .config import Config, Optimiser, Schedule


def make_optimiser(settings: Optimiser, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Adam or AdamW over ``parameters``."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
    return kind(parameters, lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay)


def make_schedule(config: Config, optimiser: torch.optim.Optimizer, steps_per_epoch: int) -> LambdaLR:
    """The schedule as torch's scheduler; its ``step`` is called after every step of the optimiser."""
    schedule, epochs = config.schedule, config.epochs
    return LambdaLR(optimiser, lambda step: rate_factor(schedule, epochs, steps_per_epoch, step))


def rate_factor(schedule: Schedule, epochs: int, steps_per_epoch: int, step: int) -> float:
    """Share of the highest learning rate at ``step`` (from 0) of the whole training."""
    warm = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warm:
        return (step + 1) / (warm + 1)
    if schedule.name == "multistep":
        epoch = step // steps_per_epoch
        return schedule.factor ** sum(milestone <= epoch for milestone in schedule.milestones)
    if schedule.name == "cosine":
        whole = max(1, epochs * steps_per_epoch - warm)
        along = min(1.0, (step - warm) / whole)
        return schedule.factor + (1 - schedule.factor) * 0.5 * (1 + math.cos(math.pi * along))
    return 1.0

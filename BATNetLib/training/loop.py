"""The training loop: epochs of steps, validation, the best kept, and a state that can be gone on from.

It knows nothing of slices or patches (see ``contract.StageTraining``) and runs the same on one device and
in several processes. A state is saved at the end of each epoch, every so many minutes, and when the run is
asked to stop; going on from it gives the numbers of a run that was never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import BATNetError, Cancelled, InputRefused
from ..events import Events, Stage
from ..workfiles import whole_file
from . import checkpoint
from .config import Config
from .contract import Batch, StageTraining
from .distributed import with_global_norms, world_size
from .logs import RunLog
from .optimise import make_optimiser, make_schedule
from .prefetch import ahead
from .runfolder import BEST, LAST, RUNNING, STOPPING, VALIDATING, RunState, clear_stop, stop_requested

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Steps of an epoch that are written to the log, about.
_LOGGED = 200
#: Decides between epochs of the same figure: in a small cohort the AUC is soon 1, of unsure networks too.
TIE_BREAKER = "validation_loss"
#: Seconds between two events of progress.
_TELL_EVERY = 0.5


@dataclass
class Progress:
    """Where a training stands; all of it is part of the saved state.

    ``epoch``: the one at work, from 1. ``step``: steps of it that are done. ``reached``: figure of the last
    gain, ``waited``: validations since. ``loss_sum``: over the steps of the epoch. ``seconds``: spent on
    this epoch, and on each whole one so far.
    """

    epoch: int = 1
    step: int = 0
    global_step: int = 0
    best: dict[str, Any] | None = None
    reached: float | None = None
    waited: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    whole_seconds: list[float] = field(default_factory=list)


class Stopped(Exception):
    """The run was asked to stop; its state has been saved."""


class Loop:
    """One training. ``log`` and ``state`` are None in all processes but the first.

    ``start``: state dict to begin with in place of fresh weights (a former model), used only where nothing
    was saved yet.
    """

    def __init__(
        self,
        run: Path,
        config: Config,
        stage: StageTraining,
        fabric: Fabric,
        events: Events,
        state: RunState | None,
        log: RunLog | None,
        *,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        self.run, self.config, self.stage, self.fabric = run, config, stage, fabric
        self.events, self.state, self.log = events, state, log
        self.progress = Progress()
        self.steps = stage.steps_per_epoch()
        self._shown, self._told = Stage("train", config.epochs * self.steps, events), 0.0
        saved = checkpoint.load(run)
        checkpoint.seed_everything(config.seed)
        bare = stage.network()
        if saved is not None:
            bare.load_state_dict(saved["weights"])
        elif start is not None:
            bare.load_state_dict(start, strict=False)
        if fabric.world_size > 1:
            bare = with_global_norms(bare, fabric.device)
            # All begin with the same weights and go on with numbers (for dropout) of their own.
            torch.manual_seed(config.seed + fabric.global_rank)
        optimiser = make_optimiser(config.optimiser, bare.parameters())
        self.network, self.optimiser = fabric.setup(bare, optimiser)
        #: The network itself: validation and storing do not go through the wrapping of several processes.
        self.bare: nn.Module = bare
        self.schedule = make_schedule(config, optimiser, self.steps)
        self._plain_optimiser = optimiser
        if saved is not None:
            self._restore(saved)
        else:
            self._save()
        self._saved_at = time.monotonic()

    # --- the run

    def train(self) -> str:
        """Train to the end: "done" or "early" (no gain any more).

        Raises ``Cancelled`` after a wish to stop, state saved; ``InputRefused`` ("loss-not-finite", data
        that cannot be read), ``OutputRefused``: the last good state is saved then too.
        """
        with _repeatable(self.fabric.device):
            try:
                while not self.over():
                    self._epoch()
                self._shown.done = self._shown.total or 0
                self.events.on_stage(self._shown, finished=True)
            except Stopped:
                raise Cancelled(
                    "training-stopped",
                    f"The training was stopped in epoch {self.progress.epoch} of {self.config.epochs}.",
                    "It had not finished; its state is saved.",
                    f"Go on with: batnet train resume {self.run.name}",
                ) from None
        return "early" if self.progress.epoch <= self.config.epochs else "done"

    def over(self) -> bool:
        """Whether nothing is left to train."""
        patience = self.config.early_stopping.patience
        tired = patience is not None and self.progress.waited >= patience
        return self.progress.epoch > self.config.epochs or (tired and self.progress.step == 0)

    def _epoch(self) -> None:
        begun = time.monotonic() - self.progress.seconds
        self._tell(state=RUNNING)
        self.network.train()
        with self._batches() as batches:
            for batch in self._read(batches):
                self._step(batch, begun)
        self._validate_and_close(begun)

    def _step(self, batch: Batch, begun: float) -> None:
        progress, started = self.progress, time.monotonic()
        self.optimiser.zero_grad(set_to_none=True)
        loss, parts = self.stage.loss(self.network, self.stage.batch_to(batch, self.fabric.device))
        mean, stop, save = self._agree(loss)
        if not math.isfinite(mean):
            raise self._not_finite(f"The loss became {mean} in step {progress.step + 1}")
        self.fabric.backward(loss)
        if self.config.clip is not None:
            self.fabric.clip_gradients(
                self.network, self.optimiser, max_norm=self.config.clip, error_if_nonfinite=False
            )
        self.optimiser.step()
        rate = self._plain_optimiser.param_groups[0]["lr"]
        self.schedule.step()
        progress.step += 1
        progress.global_step += 1
        progress.loss_sum += mean
        progress.seconds = time.monotonic() - begun
        if self.log is not None and (
            progress.step % max(1, self.steps // _LOGGED) == 0 or progress.step == self.steps
        ):
            self.log.step(
                progress.global_step,
                epoch=progress.epoch,
                step=progress.step,
                loss=mean,
                parts={name: float(value) for name, value in parts.items()},
                lr=rate,
                seconds=round(time.monotonic() - started, 4),
            )
        self._tell(now_=False, last={"train_loss": mean})
        if stop:
            self._stop()
        if save:
            self._save()

    def _validate_and_close(self, begun: float) -> None:
        """The end of an epoch: figures, the best kept, the state saved."""
        progress, config = self.progress, self.config
        figures: dict[str, float | None] | None = None
        best = False
        if progress.epoch % config.validate_every == 0 or progress.epoch == config.epochs:
            figures = self._validate()
            value = figures.get(self.stage.metric.name)
            metric, former = self.stage.metric, progress.best or {}
            best = metric.better(value, former.get("value")) or _more_sure(figures, value, former)
            if best:
                loss = figures.get(TIE_BREAKER)
                progress.best = {"epoch": progress.epoch, "value": value}
                progress.best |= {} if loss is None else {TIE_BREAKER: loss}
            # Small gains are kept, but many of them are no reason to go on for ever.
            gain = metric.better(value, progress.reached, config.early_stopping.min_delta)
            progress.reached = value if gain else progress.reached
            progress.waited = 0 if gain else progress.waited + 1
        progress.seconds = time.monotonic() - begun
        progress.whole_seconds.append(progress.seconds)
        if self.log is not None:
            self._store(best)
            self.log.epoch(
                progress.global_step,
                epoch=progress.epoch,
                train_loss=progress.loss_sum / max(1, progress.step),
                validation=figures,
                seconds=round(progress.seconds, 3),
                best=best,
            )
        last = {"train_loss": progress.loss_sum / max(1, progress.step), **(figures or {})}
        progress.epoch, progress.step, progress.loss_sum, progress.seconds = progress.epoch + 1, 0, 0.0, 0.0
        self._save()
        self._tell(last=last)
        if best and self.log is not None:
            self._examples(progress.epoch - 1)

    def _validate(self) -> dict[str, float | None]:
        self._tell(state=VALIDATING)
        self.bare.eval()
        several = self.fabric.world_size > 1
        # One of several processes must not leave the others waiting; they agree after the next step.
        events = Events() if several else self.events
        try:
            with torch.inference_mode(), self.fabric.autocast():
                rows = self.stage.validate(self.bare, self.fabric.global_rank, self.fabric.world_size, events)
        except Cancelled:
            self._stop()
        finally:
            self.bare.train()
        if several:
            gathered: list[Any] = [None] * self.fabric.world_size
            dist.all_gather_object(gathered, rows)
            rows = [row for part in gathered for row in part]
        self._tell(state=RUNNING)
        return self.stage.summarise(sorted(rows, key=lambda row: str(row["case"])))

    # --- batches

    @contextmanager
    def _batches(self) -> Iterator[Iterator[Batch]]:
        progress, fabric = self.progress, self.fabric
        made = self.stage.batches(progress.epoch, fabric.global_rank, fabric.world_size, progress.step)
        with ahead(made) as batches:
            yield batches

    def _read(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; where the data cannot be read any more, the state is saved before it is told."""
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (BATNetError, OSError) as error:
                self._save()
                if isinstance(error, BATNetError):
                    raise
                raise _unreadable(error) from error
            yield batch

    # --- several processes

    def _agree(self, loss: Tensor) -> tuple[float, bool, bool]:
        """Mean loss over processes, whether any of them was asked to stop, whether it is time to save."""
        wish = self.events.cancelled or (self.state is not None and stop_requested(self.run))
        due = time.monotonic() - self._saved_at >= self.config.save_minutes * 60
        if world_size() == 1:
            return float(loss.detach()), wish, due
        # Clocks differ: the first process says when to save.
        flags = [float(wish), float(due and self.fabric.global_rank == 0)]
        said = torch.cat([loss.detach().float().view(1), torch.tensor(flags, device=loss.device)])
        dist.all_reduce(said)
        mean, stop, save = said.tolist()
        return mean / world_size(), stop > 0, save > 0

    # --- what is stored

    def _save(self) -> None:
        """Save the state to go on from."""
        if not all(bool(torch.isfinite(p).all()) for p in self.bare.parameters()):
            raise self._not_finite("Weights became infinite or undefined")
        randoms = [checkpoint.random_states()]
        if world_size() > 1:
            randoms = [{} for _ in range(world_size())]
            dist.all_gather_object(randoms, checkpoint.random_states())
        if self.state is not None:
            progress = {**vars(self.progress), "whole_seconds": list(self.progress.whole_seconds)}
            checkpoint.save(
                self.run,
                {
                    "weights": self.bare.state_dict(),
                    "optimiser": self._plain_optimiser.state_dict(),
                    "schedule": self.schedule.state_dict(),
                    "scaler": dict(self.fabric.strategy.precision.state_dict()),
                    "progress": progress,
                    "steps": self.steps,
                    "random": randoms,
                },
            )
        self._saved_at = time.monotonic()

    def _restore(self, saved: dict[str, Any]) -> None:
        if saved["steps"] != self.steps:
            raise InputRefused(
                "data-changed",
                f"An epoch had {saved['steps']} steps when the training began and has {self.steps} now.",
                "The data of a training must not change while it lasts.",
                "Put them back as they were, or start a new training with --start-from.",
            )
        self.progress = Progress(**saved["progress"])
        self._plain_optimiser.load_state_dict(saved["optimiser"])
        self.schedule.load_state_dict(saved["schedule"])
        if saved["scaler"]:
            self.fabric.strategy.precision.load_state_dict(saved["scaler"])
        randoms = saved["random"]
        if len(randoms) == self.fabric.world_size:
            checkpoint.restore_random_states(randoms[self.fabric.global_rank])

    def _store(self, best: bool) -> None:
        """Weights as models: the last ones, the best ones, and those of every ``keep``-th epoch."""
        from safetensors.torch import save

        weights = self.stage.trained_weights(self.bare)
        data = save({key: value.detach().cpu().contiguous() for key, value in weights.items()})
        names = [LAST] + [BEST] * best
        if self.config.keep and self.progress.epoch % self.config.keep == 0:
            names.append(f"epoch-{self.progress.epoch:04d}.safetensors")
        for name in names:
            with whole_file(self.run / name) as tmp:
                tmp.write_bytes(data)

    def _examples(self, epoch: int) -> None:
        from .examples import write_examples

        randoms = checkpoint.random_states()
        write_examples(self.run, self.stage, self.bare, epoch, self.events)
        # Pictures must not change what is drawn in the training.
        checkpoint.restore_random_states(randoms)
        self.bare.train()

    # --- words

    def _stop(self) -> None:
        self._tell(state=STOPPING)
        self._save()
        if self.state is not None:
            clear_stop(self.run)
        raise Stopped

    def _not_finite(self, what: str) -> InputRefused:
        return InputRefused(
            "loss-not-finite",
            f"{what} of epoch {self.progress.epoch}.",
            "Loss and weights must stay finite numbers; the last good state is kept.",
            "Train again with a lower optimiser.rate or with clip (for example --set clip=5); --start-from "
            f"with {BEST} of the run goes on from its best weights.",
        )

    def _tell(self, *, now_: bool = True, **fields: Any) -> None:
        """Progress into ``state.json`` and to whoever listens."""
        if self.state is None:
            return
        progress, config = self.progress, self.config
        whole = progress.whole_seconds[-5:]
        each = sum(whole) / len(whole) if whole else None
        if each is None and progress.step:
            each = progress.seconds / progress.step * self.steps
        left = None
        if each is not None:
            left = max(0.0, each * (config.epochs - progress.epoch + 1) - progress.seconds)
        self.state.update(
            now_=now_,
            epoch=progress.epoch - 1,
            epochs=config.epochs,
            step=progress.step,
            steps=self.steps,
            seconds_per_epoch=None if each is None else round(each, 3),
            seconds_left=None if left is None else round(left, 1),
            best=progress.best,
            **fields,
        )
        self._advance()

    def _advance(self) -> None:
        shown, done = self._shown, (self.progress.epoch - 1) * self.steps + self.progress.step
        if time.monotonic() - self._told > _TELL_EVERY:
            self._told = time.monotonic()
            shown.done = done
            self.events.on_stage(shown, finished=False)


def _more_sure(figures: dict[str, float | None], value: float | None, former: dict[str, Any]) -> bool:
    """Whether the same figure as before was reached with a lower validation loss."""
    now, then = figures.get(TIE_BREAKER), former.get(TIE_BREAKER)
    tied = value is not None and value == former.get("value")
    return tied and now is not None and then is not None and now < then


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On the CPU, ask torch for algorithms that give the same numbers again; they cost nothing there."""
    if device.type != "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        memory.fill_uninitialized_memory = filled


def _unreadable(error: OSError) -> InputRefused:
    name = Path(str(error.filename)).name if error.filename else "A file"
    return InputRefused(
        "data-vanished",
        f"'{name}' of the training data cannot be read any more.",
        "The data must stay where they are while a training lasts.",
        "Connect the drive or put the file back, then go on with 'batnet train resume'.",
    )

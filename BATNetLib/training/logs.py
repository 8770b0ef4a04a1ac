"""What a training writes down as it goes: one JSON object a line, and the same curves for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..workfiles import output_errors, whole_file
from .runfolder import LOG, TENSORBOARD, finite, now, read_log


class RunLog:
    """``log.jsonl`` and ``tensorboard/`` of a run. Raises ``OutputRefused`` where they cannot be written."""

    def __init__(self, run: Path, *, tensorboard: bool = True, resumed_at: int = 0) -> None:
        self.run = run
        self._writer: Any = None
        if tensorboard:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                self.note(
                    "tensorboard-missing", "tensorboardX is not installed: curves are in log.jsonl only."
                )
            else:
                with output_errors(run.name):
                    self._writer = SummaryWriter(
                        str(run / TENSORBOARD),
                        purge_step=resumed_at + 1 if resumed_at else None,
                        flush_secs=20,
                    )

    def step(self, global_step: int, **fields: Any) -> None:
        """A step: epoch, step, loss, parts, lr, seconds."""
        self._append({"kind": "step", "global_step": global_step, **fields})
        curves = {"loss/step": fields["loss"], "rate": fields["lr"]}
        curves |= {f"loss/{name}": value for name, value in fields["parts"].items()}
        self._draw(curves, global_step)

    def epoch(self, global_step: int, **fields: Any) -> None:
        """A whole epoch: epoch, train_loss, validation, seconds, best."""
        self._append({"kind": "epoch", **fields})
        curves = {"loss/epoch": fields["train_loss"], "seconds/epoch": fields["seconds"]}
        curves |= {f"validation/{name}": value for name, value in (fields["validation"] or {}).items()}
        self._draw(curves, global_step)

    def note(self, code: str, text: str) -> None:
        self._append({"kind": "note", "code": code, "text": text})

    def warning(self, code: str, text: str) -> None:
        self._append({"kind": "warning", "code": code, "text": text})

    def close(self) -> None:
        """Write out what TensorBoard still holds. Not after a failure: a full disk would make it wait."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps(finite({**entry, "time": now()}), ensure_ascii=True, allow_nan=False) + "\n"
        with output_errors(self.run.name), (self.run / LOG).open("a", encoding="utf-8") as file:
            file.write(line)

    def _draw(self, curves: dict[str, float | None], global_step: int) -> None:
        if self._writer is not None:
            for name, value in curves.items():
                if value is not None:
                    self._writer.add_scalar(name, value, global_step)


def cut_back(run: Path, epoch: int, global_step: int) -> None:
    """Take out of the log what came after the state that is gone on from: steps after ``global_step``, ends
    of epochs from ``epoch`` on. Notes stay."""
    entries = read_log(run)
    kept = [
        entry
        for entry in entries
        if not (entry.get("kind") == "step" and entry.get("global_step", 0) > global_step)
        and not (entry.get("kind") == "epoch" and entry.get("epoch", 0) >= epoch)
    ]
    # A last line that was cut off by a kill must not swallow the next one.
    if entries or (run / LOG).exists():
        with whole_file(run / LOG) as tmp:
            tmp.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")

"""How far a training is, in words for a terminal."""

from __future__ import annotations

from typing import Any

from .runfolder import DONE, FAILED, STOPPED

_WORDS = {
    "starting": "starting: data are read",
    "running": "training",
    "validating": "validating",
    "stopping": "stopping after the current step",
    STOPPED: "stopped; go on with 'batnet train resume'",
    DONE: "done",
    FAILED: "ended with an error",
}


def status_words(name: str, state: dict[str, Any], alive: str) -> str:
    """Several lines about the run called ``name``. ``alive``: see ``runfolder.liveness``."""
    said = _WORDS.get(str(state.get("state")), str(state.get("state")))
    if alive == "lost":
        said = f"ended without a word while {said}; go on with 'batnet train resume'"
    lines = [f"{name}: {said}"]
    if state.get("epochs"):
        lines.append(
            f"  epochs done {state.get('epoch', 0)} of {state['epochs']}, "
            f"step {state.get('step', 0)} of {state.get('steps', 0)}"
        )
    each, left = state.get("seconds_per_epoch"), state.get("seconds_left")
    if each is not None:
        rest = f", about {duration(left)} left" if left and alive == "running" else ""
        lines.append(f"  {duration(each)} an epoch{rest}")
    last = state.get("last") or {}
    if last:
        figures = (f"{key} {value:.4g}" for key, value in last.items() if isinstance(value, int | float))
        lines.append("  last: " + ", ".join(figures))
    best, metric = state.get("best"), state.get("metric") or {}
    if best:
        lines.append(
            f"  best: {metric.get('name', 'metric')} {best['value']:.4g} after epoch {best['epoch']}"
        )
    error = state.get("error")
    if error:
        lines += [f"  {error['found']}", f"  {error['wanted']}", f"  {error['remedy']}"]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

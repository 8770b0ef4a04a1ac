"""Seconds that each stage took in the last run of a kind, kept in Slicer's settings for the next estimate."""

from __future__ import annotations

import json
from collections.abc import Mapping

import slicer

from .request import Request


class Timing:
    """Of one kind of run (method, device, model, given mask); ``voxels`` scales it to other scans."""

    def __init__(self, request: Request, voxels: int) -> None:
        kind = "mask" if request.adipose is not None else request.method
        self._key = f"BATNet/seconds/{kind}-{request.device}-{request.model}"
        self._voxels = voxels
        self._kept = not request.checks_only

    def expected(self) -> tuple[Mapping[str, float] | None, float]:
        """Seconds by stage of the last such run, and how much larger this scan is; (None, 1) without one."""
        try:
            kept = json.loads(slicer.app.settings().value(self._key, "") or "{}")
            seconds = {str(name): float(value) for name, value in kept["seconds"].items()}
            return seconds, min(max(self._voxels / kept["voxels"], 0.02), 50.0)
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
            return None, 1.0

    def keep(self, seconds: Mapping[str, float]) -> None:
        """Remember a run that came to its end."""
        if self._kept and self._voxels:
            rounded = {name: round(value, 2) for name, value in seconds.items()}
            text = json.dumps({"voxels": self._voxels, "seconds": rounded})
            slicer.app.settings().setValue(self._key, text)

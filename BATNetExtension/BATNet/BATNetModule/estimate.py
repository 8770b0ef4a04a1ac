"""How far a run is and how long it still takes, from the stages of earlier runs on this computer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from BATNetSlicer.texts import _

#: Seconds of each stage before anything was measured: a phantom of 3 mm voxels on two processor cores.
FIRST_GUESS = {
    "prepare": 0.3,
    "start": 2.0,
    "read": 0.3,
    "lungs": 1.0,
    "preflight": 2.0,
    "adipose": 2.5,
    "patches": 0.2,
    "classify": 0.3,
    "attention": 0.6,
    "write": 1.2,
    "load": 0.5,
}
ORDER = tuple(FIRST_GUESS)


def stage_title(name: str) -> str:
    """A stage of the engine in words; stages without words keep their name."""
    words = {
        "prepare": _("Handing the scan over"),
        "start": _("Starting the engine"),
        "read": _("Reading"),
        "lungs": _("Finding the lungs"),
        "preflight": _("Checking the scan"),
        "adipose": _("Finding the fat"),
        "patches": _("Cutting the patches"),
        "classify": _("Judging the patches"),
        "attention": _("Drawing the attention map"),
        "write": _("Writing the result"),
        "load": _("Loading the result"),
        "make the phantom": _("Making the phantom"),
        "write the case": _("Writing the phantom"),
    }
    return words.get(name, name)


class Estimate:
    """Share done 0..1 and seconds left of one run.

    ``expected``: seconds of each stage in an earlier run; ``size``: voxels now over voxels then.
    ``skipped``: stages that this run does not have. The share never goes back.
    """

    def __init__(
        self,
        expected: Mapping[str, float] | None = None,
        size: float = 1.0,
        skipped: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        known = {**FIRST_GUESS, **(expected or {})}
        self._expected = {
            name: known[name] * (1.0 if name == "start" else size) for name in ORDER if name not in skipped
        }
        self._measured = expected is not None
        self._clock = clock
        self._began = self._stage_began = clock()
        self._share_of_stage: float | None = None
        self._highest = 0.0
        self.stage = ORDER[0]
        self.seconds: dict[str, float] = {}

    def enter(self, name: str, share: float | None = None) -> None:
        """The run is in stage ``name``, of which ``share`` 0..1 is done (None: not known)."""
        if name != self.stage:
            self._leave()
            self.stage, self._stage_began = name, self._clock()
        self._share_of_stage = share

    def finish(self) -> dict[str, float]:
        """The run is over; returns seconds by stage, to be kept for the next estimate."""
        self._leave()
        return dict(self.seconds)

    def _leave(self) -> None:
        spent = self._clock() - self._stage_began
        self.seconds[self.stage] = self.seconds.get(self.stage, 0.0) + spent

    @property
    def share(self) -> float:
        """Share of the whole run that is done, 0..1."""
        total = sum(self._expected.values())
        place = ORDER.index(self.stage) if self.stage in ORDER else 0
        before = sum(v for name, v in self._expected.items() if ORDER.index(name) < place)
        here = self._expected.get(self.stage, 0.0) * (self._share_of_stage or 0.0)
        self._highest = max(self._highest, (before + here) / total if total else 0.0)
        return self._highest

    @property
    def seconds_left(self) -> float | None:
        """None where nothing sensible can be said yet."""
        spent = self._clock() - self._began
        share = self.share
        if share >= 0.999:
            return 0.0
        if not self._measured and (share < 0.15 or spent < 2.0):
            return None
        expected = (1.0 - share) * sum(self._expected.values())
        # What was expected gives way to what is seen as the run goes on.
        return (1.0 - share) * (spent + expected)

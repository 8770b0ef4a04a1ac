"""What a user states by hand about a PET."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError
from .times import Moment


@dataclass(frozen=True)
class Given:
    """What the user states by hand; it goes before the header and is named in the result. None: not given.

    ``injection``, ``scan``: moments by the clock on the wall; ``scan`` is the time that the voxels are
    decay-corrected to. ``decay_corrected_to``: "scan" or "injection" (then no decay step follows).
    """

    weight_kg: float | None = None
    height_m: float | None = None
    sex: str | None = None
    dose_bq: float | None = None
    injection: Moment | None = None
    scan: Moment | None = None
    half_life_s: float | None = None
    decay_corrected_to: str = "scan"

    def __post_init__(self) -> None:
        for name in ("weight_kg", "height_m", "dose_bq", "half_life_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(
                    "pet-value-invalid",
                    f"{name} was given as {value:g}.",
                    "A number above zero is needed.",
                    "Correct it.",
                )
        for name, value, known in (
            ("sex", self.sex, (None, "M", "F")),
            ("decay_corrected_to", self.decay_corrected_to, ("scan", "injection")),
        ):
            if value not in known:
                raise UsageError(
                    "pet-value-invalid",
                    f"{name} was given as {value!r}.",
                    f"It can be {' or '.join(k for k in known if k)}.",
                    "Correct it.",
                )

    def names(self) -> list[str]:
        """Names of what was given."""
        return [n for n in ("weight_kg", "height_m", "sex", "dose_bq", "injection", "scan", "half_life_s")
                if getattr(self, n) is not None]  # fmt: skip

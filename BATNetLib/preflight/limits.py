"""Every cut-off of the preflight, in one place, with what it is based on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError


@dataclass(frozen=True)
class PreflightLimits:
    """Cut-offs. ``*_block`` stops a run (an override needs a reason), ``*_warn`` and ``*_note`` do not.

    Ranges are (lowest, highest) that pass. The defaults are plain anatomy and CT physics, chosen
    generously and checked on a handful of scans; none is validated on a cohort.
    """

    # Hounsfield units
    air_share_block: float = 0.02  #: least share of voxels below -900 HU: air around the patient, lungs
    soft_peak_warn: tuple[float, float] = (10.0, 90.0)  #: HU of muscle and organs in the histogram
    soft_peak_block: tuple[float, float] = (-60.0, 160.0)
    fat_peak_warn: tuple[float, float] = (-140.0, -60.0)  #: HU of fat in the histogram
    air_level_note: tuple[float, float] = (-1060.0, -940.0)  #: HU of the air around the patient
    blood_warn: float = 100.0  #: HU of the great vessels; blood has 35 to 55 without contrast
    metal_hu: float = 3000.0  #: above dense bone; where 12-bit scanners saturate
    metal_note_ml: float = 0.05
    metal_warn_ml: float = 1.0
    # Sampling
    slice_mm_warn: float = 5.0
    slice_mm_block: float = 10.0
    pixel_mm_warn: float = 2.0  #: published patches come from pixels of 0.6 to 1 mm
    pixel_mm_block: float = 5.0
    pixel_ratio_warn: float = 1.05  #: row spacing to column spacing; scanners make square pixels
    matrix_warn: int = 256
    # Coverage
    above_apex_mm_block: float = 5.0  #: neck above the lung apex
    above_apex_mm_warn: float = 30.0
    below_apex_mm_block: float = 20.0  #: from the lung apex to the cut plane, where the axillae lie
    below_apex_mm_warn: float = 40.0
    lung_ml_warn: float = 1000.0  #: both lungs, when they end inside the image
    lung_balance_warn: float = 0.25  #: smaller to larger lung
    # Position
    off_centre_mm_note: float = 10.0  #: the network mirrors at the image's centre column
    off_centre_mm_warn: float = 25.0
    roll_degrees_note: float = 4.0
    roll_degrees_warn: float = 10.0
    symmetry_warn: float = 0.75  #: 1 = body and mirror image agree
    cut_body_note: float = 0.02  #: share of the body's outline that lies on the edge of the image
    cut_body_warn: float = 0.10
    cut_body_block: float = 0.30
    heart_mm_warn: float = 5.0  #: how far the heart may lie to the patient's right
    # Adipose tissue above the cut
    adipose_ml_warn: tuple[float, float] = (100.0, 12000.0)
    adipose_balance_warn: float = 0.5  #: smaller to larger side
    adipose_balance_block: float = 0.1
    adipose_hu_warn: tuple[float, float] = (-130.0, -50.0)  #: mean HU of the mask

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(item.default, tuple):
                good = len(value) == 2 and all(_is_number(v) for v in value) and value[0] <= value[1]
                wanted = "two numbers, the lower one first, are needed"
            else:
                good, wanted = _is_number(value), "a number is needed"
            if not good:
                raise _bad(f"The limit '{item.name}' is {value!r}; {wanted}.")

    @classmethod
    def of(cls, config: PreflightLimits | Mapping[str, Any] | str | Path | None) -> PreflightLimits:
        """Limits from limits, from a mapping of those that differ, or from a JSON file of them.

        Raises ``UsageError`` ("preflight-limits") for an unknown name or a value of the wrong kind.
        """
        if config is None:
            return cls()
        if isinstance(config, PreflightLimits):
            return config
        if isinstance(config, (str, Path)):
            config = read_limits(Path(config))
        known = {item.name: item for item in fields(cls)}
        unknown = sorted(set(config) - set(known))
        if unknown:
            raise _bad(f"The limit '{unknown[0]}' is not known.")
        values: dict[str, Any] = {}
        for name, value in config.items():
            wants_pair = isinstance(known[name].default, tuple)
            if wants_pair and not isinstance(value, (list, tuple)):
                raise _bad(f"The limit '{name}' is {value!r}; two numbers, the lower one first, are needed.")
            values[name] = tuple(value) if wants_pair else value
        return replace(cls(), **values)

    def as_dict(self) -> dict[str, Any]:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_limits(path: Path) -> dict[str, Any]:
    """The JSON object of a file with limits; raises ``UsageError`` ("preflight-limits") where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _bad(f"The file {path.name} with limits cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise _bad(f"The file {path.name} with limits is not JSON.") from error
    if not isinstance(content, dict):
        raise _bad(f"The file {path.name} holds no JSON object.")
    return content


def _bad(found: str) -> UsageError:
    return UsageError(
        "preflight-limits",
        found,
        "Limits are a JSON object of names and numbers.",
        f"Known names: {', '.join(item.name for item in fields(PreflightLimits))}.",
    )

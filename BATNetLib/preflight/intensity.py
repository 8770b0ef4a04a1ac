"""Are these Hounsfield units, of a scan without contrast and without metal?"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import morphology
from ..volume.geometry import Volume
from .limits import PreflightLimits
from .report import BLOCK, NOTE, WARN, Finding
from .view import View

_SAMPLE = 1_500_000
#: Between neighbouring blocks of blood there is less than this, between those of bone more.
_EVEN_HU = 80.0
_LEAST_BLOOD_ML = 5.0
_FILLED_HU = -1023.5
_RESCALE = "Give the CT itself, in Hounsfield units, with rescale slope and intercept applied."


def scale(ct: Volume, limits: PreflightLimits) -> list[Finding]:
    """Looks at the values alone: air must be there, at the HU of air."""
    sample = _sample(ct.array)
    low, high = float(ct.array.min()), float(ct.array.max())
    if (ct.facts or {}).get("resampled"):
        # Resampling an oblique scan fills the corners with "air", whatever the image is.
        sample = sample[sample > _FILLED_HU]
        low = float(sample.min()) if len(sample) else low
    share = float(np.mean(sample < -900.0)) if len(sample) else 0.0
    values: dict[str, Any] = {"lowest": low, "highest": high, "share_below_minus_900": share}
    if share < limits.air_share_block:
        sentence = (
            f"The values run from {low:g} to {high:g}, and {100 * share:.1f} % of them lie below -900; "
            f"a CT in Hounsfield units has at least {100 * limits.air_share_block:g} % there, which is air. "
            f"{_likely(sample, low, high)}"
        )
        return [Finding("not-hu", BLOCK, sentence, _RESCALE, values)]
    air = sample[(sample < -850) & (sample > -1150)]
    level = _mode(air, 5.0)
    first, last = limits.air_level_note
    if first <= level <= last:
        return []
    sentence = f"The air lies at {level:.0f} HU; it should lie between {first:.0f} and {last:.0f} HU."
    advice = "Check the calibration of the scanner and the rescale values of the file."
    return [Finding("air-level", NOTE, sentence, advice, {"air_hu": level})]


def _likely(sample: np.ndarray, low: float, high: float) -> str:
    """What such values usually are."""
    if low >= 0 and high <= 255:
        return "This looks like a picture of 8 bits or an image of an MR scanner."
    if high - low <= 20:
        return "This looks like a normalised image."
    if low >= -10 and 900 <= _mode(sample[sample > 500], 20.0) <= 1200:
        return "This looks like stored values of a CT without their rescale intercept."
    if low >= -10:
        return "This looks like an MR image or counts of a PET scanner."
    if low > -900:
        return "This looks like a CT that was clipped to a window, or no CT."
    return "This looks like a cut-out without air, or no CT."


def peaks(view: View) -> list[Finding]:
    """Fat and soft tissue must lie where they belong in the histogram of the body."""
    limits = view.limits
    hu = view.hu[morphology.erode(view.body.mask, view.spacing, 3.0)]
    fat, soft = _two_peaks(hu)
    findings = []
    low, high = limits.soft_peak_warn
    lowest, highest = limits.soft_peak_block
    values: dict[str, Any] = {"soft_tissue_hu": soft, "fat_hu": fat}
    if not lowest <= soft <= highest:
        sentence = f"Soft tissue lies at {soft:.0f} HU; it should lie between {low:.0f} and {high:.0f} HU."
        return [Finding("hu-shifted", BLOCK, sentence, _RESCALE, values)]
    if not low <= soft <= high:
        sentence = f"Soft tissue lies at {soft:.0f} HU; it should lie between {low:.0f} and {high:.0f} HU."
        advice = "Check the rescale values; cone-beam scans have no Hounsfield units that can be relied on."
        findings.append(Finding("hu-shifted", WARN, sentence, advice, values))
    if fat is None:
        sentence = (
            f"The histogram of the body has no peak of fat beside that of soft tissue at {soft:.0f} HU."
        )
        advice = "Check whether the patient has so little fat or the values are none of a usual CT."
        findings.append(Finding("no-fat-peak", WARN, sentence, advice, values))
    elif not findings and not limits.fat_peak_warn[0] <= fat <= limits.fat_peak_warn[1]:
        low, high = limits.fat_peak_warn
        sentence = f"Fat lies at {fat:.0f} HU; it should lie between {low:.0f} and {high:.0f} HU."
        advice = "Check the rescale values and the reconstruction."
        findings.append(Finding("hu-shifted", WARN, sentence, advice, values))
    return findings


def _two_peaks(hu: np.ndarray) -> tuple[float | None, float]:
    """HU of the peaks of fat (None where there is none) and soft tissue in values of the body.

    The histogram runs from -300 to 400 HU in steps of 10, smoothed. The largest peak is one of both; the
    other one is the largest peak 60 to 250 HU away, if it reaches 5 % of it.
    """
    from scipy import ndimage

    edges = np.arange(-300.0, 405.0, 10.0)
    counts = ndimage.gaussian_filter1d(np.histogram(hu, edges)[0].astype(float), 1.5, mode="constant")
    centres = (edges[:-1] + edges[1:]) / 2.0
    inner = (counts[1:-1] >= counts[:-2]) & (counts[1:-1] > counts[2:])
    tops = np.nonzero(inner)[0] + 1
    if not len(tops):
        return None, float(centres[counts.argmax()])
    largest = tops[counts[tops].argmax()]
    apart = np.abs(centres[tops] - centres[largest])
    others = tops[(apart >= 60) & (apart <= 250) & (counts[tops] >= 0.05 * counts[largest])]
    if not len(others):
        return None, float(centres[largest])
    other = others[counts[others].argmax()]
    return float(centres[min(largest, other)]), float(centres[max(largest, other)])


def contrast(view: View) -> list[Finding]:
    """Contrast medium, by what the file says and by the HU of the great vessels."""
    said = bool((view.ct.facts or {}).get("contrast_agent"))
    blood = _blood(view)
    values: dict[str, Any] = {"named_in_file": said, "vessels_hu": blood}
    bright = blood is not None and blood > view.limits.blood_warn
    if not said and not bright:
        return []
    parts = ["The file names a contrast medium."] if said else []
    if blood is not None:
        parts.append(
            f"Heart and great vessels have {blood:.0f} HU; blood has 35 to 55 HU without contrast medium."
        )
    advice = (
        "Contrast medium raises the HU of brown fat (about -33 instead of -67): HU rules and the network's "
        "probability may be off. Take a series without contrast medium if there is one."
    )
    return [Finding("contrast", WARN, " ".join(parts), advice, values)]


def _blood(view: View) -> float | None:
    """HU of heart and great vessels: upper quartile of what is even and solid in the mediastinum."""
    from scipy import ndimage

    if view.lungs is None:
        return None
    between = view.between_lungs
    if not between.any():
        return None
    box = morphology.box_around(between, view.spacing, 5.0)
    hu = view.hu[box]
    # Blood is even; bone is not, nor is the edge of fat or of an airway.
    spread = ndimage.maximum_filter(hu, 3) - ndimage.minimum_filter(hu, 3)
    even = morphology.opened(between[box] & (hu > 0), view.spacing, 4.0) & (spread < _EVEN_HU)
    if np.count_nonzero(even) * view.body.coarse.voxel_ml < _LEAST_BLOOD_ML:
        return None
    return float(np.percentile(hu[even], 75))


def metal(view: View) -> list[Finding]:
    """Voxels above 3000 HU in the body, above the cut plane."""
    limits, coarse = view.limits, view.body.coarse
    stop = min(view.slices, max(1, view.cut)) if view.lungs is not None else view.slices
    part = view.ct.array[:stop]
    if float(part.max()) < limits.metal_hu:
        return []
    # Metal is rare: its few voxels are looked up in the body, not the body enlarged to all voxels.
    places = np.nonzero(part >= limits.metal_hu)
    blocks = tuple(axis // step for axis, step in zip(places, coarse.factors, strict=True))
    volume = int(np.count_nonzero(view.body.mask[blocks])) * view.ct.voxel_ml
    if volume < limits.metal_note_ml:
        return []
    level = WARN if volume >= limits.metal_warn_ml else NOTE
    sentence = f"{volume:.2f} mL in the body lie above {limits.metal_hu:.0f} HU: metal or very dense calcium."
    advice = "Look for streaks through fat; they change its HU."
    return [Finding("metal", level, sentence, advice, {"volume_ml": volume})]


def _sample(array: np.ndarray) -> np.ndarray:
    """About 1.5 million values spread over the volume, float32."""
    step = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
    return array[::step, ::step, ::step].astype(np.float32).ravel()


def _mode(values: np.ndarray, width: float) -> float:
    """Centre of the fullest bin; nan where there are no values."""
    if not len(values):
        return float("nan")
    bins = np.floor(values / width).astype(np.int64)
    first = int(bins.min())
    return (float(np.bincount(bins - first).argmax()) + first + 0.5) * width

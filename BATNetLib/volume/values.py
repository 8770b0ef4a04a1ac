"""Voxel values: rescaling and the smallest exact type to hold them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputRefused


def apply_scale(raw: np.ndarray, slope: float, inter: float, name: str) -> np.ndarray:
    """``raw * slope + inter``; integers stay integers when slope and intercept are whole numbers.

    Otherwise float32 (float64 only where the stored voxels were). Works in place where the type allows.
    """
    if not (np.isfinite(slope) and np.isfinite(inter)) or slope == 0:
        raise InputRefused(
            "rescale-invalid",
            f"{name} has a rescale slope of {slope:g} and an intercept of {inter:g}.",
            "Both must be finite and the slope not zero.",
            "Export the scan again from its DICOM files.",
        )
    if slope == 1.0 and inter == 0.0:
        return raw
    if raw.dtype.kind in "iu" and slope.is_integer() and inter.is_integer():
        low, high = sorted(
            (int(raw.min()) * int(slope) + int(inter), int(raw.max()) * int(slope) + int(inter))
        )
        dtype = whole_number_type(low, high, name)
        out = raw if raw.dtype == dtype and raw.flags.writeable else raw.astype(dtype)
        # Two's complement wraps on the way and ends right, for the result is known to fit.
        if slope != 1.0:
            np.multiply(out, np.array(int(slope)).astype(dtype), out=out)
        return np.add(out, np.array(int(inter)).astype(dtype), out=out)
    out = raw.astype(np.float64 if raw.dtype == np.float64 else np.float32)
    out *= slope
    out += inter
    return out


def whole_number_type(low: int, high: int, name: str) -> np.dtype[Any]:
    """int16 where ``low`` to ``high`` fit, else int32; refuses what fits in neither."""
    for dtype in (np.int16, np.int32):
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return np.dtype(dtype)
    raise InputRefused(
        "value-overflow",
        f"{name} has whole-number voxels from {low} to {high}.",
        "Values must fit into 32 bits.",
        "Export the scan again with 16-bit voxels.",
    )


def as_hounsfield(array: np.ndarray, name: str) -> np.ndarray:
    """A CT's voxels as int16 where every value is a whole number that fits, else int32 or float32.

    Unsigned types are left behind on purpose: ``ct - 1024`` must not wrap round.
    """
    if array.dtype == np.int16:
        return array
    if array.dtype.kind in "iub":
        dtype = whole_number_type(int(array.min()), int(array.max()), name)
        return array.astype(dtype, copy=False)
    limits = np.iinfo(np.int16)
    for plane in array:
        if plane.min() < limits.min or plane.max() > limits.max or (plane != np.rint(plane)).any():
            return array.astype(np.float32, copy=False)
    return array.astype(np.int16)


def as_labels(array: np.ndarray, name: str) -> np.ndarray:
    """A mask's voxels as whole numbers, in the smallest type; fractions are refused."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and any(bool((plane != np.rint(plane)).any()) for plane in array):
        raise InputRefused(
            "mask-values",
            f"{name} has voxels between whole numbers.",
            "A mask holds whole-number labels.",
            "Threshold the map, or resample the mask with nearest neighbour.",
        )
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high <= 255:
        return array.astype(np.uint8, copy=False)
    return array.astype(whole_number_type(low, high, name), copy=False)

"""SUVpeak: the highest mean over a sphere of 1 mL centred on a voxel of the region."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: A sphere of 1 mL has this radius, mm (a diameter of 12.4 mm).
RADIUS_MM = (3.0 * 1000.0 / (4.0 * np.pi)) ** (1.0 / 3.0)

DEFINITION = (
    "highest mean SUV of a 1 mL sphere (diameter 12.4 mm) centred on a voxel of the region; the sphere "
    "may reach beyond the region; computed on the CT's grid after interpolation; voxels on the sphere's "
    "edge count by the "
    "part of them that lies inside; places without PET do not count"
)

#: Each voxel is split into so many points along each axis to find the part inside the sphere.
_POINTS = 7


def sphere_weights(spacing: tuple[float, float, float], radius_mm: float = RADIUS_MM) -> np.ndarray:
    """Share of each voxel inside a sphere around the middle voxel's centre; float64, odd shape."""
    reach = [int(np.ceil(radius_mm / s + 0.5)) for s in spacing]
    inner = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    squares = [
        (((np.arange(-r, r + 1)[:, None] + inner) * s) ** 2).ravel()
        for r, s in zip(reach, spacing, strict=True)
    ]
    inside = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= radius_mm**2
    shape = [n for r in reach for n in (2 * r + 1, _POINTS)]
    weights = inside.reshape(shape).mean(axis=(1, 3, 5))
    used = [np.flatnonzero(weights.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return weights[tuple(slice(u[0], u[-1] + 1) for u in used)]


def peak_map(
    suv: np.ndarray,
    spacing: tuple[float, float, float],
    where: np.ndarray,
    check: Callable[[], None] = lambda: None,
) -> Callable[[int, np.ndarray, np.ndarray], np.ndarray]:
    """Sphere means of ``suv`` (NaN = no value) around the voxels of ``where`` (bool).

    Returns a function from a slice, rows and columns, all inside ``where``, to float32 means. Works on the
    box around ``where`` slice by slice with 2D Fourier transforms, so the extra memory is one box and a few
    slices. ``check`` is called at each slice and may raise to stop.
    """
    from scipy import fft

    if not where.any():
        return lambda index, row, column: np.zeros(len(row), np.float32)
    weights = sphere_weights(spacing)
    half = [n // 2 for n in weights.shape]
    hits = [np.flatnonzero(where.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = [max(0, int(h[0]) - r) for h, r in zip(hits, half, strict=True)]
    high = [min(n, int(h[-1]) + r + 1) for h, r, n in zip(hits, half, suv.shape, strict=True)]
    box = suv[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    size = [fft.next_fast_len(box.shape[a] + 2 * half[a], real=True) for a in (1, 2)]
    kernels = [fft.rfft2(plane[::-1, ::-1].astype(np.float32), size) for plane in weights]
    inner = slice(half[1], half[1] + box.shape[1]), slice(half[2], half[2] + box.shape[2])
    whole = np.float32(weights.sum())
    # Spheres that reach over the edge of the volume, or a place without PET, have less than their 1 mL.
    at_edge = any(
        h[0] < r or h[-1] + r >= n for h, r, n in zip(hits[1:], half[1:], suv.shape[1:], strict=True)
    )
    covered = ~np.isnan(box)
    full = covered.all(axis=(1, 2))

    means = np.zeros(box.shape, np.float32)
    values: dict[int, np.ndarray] = {}
    shares: dict[int, np.ndarray] = {}
    for index in range(hits[0][0] - low[0], hits[0][-1] - low[0] + 1):
        check()
        around = range(max(0, index - half[0]), min(len(box), index + half[0] + 1))

        def summed(spectra: dict[int, np.ndarray], around: range = around, index: int = index) -> np.ndarray:
            product = sum(spectra[k] * kernels[k - index + half[0]] for k in around)
            return np.asarray(fft.irfft2(product, size))[inner]

        values = {k: values[k] if k in values else _spectrum(box[k], covered[k], size) for k in around}
        if at_edge or len(around) < len(weights) or not full[around.start : around.stop].all():
            shares = {
                k: shares[k] if k in shares else _spectrum(covered[k], covered[k], size) for k in around
            }
            weight = summed(shares)
            np.divide(summed(values), weight, out=means[index], where=weight > 1e-4)
        else:
            np.divide(summed(values), whole, out=means[index])

    def at(index: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return means[index - low[0], row - low[1], column - low[2]]

    return at


def _spectrum(plane: np.ndarray, covered: np.ndarray, size: list[int]) -> np.ndarray:
    """2D transform of a slice, zero where it is not covered."""
    from scipy import fft

    return np.asarray(fft.rfft2(np.where(covered, plane, 0).astype(np.float32), size))

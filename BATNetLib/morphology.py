"""Shapes of masks in millimetres: distances, erosion, dilation, components, holes of slices.

All arrays are bool, canonical [slice, row, column]; ``spacing`` is mm along these axes. What lies outside
the array counts as neither mask nor background, so a mask cut off by the field of view is not eroded there.
"""

from __future__ import annotations

import numpy as np

Spacing = tuple[float, float, float]


def distance_to(mask: np.ndarray, spacing: Spacing) -> np.ndarray:
    """float32 mm from each voxel centre to the nearest voxel centre of ``mask``; inf where it is empty."""
    import SimpleITK as sitk

    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    image = sitk.GetImageFromArray(mask.view(np.uint8))
    image.SetSpacing(spacing[::-1])
    # The signed map is 0 on the mask's border voxels and negative inside.
    signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(signed), 0.0)


def dilate(mask: np.ndarray, spacing: Spacing, radius_mm: float) -> np.ndarray:
    """Dilation by an octagon in the slice and a line across slices, for radii of a few voxels.

    The radius is rounded to whole voxels: at least one within the slice, and across slices as many as
    it holds. No distance map is needed, which makes it an order of magnitude faster.
    """
    out = mask.copy()
    rows, columns = (max(1, round(radius_mm / s)) for s in spacing[1:])
    for step in range(max(rows, columns)):
        # Neighbours by edge and by corner in turn make an octagon.
        before = out.copy()
        if step < rows:
            _spread(before, out, 1)
        if step < columns:
            _spread(before if step % 2 == 0 else out.copy(), out, 2)
    for _ in range(int(radius_mm / spacing[0] + 1e-6)):
        _spread(out.copy(), out, 0)
    return out


def erode(mask: np.ndarray, spacing: Spacing, radius_mm: float) -> np.ndarray:
    """Erosion by the shape of ``dilate``."""
    return ~dilate(~mask, spacing, radius_mm)


def _spread(mask: np.ndarray, out: np.ndarray, axis: int) -> None:
    """Add to ``out`` the voxels before and after those of ``mask`` along ``axis``."""
    ahead = [slice(None)] * 3
    back = [slice(None)] * 3
    ahead[axis], back[axis] = slice(1, None), slice(None, -1)
    out[tuple(ahead)] |= mask[tuple(back)]
    out[tuple(back)] |= mask[tuple(ahead)]


def opened(mask: np.ndarray, spacing: Spacing, radius_mm: float) -> np.ndarray:
    """What remains of ``mask`` where the shape of ``dilate`` fits inside."""
    return mask & dilate(erode(mask, spacing, radius_mm), spacing, radius_mm)


def closed(mask: np.ndarray, spacing: Spacing, radius_mm: float) -> np.ndarray:
    """``mask`` and the gaps into which the shape of ``dilate`` does not fit."""
    return mask | erode(dilate(mask, spacing, radius_mm), spacing, radius_mm)


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels 1..n of the 6-connected parts (0 outside), and their sizes in voxels (index 0 is 0)."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected part; all False stays all False."""
    labels, sizes = components(mask)
    return mask if len(sizes) < 3 else labels == sizes.argmax()


def box_around(mask: np.ndarray, spacing: Spacing, margin_mm: float) -> tuple[slice, slice, slice]:
    """Slices of the box around a mask that is not empty, with a margin inside the array."""
    sides = []
    for axis, step in enumerate(spacing):
        hit = np.nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))[0]
        more = int(np.ceil(margin_mm / step))
        sides.append(slice(max(0, int(hit[0]) - more), min(mask.shape[axis], int(hit[-1]) + 1 + more)))
    return sides[0], sides[1], sides[2]


def drop_small(mask: np.ndarray, smallest_voxels: float) -> np.ndarray:
    """``mask`` without the 6-connected parts of fewer than ``smallest_voxels`` voxels."""
    labels, sizes = components(mask)
    keep = sizes >= max(1.0, smallest_voxels - 1e-6)  # a volume in mm3 divided by that of a voxel
    keep[0] = False
    return keep[labels]


def slice_components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels of the 4-connected parts of every axial slice by itself, and their number."""
    from scipy import ndimage

    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(mask, in_plane)
    return labels, int(count)


def means(values: np.ndarray, labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Mean of ``values`` in each part, by label; ``labels`` and ``sizes`` come from ``components``."""
    sums = np.bincount(labels.ravel(), values.ravel(), minlength=len(sizes))
    return sums / np.maximum(1, sizes)


def fill_slices(mask: np.ndarray) -> np.ndarray:
    """Add to every axial slice what its mask encloses; gaps that reach the image's edge stay open."""
    labels, count = slice_components(~mask)
    outside = np.zeros(count + 1, bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[edge.ravel()] = True
    outside[0] = False
    return ~outside[labels]

"""The other side: the body's mirror plane, and a copy of what was painted to the mirror place."""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..morphology import box_around
from ..symmetry import MirrorPlane, Side, find_mirror_plane, grid_of_box
from ..volume.geometry import Volume

__all__ = ["MirrorPlane", "Side", "find_mirror_plane", "mirror_copy"]


def mirror_copy(
    source_mask: Volume,
    plane: MirrorPlane,
    ct: Volume,
    fat: Volume | None,
    hu_range: tuple[float, float] | None,
    from_side: Side,
) -> Volume:
    """What ``source_mask`` holds on the patient's ``from_side``, at its mirror place: uint8 0/1 on ``ct``.

    Only the copy is returned; the caller adds it to what the other side holds already. A voxel is set where
    the mirrored mask, interpolated linearly, reaches 0.5, the voxel lies on the other side, inside ``fat``
    (any value above 0; None = no such limit) and within ``hu_range`` (both ends included; None = no limit).
    What would fall outside the image is lost. Raises ``UsageError`` ("mirror-side") and ``InputRefused``
    ("other-grid").
    """
    from scipy import ndimage

    if from_side not in ("right", "left"):
        raise UsageError(
            "mirror-side",
            f"The side to copy from was given as {from_side!r}.",
            "It is right or left, as the patient sees it.",
            "Say which side holds what is to be copied.",
        )
    ct.require_same_grid(source_mask, "mask to copy")
    if fat is not None:
        ct.require_same_grid(fat, "fat mask")
    copy = np.zeros(ct.grid.shape, np.uint8)
    source = source_mask.array > 0
    if not source.any():
        return ct.with_array(copy)
    box = box_around(source, ct.spacing, 0.0)
    part = source[box] & plane.on_side(grid_of_box(ct.grid, box), from_side)
    if not part.any():
        return ct.with_array(copy)
    target = _target_box(box, plane, ct)
    if target is None:
        return ct.with_array(copy)
    # From the indices of the target's box to those of the source's, one affine map.
    affine = ct.grid.affine
    mirror = np.linalg.inv(affine) @ plane.matrix_lps @ affine
    start, origin = (np.array([side.start for side in sides], float) for sides in (target, box))
    # One empty voxel around the source: beyond its box there is nothing.
    offset = mirror[:3, :3] @ start + mirror[:3, 3] - origin + 1.0
    values = ndimage.affine_transform(
        np.pad(part, 1).astype(np.float32),
        mirror[:3, :3],
        offset,
        output_shape=tuple(side.stop - side.start for side in target),
        order=1,
        mode="constant",
        cval=0.0,
    )
    # Sums of weights may fall a rounding short of the half.
    found = values >= 0.5 - 1e-5
    found &= plane.on_side(grid_of_box(ct.grid, target), "left" if from_side == "right" else "right")
    if fat is not None:
        found &= fat.array[target] > 0
    if hu_range is not None:
        hu = ct.array[target]
        found &= (hu >= hu_range[0]) & (hu <= hu_range[1])
    copy[target] = found
    return ct.with_array(copy)


def _target_box(
    box: tuple[slice, slice, slice], plane: MirrorPlane, ct: Volume
) -> tuple[slice, slice, slice] | None:
    """Voxels of ``ct`` that the mirror image of ``box`` can reach; None where that is outside the image."""
    ends = np.array([(side.start - 1.0, side.stop) for side in box])
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1).T
    there = plane.reflect(ct.grid.points(corners))
    inverse = np.linalg.inv(ct.grid.affine)
    indices = there @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(indices.min(0)), 0, ct.grid.shape).astype(int)
    high = np.clip(np.ceil(indices.max(0)) + 1, 0, ct.grid.shape).astype(int)
    if (high <= low).any():
        return None
    a, b, c = (slice(int(i), int(j)) for i, j in zip(low, high, strict=True))
    return a, b, c

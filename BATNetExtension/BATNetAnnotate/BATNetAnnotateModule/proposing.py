"""Proposals and copies to the other side, computed on arrays; no node is touched here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from BATNetSlicer.masks import Cropped

from .arrays import Lattice, marked_box, part


@dataclass(frozen=True)
class Scan:
    """What a proposal looks at. ``hu``: [k, j, i]; ``pet``: SUVbw on its own grid, or None."""

    lattice: Lattice
    hu: np.ndarray
    fat: Cropped
    pet: Any = None
    patient: Any = None


def proposal(scan: Scan, criterion: Any) -> tuple[np.ndarray, str]:
    """Brown fat by ``criterion`` inside the fat: bool [k, j, i], and what was done in words.

    Raises as ``BATNetLib.annotation.propose.propose``.
    """
    from BATNetLib.annotation.propose import propose

    ct, fat, box = _inside_fat(scan)
    found = propose(ct, fat, scan.pet, criterion, patient=scan.patient)
    return _whole(scan, box, found.mask.array), found.words


def hu_proposal(scan: Scan, hu_range: tuple[float, float]) -> tuple[np.ndarray, str]:
    """As ``proposal``, by the range of HU alone, for a reader who asked for that."""
    from BATNetLib.annotation.propose import propose_hu_only

    ct, fat, box = _inside_fat(scan)
    found = propose_hu_only(ct, fat, hu_range)
    return _whole(scan, box, found.mask.array), found.words


def mirrored(
    scan: Scan, marked: Cropped, plane: Any, from_side: str, hu_range: tuple[float, float] | None
) -> np.ndarray:
    """``marked`` with the brown fat of one side at its mirror place too, inside fat and range: bool.

    Nothing is taken away, also not on the other side.
    """
    from BATNetLib.annotation.mirror import mirror_copy

    lattice = scan.lattice
    brown = lattice.whole(marked)
    mask, ct, fat = lattice.volume(brown), lattice.volume(scan.hu), lattice.volume(lattice.whole(scan.fat))
    box = _both_sides(mask, plane)
    if box is None:
        return brown
    copy = mirror_copy(part(mask, box), plane, part(ct, box), part(fat, box), hu_range, from_side)
    mask.array[box] |= copy.array > 0
    return brown


def _inside_fat(scan: Scan) -> tuple[Any, Any, Any]:
    """CT and fat cut down to where there is fat: a proposal reaches no further."""
    fat = scan.lattice.volume(scan.lattice.whole(scan.fat))
    box = marked_box(fat.array) or (slice(0, 1), slice(0, 1), slice(0, 1))
    return part(scan.lattice.volume(scan.hu), box), part(fat, box), box


def _whole(scan: Scan, box: Any, found: np.ndarray) -> np.ndarray:
    out = np.zeros(scan.lattice.shape, bool)
    scan.lattice.volume(out).array[box] = found > 0
    return out


def _both_sides(mask: Any, plane: Any) -> Any:
    """A box that holds what is marked and its mirror image, as far as it lies inside the image."""
    box = marked_box(mask.array)
    if box is None:
        return None
    corners = np.array(np.meshgrid(*[(side.start - 1, side.stop) for side in box])).reshape(3, -1).T
    there = plane.reflect(mask.grid.points(corners))
    inverse = np.linalg.inv(mask.grid.affine)
    indices = np.concatenate([corners, there @ inverse[:3, :3].T + inverse[:3, 3]])
    low = np.clip(np.floor(indices.min(0)), 0, mask.array.shape).astype(int)
    high = np.clip(np.ceil(indices.max(0)) + 1, 0, mask.array.shape).astype(int)
    a, b, c = (slice(int(i), int(j)) for i, j in zip(low, high, strict=True))
    return a, b, c


def side_volumes(lattice: Lattice, brown: np.ndarray, plane: Any, voxel_ml: float) -> tuple[float, float]:
    """mL of brown fat on the patient's right and left of the plane; what lies in it counts half to each."""
    mask = lattice.volume(brown)
    box = marked_box(mask.array)
    if box is None:
        return 0.0, 0.0
    piece = part(mask, box)
    counts = [np.count_nonzero(piece.array & plane.on_side(piece.grid, side)) for side in ("right", "left")]
    between = (np.count_nonzero(piece.array) - sum(counts)) / 2.0
    return (counts[0] + between) * voxel_ml, (counts[1] + between) * voxel_ml

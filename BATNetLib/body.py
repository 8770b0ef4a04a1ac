"""Where the patient is: tissue and the air inside it, without table, clothes and cables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import morphology
from .coarse import Coarse, shrink
from .errors import InputRefused
from .volume.geometry import Volume

#: Halfway between air (-1000 HU) and soft tissue (about 0 HU) lies -500; a little above it, because
#: foam and blankets reach -500 HU.
TISSUE_HU = -400.0
#: Table tops, blankets and tubes are thinner than twice this; the neck and the arms are not.
THIN_MM = 6.0
#: Between the air of a room (-1000 HU) and that of a lung.
PURE_AIR_HU = -960.0
#: Less than this is no part of a patient that a chest CT shows.
SMALLEST_BODY_ML = 100.0


@dataclass(frozen=True)
class Body:
    """The patient on the blocks of a coarse CT; one is made per CT and handed on.

    ``coarse``: the block means. ``mask``: bool, tissue of the largest body region and the air that it
    encloses. ``tissue``: bool, blocks above -400 HU anywhere in the image, table included. ``middle``:
    column halfway between the body's outermost ones.
    """

    coarse: Coarse
    mask: np.ndarray
    tissue: np.ndarray
    middle: float

    @property
    def air(self) -> np.ndarray:
        """bool, blocks of air inside the body: lungs, airways, bowel gas."""
        return self.mask & ~self.tissue

    def cropped(self, box: tuple[slice, slice, slice]) -> Body:
        """The part of the body in a box of blocks, on the part ``coarse.voxels(box)`` of the CT."""
        return Body(self.coarse.cropped(box), self.mask[box], self.tissue[box], self.middle - box[2].start)


def find_body(ct: Volume, coarse: Coarse | None = None) -> Body:
    """Find the patient in ``ct`` (HU, canonical axes) on blocks of about 2.5 mm.

    Tissue is what lies above -400 HU. An opening of 6 mm takes table tops, blankets and tubes away, and
    the largest connected region stays: thick tissue. Air that an axial slice encloses is added where the
    thick tissue surrounds it, and with it the thin walls around it. Lungs that are cut off by the first
    or the last slice therefore count as inside; air that reaches the edge of the image does not. Raises
    ``InputRefused`` ("no-body") where less than 100 mL remain.
    """
    coarse = coarse or shrink(ct)
    spacing = coarse.spacing
    tissue = coarse.array > TISSUE_HU
    thick = morphology.largest_component(morphology.opened(tissue, spacing, THIN_MM))
    if thick.sum() * coarse.voxel_ml < SMALLEST_BODY_ML:
        raise InputRefused(
            "no-body",
            f"No body was found: no connected region of at least {SMALLEST_BODY_ML:.0f} mL lies above "
            f"{TISSUE_HU:.0f} HU.",
            "A CT in Hounsfield units that shows a patient is needed.",
            "Check that the image is a CT and that its rescale slope and intercept were applied.",
        )
    # What the opening took from the body's own edge comes back; a table top that touches the skin goes
    # on beyond that edge. The chest wall of a thin patient is thin too, but it lies against the lungs.
    near = morphology.dilate(thick, spacing, THIN_MM)
    inside = _surrounded(tissue, near, coarse)
    near |= morphology.dilate(inside, spacing, 2.0 * THIN_MM)
    region = morphology.opened((tissue & near) | inside, spacing, THIN_MM / 2)
    region = morphology.fill_slices(morphology.largest_component(region))
    columns = np.nonzero(region.any(axis=(0, 1)))[0]
    return Body(coarse, region, tissue, (columns[0] + columns[-1]) / 2.0)


def _surrounded(tissue: np.ndarray, near: np.ndarray, coarse: Coarse) -> np.ndarray:
    """bool: air that slices of ``tissue`` enclose and whose border lies mostly in ``near``, by region.

    A hollow table top encloses air as well, and so do back and table together; the body makes only a
    part of their border, and that air is pure, whereas lung is not.
    """
    air = morphology.fill_slices(tissue) & ~tissue
    labels, sizes = morphology.components(air)
    border = air & ~morphology.erode(air, coarse.spacing, 0.0)
    number, at_body = (np.bincount(labels[part], minlength=len(sizes)) for part in (border, border & near))
    share = at_body / np.maximum(1, number)
    impure = morphology.means(coarse.array > PURE_AIR_HU, labels, sizes)
    keep = (share >= 0.8) | ((share >= 0.4) & (impure >= 0.3))
    keep[0] = False
    return keep[labels]


def body_mask(ct: Volume, body: Body | None = None) -> Volume:
    """uint8 mask of the patient on the voxels of ``ct``: 1 = tissue or air inside the body.

    The edge follows -400 HU at full resolution within one block of the coarse edge. Raises
    ``InputRefused`` ("no-body").
    """
    body = body or find_body(ct)
    return ct.with_array(refine(body.mask, body.coarse, ct.array > TISSUE_HU).view(np.uint8))


def refine(blocks: np.ndarray, coarse: Coarse, inside: np.ndarray) -> np.ndarray:
    """bool at full resolution: deep inside ``blocks`` everything, within a block of their edge ``inside``.

    ``blocks``: bool on the coarse grid. ``inside``: bool on the input's voxels.
    """
    from scipy import ndimage

    core = coarse.enlarge(ndimage.binary_erosion(blocks, border_value=1))
    rim = coarse.enlarge(ndimage.binary_dilation(blocks))
    return core | (rim & inside)

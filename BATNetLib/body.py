"""Where the patient is: tissue and the air inside it, without table, clothes and cables."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        """The part of the body in a box of blocks; only for looking, not for going back to voxels."""
        coarse = replace(self.coarse, array=self.coarse.array[box])
        return Body(coarse, self.mask[box], self.tissue[box], self.middle - box[2].start)


def find_body(ct: Volume, coarse: Coarse | None = None) -> Body:
    """Find the patient in ``ct`` (HU, canonical axes) on blocks of about 2.5 mm.

    Tissue is what lies above -400 HU. An opening of 6 mm takes table tops, blankets and tubes away, the
    largest connected region stays, and the air that an axial slice encloses is added: lungs that are cut
    off by the first or the last slice therefore count as inside, air that reaches the edge of the
    image does not. Raises ``InputRefused`` ("no-body") where less than 100 mL remain.
    """
    coarse = coarse or shrink(ct)
    spacing = coarse.spacing
    tissue = coarse.array > TISSUE_HU
    region = morphology.largest_component(morphology.opened(tissue, spacing, THIN_MM))
    if region.sum() * coarse.voxel_ml < SMALLEST_BODY_ML:
        raise InputRefused(
            "no-body",
            f"No body was found: no connected region of at least {SMALLEST_BODY_ML:.0f} mL lies above "
            f"{TISSUE_HU:.0f} HU.",
            "A CT in Hounsfield units that shows a patient is needed.",
            "Check that the image is a CT and that its rescale slope and intercept were applied.",
        )
    # What the opening took from the body's own edge comes back; a table top that touches the skin
    # goes on beyond that edge, and the second, finer opening drops what is left of it.
    region = tissue & morphology.dilate(region, spacing, THIN_MM)
    region = morphology.largest_component(morphology.opened(region, spacing, THIN_MM / 2))
    columns = np.nonzero(region.any(axis=(0, 1)))[0]
    return Body(coarse, morphology.fill_slices(region), tissue, (columns[0] + columns[-1]) / 2.0)


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

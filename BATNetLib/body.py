"""Where the patient is: tissue and the air inside it, without table, clothes and cables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .coarse import Coarse, shrink
from .errors import InputRefused
from .volume.geometry import Volume

#: Halfway between air (-1000 HU) and soft tissue (about 0 HU) lies -500; a little above it, because
#: the edge against air is what counts here and mattresses reach -500 HU.
TISSUE_HU = -400.0
#: Table tops, blankets and tubes are thinner than twice this; the neck and the arms are not.
THIN_MM = 6.0
#: Less than this is no part of a patient that a chest CT shows.
SMALLEST_BODY_ML = 50.0


@dataclass(frozen=True)
class Body:
    """The patient on the blocks of a coarse CT; one is made per CT and handed on.

    ``coarse``: the block means. ``mask``: bool, tissue and inner air of the largest body region.
    ``tissue``: bool, blocks above -400 HU anywhere in the image, table included.
    """

    coarse: Coarse
    mask: np.ndarray
    tissue: np.ndarray


def find_body(ct: Volume, coarse: Coarse | None = None) -> Body:
    """Find the patient in ``ct`` (HU, canonical axes) on blocks of about 2.5 mm.

    Tissue is what lies above -400 HU. An opening takes table tops, blankets and tubes away, the
    largest connected region stays, and what air each axial slice encloses is added: lungs that are cut
    off by the first or the last slice therefore count as inside, air that reaches the edge of the
    image does not. Raises ``InputRefused`` ("no-body") where less than 50 mL remain.
    """
    from scipy import ndimage

    coarse = coarse or shrink(ct)
    tissue = coarse.array > TISSUE_HU
    opened = open_by(tissue, coarse, THIN_MM)
    region = largest_component(opened)
    if region.sum() * coarse.voxel_ml < SMALLEST_BODY_ML:
        raise InputRefused(
            "no-body",
            "No body was found: no connected region of at least 50 mL lies above -400 HU.",
            "A CT in Hounsfield units that shows a patient is needed.",
            "Check that the image is a CT with its rescale slope and intercept applied.",
        )
    # The opening rounds the body off; what it took from the body's own edge comes back, a table top
    # that merely touches the skin does not, because it reaches further than the opening's radius.
    z, y, x = coarse.steps(THIN_MM)
    region = tissue & ndimage.binary_dilation(region, _ball(max(1, z), max(1, y), max(1, x)))
    region = open_by(region, coarse, THIN_MM / 2)
    region = largest_component(region)
    return Body(coarse, fill_slices(region), tissue)


def body_mask(ct: Volume, body: Body | None = None) -> Volume:
    """uint8 mask of the patient on the voxels of ``ct``: 1 = tissue or air inside the body.

    The edge follows -400 HU at full resolution within one block of the coarse edge. Raises
    ``InputRefused`` ("no-body").
    """
    body = body or find_body(ct)
    return ct.with_array(refine(body.mask, body.coarse, ct.array > TISSUE_HU).view(np.uint8))


def refine(blocks: np.ndarray, coarse: Coarse, inside: np.ndarray) -> np.ndarray:
    """bool mask at full resolution: deep inside ``blocks`` everything, near their edge ``inside`` decides.

    ``blocks``: bool on the coarse grid. ``inside``: bool on the input's voxels.
    """
    from scipy import ndimage

    if coarse.factors == (1, 1, 1):
        return ndimage.binary_dilation(blocks) & inside | ndimage.binary_erosion(blocks, border_value=1)
    core = coarse.enlarge(ndimage.binary_erosion(blocks, border_value=1))
    rim = coarse.enlarge(ndimage.binary_dilation(blocks))
    return core | (rim & inside)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 6-connected part of a bool array; all False stays all False."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()


def fill_slices(mask: np.ndarray) -> np.ndarray:
    """Add to every axial slice what its mask encloses (bool, [slice, row, column])."""
    from scipy import ndimage

    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(~mask, in_plane)
    outside = np.zeros(count + 1, bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        outside[edge.ravel()] = True
    outside[0] = False
    return ~outside[labels]


def open_by(mask: np.ndarray, coarse: Coarse, radius_mm: float) -> np.ndarray:
    """Morphological opening of a bool array with an ellipsoid of ``radius_mm``."""
    return _morph(mask, coarse, radius_mm, "BinaryMorphologicalOpening")


def close_by(mask: np.ndarray, coarse: Coarse, radius_mm: float) -> np.ndarray:
    """Morphological closing of a bool array with an ellipsoid of ``radius_mm``."""
    return _morph(mask, coarse, radius_mm, "BinaryMorphologicalClosing")

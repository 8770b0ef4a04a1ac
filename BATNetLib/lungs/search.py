"""Both lungs from a CT, without a model: air inside the body, airways and bowel gas aside."""

from __future__ import annotations

import numpy as np

from .. import morphology
from ..body import Body, find_body, refine
from ..errors import InputRefused
from ..events import Events
from ..volume.geometry import Volume
from .airway import find_airway

RIGHT, LEFT = 1, 2
_GAS = 3
#: Lung and not soft tissue; consolidations above it come back by closing.
LUNG_HU = -400.0
#: Where the edge lies at full resolution: clinical contours run along the pleura, that is beyond the
#: middle of the slope between lung and chest wall, and short of the fat outside it (about -100 HU).
PLEURA_HU = -300.0
#: The first and the last slice of a lung show at least this much of it.
END_MM2 = 20.0
#: Gas without tissue in it. Aerated lung, even emphysema, holds vessels and septa.
GAS_HU = -950.0
#: Texture is judged this far from the edge, where tissue does not blur into gas.
GAS_DEPTH_MM = 5.0
#: A region with less than this share above -950 HU is gas.
TISSUE_SHARE = 0.2
#: A ball of this radius fits into the upper lobe of every adult, and not into the lung bases that a CT
#: of the abdomen shows.
ROOM_MM = 18.0
#: No trachea is as wide as this on either side of its axis.
AIRWAY_MM = 12.0
SMALLEST_ML = 200.0
#: The smaller lung has at least this share of the larger one; below it is a fragment or bowel.
SMALLER_LUNG = 0.15
#: A part of a lung that is cut off from the rest has at least this share above -950 HU ...
FRAGMENT_SHARE = 0.5
#: ... and lies no further than this from the rest.
FRAGMENT_GAP_MM = 15.0
#: Vessels and bronchi up to twice this belong to the lung, as clinical contours have it.
VESSEL_MM = 6.0


def find_lungs(ct: Volume, events: Events | None = None, *, body: Body | None = None) -> Volume:
    """Lung mask of a chest CT in HU: uint8, 0 = background, 1 = the patient's right lung, 2 = left.

    ``body``: result of ``find_body`` where it is there already. Trachea and main bronchi are left out,
    vessels inside the lungs are closed. One lung alone is accepted with a warning ("one-lung").

    Raises ``InputRefused`` ("no-lungs", "no-body") where no lung-like air is seen, such as in the
    abdomen, the head, or an image that is not in HU.
    """
    events = events or Events()
    with events.stage("Lungs", 3) as stage:
        body = body or find_body(ct)
        stage.advance()
        labels = coarse_lungs(body)
        stage.advance()
        mask = _full_resolution(ct, body, labels)
    if not (mask == RIGHT).any() or not (mask == LEFT).any():
        side = "right" if (mask == RIGHT).any() else "left"
        events.warning("one-lung", f"Only one lung was found, on the patient's {side} side.")
    return ct.with_array(mask)


def coarse_lungs(body: Body) -> np.ndarray:
    """uint8 blocks of the lungs, labels as in ``find_lungs``, on the blocks of ``body``.

    Raises ``InputRefused`` ("no-lungs").
    """
    labels = np.zeros(body.mask.shape, np.uint8)
    air = body.mask & (body.coarse.array < LUNG_HU)
    if not air.any():
        raise _no_lungs(0.0, 0.0)
    box = morphology.box_around(air, body.coarse.spacing, 3.0 * VESSEL_MM)
    labels[box] = _search(body.cropped(box), air[box])
    return labels


def _search(body: Body, air: np.ndarray) -> np.ndarray:
    coarse, spacing = body.coarse, body.coarse.spacing
    enclosed = float(np.count_nonzero(air)) * coarse.voxel_ml
    # Vessels closed, so that they do not count as walls. The septum between touching lungs closes too:
    # to part the lungs from each other and from the airway, the air is taken as it is.
    whole = morphology.closed(air, spacing, VESSEL_MM / 2) & body.mask
    room = morphology.distance_to(~whole, spacing)
    inner = room > GAS_DEPTH_MM
    lung_like = _parts_of_texture(inner, coarse.array)
    widest = float(room[lung_like].max()) if lung_like.any() else 0.0
    if widest < ROOM_MM:
        raise _no_lungs(enclosed, widest)

    airway = find_airway(body, lung_like & (morphology.distance_to(~air, spacing) > AIRWAY_MM))
    if airway.any():
        # With its wall: blocks half in the wall would tie the lungs to each other and to the trachea.
        airway = morphology.dilate(airway, spacing, max(spacing[1:]))
        air = air & ~airway
    gas = inner & ~lung_like
    depth = morphology.distance_to(~air, spacing)
    basins = _flood(air, depth, np.where(gas, _GAS, _markers(depth, gas, body.middle)))
    out = np.zeros(air.shape, np.uint8)
    for side in (RIGHT, LEFT):
        lung = basins == side
        if lung.any():
            lung = morphology.closed(_main_and_fragments(lung, body), spacing, VESSEL_MM)
            lung = morphology.fill_slices(lung) & body.mask & ~airway
            out[lung & (out == 0)] = side
    if np.count_nonzero(out) * coarse.voxel_ml < SMALLEST_ML:
        raise _no_lungs(enclosed, widest)
    return out


def name_sides(lungs: np.ndarray, body: Body) -> np.ndarray:
    """uint8 blocks: the side of each block of a bool lung mask (1 = right, 2 = left)."""
    labels = np.zeros(lungs.shape, np.uint8)
    if lungs.any():
        box = morphology.box_around(lungs, body.coarse.spacing, 0.0)
        part = lungs[box]
        depth = morphology.distance_to(~part, body.coarse.spacing)
        markers = _markers(depth, np.zeros(part.shape, bool), body.middle - box[2].start)
        labels[box] = _flood(part, depth, markers)
    return labels


def _parts_of_texture(mask: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """The connected parts of ``mask`` that are not pure gas."""
    labels, sizes = morphology.components(mask)
    keep = morphology.means(hu > GAS_HU, labels, sizes) >= TISSUE_SHARE
    keep[0] = False
    return keep[labels]


def _markers(depth: np.ndarray, gas: np.ndarray, middle: float) -> np.ndarray:
    """uint8 blocks where each lung certainly is (1 = right, 2 = left).

    ``depth``: mm to the nearest block outside the lungs. ``middle``: column of the body's middle. Lungs
    that touch fall apart when their rim is taken off; the rim grows until there is a large part on each
    side. A single lung stays in one part, whatever is taken off.
    """
    whole, two_sided = _sides((depth > 0) & ~gas, middle)
    for rim in (3.0, 5.0, 7.0, 9.0, 12.0, 15.0, 18.0):
        if two_sided:
            break
        markers, two_sided = _sides((depth > rim) & ~gas, middle)
        if two_sided:
            return markers
    return whole


def _sides(core: np.ndarray, middle: float) -> tuple[np.ndarray, bool]:
    """The parts of ``core`` named by side; True when there is a large part on each side."""
    labels, sizes = morphology.components(core)
    if len(sizes) < 2:
        return np.zeros(core.shape, np.uint8), False
    columns = np.broadcast_to(np.arange(core.shape[2], dtype=np.float32), core.shape)
    centres = morphology.means(columns, labels, sizes)
    first = int(sizes.argmax())
    other_side = np.where((centres < middle) != (centres[first] < middle), sizes, 0)
    second = int(other_side.argmax())
    two_sided = bool(other_side[second] >= SMALLER_LUNG * sizes[first])
    if two_sided:  # smaller parts go by the line between the lungs, not by that of the body
        middle = (centres[first] + centres[second]) / 2.0
    names = np.where(centres < middle, RIGHT, LEFT).astype(np.uint8)
    names[0] = 0
    return names[labels], two_sided


def _flood(air: np.ndarray, depth: np.ndarray, markers: np.ndarray) -> np.ndarray:
    """uint8: every block of ``air`` gets the marker whose basin of ``-depth`` it lies in."""
    import SimpleITK as sitk

    height = sitk.GetImageFromArray(np.where(air, -depth, 1e3).astype(np.float32))
    seeds = sitk.GetImageFromArray(np.where(air, markers, 0).astype(np.uint8))
    basins = sitk.MorphologicalWatershedFromMarkers(height, seeds, markWatershedLine=False)
    return np.where(air, sitk.GetArrayFromImage(basins), 0).astype(np.uint8)


def _main_and_fragments(lung: np.ndarray, body: Body) -> np.ndarray:
    """The largest part of one lung and the smaller parts that belong to it.

    A lobe may be cut off by scars or a tumour, so parts of lung texture close by stay. None of them may
    reach below the largest part: bowel gas there would move the lung's last slice and with it the cut.
    """
    from scipy import ndimage

    spacing = body.coarse.spacing
    parts, sizes = morphology.components(lung)
    main = int(sizes.argmax())
    shares = morphology.means(body.coarse.array > GAS_HU, parts, sizes)
    near = np.unique(parts[morphology.dilate(parts == main, spacing, FRAGMENT_GAP_MM)])
    places = ndimage.find_objects(parts)
    keep = np.zeros(len(sizes), bool)
    for label in near[near > 0]:
        above = places[label - 1][0].stop <= places[main - 1][0].stop
        keep[label] = above and shares[label] >= FRAGMENT_SHARE
    keep[main] = True
    return keep[parts]


def _full_resolution(ct: Volume, body: Body, labels: np.ndarray) -> np.ndarray:
    """The labels on the input's voxels, their edge following ``PLEURA_HU``."""
    from scipy import ndimage

    # Only around the lungs: a scan of the whole body is many times as large.
    box = morphology.box_around(labels > 0, body.coarse.spacing, 2.0 * max(body.coarse.spacing))
    voxels, blocks = body.coarse.voxels(box), labels[box]
    coarse = body.coarse.cropped(box)
    reach = np.where(blocks > 0, blocks, ndimage.grey_dilation(blocks, size=(3, 3, 3)))
    part = coarse.enlarge(reach).copy()
    part[~refine(blocks > 0, coarse, ct.array[voxels] < PLEURA_HU)] = 0
    # A few blurred voxels beyond the end of a lung would move its last slice, and with it the cut.
    least = END_MM2 / (ct.spacing[1] * ct.spacing[2])
    for side in (RIGHT, LEFT):
        lung = part == side
        area = np.count_nonzero(lung, axis=(1, 2))
        for plane in np.flatnonzero((area > 0) & (area < least)):
            part[plane][lung[plane]] = 0
    mask = np.zeros(ct.array.shape, np.uint8)
    mask[voxels] = part
    return mask


def _no_lungs(enclosed_ml: float, room_mm: float) -> InputRefused:
    return InputRefused(
        "no-lungs",
        f"No lungs were found: the body encloses {enclosed_ml:.0f} mL of air; where it looks like lung, a "
        f"ball of at most {room_mm:.0f} mm radius fits into it.",
        f"Lung of at least {SMALLEST_ML:.0f} mL is needed, with room for a ball of {ROOM_MM:.0f} mm radius.",
        "Take a CT of the chest that starts in the neck, or give a lung mask of your own.",
    )

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
#: Gas without tissue in it. Aerated lung, even emphysema, holds vessels and septa.
GAS_HU = -950.0
#: Texture is judged this far from the edge, where tissue does not blur into gas.
GAS_DEPTH_MM = 5.0
#: A region with less than this share above -950 HU is gas.
TISSUE_SHARE = 0.2
#: A ball of this radius fits into the upper lobe of every adult, and not into the lung bases that a CT
#: of the abdomen shows.
ROOM_MM = 18.0
SMALLEST_ML = 200.0
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
    """uint8 blocks of the lungs, labels as in ``find_lungs``, on the blocks of ``body``."""
    coarse, spacing = body.coarse, body.coarse.spacing
    air = body.mask & (coarse.array < LUNG_HU)
    solid = morphology.closed(air, spacing, VESSEL_MM / 2)
    depth = morphology.distance_to(~solid, spacing)
    deep = _lung_like(depth > ROOM_MM * 0.6, coarse.array) & air
    if not deep.any() or float(depth[deep].max()) < ROOM_MM:
        raise _no_lungs(air, depth, body)

    airway = find_airway(body, deep)
    airway_wall = morphology.dilate(airway, spacing, 1.2 * max(spacing[1:]))
    air &= ~airway_wall
    solid = morphology.closed(air, spacing, VESSEL_MM / 2) & body.mask
    depth = morphology.distance_to(~solid, spacing)
    gas = (depth > GAS_DEPTH_MM) & ~_lung_like(depth > GAS_DEPTH_MM, coarse.array)
    markers = _markers(depth, body, gas)
    labels = _flood(air, markers, body)
    out = np.zeros(air.shape, np.uint8)
    for side in (RIGHT, LEFT):
        lung = labels == side
        if not lung.any():
            continue
        lung = morphology.closed(lung, spacing, VESSEL_MM)
        lung = morphology.fill_slices(lung) & body.mask & ~airway_wall
        out[lung & (out == 0)] = side
    if np.count_nonzero(out) * coarse.voxel_ml < SMALLEST_ML:
        raise _no_lungs(air, depth, body)
    return out


def name_sides(lungs: np.ndarray, body: Body) -> np.ndarray:
    """uint8 blocks: which side each block of a bool lung mask belongs to (1 = right, 2 = left)."""
    depth = morphology.distance_to(~lungs, body.coarse.spacing)
    markers = _markers(depth, body, np.zeros(lungs.shape, bool))
    return _flood(lungs, markers, body)


def _lung_like(mask: np.ndarray, hu: np.ndarray) -> np.ndarray:
    """The parts of ``mask`` that are lung by texture, not pure gas."""
    from scipy import ndimage

    labels, sizes = morphology.components(mask)
    if len(sizes) < 2:
        return mask
    share = ndimage.mean(hu > GAS_HU, labels, np.arange(len(sizes)))
    keep = np.nan_to_num(share) >= TISSUE_SHARE
    keep[0] = False
    return keep[labels]


def _markers(depth: np.ndarray, body: Body, gas: np.ndarray) -> np.ndarray:
    """uint8 blocks: where each lung certainly is (1, 2), and gas that is no lung (3).

    ``depth``: mm to the nearest block outside the lungs. Lungs that touch fall apart when their rim is
    taken off; the rim grows until there is a large part on each side.
    """
    best: np.ndarray | None = None
    for radius in (0.0, 3.0, 5.0, 7.0, 9.0, 12.0, 15.0, 18.0):
        markers, two_sided = _sides((depth > radius) & ~gas, body)
        if best is None or two_sided:
            best = markers
        if two_sided:
            break
    assert best is not None
    return np.where(gas, _GAS, best).astype(np.uint8)


def _sides(core: np.ndarray, body: Body) -> tuple[np.ndarray, bool]:
    """The parts of ``core`` named by side; True when there is a large part on each side."""
    from scipy import ndimage

    labels, sizes = morphology.components(core)
    if len(sizes) < 2:
        return np.zeros(core.shape, np.uint8), False
    columns = np.nonzero(body.mask.any(axis=(0, 1)))[0]
    middle = (columns[0] + columns[-1]) / 2.0
    centres = np.array(
        [middle, *(c[2] for c in ndimage.center_of_mass(core, labels, np.arange(1, len(sizes))))]
    )
    first = int(sizes.argmax())
    other_side = np.where((centres < middle) != (centres[first] < middle), sizes, 0)
    second = int(other_side.argmax())
    two_sided = bool(other_side[second] >= 0.15 * sizes[first])
    if two_sided:  # smaller parts go by the line between the lungs, not by that of the body
        middle = (centres[first] + centres[second]) / 2.0
    names = np.where(centres < middle, RIGHT, LEFT).astype(np.uint8)
    names[0] = 0
    return names[labels], two_sided


def _flood(air: np.ndarray, markers: np.ndarray, body: Body) -> np.ndarray:
    """Every block of ``air`` gets the marker whose basin it lies in; air without a marker gets 0."""
    import SimpleITK as sitk

    spacing = body.coarse.spacing
    depth = morphology.distance_to(~air, spacing)
    height = sitk.GetImageFromArray(np.where(air, -depth, 1e3).astype(np.float32))
    basins = sitk.MorphologicalWatershedFromMarkers(
        height, sitk.GetImageFromArray(np.where(air, markers, 0).astype(np.uint8)), markWatershedLine=False
    )
    labels = np.where(air, sitk.GetArrayFromImage(basins), 0)
    out = np.zeros(air.shape, np.uint8)
    for side in (RIGHT, LEFT):
        out[_main_and_fragments(labels == side, body)] = side
    return out


def _main_and_fragments(lung: np.ndarray, body: Body) -> np.ndarray:
    """The largest part of one lung and the smaller parts that belong to it.

    A lobe may be cut off by scars or a tumour, so parts of lung texture close by stay. Below the middle
    of the lung they must lie within its height too: bowel gas there would move the lung's last slice.
    """
    from scipy import ndimage

    parts, sizes = morphology.components(lung)
    if len(sizes) < 3:
        return lung
    main = int(sizes.argmax())
    index = np.arange(len(sizes))
    share = np.nan_to_num(ndimage.mean(body.coarse.array > GAS_HU, parts, index))
    gap = ndimage.minimum(morphology.distance_to(parts == main, body.coarse.spacing), parts, index)
    places = ndimage.find_objects(parts)
    top, bottom = places[main - 1][0].start, places[main - 1][0].stop
    keep = np.zeros(len(sizes), bool)
    for label in index[1:]:
        low = places[label - 1][0].stop
        inside = low <= (top + bottom) / 2 or low <= bottom
        keep[label] = inside and share[label] >= FRAGMENT_SHARE and gap[label] <= FRAGMENT_GAP_MM
    keep[main] = True
    return keep[parts]


def _full_resolution(ct: Volume, body: Body, labels: np.ndarray) -> np.ndarray:
    """The labels on the input's voxels, their edge following ``PLEURA_HU``."""
    from scipy import ndimage

    coarse = body.coarse
    reach = np.where(labels > 0, labels, ndimage.grey_dilation(labels, size=(3, 3, 3)))
    mask = coarse.enlarge(reach).copy()
    mask[~refine(labels > 0, coarse, ct.array < PLEURA_HU)] = 0
    return mask


def _no_lungs(air: np.ndarray, depth: np.ndarray, body: Body) -> InputRefused:
    room = float(depth[air].max()) if air.any() else 0.0
    volume = np.count_nonzero(air) * body.coarse.voxel_ml
    return InputRefused(
        "no-lungs",
        f"No lungs were found: the body encloses {volume:.0f} mL of air, and the widest lung-like part of it "
        f"has a radius of {room:.0f} mm.",
        f"Lung tissue of at least {SMALLEST_ML:.0f} mL and a radius of {ROOM_MM:.0f} mm is needed.",
        "Take a CT of the chest that starts in the neck, or give a lung mask of your own.",
    )

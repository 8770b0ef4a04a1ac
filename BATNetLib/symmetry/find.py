"""Whether a body has a plane of mirror symmetry, and where."""

from __future__ import annotations

import numpy as np

from ..body import Body, find_body
from ..errors import InputRefused
from ..events import Events
from ..volume.geometry import Volume
from .plane import MirrorPlane
from .search import search

#: A body overlaps its mirror image less than this where the CT shows one side of it only: two crops around
#: a shoulder gave 0.71 and 0.76, five CTs of neck, chest and abdomen 0.93 to 0.98.
SMALLEST_SYMMETRY = 0.85
#: Tissues of a whole body correlate with their mirror image at least this well (0.59 to 0.85 in four CTs;
#: 0.34 to 0.61 in crops of them to one half).
SMALLEST_CORRELATION = 0.55
#: A body cut off on one side overlaps less, but where its tissues match this well, and this much of it
#: overlaps, the plane is right all the same (0.78 and 0.85 in two such crops).
MATCHING_TISSUE, SMALLEST_OVERLAP = 0.75, 0.6

#: Roll and yaw that are searched; a plane beyond them fits something else than right and left.
TURNED_DEGREES = (32.0, 20.0)


def find_mirror_plane(
    ct: Volume, *, body: Body | None = None, events: Events | None = None
) -> MirrorPlane | None:
    """The plane about which the patient in ``ct`` (HU) is most like the own mirror image.

    Shift, roll and yaw of the body are found from its outline and its tissues, on blocks of about 2.5 mm
    (see ``search``); roll up to about 30 and yaw up to about 20 degrees. ``body``: of ``find_body``,
    where it is there already. None where there is no such plane (one-sided crops); the reason is then a
    warning ("mirror-no-plane") in ``events``. Where no body at all is found the reason is that
    ("no-body"). ``MirrorPlane.middle_of(ct)`` gives the user a plane to start from.
    """
    events = events or Events()
    with events.stage("Mirror plane", 1):
        try:
            body = body or find_body(ct)
        except InputRefused as error:
            events.warning(error.code, f"No mirror plane: {error.found}")
            return None
        found = search(body, ct.grid, events.check)
    steep = max(abs(found.roll_degrees) - TURNED_DEGREES[0], abs(found.yaw_degrees) - TURNED_DEGREES[1]) > 0
    whole = found.symmetry >= SMALLEST_SYMMETRY and found.correlation >= SMALLEST_CORRELATION
    cut_off = found.symmetry >= SMALLEST_OVERLAP and found.correlation >= MATCHING_TISSUE
    if steep or not (whole or cut_off):
        events.warning(
            "mirror-no-plane",
            f"About the best plane {found.symmetry:.0%} of the body overlaps with its mirror image and the "
            f"tissues correlate by {found.correlation:.2f}; {SMALLEST_SYMMETRY:.0%} and "
            f"{SMALLEST_CORRELATION:.2f} are needed. The CT shows one side of the body mostly, so no mirror "
            "plane was found. Place it by hand if you know where it lies.",
        )
        return None
    middle = ct.grid.points((np.array([ct.grid.shape]) - 1) / 2.0)[0]
    # Any point of the plane will do; the one beside the image's centre is where a user wants to turn it.
    point = middle - ((middle - found.point) @ found.normal) * found.normal
    x, y, z = (float(v) for v in point)
    a, b, c = (float(v) for v in found.normal)
    return MirrorPlane((x, y, z), (a, b, c), found.symmetry, found.correlation, found.residual_hu, found=True)

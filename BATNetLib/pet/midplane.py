"""The plane that the PET table tells right from left by: found from the body, or stated by the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..body import Body
from ..events import Events
from ..symmetry import MirrorPlane, find_mirror_plane
from ..volume import Volume

METHOD = "plane about which outline and tissues of the body are most like their mirror image; may be turned"


@dataclass(frozen=True)
class MidPlane:
    """``plane``: None where the body is too unlike its mirror image to have a middle; then ``why`` tells.
    ``given``: stated by the user."""

    plane: MirrorPlane | None
    given: bool = False
    why: str = ""

    @staticmethod
    def at(x_mm: float) -> MidPlane:
        """The upright plane at LPS ``x_mm`` (left is larger), as a user states it."""
        return MidPlane(MirrorPlane((float(x_mm), 0.0, 0.0), (1.0, 0.0, 0.0)), given=True)

    def as_dict(self) -> dict[str, Any]:
        method = "given by hand" if self.given else METHOD
        return {"method": method, "plane": None if self.plane is None else self.plane.as_dict()}


def find_midplane(ct: Volume, body: Body | None = None, events: Events | None = None) -> MidPlane:
    """The body's mirror plane in ``ct`` (HU), see ``symmetry.find_mirror_plane``; shift, roll and yaw.

    Raises ``Cancelled``; a body without a middle is no error.
    """
    said = Events()
    if events is not None and events.cancelled:
        said.cancel()
    plane = find_mirror_plane(ct, body=body, events=said)
    return MidPlane(plane, why=" ".join(entry["text"] for entry in said.warnings))

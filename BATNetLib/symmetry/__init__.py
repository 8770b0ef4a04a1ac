"""The plane between the patient's right and left: found from the body, moved by hand, mirrored about."""

from .find import SMALLEST_SYMMETRY, find_mirror_plane
from .plane import MirrorPlane, Side, grid_of_box

__all__ = ["SMALLEST_SYMMETRY", "MirrorPlane", "Side", "find_mirror_plane", "grid_of_box"]

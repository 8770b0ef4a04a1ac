"""The mirror plane, for those who only annotate."""

from ..symmetry.plane import MirrorPlane, Side, grid_of_box, normal_of

__all__ = ["MirrorPlane", "Side", "grid_of_box", "normal_of"]

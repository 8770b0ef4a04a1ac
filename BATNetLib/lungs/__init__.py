"""Lungs: find them, check a mask of them, and the plane below which adipose tissue no longer counts."""

from .check import check_lungs
from .cut import cut_plane, lung_extent
from .search import LEFT, RIGHT, coarse_lungs, find_lungs

__all__ = ["LEFT", "RIGHT", "check_lungs", "coarse_lungs", "cut_plane", "find_lungs", "lung_extent"]

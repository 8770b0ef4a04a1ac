"""Scans and masks with their place in the patient: reading, writing, canonical axes and back."""

from .dicom import Series, list_series
from .files import read_volume
from .geometry import CANONICAL_DIRECTIONS, Grid, Source, Volume
from .hashing import hash_file, hash_voxels
from .masks import read_mask
from .orient import restore
from .segmentation import ADIPOSE_TISSUE, Segment, terminology, write_segmentation
from .write import write_volume

__all__ = [
    "ADIPOSE_TISSUE",
    "CANONICAL_DIRECTIONS",
    "Grid",
    "Segment",
    "Series",
    "Source",
    "Volume",
    "hash_file",
    "hash_voxels",
    "list_series",
    "read_mask",
    "read_volume",
    "restore",
    "terminology",
    "write_segmentation",
    "write_volume",
]

"""Fingerprints of pixels, to find the same images under another name, in another format, or cropped."""

from __future__ import annotations

import hashlib

import numpy as np

from ..adipose.slabs import window_to_uint8
from ..events import Events
from ..volume import Grid, Volume, hash_voxels

#: A slice with fewer grey values than this tells nothing: air, padding, a blank page.
_GREY_VALUES = 16


def hash_wherever(array: np.ndarray) -> str:
    """``hash_voxels`` of values [slice, row, column] alone, wherever they are said to lie: a copy whose
    header was lost or moved is still a copy."""
    a, b, c = array.shape
    return hash_voxels(Volume(array, Grid.canonical((a, b, c), (1.0, 1.0, 1.0))))


def hash_planes(array: np.ndarray, events: Events | None = None) -> tuple[bytes, ...]:
    """Fingerprints (16 bytes) of the slices of a CT in HU, or of 8-bit slices, that show something.

    HU are windowed to 8 bit as stage 1 does, so that a scan and its PNG slices have the same ones.
    """
    found = []
    for plane in array:
        if events is not None:
            events.check()
        small = plane if plane.dtype == np.uint8 else window_to_uint8(plane)
        if np.count_nonzero(np.bincount(small.ravel(), minlength=256)) >= _GREY_VALUES:
            digest = hashlib.sha256(np.array(small.shape, "<i8").tobytes() + small.tobytes())
            found.append(digest.digest()[:16])
    return tuple(found)

"""Masks of segmentation nodes, voxel for voxel on the lattice of a volume; the scene is untouched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .geometry import image_affine, image_of, node_to_world, placing, to_vtk, voxels
from .texts import _

_LABELMAP = "Binary labelmap"


@dataclass(frozen=True)
class Cropped:
    """A mask by its marked part. ``array``: bool [k, j, i]; ``start``: index (i, j, k) of its first voxel."""

    array: np.ndarray
    start: tuple[int, int, int]

    @property
    def end(self) -> tuple[int, int, int]:
        k, j, i = self.array.shape
        return self.start[0] + i, self.start[1] + j, self.start[2] + k

    def inside(self, start: tuple[int, int, int], end: tuple[int, int, int]) -> np.ndarray:
        """bool [k, j, i] of the box from ``start`` to ``end`` (exclusive); False where nothing is."""
        out = np.zeros([e - s for s, e in zip(reversed(start), reversed(end), strict=True)], bool)
        low = [max(a, b) for a, b in zip(start, self.start, strict=True)]
        high = [min(a, b) for a, b in zip(end, self.end, strict=True)]
        if all(a < b for a, b in zip(low, high, strict=True)):
            there = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))[::-1]
            here = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, self.start, strict=True))[::-1]
            out[there] = self.array[here]
        return out


def cropped(array: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Cropped:
    """The marked part of a mask [k, j, i]; of size 0 where nothing is marked."""
    ranges = []
    for axis in range(3):
        hit = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
        ranges.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
        array = array[tuple(ranges[-1] if a == axis else slice(None) for a in range(3))]
    first = [s + r.start for s, r in zip(start, reversed(ranges), strict=True)]
    return Cropped(np.ascontiguousarray(array != 0), (first[0], first[1], first[2]))


def segment_mask(
    segmentation: Any, segment_id: str, affine: np.ndarray, size: tuple[int, int, int]
) -> Cropped:
    """The voxels of one segment on a grid of ``size`` (i, j, k).

    ``affine``: index of that grid to **world** RAS. A segment whose own voxels lie on the grid's lattice is
    taken voxel for voxel; another one is resampled by nearest neighbour. A segment that exists only as a
    surface is turned into voxels in a copy. Raises ``InputRefused`` where the node has no such segment.
    """
    if segmentation.GetSegmentation().GetSegment(segment_id) is None:
        from BATNetLib.errors import InputRefused

        raise InputRefused(
            "segment-missing",
            _("{name} no longer holds the segment that was chosen.").format(name=segmentation.GetName()),
            _("A segment with the mask is needed."),
            _("Pick a segment again."),
        )
    image = _labelmap(segmentation, segment_id, affine)
    if image is None:
        return Cropped(np.zeros((0, 0, 0), bool), (0, 0, 0))
    label = segmentation.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    own = node_to_world(segmentation) @ image_affine(image)
    extent = image.GetExtent()
    own[:3, 3] = (own @ [extent[0], extent[2], extent[4], 1.0])[:3]
    marked = voxels(image) == label
    there = placing(own, image.GetDimensions(), affine)
    if there is None:
        return _resampled(image, marked, node_to_world(segmentation), affine, size)
    if there.plain:
        return _clipped(cropped(marked, there.start), size)
    whole = np.zeros(size[::-1], bool)
    part = cropped(marked)  # the marked voxels may fit where the whole image does not
    corner = own.copy()
    corner[:3, 3] = (own @ [*part.start, 1.0])[:3]
    there = placing(corner, part.array.shape[::-1], affine)
    if part.array.size == 0 or there is None or not there.within(size):
        return _resampled(image, marked, node_to_world(segmentation), affine, size)
    there.view(whole)[...] = part.array.T
    return cropped(whole)


def one_segment(segmentation: Any, what: str) -> str:
    """Id of the only segment of a node. Raises ``InputRefused`` where there are none or several."""
    ids = segment_ids(segmentation)
    if len(ids) == 1:
        return ids[0]
    from BATNetLib.errors import InputRefused

    raise InputRefused(
        "segment-unclear" if ids else "segment-missing",
        _("{name} holds {count} segments.").format(name=segmentation.GetName(), count=len(ids)),
        _("One segment is needed as the {what}.").format(what=what),
        _("Say which one, or take a segmentation with that segment alone."),
    )


def segment_ids(segmentation: Any) -> list[str]:
    """Ids of the segments of a node, in order."""
    inner = segmentation.GetSegmentation()
    return [inner.GetNthSegmentID(index) for index in range(inner.GetNumberOfSegments())]


def _clipped(mask: Cropped, size: tuple[int, int, int]) -> Cropped:
    if min(mask.start, default=0) >= 0 and all(e <= n for e, n in zip(mask.end, size, strict=True)):
        return mask
    low = tuple(max(0, s) for s in mask.start)
    high = tuple(max(a, min(e, n)) for a, e, n in zip(low, mask.end, size, strict=True))
    return Cropped(mask.inside(low, high), low)  # type: ignore[arg-type]


def _labelmap(segmentation: Any, segment_id: str, affine: np.ndarray) -> Any:
    """The binary label map of a segment, made in a copy where it has only a surface; None where empty."""
    import slicer

    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation(_LABELMAP)
    if image is None:
        converter = slicer.vtkSegmentationConverter
        copy = slicer.vtkSegmentation()
        copy.SetSourceRepresentationName(segmentation.GetSegmentation().GetSourceRepresentationName())
        copy.CopySegmentFromSegmentation(segmentation.GetSegmentation(), segment_id)
        # The finest voxels wanted: those of the grid itself.
        local = np.linalg.inv(node_to_world(segmentation)) @ affine
        reference = slicer.vtkOrientedImageData()
        reference.SetExtent(0, 0, 0, 0, 0, 0)
        reference.SetImageToWorldMatrix(to_vtk(local))
        geometry = converter.SerializeImageGeometry(reference)
        copy.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), geometry)
        copy.CreateRepresentation(_LABELMAP)
        segment = copy.GetSegment(segment_id)
        image = segment.GetRepresentation(_LABELMAP)
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        return None
    return image


def _resampled(
    image: Any, marked: np.ndarray, to_world: np.ndarray, affine: np.ndarray, size: tuple[int, int, int]
) -> Cropped:
    import slicer

    source = slicer.vtkOrientedImageData()
    source.DeepCopy(image)
    extent = image.GetExtent()
    image_of(marked.astype(np.uint8), source, (extent[0], extent[2], extent[4]))
    reference = slicer.vtkOrientedImageData()
    reference.SetExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    reference.SetImageToWorldMatrix(to_vtk(np.linalg.inv(to_world) @ affine))
    out = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        source, reference, out, False, False
    )
    start = out.GetExtent()
    return cropped(voxels(out) != 0, (start[0], start[2], start[4]))

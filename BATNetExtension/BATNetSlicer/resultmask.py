"""The adipose mask of a result folder: voxels on the CT's grid, and what its segment is called and means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .colournodes import mask_colour
from .geometry import image_affine, voxels
from .masks import Cropped, cropped, segment_ids
from .texts import _

#: Adipose tissue, SNOMED CT; no code for brown adipose tissue was verified, so none is claimed.
TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^55603005^Adipose tissue~^^~"
    "Anatomic codes - DICOM master list~^^~^^"
)
SEGMENT_ID = "adipose"


@dataclass(frozen=True)
class MaskFile:
    """One segment. ``mask``: its voxels on the CT's grid; ``colour``: 0..1; ``tags``: key and value pairs."""

    mask: Cropped
    id: str = SEGMENT_ID
    name: str = field(default_factory=lambda: _("Adipose tissue"))
    colour: tuple[float, float, float] = field(default_factory=mask_colour)
    tags: dict[str, str] = field(default_factory=lambda: {"TerminologyEntry": TERMINOLOGY})

    @classmethod
    def from_fields(cls, fields: dict[str, str], mask: Cropped) -> MaskFile:
        """From the fields of a ``.seg.nrrd`` file, for its first segment."""
        tags = dict(
            entry.split(":", 1) for entry in fields.get("Segment0_Tags", "").split("|") if ":" in entry
        )
        tags.setdefault("TerminologyEntry", TERMINOLOGY)
        red, green, blue = (float(v) for v in fields["Segment0_Color"].split())
        return cls(mask, fields["Segment0_ID"], fields["Segment0_Name"], (red, green, blue), tags)


def read_mask_by_slicer(path: Path, fits: Callable[[np.ndarray, tuple[int, int, int]], Any]) -> MaskFile:
    """Read a segmentation with Slicer's own reader, which knows every form that Slicer saves.

    ``fits``: gives the ``Placing`` of a grid on the CT, or raises. The segment "adipose" is taken, else the
    only one. Raises ``InputRefused`` where the file cannot be read or holds no such segment.
    """
    import slicer

    from BATNetLib.errors import InputRefused

    # A scene of its own: nothing of this reading shows in the user's.
    scene = slicer.vtkMRMLScene()
    node = scene.AddNode(slicer.vtkMRMLSegmentationNode())
    storage = scene.AddNode(slicer.vtkMRMLSegmentationStorageNode())
    storage.SetFileName(str(path))
    read = storage.ReadData(node)
    ids = segment_ids(node) if read else []
    segment_id = SEGMENT_ID if SEGMENT_ID in ids else ids[0] if len(ids) == 1 else None
    if segment_id is None:
        raise InputRefused(
            "result-damaged",
            _("{name} of the result folder holds no adipose mask that can be read.").format(name=path.name),
            _("A segmentation with the segment 'Adipose tissue' is needed."),
            _("Run the analysis again, or remove the file from the folder's analysis."),
        )
    segment = node.GetSegmentation().GetSegment(segment_id)
    image = segment.GetRepresentation("Binary labelmap")
    return MaskFile(
        _on_ct(image, segment.GetLabelValue(), fits),
        segment_id,
        segment.GetName(),
        tuple(segment.GetColor()),
        _tags(segment),
    )


def _on_ct(image: Any, label: int, fits: Callable[..., Any]) -> Cropped:
    if image is None or min(image.GetDimensions()) < 1:
        return cropped(np.zeros((1, 1, 1), bool))
    extent = image.GetExtent()
    marked = cropped(voxels(image) == label, (extent[0], extent[2], extent[4]))
    if not marked.array.size:
        return marked
    affine = image_affine(image)
    affine[:3, 3] = (affine @ [*marked.start, 1.0])[:3]
    there = fits(affine, marked.array.shape[::-1])
    if there.plain:
        return Cropped(marked.array, there.start)
    out = np.zeros(there.end[::-1], bool)
    there.view(out)[...] = marked.array.T
    return cropped(out)


def _tags(segment: Any) -> dict[str, str]:
    import vtk

    entry = vtk.reference("")
    found = {"TerminologyEntry": TERMINOLOGY}
    for key in ("TerminologyEntry", "BATNet.Method"):
        if segment.GetTag(key, entry) and entry.get():
            found[key] = entry.get()
    return found

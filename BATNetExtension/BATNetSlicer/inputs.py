"""From nodes to files: what the engine reads, written into a job folder.

``write_inputs(folder, ct_node, lungs=None, adipose=None, pet=None) -> JobInputs`` writes everything at once;
``writing_inputs`` does the same in steps of some milliseconds and yields the share done, for a timer.

The files lie where the nodes lie in the world: linear parent transforms are worked into the affine, voxels
are never interpolated. Masks go onto the CT's own grid. The scene is not touched, and no name of a node
gets into a file or a file name.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .geometry import ijk_to_world, size_of, voxels
from .masks import one_segment, segment_ids, segment_mask
from .nrrdfile import writing
from .texts import _

#: Labels of a lung mask file. The engine takes any and finds the sides by place.
RIGHT, LEFT, OTHER = 1, 2, 3
_LUNG = re.compile(r"lung|lobe|pulm|lunge|poumon|pulm[oó]n", re.IGNORECASE)
_NOT_LUNG = re.compile(
    r"nodul|vessel|lesion|tumou?r|trache|bronch|airway|fissure|cancer|effusion", re.IGNORECASE
)
#: SNOMED CT codes of lungs and lobes by side.
_CODES = {
    RIGHT: ("3341006", "45653009", "72481006", "266005"),
    LEFT: ("44029006", "44714003", "41224006"),
    OTHER: ("39607008", "90572001"),
}


@dataclass(frozen=True)
class JobInputs:
    """The files of one run. ``ijk_to_world``: affine of the CT as written, index to world RAS mm."""

    folder: Path
    ct: Path
    ijk_to_world: np.ndarray
    lungs: Path | None = None
    adipose: Path | None = None
    pet: Path | None = None

    def arguments(self) -> list[str]:
        """What ``batnet analyze`` is called with for these files; it takes no PET."""
        out = [str(self.ct)]
        for option, path in (("--lungs", self.lungs), ("--adipose", self.adipose)):
            if path is not None:
                out += [option, str(path)]
        return out


def write_inputs(
    folder: Any, ct_node: Any, lungs: Any = None, adipose: Any = None, pet: Any = None
) -> JobInputs:
    """Write the inputs of a run as NRRD files into ``folder`` (made where it is missing).

    Parameters
    ----------
    ct_node : scalar volume node.
    lungs : segmentation node, (segmentation node, segment ids) or label map node. Of a segmentation the
        segments that are lungs or lobes by code or name are taken; one or two whatever they are called.
    adipose : segmentation node with one segment, (segmentation node, segment id) or label map node.
    pet : scalar volume node; written on its own grid.

    Raises
    ------
    InputRefused
        In words: no voxels, colours instead of HU, a single slice, a transform that is not linear, no
        segment or an unclear one, an empty mask.
    OutputRefused
        The folder cannot be written or the disk is full; nothing half-written is left.
    """
    steps = writing_inputs(folder, ct_node, lungs, adipose, pet)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def writing_inputs(
    folder: Any, ct_node: Any, lungs: Any = None, adipose: Any = None, pet: Any = None
) -> Generator[float, None, JobInputs]:
    """As ``write_inputs``, in steps: yields the share done 0..1 and returns the ``JobInputs``.

    Everything is checked, and every mask is made, before the first file is written.
    """
    from BATNetLib.workfiles import output_errors

    folder = Path(folder)
    require_ct(ct_node)
    affine, size = ijk_to_world(ct_node), size_of(ct_node)
    files: dict[str, tuple[np.ndarray, np.ndarray]] = {"ct": (voxels(ct_node.GetImageData()), affine)}
    yield 0.0
    if lungs is not None:
        files["lungs"] = (_lung_labels(lungs, affine, size), affine)
        yield 0.0
    if adipose is not None:
        files["adipose"] = (_adipose_mask(adipose, affine, size), affine)
        yield 0.0
    if pet is not None:
        require_volume(pet, _("PET"))
        files["pet"] = (voxels(pet.GetImageData()), ijk_to_world(pet))
    with output_errors(folder.name):
        folder.mkdir(parents=True, exist_ok=True)
    total, before = sum(array.nbytes for array, _affine in files.values()), 0
    paths: dict[str, Path] = {}
    try:
        for name, (array, where) in files.items():
            paths[name] = folder / f"{name}.nrrd"
            for share in writing(array, where, paths[name]):
                yield (before + share * array.nbytes) / total
            before += array.nbytes
    except BaseException:
        for path in paths.values():
            path.unlink(missing_ok=True)
        raise
    return JobInputs(folder, ijk_to_world=affine, **paths)


def require_ct(node: Any) -> None:
    """Raises ``InputRefused`` unless ``node`` is a volume with HU in three dimensions."""
    require_volume(node, _("CT"))
    if min(size_of(node)) < 2:
        raise _refused(
            "ct-flat",
            _("{name} is a single slice.").format(name=node.GetName()),
            _("A CT volume from neck to chest is needed."),
            _("Pick the volume that holds all slices of the series."),
        )


def require_volume(node: Any, what: str) -> None:
    """Raises ``InputRefused`` unless ``node`` is a scalar volume with voxels."""
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise _refused(
            "volume-missing",
            _("No {what} volume is chosen.").format(what=what)
            if node is None
            else _("{name} is not a scalar volume.").format(name=node.GetName()),
            _("A scalar volume is needed as the {what}.").format(what=what),
            _("Pick the volume of the scan."),
        )
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or min(image.GetDimensions()) < 1:
        raise _refused(
            "volume-empty",
            _("{name} holds no voxels.").format(name=node.GetName()),
            _("A volume with voxels is needed as the {what}.").format(what=what),
            _("Load the scan again."),
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise _refused(
            "volume-colour",
            _("{name} holds {count} values per voxel.").format(
                name=node.GetName(), count=image.GetNumberOfScalarComponents()
            ),
            _("One value per voxel is needed: HU of a CT, uptake of a PET."),
            _("Pick the original series, not a picture of it."),
        )


def lung_segments(segmentation: Any) -> dict[str, int]:
    """Which segments are lungs: segment id -> ``RIGHT``, ``LEFT`` or ``OTHER``; empty where none are.

    By SNOMED CT code, else by name; where neither tells, all of a node with at most two segments.
    """
    found = {}
    ids = segment_ids(segmentation)
    for segment_id in ids:
        side = _lung_side(segmentation.GetSegmentation().GetSegment(segment_id))
        if side:
            found[segment_id] = side
    return found or (dict.fromkeys(ids, OTHER) if len(ids) <= 2 else {})


def _lung_side(segment: Any) -> int:
    import vtk

    entry = vtk.reference("")
    if segment.GetTag("TerminologyEntry", entry):
        for side, codes in _CODES.items():
            if any(f"^{code}^" in entry.get() for code in codes):
                return side
    name = segment.GetName() or ""
    if not _LUNG.search(name) or _NOT_LUNG.search(name):
        return 0
    right, left = "right" in name.lower(), "left" in name.lower()
    return OTHER if right == left else RIGHT if right else LEFT


def _lung_labels(given: Any, affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    node, chosen = given if isinstance(given, tuple) else (given, None)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return _on_ct_grid(node, affine, size, _("lung mask"))
    if chosen is not None:
        chosen = [chosen] if isinstance(chosen, str) else chosen
        sides = {
            segment_id: _lung_side(node.GetSegmentation().GetSegment(segment_id)) or OTHER
            for segment_id in chosen
        }
    else:
        sides = lung_segments(node)
    if not sides:
        raise _refused(
            "lungs-unclear",
            _("None of the {count} segments of {name} is named a lung or a lobe.").format(
                count=len(segment_ids(node)), name=node.GetName()
            ),
            _("Segments called for example 'right lung' and 'left lung' are needed."),
            _("Rename them, or leave the lungs out: they are then found in the CT."),
        )
    out = np.zeros(size[::-1], np.uint8)
    for segment_id, side in sides.items():
        _mark(out, segment_mask(node, segment_id, affine, size), side)
    return _not_empty(out, node, _("lung mask"))


def _adipose_mask(given: Any, affine: np.ndarray, size: tuple[int, int, int]) -> np.ndarray:
    node, segment_id = given if isinstance(given, tuple) else (given, None)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return (_on_ct_grid(node, affine, size, _("adipose mask")) != 0).view(np.uint8)
    out = np.zeros(size[::-1], np.uint8)
    segment_id = segment_id or one_segment(node, _("adipose mask"))
    _mark(out, segment_mask(node, segment_id, affine, size), 1)
    return _not_empty(out, node, _("adipose mask"))


def _mark(out: np.ndarray, mask: Any, value: int) -> None:
    place = tuple(slice(a, b) for a, b in zip(mask.start, mask.end, strict=True))[::-1]
    out[place][mask.array] = value


def _on_ct_grid(node: Any, affine: np.ndarray, size: tuple[int, int, int], what: str) -> np.ndarray:
    """Labels [k, j, i] of a label map node that lies on the CT's lattice."""
    from .geometry import placing

    own = size_of(node)
    there = placing(ijk_to_world(node), own, affine) if min(own) > 0 else None
    if there is None or not there.within(size):
        raise _refused(
            "other-grid",
            _("The {what} {name} does not lie on the voxels of the CT.").format(
                what=what, name=node.GetName()
            ),
            _("It must have been drawn on this CT."),
            _("Resample it onto the CT (Resample Scalar/Vector/DWI Volume, nearest neighbour)."),
        )
    labels = voxels(node.GetImageData())
    out = np.zeros(size[::-1], labels.dtype)
    there.view(out)[...] = labels.T
    return _not_empty(out, node, what)


def _not_empty(array: np.ndarray, node: Any, what: str) -> np.ndarray:
    if array.any():
        return array
    raise _refused(
        "mask-empty",
        _("The {what} {name} is empty on this CT.").format(what=what, name=node.GetName()),
        _("At least one voxel must be marked."),
        _("Check that it was drawn on this CT, or leave it out."),
    )


def _refused(code: str, found: str, wanted: str, remedy: str) -> Exception:
    from BATNetLib.errors import InputRefused

    return InputRefused(code, found, wanted, remedy)

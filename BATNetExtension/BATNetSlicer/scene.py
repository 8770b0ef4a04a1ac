"""From result folders to nodes, and back to Python.

``load_result(folder, ct_node) -> Analysis`` puts a result folder into the scene, onto the CT's exact voxels;
``loading_result`` does the same in small steps. ``find_analyses(scene)`` lists what is there, also after a
scene was loaded; ``Analysis`` and ``edited_fraction`` are what panels and scripts read.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import resultnodes
from .analysis import PASSPORT, WORLD_TO_IJK, Analysis, Pair, Patch, find_analyses
from .edits import COMPUTED, USED, Edit, edited_fraction, pack
from .geometry import ijk_to_ras, ijk_to_world, placing, size_of
from .masks import cropped
from .resultfiles import Head, read_head, reading
from .resultmask import MaskFile, read_mask_by_slicer
from .texts import _

__all__ = [
    "Analysis",
    "Edit",
    "Pair",
    "Patch",
    "edited_fraction",
    "find_analyses",
    "load_result",
    "loading_result",
]

#: Version of ``analysis.json`` that is understood.
SCHEMA = 1
MASK_FILE, PATCH_FILE, ATTENTION_FILE = "adipose.seg.nrrd", "patch_probability.nii.gz", "attention.nii.gz"


@dataclass
class _Content:
    """What a result folder holds, on the voxels of the CT. Maps are float32 [k, j, i] of the CT's size."""

    passport: dict[str, Any]
    world_to_ijk: np.ndarray | None = None
    mask: MaskFile | None = None
    mask_text: str = ""
    patch_map: np.ndarray | None = None
    attention: np.ndarray | None = None


def load_result(
    folder: Any, ct_node: Any, scene: Any = None, *, update: Analysis | None = None, inputs: Any = None
) -> Analysis:
    """Put a result folder into the scene.

    Makes a segmentation "Adipose tissue" (reference geometry of the CT, beside it in the subject hierarchy),
    volumes of patch probability and attention (0..1, float), a table of the 16 pairs, and the node of the
    analysis. All lie on the CT's exact voxels and under its transform. Window and layers stay as they are.
    The nodes have no file yet, so that saving the scene never writes into the result folder. A result that
    is not assessable gives an analysis with findings and reasons, and the mask if there is one.

    Parameters
    ----------
    ct_node : the CT that was analysed.
    scene : the CT's scene by default.
    update : an analysis whose numbers this result replaces ("Run again with this mask"): its segmentation,
    which
        the user has edited, is kept as it is.
    inputs : ``JobInputs`` of the run; needed only where the CT's transform changed while it ran.

    Raises
    ------
    InputRefused
        In words: not a result folder, made by a newer version, damaged, incomplete, or of another CT. Nothing
        was added to the scene then.
    """
    steps = loading_result(folder, ct_node, scene, update=update, inputs=inputs)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def loading_result(
    folder: Any, ct_node: Any, scene: Any = None, *, update: Analysis | None = None, inputs: Any = None
) -> Generator[float, None, Analysis]:
    """As ``load_result``, in steps: yields the share done 0..1 and returns the ``Analysis``.

    Nodes appear together in the last step.
    """
    scene = scene or ct_node.GetScene()
    folder = Path(folder)
    content = yield from _read(folder, ct_node, inputs)
    if ct_node.GetScene() is not scene or scene is None:
        raise _refused(
            "ct-gone",
            _("The CT was removed from the scene meanwhile."),
            _("A result is laid over the CT that it was made from."),
            _("Load the CT, then open the result folder."),
        )
    yield 0.95
    return _add(content, ct_node, scene, update if update is not None and update.in_scene else None)


def read_passport(folder: Any) -> dict[str, Any]:
    """``analysis.json`` of a result folder. ``InputRefused`` where it is none or of a newer version."""
    path = Path(folder) / PASSPORT
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        version = facts["schema_version"]
        facts["case"]["outcome"], facts["patches"], facts["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused(
            "not-a-result",
            _("{name} holds no readable {file}.").format(name=path.parent.name, file=PASSPORT),
            _("A result folder of BATNet is needed."),
            _("Choose the folder that a run has written, or run the analysis again."),
        ) from error
    if version != SCHEMA:
        raise _refused(
            "result-version",
            _("The result folder has version {found}.").format(found=version),
            _("This extension reads version {wanted}.").format(wanted=SCHEMA),
            _("Update the extension, or run the analysis again."),
        )
    return facts


# --- reading


def _read(folder: Path, ct: Any, inputs: Any) -> Generator[float, None, _Content]:
    content = _Content(read_passport(folder))
    files = content.passport["files"]
    yield 0.01
    grid = _Grid(ct, inputs)
    todo = [name for name in (PATCH_FILE, ATTENTION_FILE, MASK_FILE) if name in files]
    if not todo:
        grid.require_shape(content.passport)
    for number, name in enumerate(todo):
        path = folder / name
        head = read_head(path) if name != MASK_FILE else _own_mask_head(path)
        if head is None:
            content.mask = read_mask_by_slicer(path, grid.fits)
            yield 0.9 * (number + 1) / len(todo)
        else:
            there = grid.place(head)
            values = np.zeros(size_of(ct)[::-1], np.uint8 if name == MASK_FILE else np.float32)
            for share in reading(head, values, there):
                yield 0.9 * (number + share) / len(todo)
            if name == MASK_FILE:
                content.mask = MaskFile.from_fields(head.fields, cropped(values))
            elif name == PATCH_FILE:
                content.patch_map = values
            else:
                content.attention = values
    if content.mask is not None:
        yield 0.9
        content.mask_text = pack(content.mask.mask)
    if grid.affine is not None:
        content.world_to_ijk = np.linalg.inv(grid.affine)
    return content


def _own_mask_head(path: Path) -> Head | None:
    """The header of a mask file as BATNet writes it; None for one that Slicer has saved over it."""
    from BATNetLib.errors import InputRefused

    try:
        head = read_head(path)
    except InputRefused as error:
        if error.code == "result-damaged":
            return None
        raise
    own = head.fields.get("Segment0_LabelValue") == "1" and "Segment1_ID" not in head.fields
    return head if own and head.fields.get("Segmentation_ReferenceImageExtentOffset") == "0 0 0" else None


class _Grid:
    """The CT's voxels, and which of its places in the world the result was made at."""

    def __init__(self, ct: Any, inputs: Any) -> None:
        from .inputs import require_ct

        require_ct(ct)
        self.size = size_of(ct)
        self.affine: np.ndarray | None = None
        self._places = [] if inputs is None else [np.asarray(inputs.ijk_to_world)]
        self._places += [_world_or_own(ct), ijk_to_ras(ct)]

    def fits(self, affine: np.ndarray, size: tuple[int, int, int]) -> Any:
        """How a grid lies on the CT's voxels. Raises ``InputRefused`` "other-grid" where it does not."""
        for place in self._places:
            there = placing(affine, size, place)
            if there is not None and there.within(self.size):
                self._places, self.affine = [place], place
                return there
        raise self._other(size)

    def place(self, head: Head) -> Any:
        there = self.fits(head.affine, head.size)
        if tuple(e - s for s, e in zip(there.start, there.end, strict=True)) != self.size:
            raise self._other(head.size)
        return there

    def require_shape(self, passport: dict[str, Any]) -> None:
        """Without a map only the number of voxels can tell whether the result is of this CT."""
        shape = ((passport.get("inputs") or {}).get("ct") or {}).get("shape")
        if shape and sorted(shape) != sorted(self.size):
            raise self._other(shape)

    def _other(self, size: Any) -> Exception:
        found = " x ".join(str(n) for n in size)
        wanted = " x ".join(str(n) for n in self.size)
        if found == wanted:
            return _refused(
                "other-grid",
                _("The result lies elsewhere in space than this CT."),
                _("A result is laid over the CT that it was made from, voxel on voxel."),
                _("Choose the CT that was analysed; if it was moved since, undo its transform."),
            )
        return _refused(
            "other-grid",
            _("The result has {found} voxels, the CT {wanted}.").format(found=found, wanted=wanted),
            _("A result is laid over the CT that it was made from, voxel on voxel."),
            _("Choose the CT that was analysed."),
        )


def _world_or_own(ct: Any) -> np.ndarray:
    from BATNetLib.errors import InputRefused

    try:
        return ijk_to_world(ct)
    except InputRefused:
        return ijk_to_ras(ct)


# --- adding


def _add(content: _Content, ct: Any, scene: Any, update: Analysis | None) -> Analysis:
    analysis = update or resultnodes.new_analysis(scene)
    blocker = resultnodes.batch(scene)
    with blocker:
        name = ct.GetName()
        analysis.link("ct", ct)
        _keep_mask(analysis, content, ct, scene, updating=update is not None)
        maps = (
            ("patch_map", content.patch_map, _("{ct} patch probability"), "probability"),
            ("attention", content.attention, _("{ct} attention"), "attention"),
        )
        for role, values, title, colours in maps:
            node = getattr(analysis, role)
            if values is not None:
                node = resultnodes.put_map(scene, node, title.format(ct=name), values, ct, colours)
            elif node is not None:
                scene.RemoveNode(node)
                node = None
            analysis.link(role, node)
        node = analysis.node
        place = content.world_to_ijk
        node.SetParameter(
            WORLD_TO_IJK, "" if place is None else " ".join(repr(float(v)) for v in place.ravel())
        )
        node.SetParameter(PASSPORT, json.dumps(content.passport, ensure_ascii=False, separators=(",", ":")))
        table = resultnodes.put_table(
            scene, analysis.table, _("{ct} mirrored patches").format(ct=name), analysis
        )
        analysis.link("table", table)
    resultnodes.beside(
        scene, ct, [analysis.segmentation, analysis.patch_map, analysis.attention, analysis.table]
    )
    return analysis


def _keep_mask(analysis: Analysis, content: _Content, ct: Any, scene: Any, *, updating: bool) -> None:
    node = analysis.node
    if content.mask is None:
        if not updating:
            analysis.link("segmentation", None)
        return
    if updating and analysis.segment_id is not None:
        # The user's own work stays untouched; what the new numbers rest on is kept beside it.
        node.SetParameter(USED, content.mask_text)
        return
    title = _("{ct} adipose tissue").format(ct=ct.GetName())
    segmentation, segment_id = resultnodes.new_segmentation(scene, title, content.mask, ct)
    analysis.link("segmentation", segmentation)
    node.SetParameter("segment", segment_id)
    if not updating or not node.GetParameter(COMPUTED):
        node.SetParameter(COMPUTED, content.mask_text)
    node.SetParameter(USED, content.mask_text if updating else "")


def _refused(code: str, found: str, wanted: str, remedy: str) -> Exception:
    from BATNetLib.errors import InputRefused

    return InputRefused(code, found, wanted, remedy)

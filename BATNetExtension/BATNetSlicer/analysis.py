"""An analysis in the scene, as Python sees it: what was found, and the nodes that show it.

One hidden ``vtkMRMLScriptedModuleNode`` carries ``analysis.json`` and references to the nodes of an
analysis, so it is saved and restored with the scene. ``Analysis`` is only a view of that node: make as many
as you like.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from .texts import _

#: Attribute that marks the node of an analysis; its value is the version of what the node holds.
MARK = "BATNet.Analysis"
VERSION = "1"
PASSPORT = "analysis.json"
#: Index (i, j, k) of the CT from world RAS mm as it was when the analysis was made: 16 numbers.
WORLD_TO_IJK = "world_to_ijk"
SEGMENT = "segment"
ROLES = ("ct", "segmentation", "patch_map", "attention", "table")
_HAD = "nodes"


@dataclass(frozen=True)
class Patch:
    """One of the 32 patches.

    ``index``: 0..31 in the authors' order. ``pair``: 1..16. ``side``: "right" or "left" of the patient.
    ``level``, ``depth``, ``lateral``: where it lies, as in ``analysis.json``. ``partner``: index on the other
    side. ``probability``: 0..1. ``adipose_ml``: fat in it, NaN where the
    file of the scan did not say how large a voxel is. ``mean_hu``: of that fat, or None.
    ``corners``: 8 corners in LPS mm [8, 3], first axis slowest.
    """

    index: int
    pair: int
    side: str
    level: str
    depth: str
    lateral: int
    partner: int
    probability: float
    adipose_ml: float
    mean_hu: float | None
    corners: tuple[tuple[float, float, float], ...]

    @property
    def place(self) -> str:
        """The place that both patches of a pair share, in words, such as "upper anterior, outermost"."""
        levels = {"upper": _("upper"), "lower": _("lower")}
        depths = {"anterior": _("anterior"), "posterior": _("posterior")}
        lateral = (_("outermost"), _("outer"), _("inner"), _("innermost"))[self.lateral - 1]
        return _("{level} {depth}, {lateral}").format(
            level=levels[self.level], depth=depths[self.depth], lateral=lateral
        )

    @property
    def side_words(self) -> str:
        """ "right" or "left" in the user's language."""
        return _("right") if self.side == "right" else _("left")


@dataclass(frozen=True)
class Pair:
    """Two mirrored patches. ``number``: 1..16; ``right`` and ``left`` are the patient's."""

    number: int
    right: Patch
    left: Patch

    @property
    def place(self) -> str:
        return self.right.place

    @property
    def difference(self) -> float:
        """Probability on the right minus that on the left, -1..1."""
        return self.right.probability - self.left.probability

    @property
    def adipose_ml(self) -> float:
        """Fat in both patches, mL."""
        return self.right.adipose_ml + self.left.adipose_ml


class Analysis:
    """View of one analysis; ``node`` is what the scene keeps. Equal where the node is the same.

    Attributes
    ----------
    passport : ``analysis.json`` as a dict.
    outcome : "assessed" or "not-assessable". ``probability`` : 0..1, None where not assessable.
    reasons : dicts with ``code``, ``text``, ``advice``: why it is not assessable.
    patches : 32 ``Patch`` in the authors' order; ``pairs`` : 16 ``Pair``. Both empty where not assessable.
    adipose : dict of volumes and mean HU, or None. ``findings`` : dicts of the preflight.
    ct, segmentation, patch_map, attention, table : nodes, None where there is none or it was deleted.
    """

    def __init__(self, node: Any) -> None:
        self.node = node
        self._read: tuple[str, dict[str, Any], list[Patch]] | None = None

    @classmethod
    def from_node(cls, node: Any) -> Analysis:
        """Raises ``ValueError`` where ``node`` is not the node of an analysis."""
        if node is None or node.GetAttribute(MARK) is None or not node.IsA("vtkMRMLScriptedModuleNode"):
            raise ValueError("not the node of an analysis")
        return cls(node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Analysis) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node)

    # --- nodes
    def _referenced(self, role: str) -> Any:
        return self.node.GetNodeReference(role) if self.node.GetScene() else None

    @property
    def ct(self) -> Any:
        return self._referenced("ct")

    @property
    def segmentation(self) -> Any:
        return self._referenced("segmentation")

    @property
    def patch_map(self) -> Any:
        return self._referenced("patch_map")

    @property
    def attention(self) -> Any:
        return self._referenced("attention")

    @property
    def table(self) -> Any:
        return self._referenced("table")

    @property
    def segment_id(self) -> str | None:
        """Id of the segment "Adipose tissue"; None where the user deleted it."""
        if self.segmentation is None:
            return None
        name = self.node.GetParameter(SEGMENT)
        return name if self.segmentation.GetSegmentation().GetSegment(name) else None

    @property
    def in_scene(self) -> bool:
        """Whether the analysis is still there."""
        return self.node.GetScene() is not None

    def deleted(self) -> dict[str, str]:
        """What the user has deleted since: role of the node -> a sentence that says what no longer works."""
        words = {
            "ct": _(
                "The CT of this analysis was deleted: the numbers stay, nothing can be shown in the views."
            ),
            "segmentation": _(
                "The segmentation with the adipose tissue was deleted: the patch map fills whole boxes, "
                "and the mask can neither be edited nor exported."
            ),
            "patch_map": _("The patch probability volume was deleted; the result folder still has it."),
            "attention": _("The attention volume was deleted: it can no longer be shown."),
            "table": _("The table of patch pairs was deleted; the panel still shows the pairs."),
        }
        had = self.node.GetParameter(_HAD).split()
        gone = [role for role in had if self._referenced(role) is None]
        if "segmentation" in had and "segmentation" not in gone and self.segment_id is None:
            gone.append("segmentation")
        return {role: words[role] for role in gone}

    def link(self, role: str, node: Any) -> None:
        """Keep ``node`` (or nothing) as the ``role`` of this analysis."""
        self.node.SetNodeReferenceID(role, node.GetID() if node else None)
        had = [
            r for r in ROLES if (node is not None if r == role else r in self.node.GetParameter(_HAD).split())
        ]
        self.node.SetParameter(_HAD, " ".join(had))

    # --- what was found
    def _content(self) -> tuple[str, dict[str, Any], list[Patch]]:
        text = self.node.GetParameter(PASSPORT)
        if self._read is None or self._read[0] != text:
            facts = json.loads(text)
            self._read = (text, facts, [_patch(entry) for entry in facts["patches"]])
        return self._read

    @property
    def passport(self) -> dict[str, Any]:
        return self._content()[1]

    @property
    def outcome(self) -> str:
        return str(self.passport["case"]["outcome"])

    @property
    def assessed(self) -> bool:
        return self.probability is not None

    @property
    def probability(self) -> float | None:
        return self.passport["case"]["probability"]

    @property
    def reasons(self) -> list[dict[str, str]]:
        return list(self.passport["case"]["reasons"])

    @property
    def patches(self) -> list[Patch]:
        return list(self._content()[2])

    @property
    def pairs(self) -> list[Pair]:
        patches = self.patches
        right = [patch for patch in patches if patch.side == "right"]
        return [
            Pair(patch.pair, patch, patches[patch.partner]) for patch in sorted(right, key=lambda p: p.pair)
        ]

    @property
    def adipose(self) -> dict[str, Any] | None:
        return self.passport["adipose"]

    @property
    def findings(self) -> list[dict[str, Any]]:
        return list((self.passport["preflight"] or {}).get("findings", []))

    @property
    def statement(self) -> str:
        """ "Research use only, not a medical device." """
        return str(self.passport["statement"])

    @property
    def demonstration(self) -> str | None:
        """The sentence on demonstration models, None where none had a part in it."""
        return self.passport["demonstration"]

    @property
    def notes(self) -> list[str]:
        """What every output of this analysis must say: research use, demonstration model, HU threshold."""
        notes = [self.statement]
        if self.demonstration:
            notes.append(self.demonstration)
        if self.passport["method"]["adipose"] == "hu-threshold":
            notes.append(_("Adipose mask by HU threshold, not by the network."))
        return notes

    @property
    def title(self) -> str:
        """A line for a list of analyses: the CT's name and when the analysis was made."""
        ct = self.ct
        when = str(self.passport["created"]).replace("T", " ").removesuffix("Z")
        return f"{ct.GetName()}, {when} UTC" if ct else f"{self.node.GetName()}, {when} UTC"

    @property
    def attention_edges(self) -> str | None:
        """Edges of an attention cell along slices, rows and columns, such as "8.5 x 31.6 x 12.2" (mm, the
        mean over the patches); None where there is no map."""
        facts = self.passport["attention"]
        if not facts:
            return None
        low, high = facts["resolution_mm"]["min"], facts["resolution_mm"]["max"]
        return " x ".join(f"{(a + b) / 2:.1f}" for a, b in zip(low, high, strict=True))

    @property
    def attention_note(self) -> str | None:
        """What the attention map is and how fine it really is, a sentence; None where there is no map."""
        if self.attention_edges is None:
            return None
        return _(
            "What the network looked at, not where brown fat is. Real resolution: {n} x {n} x {n} cells in a "
            "patch, each of {edges} mm."
        ).format(n=self.passport["attention"]["cells_per_patch_edge"], edges=self.attention_edges)

    # --- place
    def frame(self) -> Any:
        """The volume node whose voxels the patches are measured in: the patch map, else the CT; or None."""
        return self.patch_map or self.ct

    def world_to_ijk(self) -> np.ndarray | None:
        """Affine from world RAS mm of the time of the analysis to indices (i, j, k) of the CT."""
        text = self.node.GetParameter(WORLD_TO_IJK)
        return np.array([float(v) for v in text.split()]).reshape(4, 4) if text else None


def find_analyses(scene: Any = None) -> list[Analysis]:
    """All analyses in the scene, oldest first."""
    if scene is None:
        import slicer

        scene = slicer.mrmlScene
    count = scene.GetNumberOfNodesByClass("vtkMRMLScriptedModuleNode")
    nodes = [scene.GetNthNodeByClass(index, "vtkMRMLScriptedModuleNode") for index in range(count)]
    return [Analysis(node) for node in nodes if node.GetAttribute(MARK) == VERSION]


def _patch(entry: dict[str, Any]) -> Patch:
    names = (
        "index",
        "pair",
        "side",
        "level",
        "depth",
        "lateral",
        "partner",
        "probability",
        "adipose_ml",
        "mean_hu",
    )
    corners = tuple((float(x), float(y), float(z)) for x, y, z in entry["box"]["corners"])
    values = {name: entry[name] for name in names}
    if values["adipose_ml"] is None:
        values["adipose_ml"] = float("nan")
    return Patch(**values, corners=corners)

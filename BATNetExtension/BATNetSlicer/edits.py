"""How much the user changed the adipose mask since it was computed."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass

import numpy as np

from .analysis import Analysis
from .geometry import ijk_to_world, size_of
from .masks import Cropped, segment_mask

#: Parameters of the analysis node: the mask as it was computed first, and as the present numbers used it.
COMPUTED, USED = "mask_as_computed", "mask_as_used"


@dataclass(frozen=True)
class Edit:
    """The difference between two masks. ``dice``: 1 where equal. ``added_ml``, ``removed_ml``: fat that is
    only in the present, or only in the former mask. ``before_ml``: the former mask."""

    dice: float
    added_ml: float
    removed_ml: float
    before_ml: float

    @property
    def edited(self) -> bool:
        return self.added_ml > 0 or self.removed_ml > 0

    @property
    def fraction(self) -> float:
        """Changed volume as a share of the former mask; 0 where nothing changed."""
        changed = self.added_ml + self.removed_ml
        return changed / self.before_ml if self.before_ml else float(changed > 0)


def edited_fraction(analysis: Analysis, since: str = "computed") -> Edit | None:
    """How the mask differs now from what it was; None where there is no mask or no CT to compare on.

    ``since``: "computed", from the mask as the first run made it, or "run", from the mask that the present
    numbers rest on (after "Run again with this mask" these two differ).
    """
    node, segment_id = analysis.segmentation, analysis.segment_id
    frame = analysis.frame()
    text = (since == "run" and analysis.node.GetParameter(USED)) or analysis.node.GetParameter(COMPUTED)
    if node is None or segment_id is None or frame is None or not text:
        return None
    affine = ijk_to_world(frame)
    before, now = unpack(text), segment_mask(node, segment_id, affine, size_of(frame))
    return compare(before, now, abs(float(np.linalg.det(affine[:3, :3]))) / 1000)


def mask_now(analysis: Analysis) -> str:
    """The mask as it is now, as text for ``USED``; empty where there is none."""
    node, segment_id, frame = analysis.segmentation, analysis.segment_id, analysis.frame()
    if node is None or segment_id is None or frame is None:
        return ""
    return pack(segment_mask(node, segment_id, ijk_to_world(frame), size_of(frame)))


def compare(before: Cropped, now: Cropped, voxel_ml: float) -> Edit:
    """The difference of two masks on the same grid."""
    filled = [mask for mask in (before, now) if mask.array.size]
    if not filled:
        return Edit(1.0, 0.0, 0.0, 0.0)
    start = tuple(min(mask.start[axis] for mask in filled) for axis in range(3))
    end = tuple(max(mask.end[axis] for mask in filled) for axis in range(3))
    a, b = before.inside(start, end), now.inside(start, end)  # type: ignore[arg-type]
    first, second, both = (int(np.count_nonzero(mask)) for mask in (a, b, a & b))
    return Edit(
        dice=2 * both / (first + second) if first + second else 1.0,
        added_ml=(second - both) * voxel_ml,
        removed_ml=(first - both) * voxel_ml,
        before_ml=first * voxel_ml,
    )


def pack(mask: Cropped) -> str:
    """A mask as text for the scene file: what changes from slice to slice, one bit a voxel, packed."""
    change = np.empty(mask.array.shape, bool)
    change[:1] = mask.array[:1]
    np.logical_xor(mask.array[1:], mask.array[:-1], out=change[1:])
    bits = base64.b64encode(zlib.compress(np.packbits(change).tobytes(), 4)).decode("ascii")
    return json.dumps({"start": mask.start, "shape": mask.array.shape, "bits": bits})


def unpack(text: str) -> Cropped:
    """The mask that ``pack`` made text of."""
    facts = json.loads(text)
    shape = tuple(facts["shape"])
    bits = np.frombuffer(zlib.decompress(base64.b64decode(facts["bits"])), np.uint8)
    mask = np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)
    for k in range(1, len(mask)):
        mask[k] ^= mask[k - 1]
    return Cropped(mask, tuple(facts["start"]))

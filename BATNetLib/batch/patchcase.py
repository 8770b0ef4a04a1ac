"""Stage 2 alone, on the ready-made patches of a BATNet case folder.

Such files hold what a program once cut out of a scan; they say nothing of the patient's space. So there
is a probability for the case and for each patch, and no mask, no volume and no box. What can be checked
of them is checked: shape, finite numbers, the published range of the CT, a mask of 0 and 1.
"""

from __future__ import annotations

import csv
import json
import time
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import RESEARCH_USE_ONLY, __version__
from ..analysis import ASSESSED, AnalysisOptions, ModelCache
from ..analysis.passport import DEMONSTRATION, SOFTWARE, git_commit, plain
from ..analysis.pipeline import decision
from ..analysis.places import place
from ..brown.patches import PATCH_SIZE, Patches
from ..errors import InputRefused
from ..events import Events
from ..volume import hash_file
from ..workfiles import whole_folder
from .cases import Case

if TYPE_CHECKING:
    from ..brown.classify import BrownResult
    from ..models import LoadedModel

#: Not an ``analysis.json``: programs that find that name expect a scan, a mask and boxes.
PASSPORT = "patch-analysis.json"
#: Shape of the file of one side: pairs, channels (CT, mask), slices, rows, columns.
SHAPE = (16, 2, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE)
#: Range of the CT channel as published, and how far rounding may lead out of it.
_RANGE, _ROUNDING = 0.5, 1e-3


def read_patches(left: Path, right: Path) -> Patches:
    """The patches of a case folder, checked; ``boxes`` is empty and there are no labels.

    Raises ``InputRefused`` where a file is damaged, has another shape, holds values that are not finite,
    CT values outside -0.5 to 0.5, a mask of other values than 0 and 1, or no fat at all.
    """
    sides = [_read(path) for path in (left, right)]
    if not any(side[:, 1].any() for side in sides):
        raise InputRefused(
            "adipose-empty",
            "The masks of all 32 patches are empty.",
            "The patches are cut out around adipose tissue.",
            "Make the patches again from the CT and its fat mask.",
        )
    return Patches(sides[0], sides[1], None, None, (), None)


def analyze_patches(
    case: Case, out: Path, options: AnalysisOptions, models: ModelCache, events: Events | None = None
) -> Path:
    """Classify the patches of a case and write the folder ``out`` (passport, table, picture)."""
    events = events or Events()
    started = time.perf_counter()
    patches = read_patches(case.files["left"], case.files["right"])
    model = models.get(options.brown_model, "brown", events)
    from ..brown.classify import classify

    found = classify(patches, model, device=options.device, events=events)
    facts = _passport(case, options, model, found)
    with whole_folder(out) as folder:
        _write_table(folder / "patches.csv", found, model)
        if options.report:
            _write_picture(folder / "preview.png", patches)
        facts["seconds"] = {"classify": round(time.perf_counter() - started, 3)}
        facts["files"] = sorted([PASSPORT, *(path.name for path in folder.iterdir())])
        text = json.dumps(plain(facts), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / PASSPORT).write_text(text + "\n", encoding="utf-8")
    return out


def _read(path: Path) -> np.ndarray:
    """float32 [16, 2, 32, 32, 32] of one side."""
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        shape = tuple(int(n) for n in image.shape)
        kind = np.dtype(image.get_data_dtype()).kind
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path) from error
    if shape != SHAPE or kind not in "iuf":
        raise InputRefused(
            "patches-shape",
            f"{path.name} has shape {' x '.join(map(str, shape))} (numbers of kind '{kind}').",
            f"Patches have shape {' x '.join(map(str, SHAPE))}: pairs, CT and mask, slices, rows, columns.",
            "Make the patches again from the CT.",
        )
    try:
        values = np.asarray(image.dataobj, dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path) from error
    if not np.isfinite(values).all():
        raise InputRefused(
            "patches-not-finite",
            f"{path.name} holds {int((~np.isfinite(values)).sum())} values that are not finite.",
            "CT values between -0.5 and 0.5 and a mask of 0 and 1 are expected.",
            "Make the patches again from the CT.",
        )
    low, high = float(values[:, 0].min()), float(values[:, 0].max())
    if low < -_RANGE - _ROUNDING or high > _RANGE + _ROUNDING or low == high:
        raise InputRefused(
            "patches-range",
            f"The CT channel of {path.name} runs from {low:.4g} to {high:.4g}.",
            "It holds (HU + 100) / 400 of HU between -300 and 100: values between -0.5 and 0.5 that vary.",
            "Make the patches again from the CT in HU.",
        )
    if not np.isin(values[:, 1], (0, 1)).all():
        raise InputRefused(
            "patches-mask",
            f"The mask channel of {path.name} holds values other than 0 and 1.",
            "The second channel is the fat mask, resized with nearest neighbour.",
            "Make the patches again; the channels may be in the wrong order.",
        )
    return values


def _passport(case: Case, options: AnalysisOptions, model: LoadedModel, found: BrownResult) -> dict[str, Any]:
    """The passport of a result without a scan, as that of an analysis where both have the same things."""
    brown = model.passport()
    chosen = decision(found.probability, model.entry, options)
    demonstration = bool(model.entry.demonstration)
    warnings = [
        {
            "code": "ready-made-patches",
            "text": "The case came as ready-made patches, cut out by another program: no scan was checked, "
            "and there is no mask, no volume and no place in the patient.",
        }
    ]
    if demonstration:
        warnings.append({"code": "demonstration-model", "text": DEMONSTRATION})
    return {
        "schema_version": 1,
        "kind": "ready-made patches",
        "statement": RESEARCH_USE_ONLY,
        "demonstration": DEMONSTRATION if demonstration else None,
        "software": {"name": SOFTWARE, "version": __version__, "commit": git_commit()},
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "case": {
            "id": options.pseudonym,
            "outcome": ASSESSED,
            "probability": found.probability,
            "calibrated": bool(brown["calibrated"]),
            "operating_point": (chosen or {}).get("operating_point"),
            "decision": chosen and {k: v for k, v in chosen.items() if k != "operating_point"},
            "reasons": [],
        },
        "method": {"adipose": "given", "hu_range": None},
        "inputs": {
            side: {"format": "nifti", "sha256_file": hash_file(case.files[side]), "shape": list(SHAPE)}
            for side in ("left", "right")
        },
        "model": brown,
        "models": {"brown": brown},
        "patches": [_patch(index, float(value)) for index, value in enumerate(found.patch_probabilities)],
        "warnings": warnings,
        "device": {"brown": found.device},
        "precision": {"brown": found.precision},
        "path": found.path,
    }


def _patch(index: int, probability: float) -> dict[str, Any]:
    where = place(index)
    return {
        "index": index,
        "pair": where.pair,
        "side": where.side,
        "place": where.words,
        "partner": where.partner,
        "probability": probability,
    }


def _write_table(path: Path, found: BrownResult, model: LoadedModel) -> None:
    note = f"{RESEARCH_USE_ONLY} {DEMONSTRATION}" if model.entry.demonstration else RESEARCH_USE_ONLY
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patch", "pair", "side", "place", "probability", "model", "note"])
        for index, value in enumerate(found.patch_probabilities):
            where = place(index)
            writer.writerow(
                [index, where.pair, where.side, where.words, f"{value:.6f}", model.entry.name, note]
            )


def _write_picture(path: Path, patches: Patches) -> None:
    """The middle slice of each patch, pairs side by side in 4 rows; the patient's right on the left."""
    try:
        from PIL import Image
    except ImportError:
        return
    edge, gap = PATCH_SIZE, 2
    picture = np.zeros((4 * (edge + gap), 8 * (edge + gap)), np.uint8)
    for half, side in enumerate((patches.left, patches.right)):
        for index in range(len(side)):
            row, column = divmod(index, 4)
            # Column blocks run from the side to the midline, so the left side is laid out backwards.
            block = column if half == 0 else 7 - column
            top, left = row * (edge + gap), block * (edge + gap)
            middle = side[index, 0, PATCH_SIZE // 2]
            picture[top : top + edge, left : left + edge] = np.clip((middle + _RANGE) * 255, 0, 255).astype(
                np.uint8
            )
    image = Image.fromarray(picture)
    image.resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST).save(path)


def _damaged(path: Path) -> InputRefused:
    return InputRefused(
        "unreadable",
        f"{path.name} is damaged or not a NIfTI file.",
        "A whole NIfTI file of patches is needed.",
        "Copy it again, or make the patches again from the CT.",
    )

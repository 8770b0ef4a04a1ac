"""Cells of tables that no spreadsheet executes, and texts without names of patients and folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: A cell that starts with one of these is taken for a formula by spreadsheet programs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Names that say nothing about a patient: those of the known layouts and of common exports.
_PLAIN = re.compile(
    r"(image|ct|scan|volume|lobe|lungs?|fat|adipose|brown|bat|mask|patch|label|series|study|data|cases?|images?|"
    r"nii|gz|nrrd|mha|mhd|seg|dcm|dicom|at|left|right|fat_mask|brown_fat_mask|ct_at_left_patch|"
    r"ct_at_right_patch|complete_ct|patches|axial|chest|neck|body|head|thorax|plain|contrast|nifti|patients?|"
    r"scans|tests?|files?|inputs?|outputs?|results?|export|raw|new|old|empty|truncated)",
    re.IGNORECASE,
)
#: Words that every sentence is made of. As the name of a folder, written in small letters, they tell
#: nothing, and a sentence without them cannot be read.
_SMALL = re.compile(
    r"(an|and|are|as|at|be|but|by|can|for|from|has|have|in|into|is|it|its|lie|lies|no|not|of|on|one|or|that|the|"
    r"there|they|this|to|two|was|with)"
)
_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|/)(?:[^\\/:*?\"<>|\r\n' ]+[\\/])+([^\\/:*?\"<>|\r\n' ]*)")


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, with an apostrophe in front; else unchanged."""
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", " ").replace("\n", " ").replace("\0", "")
    return "'" + text if text.startswith(_FORMULA) else text


def plain_cell(text: str) -> str:
    """What ``safe_cell`` was given."""
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA else text


def private_words(name: str, paths: Iterable[Path]) -> list[str]:
    """Words of a case that may tell who it is: its name, the names of its files and of their folder.

    Longest first, so that a replacement never leaves half of a longer one behind.
    """
    words: set[str] = {name, *re.split(r"[\\/#]", name)}
    for path in paths:
        stem = path.name.split(".")[0]
        words |= {str(path), path.name, stem, path.parent.name}
    kept = {w for w in words if len(w) >= 2 and not _is_plain(w)}
    return sorted(kept, key=lambda w: (-len(w), w))


def without_names(text: str, words: Iterable[str], instead: str) -> str:
    """``text`` with every private word replaced by ``instead`` and every path cut to its last part."""
    for word in words:
        # Not inside other words: a folder called "an" must not eat half of the sentence.
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: instead, text)
    return _PATH.sub(lambda match: match.group(1) or "...", text)


def _is_plain(word: str) -> bool:
    parts = [p for p in re.split(r"[.\-_ ]+", word) if p]
    return all(_PLAIN.fullmatch(p) or _SMALL.fullmatch(p) or (p.isdigit() and len(p) < 4) for p in parts)

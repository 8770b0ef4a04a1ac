"""The last line that a run left in its own log, for one that ended without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from BATNetSlicer.job_words import without_folders
from BATNetSlicer.texts import _

_TAIL_BYTES = 4096
_LENGTH = 300


def last_words(folder: Any) -> str:
    """Without folders and cut to a sentence's length; "" where there is nothing."""
    try:
        with (Path(folder) / "engine.log").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read(_TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return _("It said last: {line}").format(line=without_folders(lines[-1])[:_LENGTH])

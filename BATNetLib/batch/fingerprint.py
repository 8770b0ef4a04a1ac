"""When a case counts as unchanged: hashes of its inputs and of everything that was asked for.

Sizes and times of change are the quick look; they are believed when they are as they were. When they
differ (a scan was copied, a disk was mounted anew) the bytes decide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..errors import InputRefused
from ..events import Events
from .cases import Case

#: Raised whenever results of the same inputs and options change their meaning.
RESULT_VERSION = 1
#: Options that say how to get to a result, not what it is.
_INDIFFERENT = ("device", "batch", "pseudonym", "keep_names", "report", "dicom_seg")


def settings_key(options: Mapping[str, Any], models: Mapping[str, str | None], schema: object) -> str:
    """Hash of options, SHA-256 of the models used, and version of the result schema."""
    kept = {key: value for key, value in options.items() if key not in _INDIFFERENT}
    return _short({"options": kept, "models": dict(models), "schema": schema, "result": RESULT_VERSION})


def quick_key(case: Case) -> str:
    """Hash of roles, sizes and times of change of the files, and of what was said about them.

    Where the files lie does not matter. Empty where a file cannot be looked at.
    """
    try:
        stats = [(role, (stat := path.stat()).st_size, stat.st_mtime_ns) for role, path in case.all_files()]
    except OSError:
        return ""
    return _short({"files": stats, **_said(case)}) if stats else ""


def content_key(case: Case, events: Events | None = None) -> str:
    """SHA-256 over the bytes of all files, with their roles and what was said about them.

    The files of a DICOM series count in the order of their content, so renaming them changes nothing.
    Raises ``InputRefused`` where a file cannot be read.
    """
    hashes = []
    for role, path in case.all_files():
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
                    if events:
                        events.check()
        except OSError as error:
            raise InputRefused(
                "unreadable",
                f"A file of the case cannot be read ({(error.strerror or 'unknown reason').lower()}).",
                "All files of the case must be readable.",
                "Check the permissions, or copy the files again.",
            ) from error
        hashes.append((role, digest.hexdigest()))
    text = json.dumps({"files": sorted(hashes), **_said(case)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _said(case: Case) -> dict[str, Any]:
    return {"kind": case.kind, "axes": case.axes, "series": case.series}


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

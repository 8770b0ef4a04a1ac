"""What is written beside every saved mask: who read it, when, by which rule, how long, with what scores."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from .. import __version__
from ..errors import InputRefused

SCHEMA = "batnet-annotation"
SCHEMA_VERSION = 1
#: Where brown fat is looked for; each is scored on the patient's right and left.
DEPOTS = ("cervical", "supraclavicular", "axillary", "mediastinal", "paraspinal", "abdominal")
SIDES = ("right", "left")
#: 0 none, 1 doubtful or faint, 2 clear.
SCORES = (0, 1, 2)
#: Files of a version by role, named as in the layout of the authors' case folders.
FILES = {"brown": "brown_fat_mask.nii.gz", "adipose": "fat_mask.nii.gz"}

Scores = Mapping[str, Mapping[str, "int | None"]]


def no_scores() -> dict[str, dict[str, int | None]]:
    """All depots and sides, none scored yet."""
    return {depot: dict.fromkeys(SIDES) for depot in DEPOTS}


def this_software() -> dict[str, str]:
    """Names and versions of what runs here; callers add theirs, such as ``{"3D Slicer": "5.12.4"}``."""
    return {"batnet": __version__, "python": platform.python_version()}


@dataclass(frozen=True)
class Record:
    """The sidecar ``annotation.json`` of a version.

    Filled in by the caller: ``status`` ("draft" or "done"); ``flagged``: for a second look; ``seconds``:
    active seconds since the version before; ``criterion``: name of the rule in use; ``scores``: depot to
    side to 0, 1, 2 or None; ``comment``; ``edited_from``: what the mask began as, such as "empty", "dataset
    mask" or "proposal bat-1.5"; ``midplane``: plain JSON values; ``ct``: ``grids.fingerprint`` of the CT;
    ``software``: names to versions.

    Filled in by the store: ``case``, ``reader``, ``version``, ``parent`` (version it was made from),
    ``time`` (UTC, ISO 8601), ``seconds_total`` (active seconds of all versions up to this one), ``locked``,
    ``files``: role to name, sha256, bytes, marked voxels and millilitres.
    """

    status: str = "draft"
    flagged: bool = False
    seconds: float = 0.0
    criterion: str | None = None
    scores: Scores = field(default_factory=no_scores)
    comment: str = ""
    edited_from: str = "empty"
    midplane: Mapping[str, Any] | None = None
    ct: str | None = None
    software: Mapping[str, str] = field(default_factory=this_software)
    case: str = ""
    reader: str = ""
    version: int | None = None
    parent: int | None = None
    time: str = ""
    seconds_total: float = 0.0
    locked: bool = False
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status == "done"

    @property
    def shown_status(self) -> str:
        """As a work list shows it: "flagged" goes before "draft" and "done"."""
        return "flagged" if self.flagged else self.status

    def checked(self) -> Record:
        """The record with all depots named. Raises ``InputRefused`` ("record-invalid")."""
        if self.status not in ("draft", "done"):
            raise _invalid("status", "draft or done")
        if not (isinstance(self.seconds, (int, float)) and math.isfinite(self.seconds) and self.seconds >= 0):
            raise _invalid("time spent", "seconds, 0 or more")
        scores = no_scores()
        for depot, sides in self.scores.items():
            if depot not in DEPOTS:
                raise _invalid("depot of a score", ", ".join(DEPOTS))
            for side, score in sides.items():
                if side not in SIDES or (score is not None and (score not in SCORES or score is True)):
                    raise _invalid("score", "0, 1, 2 or nothing, on the right and on the left")
                scores[depot][side] = score
        return replace(self, scores=scores, seconds=float(self.seconds), comment=str(self.comment))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values with the schema in front."""
        return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **asdict(self)}

    def as_json(self) -> bytes:
        """The file: ASCII, with the SHA-256 of everything else as ``record_sha256``, so that a score that
        changed on a bad disk is noticed. Raises ``InputRefused`` ("record-invalid")."""
        try:
            values = self.as_dict()
            values["record_sha256"] = _digest(values)
            text = json.dumps(values, indent=1, ensure_ascii=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise _invalid("value", "plain JSON values") from error
        return text.encode("ascii") + b"\n"

    @staticmethod
    def from_json(data: bytes) -> Record:
        """Raises ``InputRefused``: "record-damaged", or "record-newer" for one of a later program."""
        try:
            values = json.loads(data.decode("utf-8"))
        except (UnicodeDecodeError, ValueError) as error:
            raise _damaged() from error
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            raise _damaged()
        written = values.pop("record_sha256", None)
        if values.get("schema_version") != SCHEMA_VERSION:
            raise InputRefused(
                "record-newer",
                f"The annotation was written in form {values.get('schema_version')!r}.",
                f"This program reads form {SCHEMA_VERSION}.",
                "Update BATNet on this computer.",
            )
        if written != _digest(values):
            raise _damaged()
        known = {f.name for f in fields(Record)}
        try:
            record = Record(**{key: value for key, value in values.items() if key in known}).checked()
            _require_types(record)
        except (TypeError, ValueError, AttributeError, InputRefused) as error:
            raise _damaged() from error
        return record


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _require_types(record: Record) -> None:
    """Raises ``TypeError`` where a field of the store is not what the store writes."""
    texts = (record.case, record.reader, record.time, record.edited_from)
    if not all(isinstance(text, str) for text in texts) or not record.case or not record.reader:
        raise TypeError("text expected")
    if not isinstance(record.version, int) or not isinstance(record.parent, (int, type(None))):
        raise TypeError("number expected")
    if not isinstance(record.seconds_total, (int, float)) or not isinstance(record.locked, bool):
        raise TypeError("number or truth value expected")
    if "brown" not in record.files or not set(record.files) <= set(FILES):
        raise TypeError("files expected")
    for role, facts in record.files.items():
        if facts["name"] != FILES[role] or not isinstance(facts["sha256"], str):
            raise TypeError("file facts expected")
        if not isinstance(facts["bytes"], int):
            raise TypeError("size expected")


def _invalid(what: str, wanted: str) -> InputRefused:
    return InputRefused(
        "record-invalid",
        f"The {what} of the annotation is not one that can be kept.",
        f"Wanted: {wanted}.",
        "Report this: it is a defect of the program that made the record.",
    )


def _damaged() -> InputRefused:
    return InputRefused(
        "record-damaged",
        "annotation.json of the version is damaged.",
        "The record as it was saved is needed.",
        "Choose a version before it, which is whole, or restore the file from a backup.",
    )

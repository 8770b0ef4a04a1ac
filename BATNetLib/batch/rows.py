"""From a finished analysis folder to what the tables of a batch tell of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .ledger import Record

#: Columns of ``results.csv``, in order.
COLUMNS = (
    "case_id", "prediction", "outcome", "status", "code", "why",
    "adipose_ml", "adipose_right_ml", "adipose_left_ml", "method",
    "adipose_model", "adipose_sha256", "brown_model", "brown_sha256", "demonstration",
    "findings", "warnings", "device", "seconds", "finished",
)  # fmt: skip
#: What the passport of a scan, and that of ready-made patches, is called.
PASSPORTS = ("analysis.json", "patch-analysis.json")
#: Digits of a model's SHA-256 in tables.
SHORT = 12


def facts_of_result(folder: Path) -> dict[str, Any]:
    """What a table tells of a result folder, from its passport; missing values are None.

    Raises ``ValueError`` where the passport is not one.
    """
    file = next((folder / name for name in PASSPORTS if (folder / name).is_file()), folder / PASSPORTS[0])
    try:
        passport = json.loads(file.read_text(encoding="utf-8"))
        case = passport["case"]
        outcome = case["outcome"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError("the analysis wrote no readable passport") from error
    reasons = case.get("reasons") or []
    adipose = passport.get("adipose") or {}
    sides = adipose.get("sides") or {}
    models = passport.get("models") or {}
    facts = {
        "prediction": case.get("probability"),
        "outcome": outcome,
        "code": reasons[0]["code"] if reasons else None,
        "why": " ".join(reason["text"] for reason in reasons) or None,
        "adipose_ml": adipose.get("volume_ml"),
        "adipose_right_ml": (sides.get("right") or {}).get("volume_ml"),
        "adipose_left_ml": (sides.get("left") or {}).get("volume_ml"),
        "method": (passport.get("method") or {}).get("adipose"),
        "demonstration": bool(passport.get("demonstration")),
        "findings": _findings(passport.get("preflight")),
        "warnings": [
            # Told by the column "demonstration" and once on the contact sheet.
            warning["text"]
            for warning in passport.get("warnings") or []
            if warning.get("code") != "demonstration-model"
        ],
        "report": (folder / "report.html").is_file(),
        "device": "; ".join(sorted(set((passport.get("device") or {}).values()))) or None,
    }
    for stage in ("adipose", "brown"):
        model = models.get(stage) or {}
        facts[f"{stage}_model"] = model.get("name")
        facts[f"{stage}_sha256"] = (model.get("sha256") or "")[:SHORT] or None
    return facts


def row(record: Record) -> dict[str, Any]:
    """A record as a row of ``results.csv``."""
    from datetime import datetime, timezone

    values: dict[str, Any] = {name: record.get(name) for name in COLUMNS}
    values["case_id"] = record["case"]
    values["prediction"] = _number(record.get("prediction"), 6)
    for name in ("adipose_ml", "adipose_right_ml", "adipose_left_ml"):
        values[name] = _number(record.get(name), 2)
    values["seconds"] = _number(record.get("seconds"), 1)
    values["demonstration"] = "yes" if record.get("demonstration") else ""
    values["findings"] = "; ".join(finding["code"] for finding in record.get("findings") or [])
    values["warnings"] = len(record.get("warnings") or []) if "warnings" in record else None
    if record.get("finished"):
        finished = datetime.fromtimestamp(record["finished"], timezone.utc)
        values["finished"] = finished.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {name: "" if value is None else value for name, value in values.items()}


def _findings(preflight: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Findings of the preflight that somebody should see: code, level and sentence."""
    found = (preflight or {}).get("findings") or []
    return [
        {"code": str(f.get("code")), "level": str(f.get("level")), "text": str(f.get("sentence"))}
        for f in found
        if f.get("level") in ("block", "warn")
    ]


def _number(value: Any, digits: int) -> str | None:
    return None if value is None else f"{float(value):.{digits}f}"

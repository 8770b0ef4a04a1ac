"""The contact sheet: one page to look through hundreds of cases, with nothing loaded from elsewhere.

The page holds the numbers; pictures are the thumbnails in the case folders, loaded when they come into
view. Only one page of cards exists at a time, so that five thousand cases stay as quick as fifty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import RESEARCH_USE_ONLY
from ..workfiles import whole_file
from .ledger import FAILED, NOT_ASSESSABLE, PENDING, REFUSED, Record

TEMPLATE = "contact_sheet.html.j2"
#: Status, its sign (so that colour is not the only mark), and what it means.
LEGEND = (
    ("done", "✓", "analysed; the number is the probability of brown fat"),
    (NOT_ASSESSABLE, "–", "analysed as far as it goes; no number can be given, the reason is told"),
    (REFUSED, "×", "the input cannot be used as it is; the reason and a way out are told"),
    (FAILED, "!", "something went wrong during the analysis; it can be tried again"),
    (PENDING, "…", "not run yet"),
)


def write_sheet(path: Path, records: list[Record], summary: dict[str, Any]) -> bool:
    """Write the contact sheet whole; False where Jinja2 is not installed."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        return False
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    text = environment.get_template(TEMPLATE).render(
        statement=RESEARCH_USE_ONLY,
        demonstration=summary["demonstration"],
        written=summary["written"],
        version=summary["software"]["version"],
        models=_models(summary),
        method=(summary["options"] or {}).get("method"),
        counts=summary["status"],
        cases=summary["cases"],
        same_images=summary["same_images"],
        mixed=summary["mixed_settings"],
        legend=[{"status": status, "sign": sign, "meaning": meaning} for status, sign, meaning in LEGEND],
        rows=[_card(record) for record in records],
    )
    with whole_file(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return True


def _card(record: Record) -> dict[str, Any]:
    """What the page tells of a case; short keys, because there are thousands."""
    prediction, adipose = record.get("prediction"), record.get("adipose_ml")
    card = {
        "id": record["case"],
        "s": record["status"],
        "p": None if prediction is None else round(float(prediction), 4),
        "code": record.get("code"),
        "why": record.get("why"),
        "ml": None if adipose is None else round(float(adipose), 1),
        "right": _rounded(record.get("adipose_right_ml")),
        "left": _rounded(record.get("adipose_left_ml")),
        "method": record.get("method"),
        "f": [finding["text"] for finding in record.get("findings") or []],
        "w": record.get("warnings") or [],
        "sec": record.get("seconds"),
        "layout": record.get("layout"),
        "report": True if record.get("report") else None,
    }
    return {key: value for key, value in card.items() if value not in (None, [], "")}


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 1)


def _models(summary: dict[str, Any]) -> list[str]:
    return [
        f"{stage}: {facts.get('name')} ({str(facts.get('sha256') or '')[:12]})"
        for stage, facts in sorted((summary["models"] or {}).items())
    ]

"""The contact sheet: what it holds, and that nothing in it can run or be loaded from elsewhere."""

import json
import re
import time

import pytest
from small_engine import GOOD, NOT_ASSESSABLE, REFUSED

from BATNetLib.batch.output import OutputFolder
from BATNetLib.batch.sheet import write_sheet
from BATNetLib.batch.tables import summarise

pytest.importorskip("jinja2")


def rows_of(text):
    return json.loads(re.search(r"^const rows = (.*);$", text, re.MULTILINE)[1])


@pytest.fixture
def sheet(tmp_path, scan, batch):
    for number, what in enumerate((GOOD, NOT_ASSESSABLE, REFUSED)):
        scan(tmp_path / "study" / f"Doe_{number}" / "ct.nii.gz", what, value=60)
    batch(tmp_path / "study", tmp_path / "out")
    return (tmp_path / "out" / "contact-sheet.html").read_text(encoding="utf-8")


def test_every_case_is_on_it_with_what_a_reader_needs(tmp_path, sheet):
    rows = {row["s"]: row for row in rows_of(sheet)}
    assert set(rows) == {"done", "not-assessable", "refused"}
    assert rows["done"]["p"] == pytest.approx(0.595, abs=0.001)
    assert rows["done"]["f"] == ["Slices are 5 mm thick."]
    assert rows["done"]["w"] == ["Something to know."]
    assert rows["not-assessable"]["why"] == "The apex is cut off." and "p" not in rows["not-assessable"]
    assert rows["refused"]["code"] == "not-hu"
    for status in ("done", "not-assessable"):
        assert (tmp_path / "out" / "cases" / rows[status]["id"] / "thumbnail.jpg").stat().st_size < 30_000
    assert "Research use only" in sheet
    assert "Made with a demonstration model, trained on phantoms" in sheet
    assert "There is no validated threshold" in sheet
    assert "Doe" not in sheet


def test_nothing_is_loaded_from_elsewhere(sheet):
    assert not re.search(r"https?:|src=[\"']|@import|url\(", sheet)
    assert "default-src 'none'" in sheet


def test_names_that_users_keep_cannot_become_code(tmp_path):
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    records = [{"case": evil, "status": "refused", "why": evil, "code": "x", "time": 1.0}]
    output = OutputFolder(tmp_path)
    write_sheet(tmp_path / "sheet.html", records, summarise(output, records))
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 1 and "<img" not in text
    assert rows_of(text)[0]["id"] == evil


def test_ten_thousand_cases_are_written_in_seconds_and_a_page_holds_few_of_them(tmp_path):
    records = [
        {
            "case": f"case-{n:05d}",
            "status": "done",
            "time": 1.0,
            "prediction": n / 10_000,
            "warnings": ["Something to know."],
            "content": str(n),
            "seconds": 1.0,
        }
        for n in range(10_000)
    ]
    started = time.perf_counter()
    summary = summarise(OutputFolder(tmp_path), records)
    write_sheet(tmp_path / "sheet.html", records, summary)
    assert time.perf_counter() - started < 5
    assert (tmp_path / "sheet.html").stat().st_size < 3_000_000
    assert "const PAGE = 60;" in (tmp_path / "sheet.html").read_text(encoding="utf-8")

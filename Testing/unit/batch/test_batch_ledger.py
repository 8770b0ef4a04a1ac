"""The journal: torn lines, several writers, adoption of finished results."""

import json

from BATNetLib.batch.ledger import Ledger, write_case_file


def record(case, time=1.0, status="done", **more):
    return {
        "case": case,
        "status": status,
        "time": time,
        "settings": "s",
        "quick": "q",
        "content": "c",
        **more,
    }


def test_a_torn_last_line_at_any_byte_costs_only_itself(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.append(record("a"))
    ledger.append(record("b"))
    ledger.close()
    whole = ledger.path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        ledger.path.write_bytes(whole[:length])
        again = Ledger(tmp_path)
        again.refresh()
        assert list(again.records) == ["a"]
        again.append(record("c"))
        again.close()
        last = Ledger(tmp_path)
        last.refresh()
        assert {"a", "c"} <= set(last.records) <= {"a", "b", "c"}


def test_the_latest_record_of_a_case_counts_whoever_wrote_it(tmp_path):
    one, two = Ledger(tmp_path, (1, 2)), Ledger(tmp_path, (2, 2))
    one.append(record("a", 1.0))
    two.append(record("a", 3.0, "failed"))
    two.append(record("b", 3.0))
    one.append(record("a", 2.0, "refused"))
    for ledger in (one, Ledger(tmp_path)):
        assert ledger.refresh()
        assert {c: r["status"] for c, r in ledger.records.items()} == {"a": "failed", "b": "done"}
        assert not ledger.refresh()


def test_lines_that_nobody_understands_are_counted_and_left_out(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(
        b'\0\0\0\0\n{"case": 3}\n[1]\nnull\n{"case": "x", "status": "odd", "time": 1}\n'
        + json.dumps(record("a")).encode()
        + b"\n"
    )
    ledger = Ledger(tmp_path)
    ledger.refresh()
    assert list(ledger.records) == ["a"]
    assert ledger.damaged == 5


def test_a_finished_folder_without_a_line_is_adopted_once(tmp_path):
    for case, time in (("a", 2.0), ("b", 5.0)):
        (tmp_path / "cases" / case).mkdir(parents=True)
        write_case_file(tmp_path / "cases" / case, record(case, time))
    ledger = Ledger(tmp_path / "state")
    ledger.append(record("b", 6.0, "refused"))
    assert ledger.adopt(tmp_path / "cases", ["a", "b", "missing"]) == ["a"]
    assert ledger.records["b"]["status"] == "refused", "an older result does not undo what came after it"
    again = Ledger(tmp_path / "state")
    again.refresh()
    assert again.adopt(tmp_path / "cases", ["a", "b"]) == []

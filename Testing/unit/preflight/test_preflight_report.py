"""Findings, overrides and limits as values."""

from __future__ import annotations

import json

import pytest

from BATNetLib.errors import UsageError
from BATNetLib.preflight import BLOCK, CODES, NOTE, WARN, Finding, PreflightLimits, PreflightReport


def report() -> PreflightReport:
    return PreflightReport(
        [
            Finding("arms", NOTE, "Arms.", "Look."),
            Finding("no-lungs", BLOCK, "No lungs.", "Take another scan."),
            Finding("contrast", WARN, "Contrast.", "Beware.", {"vessels_hu": 180.0}),
            Finding("apex-missing", BLOCK, "Starts low.", "Take another scan.", {"above_apex_mm": 1.5}),
        ],
        PreflightLimits().as_dict(),
    )


def test_the_worst_comes_first() -> None:
    assert [f.level for f in report().findings] == [BLOCK, BLOCK, WARN, NOTE]


def test_only_findings_that_block_and_are_not_overridden_block() -> None:
    one = report()
    assert [f.code for f in one.blocking] == ["no-lungs", "apex-missing"]
    one.apply_overrides({"apex-missing": "  the neck was\nscanned apart "})
    assert [f.code for f in one.blocking] == ["no-lungs"]
    assert [f.override for f in one.overridden] == ["the neck was scanned apart"]
    assert one.of("apex-missing").override == "the neck was scanned apart"


@pytest.mark.parametrize("reason", ["", "   ", None, 3])
def test_an_override_without_a_reason_is_refused_and_changes_nothing(reason) -> None:
    one = report()
    with pytest.raises(UsageError) as refusal:
        one.apply_overrides({"apex-missing": "good reason", "no-lungs": reason})
    assert refusal.value.code == "override-without-reason"
    assert len(one.blocking) == 2


def test_an_override_of_a_finding_that_does_not_exist_is_refused() -> None:
    one = report()
    with pytest.raises(UsageError) as refusal:
        one.apply_overrides({"no-lung": "typing error"})
    assert refusal.value.code == "override-unknown"
    assert "no-lungs" in refusal.value.remedy
    assert len(one.blocking) == 2


def test_overrides_of_other_findings_are_left_alone() -> None:
    one = report()
    one.apply_overrides({"not-hu": "for another scan of the batch", "contrast": "known"})
    assert one.overridden == []
    assert len(one.blocking) == 2


def test_a_report_is_plain_json() -> None:
    one = report()
    one.apply_overrides({"no-lungs": "mask drawn by hand"})
    plain = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert plain["blocked"] is True
    assert plain["overrides"] == [{"code": "no-lungs", "reason": "mask drawn by hand"}]
    assert {f["code"] for f in plain["findings"]} == {"no-lungs", "apex-missing", "contrast", "arms"}
    assert plain["limits"]["blood_warn"] == 100.0


def test_every_code_is_stable_kebab_case() -> None:
    assert all(code == code.lower() and " " not in code for code in CODES)
    with pytest.raises(ValueError, match="unknown finding"):
        Finding("never-heard-of", BLOCK, "", "")
    with pytest.raises(ValueError, match="of level"):
        Finding("arms", "error", "", "")


def test_limits_come_from_a_mapping_or_a_json_file(tmp_path) -> None:
    assert PreflightLimits.of({"blood_warn": 150}).blood_warn == 150
    assert PreflightLimits.of({"fat_peak_warn": [-130, -50]}).fat_peak_warn == (-130, -50)
    (tmp_path / "limits.json").write_text('{"slice_mm_warn": 3}')
    from_file = PreflightLimits.of(tmp_path / "limits.json")
    assert from_file.slice_mm_warn == 3
    assert from_file.slice_mm_block == PreflightLimits().slice_mm_block
    assert PreflightLimits.of(None) == PreflightLimits.of(PreflightLimits()) == PreflightLimits()
    assert PreflightLimits.of(PreflightLimits().as_dict()) == PreflightLimits()


@pytest.mark.parametrize(
    "bad",
    [
        {"blood": 150},
        {"blood_warn": "high"},
        {"blood_warn": True},
        {"blood_warn": float("nan")},
        {"fat_peak_warn": -100},
        {"fat_peak_warn": [-50, -100]},
        {"fat_peak_warn": [-100]},
    ],
)
def test_limits_that_are_none_are_refused(bad: dict) -> None:
    with pytest.raises(UsageError) as refusal:
        PreflightLimits.of(bad)
    assert refusal.value.code == "preflight-limits"


@pytest.mark.parametrize("content", ["{", "[1]", None])
def test_files_that_hold_no_limits_are_refused_without_their_folder(tmp_path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "limits.json").write_text(content)
    with pytest.raises(UsageError) as refusal:
        PreflightLimits.of(tmp_path / "limits.json")
    assert "limits.json" in refusal.value.found
    assert str(tmp_path) not in str(refusal.value)

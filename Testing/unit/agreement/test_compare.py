"""Agreement over a folder of reads: what is measured, what is left out, and that it is said in words."""

import numpy as np
import pytest
from readsfolder import GRID, ball, cohort, keep, scores_of

from BATNetLib.agreement import Options, agreement, find_reads
from BATNetLib.agreement.compare import ALL
from BATNetLib.agreement.kappa import weighted_kappa
from BATNetLib.annotation.record import DEPOTS
from BATNetLib.annotation.store import Store
from BATNetLib.errors import Cancelled, InputRefused, UsageError
from BATNetLib.evaluation.overlap import compare_masks
from BATNetLib.events import Events
from BATNetLib.volume import Grid

QUICK = Options(resamples=200)
HERE, THERE = ball((10.0, 22.0, -12.0), 8.0), ball((13.0, 22.0, -12.0), 8.0)
NOTHING = np.zeros(GRID.shape, bool)


def codes(events):
    return [w["code"] for w in events.warnings]


def test_masks_volumes_and_scores_are_those_of_the_saved_reads(tmp_path):
    store = Store(tmp_path)
    first = scores_of(lambda depot, side: DEPOTS.index(depot) % 3)
    second = scores_of(lambda depot, side: 2 if side == "left" else DEPOTS.index(depot) % 3)
    keep(store, "P1", "anna", HERE, scores=first)
    keep(store, "P1", "ben", THERE, scores=second)
    result = agreement(tmp_path, ["anna", "ben"], QUICK)
    (pair,) = result.pairs
    expected = compare_masks(HERE, THERE, GRID.spacing, tolerance_mm=2.0)
    assert pair.overlap == expected and pair.state == "both" and 0.5 < expected.dice < 0.95
    assert result.volumes["P1"] == pytest.approx({"anna": HERE.sum() * 0.012, "ben": THERE.sum() * 0.012})
    (a, b), patients = result.scored(("anna", "ben"), ALL)
    assert len(a) == 12 and patients == ["P1"] * 12
    assert result.kappa("anna", "ben").estimate.value == weighted_kappa(a, b).estimate.value
    assert len(result.scored(("anna", "ben"), "left")[1]) == 6
    assert result.scored(("anna", "ben"), "axillary")[0] == [[2, 2], [2, 2]]


def test_the_order_of_readers_is_the_order_of_differences(tmp_path):
    store = Store(tmp_path)
    for case, radius in (("P1", 6.0), ("P2", 8.0), ("P3", 10.0)):
        keep(store, case, "anna", ball((10.0, 22.0, -12.0), radius + 2))
        keep(store, case, "ben", ball((10.0, 22.0, -12.0), radius))
    forward, backward = (
        agreement(tmp_path, ["anna", "ben"], QUICK),
        agreement(tmp_path, ["ben", "anna"], QUICK),
    )
    bias = forward.limits("anna", "ben").bias.value
    assert bias > 0 and backward.limits("ben", "anna").bias.value == pytest.approx(-bias)
    assert forward.icc().estimate.value == pytest.approx(backward.icc().estimate.value)


def test_empty_masks_are_told_apart_and_count_as_no_volume(tmp_path):
    store = Store(tmp_path)
    for case, a, b in (
        ("P1", HERE, NOTHING),
        ("P2", NOTHING, HERE),
        ("P3", NOTHING, NOTHING),
        ("P4", HERE, THERE),
    ):
        keep(store, case, "anna", a)
        keep(store, case, "ben", b)
    result = agreement(tmp_path, None, QUICK)
    assert result.states("anna", "ben") == {
        "both": 1, "both-empty": 1, "first-empty": 1, "second-empty": 1, "not-compared": 0,
    }  # fmt: skip
    assert result.overlap("anna", "ben")["dice"][0].n == 1
    assert result.limits("anna", "ben").n == 4 and result.volumes["P3"] == {"anna": 0.0, "ben": 0.0}
    assert {c.case: len(c.regions) for c in result.regions}["P3"] == 0


def test_nobody_marked_anything_anywhere_and_nobody_scored(tmp_path):
    store = Store(tmp_path)
    for case in ("P1", "P2"):
        for reader in ("anna", "ben"):
            keep(store, case, reader, NOTHING)
    result = agreement(tmp_path, None, QUICK)
    words = " ".join(result.words())
    assert "no case in which both marked something" in words
    assert "the volumes do not vary" in words and "nothing that both scored" in words


def test_who_has_not_read_or_not_finished_a_case_is_named(tmp_path):
    store = Store(tmp_path)
    keep(store, "P1", "anna", HERE)
    keep(store, "P1", "ben", THERE)
    keep(store, "P2", "anna", HERE)
    keep(store, "P3", "anna", HERE)
    keep(store, "P3", "ben", HERE, status="draft")
    result = agreement(tmp_path, None, QUICK)
    assert result.cases == ["P1"]
    assert [(e.case, e.reader, e.words) for e in result.left_out] == [
        ("P2", "ben", "ben has not read it."),
        ("P3", "ben", "The read of ben is a draft."),
    ]
    with_drafts = agreement(tmp_path, None, Options(resamples=200, drafts=True))
    assert with_drafts.cases == ["P1", "P3"]
    assert any("may still change" in text for text in with_drafts.remarks)


def test_masks_on_other_grids_are_not_compared_and_it_is_said(tmp_path):
    store = Store(tmp_path)
    other = Grid.canonical((8, 20, 30), (3.0, 2.0, 2.0), (-29.0, 0.0, 0.0))
    keep(store, "P1", "anna", HERE, ct=None)
    keep(store, "P1", "ben", ball((10.0, 22.0, -12.0), 8.0, other), grid=other, ct=None)
    keep(store, "P2", "anna", HERE)
    keep(store, "P2", "ben", THERE)
    events = Events()
    result = agreement(tmp_path, None, QUICK, events=events)
    assert result.states("anna", "ben")["not-compared"] == 1
    assert result.of("anna", "ben")[0].problem == "The masks of anna and ben lie on different grids."
    assert result.limits("anna", "ben").n == 2  # a volume needs no common grid
    assert [c.case for c in result.regions] == ["P2"]
    assert any("different grids" in w["text"] for w in events.warnings)


def test_reads_made_on_another_ct_do_not_count(tmp_path):
    store = Store(tmp_path)
    for reader, ct in (("anna", "x"), ("ben", "y"), ("cleo", "y")):
        keep(store, "P1", reader, HERE, ct=ct)
    result = agreement(tmp_path, None, QUICK)
    assert set(result.volumes["P1"]) == {"ben", "cleo"}
    assert result.left_out[0].words == "The read of anna was made on another CT."
    keep(store, "P1", "cleo", HERE, ct="z")
    with pytest.raises(InputRefused, match="on different CTs"):
        agreement(tmp_path, ["ben", "cleo"], QUICK)


def test_a_damaged_version_is_skipped_by_name(tmp_path):
    store = Store(tmp_path)
    keep(store, "P1", "anna", HERE)
    keep(store, "P1", "ben", THERE)
    newer = keep(store, "P1", "ben", HERE)
    newer.file("brown").write_bytes(b"no mask")
    reads = find_reads(tmp_path)
    assert reads.versions["P1"]["ben"].number == 1
    assert reads.remarks == ["Case P1: v0002 of ben is damaged; v0001 before was compared."]


def test_the_adjudicated_masks_are_no_reader_unless_asked_for(tmp_path):
    store = Store(tmp_path)
    for reader in ("anna", "ben", "adjudicated"):
        keep(store, "P1", reader, HERE)
    assert find_reads(tmp_path).readers == ("anna", "ben")
    assert find_reads(tmp_path, ["ben", "adjudicated"]).readers == ("ben", "adjudicated")


def test_several_readers_are_compared_by_pairs_and_together(tmp_path):
    cohort(tmp_path, ("anna", "ben", "cleo"), cases=6)
    result = agreement(tmp_path, None, QUICK)
    assert result.reader_pairs == [("anna", "ben"), ("anna", "cleo"), ("ben", "cleo")]
    assert len(result.pairs) == 18
    single = [p.measures()["dice"] for p in result.pairs]
    together = result.overlap_together()["dice"][0]
    assert together.value == pytest.approx(np.mean(single)) and together.n == 6
    assert result.icc().estimate.n == 6
    kappas = [result.kappa(*pair).estimate.value for pair in result.reader_pairs]
    assert result.kappa_together().value == pytest.approx(np.mean(kappas))


def test_regions_have_sides_where_a_record_tells_the_plane_and_say_so_where_none_does(tmp_path):
    store = Store(tmp_path)
    left, right = ball((20.0, 22.0, -12.0), 6.0), ball((-20.0, 22.0, -12.0), 8.0)
    keep(store, "P1", "anna", left | right)
    keep(store, "P1", "ben", NOTHING, midplane=None)
    keep(store, "P2", "anna", left, midplane=None)
    keep(store, "P2", "ben", NOTHING, midplane={"x_lps_mm": 3.0})
    result = agreement(tmp_path, None, QUICK)
    assert [(r.side, r.has) for r in result.regions[0].regions] == [("right", ("anna",)), ("left", ("anna",))]
    assert [r.side for r in result.regions[1].regions] == [None]
    assert any("without a mid-plane" in text and "P2" in text for text in result.remarks)


def test_patients_with_several_scans_are_drawn_whole_and_warned_of(tmp_path):
    cohort(tmp_path, cases=6)
    cases = [f"P{n:02d}" for n in range(6)]
    events = Events()
    patients = {case: "one" if n < 3 else "two" for n, case in enumerate(cases)}
    result = agreement(tmp_path, None, QUICK, patients=patients, events=events)
    assert result.overlap("anna", "ben")["dice"][0].method == "bootstrap of 2 patients"
    assert codes(events) == ["few-patients", "repeated-patients"]
    with pytest.raises(InputRefused, match="without a patient"):
        agreement(tmp_path, None, QUICK, patients={"P00": "one"})


def test_what_cannot_be_compared_is_refused_in_words(tmp_path):
    with pytest.raises(UsageError, match="holds no reads"):
        agreement(tmp_path / "nothing")
    store = Store(tmp_path)
    keep(store, "P1", "anna", HERE)
    with pytest.raises(UsageError, match="one reader only"):
        agreement(tmp_path)
    with pytest.raises(UsageError, match="No reads of zoe"):
        agreement(tmp_path, ["anna", "zoe"])
    keep(store, "P2", "ben", HERE)
    with pytest.raises(InputRefused, match=r"two of anna, ben\. For example P1: ben has not"):
        agreement(tmp_path)
    with pytest.raises(UsageError, match="tolerance"):
        agreement(tmp_path, None, Options(tolerance_mm=0.0))


def test_a_comparison_stops_when_asked(tmp_path):
    cohort(tmp_path, cases=2)
    events = Events()
    events.cancel()
    with pytest.raises(Cancelled):
        agreement(tmp_path, events=events)


def test_the_words_for_a_panel_name_every_pair(tmp_path):
    cohort(tmp_path, ("anna", "ben"), cases=5)
    words = agreement(tmp_path, None, QUICK).words()
    assert words[0] == "5 cases with two reads or more."
    assert any(line.startswith("anna and ben: Dice 0.") for line in words)
    assert any("linear weighted kappa" in line for line in words) and any(
        "ICC(2,1)" in line for line in words
    )

"""Several readers: nobody is led by another; their reads are compared, and their disagreements decided."""

from __future__ import annotations

import json

import annotate_cases as work
import numpy as np
import pytest
import slicer
from annotate_cases import open_annotate, open_list, settle

from BATNetLib.annotation.record import Record, no_scores
from BATNetLib.annotation.store import Store


@pytest.fixture
def reads(tmp_path):
    """Two readers have finished anna and berta: ben marks less than anja, and something that she does not."""
    study = work.cases(tmp_path, ("anna", "berta"))
    store = Store(tmp_path / "reads")
    for seed, case in ((3, "anna"), (4, "berta")):
        for reader in ("anja", "ben"):
            store.save(case, reader, mask(study, case, seed, reader), record=record(reader))
            store.lock_final(case, reader)
    return study


def record(reader):
    scores = no_scores()
    scores["supraclavicular"] = {"right": 2, "left": 2 if reader == "anja" else 1}
    scores["cervical"] = {"right": 1, "left": 0}
    return Record(status="done", scores=scores, seconds=60.0)


def mask(study, case, seed, reader):
    from BATNetLib.annotation.scanfile import read_mask_beside, read_scan_file

    ct = read_scan_file(study / case / "image.nii.gz")
    brown = read_mask_beside(study / case / "brown_fat_mask.nii.gz", ct, "brown")
    array = brown.array.copy()
    if reader == "ben":
        hit = np.argwhere(array)
        array[: hit[:, 0].min() + 2] = 0
        array[2:4, 40:44, 30:34] = 1
    return brown.with_array(array)


@pytest.fixture
def panel(open_panel, process_events, reads, tmp_path):
    panel = open_annotate(open_panel, work.Nearby())
    open_list(panel, process_events, reads, tmp_path / "reads", "Chief")
    panel.ask = lambda question: "afterwards" in question
    return panel


def compare(panel, process_events):
    panel.ui.compareButton.click()
    assert process_events(lambda: panel.agreement._job is None, 30)
    assert panel.agreement.comparison is not None, panel.ui.agreementNote.text
    return panel.agreement.comparison


def table(widget):
    return [
        [widget.item(row, column).text() for column in range(widget.columnCount)]
        for row in range(widget.rowCount)
    ]


def test_a_reader_with_open_cases_is_not_shown_what_others_saw(open_panel, process_events, reads, tmp_path):
    panel = open_annotate(open_panel, work.Nearby())
    open_list(panel, process_events, reads, tmp_path / "reads", "anja")
    assert panel.ui.compareButton.enabled, "all of anja's reads are final"
    store = Store(tmp_path / "reads")
    store.save("anna", "cora", mask(reads, "anna", 3, "ben"), record=Record())
    open_list(panel, process_events, reads, tmp_path / "reads", "cora")
    assert not panel.ui.compareButton.enabled
    assert "2 of your cases are not final yet" in panel.ui.agreementNote.text
    panel.agreement.compare()
    assert panel.agreement.comparison is None and panel.agreement._job is None
    assert [item.status for item in panel.list.worklist.items] == ["draft", "open"], "her own reads only"


def test_nothing_is_compared_against_the_users_word(panel, process_events):
    panel.ask = lambda question: False
    panel.ui.compareButton.click()
    assert panel.agreement._job is None and panel.runner.calls == []


def test_the_panel_shows_the_numbers_of_the_library(panel, process_events, tmp_path):
    from BATNetLib.agreement import agreement

    comparison = compare(panel, process_events)
    wanted = agreement(tmp_path / "reads")
    assert comparison.readers == ("anja", "ben")
    rows = {row[0]: row for row in table(panel.ui.agreementTable)}
    dice = wanted.overlap("anja", "ben")["dice"][0].value
    assert rows["Dice"][2].startswith(f"{dice:.2f}") and 0.5 < dice < 1
    bias = f"{wanted.limits('anja', 'ben').bias.value:.1f}".replace("-", "\N{MINUS SIGN}")
    assert rows["Volume: bias (mL)"][2].startswith(bias)
    kappa = wanted.kappa("anja", "ben", weights="quadratic").estimate.value
    assert rows["Scores: kappa, quadratic"][2].startswith(f"{kappa:.2f}")
    assert "Surface Dice (2 mm)" in rows and "Scores 0/1/2 (%)" in rows and "Volume: ICC(2,1)" in rows
    listed = sorted((c.case, region.number) for c in wanted.regions for region in c.regions)
    assert sorted(row.key for row in comparison.regions) == listed and len(listed) >= 4
    assert panel.ui.regionTable.rowCount == len(listed)


def test_a_click_shows_the_region_with_the_masks_of_both_readers(panel, process_events, tmp_path):
    comparison = compare(panel, process_events)
    row = next(n for n, region in enumerate(comparison.regions) if region.has == ("ben",))
    region = comparison.regions[row]
    panel.ui.regionTable.setCurrentCell(row, 0)
    panel.ui.regionTable.cellClicked.emit(row, 0)
    assert process_events(lambda: panel.session is not None and panel.session.case == region.case, 20)
    settle(panel, process_events)
    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    assert node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(region.inside[2], abs=3.1)
    segmentation = panel.session.nodes.segmentation
    names = [segmentation.GetSegmentation().GetNthSegment(n).GetName() for n in range(4)]
    assert names == ["Adipose tissue", "Brown fat", "anja", "ben"]
    assert not panel.session.editable and "compared" in panel.ui.caseNote.text
    ben = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "reader-1", panel.session.nodes.ct)
    matrix = np.linalg.inv(panel.session.nodes.affine)
    i, j, k = np.rint(matrix[:3, :3] @ region.inside + matrix[:3, 3]).astype(int)
    assert ben[k, j, i] == 1
    assert not (tmp_path / "reads" / region.case / "chief").exists(), "looking leaves nothing behind"


def test_deciding_region_by_region_writes_the_adjudicated_masks(panel, process_events, tmp_path):
    comparison = compare(panel, process_events)
    assert not panel.ui.adjudicateButton.enabled
    panel.ui.regionTable.setCurrentCell(0, 0)
    wanted = {}
    for _ in range(len(comparison.regions)):
        row = panel.ui.regionTable.currentRow()
        region = comparison.regions[row]
        wanted[region.key] = brown = "anja" in region.has
        (panel.ui.isBrownButton if brown else panel.ui.notBrownButton).click()
        assert process_events(lambda: panel._opening is None, 20)
        settle(panel, process_events)
    assert comparison.decisions == wanted
    panel.ui.adjudicateButton.click()
    assert process_events(lambda: panel.agreement._work is None, 20)
    assert "2 adjudicated masks are written" in panel.ui.agreementNote.text
    store = Store(tmp_path / "reads")
    for seed, case in ((3, "anna"), (4, "berta")):
        version = store.newest(case, "adjudicated")
        made, _fat, said = store.read(version)
        anja = mask(tmp_path / "study", case, seed, "anja")
        assert (made.array == anja.array).mean() > 0.999, "every region went as anja had it"
        assert said.edited_from == "adjudication of anja v0002, ben v0002"
        decisions = json.loads(next(version.folder.parent.glob("adjudication-*.json")).read_text())
        assert {d["decided_by"] for d in decisions["decisions"]} == {"Chief"}


def test_cancel_and_another_list_end_a_comparison(panel, process_events, reads, tmp_path):
    from stage import scripted_engine as script

    panel.runner = script.ScriptedRunner(script.stage("Compare reads", 1, 4), script.pause(30))
    panel.ui.compareButton.click()
    assert process_events(lambda: panel.ui.agreementBar.value == 250, 5)
    assert panel.ui.agreementCancelButton.visible or not panel.ui.agreementCancelButton.isHidden()
    panel.ui.agreementCancelButton.click()
    assert process_events(lambda: panel.agreement._job is None, 5)
    assert panel.ui.agreementNote.text == "Cancelled."
    panel.runner = work.Nearby()
    compare(panel, process_events)
    open_list(panel, process_events, reads, tmp_path / "other", "Chief")
    assert panel.agreement.comparison is None and panel.ui.regionTable.rowCount == 0


def test_an_engine_that_refuses_is_quoted(open_panel, process_events, tmp_path):
    panel = open_annotate(open_panel, work.Nearby())
    panel.ask = lambda question: True
    open_list(panel, process_events, work.cases(tmp_path, ("anna",)), tmp_path / "none", "Chief")
    panel.ui.compareButton.click()
    assert process_events(lambda: panel.agreement._job is None, 10)
    assert "holds no reads" in panel.ui.agreementNote.text

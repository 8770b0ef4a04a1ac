"""Nothing is lost: kills, closed scenes, reloads, locks, full disks, damaged files; and the panel says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import annotate_cases as work
import numpy as np
import pytest
import slicer
from annotate_cases import mask_array, open_annotate, open_case, open_list, settle, to_ras
from stage import modules

from BATNetLib.annotation.caselock import CaseLock
from BATNetLib.annotation.store import Store
from BATNetLib.errors import OutputRefused

READER = "Anna Reader"


@pytest.fixture
def study(tmp_path):
    return work.cases(tmp_path, ("anna", "berta"))


@pytest.fixture
def panel(open_panel, process_events, study, tmp_path):
    panel = open_annotate(open_panel, work.Nearby())
    open_list(panel, process_events, study, tmp_path / "reads")
    return panel


@pytest.fixture
def opened(panel, process_events):
    """The panel with anna open and painted upon; not saved."""
    open_case(panel, process_events, "anna")
    erase(panel)
    return panel


def erase(panel, number=0):
    """A stroke that takes some brown fat away."""
    panel.paint.choose_effect("Erase") if panel.ui.editor.activeEffect() is None else None
    brown = np.argwhere(mask_array(panel, "brown") > 0)
    panel.ui.editor.stroke(to_ras(panel, brown[(number * 37) % len(brown)]), 8.0)


def versions(tmp_path, case="anna"):
    return Store(tmp_path / "reads").verify(case, READER)


def saved_mask(tmp_path, case="anna"):
    """uint8 [k, j, i] of the newest version."""
    from BATNetLib.annotation.grids import to_slicer

    store = Store(tmp_path / "reads")
    return to_slicer(store.read(store.newest(case, READER))[0])[0]


# --- saving


def test_the_minute_saves_and_only_what_has_changed(opened, process_events, tmp_path):
    assert versions(tmp_path) == [] and "not saved yet" in opened.ui.caseLabel.text
    opened.saver._clock.setInterval(40)
    assert process_events(lambda: len(versions(tmp_path)) == 1, 10)
    settle(opened, process_events)
    assert (saved_mask(tmp_path) == mask_array(opened, "brown")).all()
    process_events(timeout=0.3)
    assert len(versions(tmp_path)) == 1, "an unchanged case is not saved again"
    erase(opened, 1)
    assert process_events(lambda: len(versions(tmp_path)) == 2, 10)
    settle(opened, process_events)
    first, second = versions(tmp_path)
    assert second.record.parent == first.number and second.record.status == "draft"
    assert set(second.record.files) == {"brown"}, "the adipose tissue was not edited"
    assert "version 2" in opened.ui.caseLabel.text and "not saved yet" not in opened.ui.caseLabel.text


def test_adipose_tissue_is_saved_once_it_was_edited_and_not_because_something_was_taken_back(
    opened, process_events, tmp_path
):
    opened.ui.undoButton.click()
    opened.ui.redoButton.click()
    opened.save()
    settle(opened, process_events)
    opened.ui.fatButton.click()
    assert opened.ui.editor.mrmlSegmentEditorNode().GetMaskMode() == (
        slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
    )
    opened.paint.choose_effect("Paint")
    opened.ui.editor.stroke(to_ras(opened, (4, 6, 8)), 10.0)
    fat = mask_array(opened, "adipose").copy()
    assert fat[4, 6, 8] == 1, "fat may be painted anywhere, also beyond the box of the fat"
    opened.save()
    settle(opened, process_events)
    assert [set(v.record.files) for v in versions(tmp_path)] == [{"brown"}, {"brown", "adipose"}]
    open_case(opened, process_events, "berta")
    open_case(opened, process_events, "anna")
    assert (mask_array(opened, "adipose") == fat).all()


def test_the_saver_wakes_every_minute():
    from BATNetAnnotateModule import saver

    assert saver.EVERY_MS == 60_000


def test_closing_the_scene_saves_first(opened, process_events, tmp_path):
    drawn = mask_array(opened, "brown").copy()
    slicer.mrmlScene.Clear(0)
    assert (saved_mask(tmp_path) == drawn).all()
    assert opened.session is None and opened.ui.caseLabel.text == "No case is open."
    open_case(opened, process_events, "anna")
    assert (mask_array(opened, "brown") == drawn).all()
    assert "Your draft goes on from version 1." in opened.ui.caseNote.text


def test_reloading_the_module_and_leaving_slicer_save_first(opened, process_events, tmp_path):
    drawn = mask_array(opened, "brown").copy()
    scratch = opened.opener.scratch
    modules.unload("BATNetAnnotate")
    assert (saved_mask(tmp_path) == drawn).all()
    assert not scratch.exists(), "what was read ahead is removed"
    assert list((tmp_path / "reads").glob("*/*/.lock")) == []
    panel = open_annotate(modules.open_panel, work.Nearby())
    assert panel.ui.readerEdit.text == READER, "the reader's name is remembered"
    open_list(panel, process_events, tmp_path / "study", tmp_path / "reads")
    open_case(panel, process_events, "anna")
    erase(panel, 3)
    drawn = mask_array(panel, "brown").copy()
    panel.saver.save()
    slicer.app.exit()
    assert (saved_mask(tmp_path) == drawn).all(), "a save that runs when Slicer ends is finished"


def test_strokes_while_a_case_is_being_left_are_saved_too(opened, process_events, tmp_path):
    opened.ui.nextButton.click()
    assert opened.saver.busy and opened.session.case == "anna"
    erase(opened, 6)
    drawn = mask_array(opened, "brown").copy()
    assert process_events(lambda: opened.session is not None and opened.session.case == "berta", 20)
    settle(opened, process_events)
    assert (saved_mask(tmp_path) == drawn).all() and len(versions(tmp_path)) == 2


def test_a_scene_that_closes_while_a_case_is_read_shows_no_case(panel, process_events):
    panel.open_case(panel.list.item("anna"))
    slicer.mrmlScene.Clear(0)
    process_events(timeout=1.0)
    settle(panel, process_events)
    assert panel.session is None and slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    assert open_case(panel, process_events, "anna").editable, "no lock was left behind"


@pytest.mark.parametrize("which", ["ct", "segmentation"])
def test_nodes_that_the_user_deletes_close_the_case_and_nothing_is_lost(
    opened, process_events, tmp_path, which
):
    drawn = mask_array(opened, "brown").copy()
    slicer.mrmlScene.RemoveNode(getattr(opened.session.nodes, which))
    assert (saved_mask(tmp_path) == drawn).all()
    assert process_events(lambda: opened.session is None, 5)
    assert "taken out of the scene" in opened.ui.statusLabel.text
    open_case(opened, process_events, "anna")
    assert (mask_array(opened, "brown") == drawn).all()


def test_a_segment_that_was_deleted_stops_nobody(opened, process_events, tmp_path):
    opened.save()
    settle(opened, process_events)
    opened.session.nodes.segmentation.GetSegmentation().RemoveSegment("brown")
    opened.session.changed()
    opened.saver.save()
    assert "no longer holds the segment" in opened.ui.statusLabel.text
    opened.ask = lambda question: False
    opened.ui.nextButton.click()
    assert opened.session.case == "anna"
    opened.ui.undoButton.click()
    asked = []
    opened.session.nodes.segmentation.GetSegmentation().RemoveSegment("brown")
    opened.ask = lambda question: asked.append(question) or True
    opened.ui.nextButton.click()
    assert process_events(lambda: opened.session is not None and opened.session.case == "berta", 20)
    settle(opened, process_events)
    assert len(asked) == 1 and len(versions(tmp_path)) == 1


def test_another_module_is_chosen_and_all_is_saved(opened, process_events, tmp_path):
    slicer.modules.batnetannotate.panel.exit()
    assert opened.ui.editor.activeEffect() is None, "nothing is painted by accident"
    assert opened.shortcuts.installed == {} and not opened.ui.editor.shortcuts_installed
    settle(opened, process_events)
    assert len(versions(tmp_path)) == 1
    slicer.modules.batnetannotate.panel.enter()
    assert "N" in opened.shortcuts.installed


def test_starting_over_keeps_the_draft_as_a_version(opened, process_events, tmp_path):
    before = mask_array(opened, "brown").copy()
    opened.save()
    settle(opened, process_events)
    assert not opened.ui.startOverButton.isHidden()
    opened.ui.startOverButton.click()
    assert process_events(lambda: opened.session is not None and opened._opening is None, 20)
    settle(opened, process_events)
    assert mask_array(opened, "brown").sum() > before.sum(), "the data set's mask is back"
    erase(opened, 5)
    opened.save()
    settle(opened, process_events)
    first, second = versions(tmp_path)
    assert first.damage is None and second.damage is None and second.record.parent == 1


KILLED = """
import sys
sys.path.insert(0, {stage!r})
sys.path[:0] = [{root!r}, {extension!r}]
import stage
stage.raise_curtain()
from pathlib import Path
import annotate_cases as work
import numpy as np
from stage import modules
from stage.event_loop import process_events
panel = work.open_annotate(modules.open_panel, work.Nearby())
work.open_list(panel, process_events, Path({study!r}), Path({reads!r}), {reader!r})
work.open_case(panel, process_events, "anna")
panel.paint.choose("no-hu-suv-2.0")
panel.paint.choose_effect("Erase")
print("open", panel.session.version or 0, flush=True)
number = 0
while True:
    number += 1
    brown = np.argwhere(work.mask_array(panel, "brown") > 0)
    panel.ui.editor.stroke(work.to_ras(panel, brown[(number * 37) % len(brown)]), 5.0)
    panel.saver.save()
    process_events(lambda: not panel.saver.busy, 20)
    print("saved", panel.session.version, int(work.mask_array(panel, "brown").sum()), flush=True)
"""


def test_killed_in_the_middle_of_saves_the_last_version_is_whole_and_the_draft_goes_on(
    study, tmp_path, open_panel, process_events
):
    """SIGKILL at a random moment of a panel that saves without pause; three times, one after the other."""
    here = Path(__file__).parent
    program = KILLED.format(
        stage=str(here),
        root=str(work.ROOT),
        extension=str(work.ROOT / "BATNetExtension"),
        study=str(study),
        reads=str(tmp_path / "reads"),
        reader=READER,
    )
    random = np.random.default_rng(5)
    told = {}
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for line in child.stdout:
            if line.startswith("saved"):
                break
            if line.startswith("open"):
                assert int(line.split()[1]) >= max(told, default=0), "the draft of before is offered again"
        told[int(line.split()[1])] = int(line.split()[2])
        time.sleep(float(random.uniform(0.02, 0.5)))
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            parts = line.split()
            if len(parts) == 3 and parts[0] == "saved":
                told[int(parts[1])] = int(parts[2])
        child.wait()
        whole = [version for version in versions(tmp_path) if version.damage is None]
        assert whole == versions(tmp_path), "no version is ever half"
        assert {v.number for v in whole} >= set(told), "what was said to be saved is there"
        for version in whole:
            if version.number in told:
                assert version.record.files["brown"]["voxels"] == told[version.number]
    panel = open_annotate(open_panel, work.Nearby())
    open_list(panel, process_events, study, tmp_path / "reads")
    session = open_case(panel, process_events, "anna")
    assert session.editable, "the lock of a killed process of this computer is taken over"
    assert (mask_array(panel, "brown") == saved_mask(tmp_path)).all()
    assert "Your draft goes on" in panel.ui.caseNote.text


OTHER = """
import sys
sys.path.insert(0, {stage!r})
sys.path[:0] = [{root!r}, {extension!r}]
import stage
stage.raise_curtain()
from pathlib import Path
import annotate_cases as work
import numpy as np
from stage import modules
from stage.event_loop import process_events
panel = work.open_annotate(modules.open_panel, work.Nearby())
work.open_list(panel, process_events, Path({study!r}), Path({reads!r}), {reader!r})
work.open_case(panel, process_events, "anna")
print("open", flush=True)
sys.stdin.readline()
panel.paint.choose_effect("Erase")
brown = np.argwhere(work.mask_array(panel, "brown") > 0)
panel.ui.editor.stroke(work.to_ras(panel, brown[100]), 9.0)
modules.unload("BATNetAnnotate")
print("gone", int(work.Store({reads!r}).newest("anna", {reader!r}).record.files["brown"]["voxels"]))
"""


def test_two_slicers_on_one_folder_do_not_destroy_each_others_work(panel, process_events, study, tmp_path):
    program = OTHER.format(
        stage=str(Path(__file__).parent),
        root=str(work.ROOT),
        extension=str(work.ROOT / "BATNetExtension"),
        study=str(study),
        reads=str(tmp_path / "reads"),
        reader=READER,
    )
    program = program.replace("work.Store", "__import__('BATNetLib.annotation.store', fromlist=['x']).Store")
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout.readline() == "open\n"
    session = open_case(panel, process_events, "anna")
    assert not session.editable and f"process {child.pid}" in panel.ui.caseNote.text
    open_list(panel, process_events, study, tmp_path / "reads", "Ben Reader")
    assert open_case(panel, process_events, "anna").editable, "another reader works on the same case"
    erase(panel, 8)
    panel.save()
    settle(panel, process_events)
    child.stdin.write("\n")
    child.stdin.flush()
    told = child.stdout.read().split()
    child.wait()
    assert told[0] == "gone" and [v.damage for v in versions(tmp_path)] == [None]
    assert versions(tmp_path)[0].record.files["brown"]["voxels"] == int(told[1])
    assert len(Store(tmp_path / "reads").verify("anna", "Ben Reader")) == 1
    open_list(panel, process_events, study, tmp_path / "reads", READER)
    session = open_case(panel, process_events, "anna")
    assert session.editable and int(mask_array(panel, "brown").sum()) == int(told[1])


# --- what stands in the way


def test_without_a_name_or_a_folder_no_list_is_opened(open_panel, study, tmp_path):
    panel = open_annotate(open_panel, work.Nearby())
    assert not panel.ui.openButton.enabled and panel.ui.openNote.text == (
        "Enter your name: your reads are kept under it."
    )
    panel.ui.readerEdit.text = READER
    assert "folder for your annotations" in panel.ui.openNote.text
    panel.ui.storeEdit.text = str(tmp_path / "reads")
    panel.ui.sourceEdit.text = str(study)
    assert panel.ui.openButton.enabled and panel.ui.openNote.text == ""


def test_a_folder_without_cases_and_the_folder_of_the_scans_are_refused_in_words(
    panel, process_events, study, tmp_path
):
    (tmp_path / "empty").mkdir()
    for source, store, words in (
        (tmp_path / "empty", tmp_path / "reads", ""),
        (study, study / "anna", "Nothing is written into the folders of inputs."),
    ):
        panel.ui.sourceEdit.text, panel.ui.storeEdit.text = str(source), str(store)
        panel.ui.openButton.click()
        assert process_events(lambda: panel._listing is None, 10)
        assert words in panel.ui.openNote.text and panel.ui.openNote.text
        assert str(tmp_path) not in panel.ui.openNote.text, "no folders in texts"


def other_computer(tmp_path, case="anna", age=0.0):
    """A lock as another computer leaves it."""
    store = Store(tmp_path / "reads")
    lock = CaseLock(store, case, READER).acquire()
    holder = json.loads(lock.path.read_text())
    lock.path.write_text(json.dumps({**holder, "host": "reading-room-2", "token": "theirs"}))
    if age:
        os.utime(lock.path, (time.time() - age, time.time() - age))
    store.held_locks.clear()
    return lock.path


def test_a_case_that_is_open_on_another_computer_is_shown_and_not_changed(panel, process_events, tmp_path):
    path = other_computer(tmp_path)
    session = open_case(panel, process_events, "anna")
    assert not session.editable and "reading-room-2" in panel.ui.caseNote.text
    assert not panel.ui.proposeButton.enabled and not panel.ui.saveButton.enabled
    assert panel.ui.editor.readOnly and not panel.ui.breakLockButton.isHidden()
    panel.saver.save()
    assert versions(tmp_path) == [] and json.loads(path.read_text())["host"] == "reading-room-2"
    asked = []
    panel.ask = lambda question: asked.append(question) or True
    panel.ui.breakLockButton.click()
    assert process_events(lambda: panel.session is not None and panel._opening is None, 20)
    settle(panel, process_events)
    assert panel.session.editable and "Take the case over?" in asked[0]
    erase(panel)
    panel.save()
    settle(panel, process_events)
    assert len(versions(tmp_path)) == 1


def test_a_stale_lock_is_explained(panel, process_events, tmp_path):
    other_computer(tmp_path, age=3600.0)
    open_case(panel, process_events, "anna")
    assert "It looks abandoned" in panel.ui.caseNote.text and "60 min ago" in panel.ui.caseNote.text


def test_a_lock_that_is_lost_keeps_what_is_open_and_can_be_taken_back(opened, process_events, tmp_path):
    drawn = mask_array(opened, "brown").copy()
    other_computer_takes_over(tmp_path)
    opened.saver.tick()
    settle(opened, process_events)
    assert "taken over" in opened.ui.statusLabel.text and versions(tmp_path) == []
    assert not opened.session.editable and (mask_array(opened, "brown") == drawn).all()
    opened.ask = lambda question: True
    opened.ui.breakLockButton.click()
    settle(opened, process_events)
    assert opened.session.editable and (saved_mask(tmp_path) == drawn).all()


def other_computer_takes_over(tmp_path):
    path = Store(tmp_path / "reads").folder("anna", READER) / ".lock"
    holder = json.loads(path.read_text())
    path.write_text(json.dumps({**holder, "host": "reading-room-2", "token": "theirs"}))


def test_a_folder_that_cannot_be_written_shows_the_case_and_says_so(panel, process_events, tmp_path):
    (tmp_path / "reads").mkdir(exist_ok=True)
    (tmp_path / "reads" / "anna").write_text("a file stands where the folder should be")
    session = open_case(panel, process_events, "anna")
    assert not session.editable and "cannot be written" in panel.ui.caseNote.text
    assert mask_array(panel, "brown").any(), "it can be looked at"


def test_a_full_disk_keeps_the_case_open_until_it_is_saved(opened, process_events, tmp_path, monkeypatch):
    drawn = mask_array(opened, "brown").copy()
    real = Store.save

    def full(*args, **kwargs):
        raise OutputRefused("disk-full", "The disk filled up.", "A version is whole or not.", "Make room.")

    monkeypatch.setattr(Store, "save", full)
    opened.ui.nextButton.click()
    settle(opened, process_events)
    assert opened.session.case == "anna" and "stays open" in opened.ui.statusLabel.text
    assert "The disk filled up." in opened.ui.statusLabel.text
    monkeypatch.setattr(Store, "save", real)
    opened.ui.nextButton.click()
    assert process_events(lambda: opened.session is not None and opened.session.case == "berta", 20)
    settle(opened, process_events)
    assert (saved_mask(tmp_path) == drawn).all()


def test_what_cannot_be_saved_when_the_scene_closes_is_kept_and_offered_again(
    opened, process_events, tmp_path, monkeypatch
):
    drawn = mask_array(opened, "brown").copy()
    opened.scores.score(2)
    real = Store.save

    def full(store, *args, **kwargs):
        if store.root == tmp_path / "reads":
            raise OutputRefused(
                "disk-full", "The disk filled up.", "A version is whole or not.", "Make room."
            )
        return real(store, *args, **kwargs)

    monkeypatch.setattr(Store, "save", full)
    slicer.mrmlScene.Clear(0)
    assert opened.session is None and "kept on this computer" in opened.ui.statusLabel.text
    monkeypatch.setattr(Store, "save", real)
    session = open_case(opened, process_events, "anna")
    assert (mask_array(opened, "brown") == drawn).all() and session.dirty
    assert session.scores["cervical"]["right"] == 2
    assert "could not be saved is here again" in opened.ui.statusLabel.text
    opened.save()
    settle(opened, process_events)
    assert (saved_mask(tmp_path) == drawn).all() and versions(tmp_path)[0].record.parent is None
    open_case(opened, process_events, "berta")
    open_case(opened, process_events, "anna")
    assert not opened.session.dirty and opened.ui.statusLabel.text == "", "saved is saved"


def test_a_case_that_was_taken_over_elsewhere_is_left_without_loss(opened, process_events, tmp_path):
    drawn = mask_array(opened, "brown").copy()
    other_computer_takes_over(tmp_path)
    opened.saver.tick()
    settle(opened, process_events)
    open_case(opened, process_events, "berta")
    assert versions(tmp_path) == []
    open_case(opened, process_events, "anna")
    assert (mask_array(opened, "brown") == drawn).all() and not opened.session.editable


def test_a_damaged_version_is_named_and_the_one_before_is_used(opened, process_events, tmp_path):
    opened.save()
    settle(opened, process_events)
    first = mask_array(opened, "brown").copy()
    erase(opened, 2)
    opened.save()
    settle(opened, process_events)
    newest = versions(tmp_path)[-1]
    newest.file("brown").write_bytes(newest.file("brown").read_bytes()[:-20])
    open_case(opened, process_events, "berta")
    open_case(opened, process_events, "anna")
    assert "v0002" in opened.ui.statusLabel.text and (mask_array(opened, "brown") == first).all()
    erase(opened, 4)
    opened.save()
    settle(opened, process_events)
    assert [v.number for v in versions(tmp_path)] == [1, 2, 3]
    assert versions(tmp_path)[-1].record.parent == 1


def test_a_scan_that_cannot_be_read_says_so_and_the_next_one_opens(panel, process_events, study):
    (study / "anna" / "image.nii.gz").write_bytes(b"this is no image")
    panel.open_case(panel.list.item("anna"))
    assert process_events(lambda: panel._opening is None, 30)
    assert panel.session is None and "image.nii.gz" in panel.ui.statusLabel.text
    open_case(panel, process_events, "berta")


def test_an_engine_that_dies_says_so(panel, process_events):
    from stage import scripted_engine as script

    panel.runner = script.ScriptedRunner(script.error("engine-crashed", "The engine was ended."))
    panel.open_case(panel.list.item("anna"))
    assert process_events(lambda: panel._opening is None, 10)
    assert panel.session is None and "engine" in panel.ui.statusLabel.text


def test_an_engine_that_leaves_nothing_behind_is_asked_once(panel, process_events):
    from stage import scripted_engine as script

    panel.runner = script.ScriptedRunner(script.result("nowhere"))
    panel.open_case(panel.list.item("anna"))
    assert process_events(lambda: panel._opening is None, 10)
    assert panel.session is None and len(panel.runner.calls) == 1
    assert "is not there any more" in panel.ui.statusLabel.text


def test_what_was_read_ahead_and_damaged_since_is_read_again(panel, process_events):
    open_case(panel, process_events, "anna")
    open_case(panel, process_events, "berta")
    calls = len(panel.runner.calls)
    path = panel.opener.scratch / "anna" / "ct.nrrd"
    path.write_bytes(path.read_bytes()[:-1000])
    open_case(panel, process_events, "anna")
    assert len(panel.runner.calls) > calls and panel.session.nodes.hu.min() < -500


def test_a_final_read_is_shown_and_never_changed(opened, process_events, tmp_path):
    opened.ask = lambda question: "final" in question
    opened.ui.lockButton.click()
    settle(opened, process_events)
    assert process_events(lambda: opened._locking is None and opened.session.final, 10)
    assert not opened.ui.saveButton.enabled and "final" in opened.ui.caseNote.text
    count = len(versions(tmp_path))
    open_case(opened, process_events, "berta")
    session = open_case(opened, process_events, "anna")
    assert session.final and not session.editable and opened.ui.breakLockButton.isHidden()
    assert len(versions(tmp_path)) == count
    assert opened.list.item("anna").locked
    opened.paint.choose_effect("Paint")
    assert opened.ui.editor.activeEffect() is None
    opened.ui.editor.setActiveEffectByName("Paint")
    assert opened.ui.editor.activeEffect() is None, "a key of the editor does not open what is closed"


def test_a_ct_that_was_exchanged_is_refused_or_named(opened, process_events, study, tmp_path):
    opened.save()
    settle(opened, process_events)
    open_case(opened, process_events, "berta")
    import nibabel

    path = study / "anna" / "image.nii.gz"
    image = nibabel.load(path)
    data = np.asarray(image.dataobj).copy()
    data[0, 0, 0] += 7
    nibabel.save(nibabel.Nifti1Image(data, image.affine, image.header), path)
    open_case(opened, process_events, "anna")
    assert "The CT has changed since the last save" in opened.ui.statusLabel.text


def test_without_a_mid_plane_no_side_is_told_and_nothing_is_copied_until_it_is_placed(
    opened, process_events, tmp_path, monkeypatch
):
    from BATNetAnnotateModule import mirror_card

    monkeypatch.setattr(mirror_card, "_plane_of", lambda ct: None)
    opened.ui.findPlaneButton.click()
    settle(opened, process_events)
    opened.paint.count()
    assert "No mid-plane was found" in opened.ui.planeNote.text and "right" not in opened.ui.volumeLabel.text
    before = mask_array(opened, "brown").copy()
    opened.ui.fromCombo.currentIndex = 1
    opened.ui.copyButton.click()
    settle(opened, process_events)
    assert (mask_array(opened, "brown") == before).all() and "move it" in opened.ui.planeNote.text
    opened.save()
    settle(opened, process_events)
    assert versions(tmp_path)[0].record.midplane is None
    opened.ui.shiftBox.value = 3.0
    opened.paint.count()
    assert "right" in opened.ui.volumeLabel.text
    opened.ui.copyButton.click()
    settle(opened, process_events)
    assert "added on the left" in opened.ui.planeNote.text
    opened.save()
    settle(opened, process_events)
    assert versions(tmp_path)[1].record.midplane["found"] is False


def test_volumes_that_are_loaded_make_a_work_list(open_panel, process_events, tmp_path):
    from result_cases import rotation, volume_node

    made = work.phantom()
    ct = volume_node(made.ct, "Chest CT", turn=rotation(9))
    panel = open_annotate(open_panel, work.Nearby())
    panel.ui.storeEdit.text, panel.ui.readerEdit.text = str(tmp_path / "reads"), READER
    assert panel.ui.sceneButton.enabled
    panel.ui.sceneButton.click()
    assert process_events(lambda: panel._listing is None, 10)
    assert [item.case for item in panel.list.worklist.items] == ["Chest CT"]
    panel.open_case(panel.list.item("Chest CT"))
    assert process_events(lambda: panel.session is not None, 20)
    settle(panel, process_events)
    assert panel.session.nodes.ct is ct and not panel.ui.findFatButton.isHidden()
    view = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS()
    axes = panel.session.nodes.affine[:3, :3] / np.linalg.norm(panel.session.nodes.affine[:3, :3], axis=0)
    along = np.abs(axes.T @ slicer.util.arrayFromVTKMatrix(view)[:3, :3])
    assert np.allclose(along, np.eye(3), atol=1e-6), "views lie along the slices of an oblique CT"
    panel.ui.findFatButton.click()
    settle(panel, process_events)
    assert mask_array(panel, "adipose").any()
    panel.ask = lambda question: "HU range only" in question
    panel.ui.proposeButton.click()
    settle(panel, process_events)
    assert panel.session.began_from == "proposal hu-only" and mask_array(panel, "brown").any()
    drawn = mask_array(panel, "brown").copy()
    panel.save()
    settle(panel, process_events)
    import nibabel

    image = nibabel.load(next((tmp_path / "reads").glob("*/*/v0001/brown_fat_mask.nii.gz")))
    assert (np.asarray(image.dataobj) == drawn.T).all()
    assert np.allclose(image.affine, panel.session.nodes.affine, atol=1e-4), "oblique: not resampled"
    assert set(Store(tmp_path / "reads").newest("Chest CT", READER).record.files) == {"brown", "adipose"}
    panel.leave(lambda ok: None)
    assert ct.GetScene() is not None, "a volume of the user's stays"


# --- keys


def test_a_case_is_done_by_keys_alone(panel, process_events, tmp_path):
    """Each key is pressed on the window, as Qt passes it on."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    frame = slicer.modules.batnetannotate.panel.widget
    frame.activateWindow()
    frame.setFocus()
    process_events(timeout=0.1)
    open_case(panel, process_events, "anna")

    def press(key, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(frame, key, modifier)
        process_events(timeout=0.02)
        settle(panel, process_events)

    alt, shift = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier
    press(Qt.Key.Key_F3)
    assert panel.session.criterion == "hu-180-10-suv-1.5"
    press(Qt.Key.Key_P)
    assert panel.session.began_from == "proposal hu-180-10-suv-1.5"
    press(Qt.Key.Key_M)
    assert not panel.mirror.view.shown
    press(Qt.Key.Key_M)
    assert panel.mirror.view.shown
    press(Qt.Key.Key_2, alt)
    press(Qt.Key.Key_1, alt)
    press(Qt.Key.Key_0, alt)
    assert panel.session.scores["cervical"] == {"right": 2, "left": 1}
    assert panel.session.scores["supraclavicular"]["right"] == 0
    press(Qt.Key.Key_Up, alt)
    press(Qt.Key.Key_3, alt)
    assert panel.session.scores["supraclavicular"]["right"] is None
    press(Qt.Key.Key_F, shift)
    assert panel.session.flagged
    press(Qt.Key.Key_H)
    assert panel.session.nodes.segmentation.GetDisplayNode().GetVisibility() == 0
    press(Qt.Key.Key_H)
    press(Qt.Key.Key_S, shift)
    assert len(versions(tmp_path)) == 1
    press(Qt.Key.Key_D, shift)
    assert process_events(lambda: panel.session is not None and panel.session.case == "berta", 20)
    settle(panel, process_events)
    assert versions(tmp_path)[-1].record.status == "done"
    press(Qt.Key.Key_N, shift)
    assert process_events(lambda: panel.session is not None and panel.session.case == "anna", 20)
    settle(panel, process_events)
    press(Qt.Key.Key_N)
    assert process_events(lambda: panel.session is not None and panel.session.case == "berta", 20)


def test_every_key_is_named_on_a_button(panel):
    import re

    import qt

    texts = [b.text for b in panel.root.findChildren(qt.QAbstractButton)]
    named = set(re.findall(r"\(([^()]+)\)", " ".join(texts)))
    assert set(panel.keys()) <= named, set(panel.keys()) - named
    taken = {"Z", "Y", "Q", "W", "1", "2"}
    assert taken <= named and not taken & set(panel.keys()), "those are keys of Slicer's segment editor"

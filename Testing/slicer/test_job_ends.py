"""No engine is left behind, and jobs find the real engine; plus the scripted engine for tests of panels."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from BATNetSlicer import job_words, processes
from BATNetSlicer.jobs import Engine, State
from job_cases import ENGINE, Notes, children
from stage import scripted_engine


def test_closing_waits_until_the_process_is_gone(run_engine, process_events):
    job, notes = run_engine("slow")
    assert process_events(until=lambda: notes.stages)
    job.close()
    assert job.state is State.CANCELLED
    assert not children()


def test_a_deaf_engine_is_gone_too_after_closing(run_engine, process_events):
    job, notes = run_engine("ignores_cancel")
    assert process_events(until=lambda: notes.stages)
    started = time.monotonic()
    job.close()
    assert time.monotonic() - started < 3
    assert not children()


def test_the_end_of_slicer_leaves_no_process_behind(run_engine, process_events, application):
    job, notes = run_engine("slow")
    assert process_events(until=lambda: notes.stages)
    application.exit()
    assert not children()
    assert job.state is State.CANCELLED


def test_a_job_that_is_dropped_in_the_middle_ends_its_engine(application, process_events):
    notes = Notes()
    job = Engine(sys.executable, (ENGINE, "slow")).start([], notes)
    assert process_events(until=lambda: notes.stages)
    del job
    gc.collect()
    assert process_events(until=lambda: not children(), timeout=5)
    assert process_events(until=lambda: not processes._leaving, timeout=5)


def test_closing_the_scene_cancels_the_run(scene, run_engine, process_events):
    job, notes = run_engine("slow")
    job.follow_scene(scene)
    assert process_events(until=lambda: notes.stages)
    scene.Clear(0)
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.CANCELLED
    assert not job._observed


def test_a_panel_that_fails_in_its_reports_does_not_stop_the_run(
    application, process_events, expected_exceptions
):
    class Clumsy(Notes):
        def stage(self, progress):
            raise KeyError("stage")

        def result(self, result):
            super().result(result)
            raise KeyError("result")

    notes = Clumsy()
    job = Engine(sys.executable, (ENGINE, "good")).start([], notes)
    assert process_events(until=lambda: job.state.is_over)
    assert job.state is State.DONE and notes.results and notes.states[-1] is State.DONE
    assert {type(error) for error in expected_exceptions} == {KeyError}
    expected_exceptions.clear()


def test_a_process_of_python_that_dies_takes_its_engine_with_it(tmp_path):
    """Slicer crashes: the engine sees its input close. Here the whole parent is killed."""
    parent = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "engines" / "parent.py"), ENGINE], stdout=subprocess.PIPE
    )
    number = int(parent.stdout.readline())
    assert psutil.pid_exists(number)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(number) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(number)


def test_the_engine_finds_the_library_and_gets_its_arguments(application, process_events):
    notes = Notes()
    job = Engine(sys.executable, (ENGINE, "tells_its_surroundings")).start(
        ["analyze", Path("a b") / "ü.nrrd"], notes
    )
    assert process_events(until=lambda: job.state.is_over)
    facts = job.answer.facts
    assert facts["library"] is True
    assert facts["arguments"][1:] == ["analyze", str(Path("a b") / "ü.nrrd"), "--events", "json"]
    assert facts["encoding"].lower().replace("-", "") == "utf8"


def test_the_real_engine_answers_in_the_contract(application, process_events):
    """``python -m BATNetLib`` itself, asked for something that does not exist."""
    notes = Notes()
    job = Engine().start(["analyze", "there-is-no-such-scan.nii.gz", "-o", "nowhere"], notes)
    assert process_events(until=lambda: job.state.is_over, timeout=60)
    assert job.state is State.FAILED
    assert notes.errors[0].exit_code in (2, 3)
    assert "Traceback" not in job.log_text()


def test_the_real_engine_ends_within_a_second_or_so_after_cancel(
    run_engine, application, process_events, tmp_path
):
    notes = Notes()
    job = Engine().start(["demo", "--size", "small", "--out", tmp_path / "demo"], notes)
    assert process_events(until=lambda: notes.stages or job.state.is_over, timeout=60)
    started = time.monotonic()
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=10)
    assert job.state is State.CANCELLED and time.monotonic() - started < 1.5
    assert not (tmp_path / "demo" / "result").exists()


@pytest.mark.parametrize(
    "line, clean",
    [
        ('File "/home/a b/c d/engine.py", line 3', 'File "engine.py", line 3'),
        ("reading /data/patients/doe/ct.nii.gz now", "reading ct.nii.gz now"),
        (r"reading C:\Users\doe\ct.nii.gz now", "reading ct.nii.gz now"),
        ("done 3/4 in a/b/c of https://example.org/a/b", "done 3/4 in a/b/c of https://example.org/a/b"),
    ],
)
def test_the_log_names_files_and_never_folders(line, clean):
    assert job_words.without_folders(line) == clean


def test_the_engine_runs_in_the_python_of_slicer_where_there_is_one(application, tmp_path, monkeypatch):
    assert processes.python_program() == sys.executable
    (tmp_path / "bin").mkdir()
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    (tmp_path / "bin" / name).touch()
    monkeypatch.setattr(type(application), "slicerHome", str(tmp_path))
    assert processes.python_program() == str(tmp_path / "bin" / name)


def test_a_scripted_engine_looks_like_a_real_one_to_a_panel(application, process_events):
    runner = scripted_engine.ScriptedRunner(
        scripted_engine.stage("segment", 1, 2),
        scripted_engine.warning("gap", "Two slices are missing."),
        scripted_engine.result("folder", probability=0.5),
    )
    notes = Notes()
    job = runner.start(["analyze", Path("ct.nrrd")], notes)
    assert process_events(until=lambda: job.state.is_over)
    assert notes.states == [State.RUNNING, State.DONE]
    assert notes.results[0].facts == {"probability": 0.5} and runner.calls == [["analyze", "ct.nrrd"]]


def test_a_scripted_engine_can_be_cancelled(application, process_events):
    runner = scripted_engine.ScriptedRunner(scripted_engine.pause(60), scripted_engine.result("never"))
    notes = Notes()
    job = runner.start([], notes)
    process_events(timeout=0.05)
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=2)
    assert notes.states == [State.RUNNING, State.CANCELLING, State.CANCELLED]
    assert not notes.results

"""The engine as a child process: what a user sees of it, with real processes that behave well and badly."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from BATNetSlicer import job_words, processes
from BATNetSlicer.jobs import Engine, JobListener, State
from stage import scripted_engine

ENGINE = str(Path(__file__).parent / "engines" / "engine.py")


class Notes(JobListener):
    """Writes down everything that a job reports."""

    def __init__(self):
        self.states, self.stages, self.warnings, self.results = [], [], [], []
        self.errors, self.lines, self.silences = [], [], []

    def state(self, state):
        self.states.append(state)

    def stage(self, progress):
        self.stages.append(progress)

    def warning(self, code, text):
        self.warnings.append((code, text))

    def result(self, result):
        self.results.append(result)

    def error(self, failure):
        self.errors.append(failure)

    def log(self, lines):
        self.lines += lines

    def silence(self, seconds):
        self.silences.append(seconds)


def children():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "engine.py" in " ".join(_command(child))
    ]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def run(application, process_events):
    """``run(behaviour)`` starts the scripted engine; returns (job, notes). Nothing may be left over at the
    end.
    """
    jobs = []

    def start(behaviour, **options):
        notes = Notes()
        engine = Engine(sys.executable, (ENGINE, behaviour), **options)
        jobs.append(engine.start([], notes))
        return jobs[-1], notes

    yield start
    for job in jobs:
        job.close()
    jobs.clear()
    assert process_events(until=lambda: not children(), timeout=5), "an engine was left behind"


@pytest.fixture
def finish(run, process_events):
    """``finish(behaviour)`` runs the scripted engine to its end."""

    def to_the_end(behaviour, timeout=20, **options):
        job, notes = run(behaviour, **options)
        assert process_events(until=lambda: job.state.is_over, timeout=timeout), f"still {job.state}"
        return job, notes

    return to_the_end


def test_a_good_run_reports_its_stages_its_warning_and_its_result(finish):
    job, notes = finish("good")
    assert notes.states == [State.RUNNING, State.DONE]
    assert notes.stages[-1].finished and notes.stages[-1].fraction == 1.0
    assert notes.warnings == [("gap", "Two slices are missing.")]
    assert [result.folder.name for result in notes.results] == ["result"]
    assert job.answer.facts == {"probability": 0.25}
    assert not notes.errors


def test_a_refusal_arrives_in_the_words_of_the_engine(finish):
    job, notes = finish("refuses")
    assert job.state is State.FAILED
    assert notes.errors[0].code == "mask-empty"
    assert notes.errors[0].text == "The mask is empty. Fat was expected. Draw it."
    assert notes.errors[0].exit_code == 3


def test_a_batch_with_failed_cases_still_has_its_result(finish):
    job, notes = finish("some_failed")
    assert job.state is State.DONE
    assert notes.results[0].exit_code == 4 and notes.results[0].facts == {"failed": 2}


def test_cancel_takes_effect_within_a_second(run, process_events):
    job, notes = run("slow")
    assert process_events(until=lambda: notes.stages)
    started = time.monotonic()
    job.cancel()
    assert job.state is State.CANCELLING
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert time.monotonic() - started < 1.0
    assert job.state is State.CANCELLED
    assert notes.states == [State.RUNNING, State.CANCELLING, State.CANCELLED]
    assert not notes.errors and not notes.results
    assert not children()


def test_cancel_before_the_engine_has_said_anything_works_too(run, process_events):
    job, _ = run("slow")
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.CANCELLED


def test_cancelling_twice_or_after_the_end_does_nothing(finish):
    job, notes = finish("good")
    job.cancel()
    job.close()
    assert job.state is State.DONE and notes.states[-1] is State.DONE


def test_an_engine_that_does_not_listen_is_ended_all_the_same(run, process_events):
    job, notes = run("ignores_cancel", grace_seconds=0.3)
    assert process_events(until=lambda: notes.stages)
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.CANCELLED
    assert not children()


def test_a_result_that_is_complete_wins_over_a_late_cancel(run, process_events):
    job, notes = run("late_result")
    process_events(timeout=0.3)
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.DONE and notes.results


@pytest.mark.parametrize("behaviour", ["flood", "flood_of_errors"])
def test_the_window_is_never_blocked_while_200000_lines_flood_in(run, process_events, gui_watch, behaviour):
    longest = []
    for _ in range(
        3
    ):  # a busy machine may stop the whole process once; what we do ourselves happens each time
        job, notes = run(behaviour)
        with gui_watch() as watch:
            assert process_events(until=lambda: job.state.is_over, timeout=60)  # noqa: B023
        assert job.state is State.DONE
        longest.append(watch.longest)
        if watch.longest < 0.1:
            break
    assert min(longest) < 0.1, f"blocked for {[round(1000 * seconds) for seconds in longest]} ms"
    assert len(job.log_text().splitlines()) <= 2000
    assert len(notes.stages) < 5000


def test_garbage_between_the_events_goes_to_the_log_and_does_no_harm(finish):
    job, notes = finish("garbage")
    assert job.state is State.DONE
    assert "Python 3.12 says hello" in job.log_text()
    assert '{"event": "nonsense"}' in job.log_text()
    assert {progress.name for progress in notes.stages} <= {"segment", "{'a': []}"}


def test_bytes_that_are_no_text_do_no_harm(finish):
    job, _ = finish("not_unicode")
    assert job.state is State.DONE
    assert "caf" in job.log_text()


def test_a_line_that_arrives_in_two_pieces_is_one_event_and_the_last_line_needs_no_end(finish):
    job, notes = finish("half_a_line")
    assert [progress.name for progress in notes.stages] == ["cut in two"]
    assert job.answer.folder == Path("late")


def test_a_line_without_end_does_not_fill_the_memory(finish):
    job, _ = finish("endless_line")
    assert job.state is State.DONE
    assert max(len(line) for line in job.log_text().splitlines()) <= 500


def test_an_engine_that_ends_without_an_answer_is_an_error_in_words(finish):
    job, notes = finish("no_answer")
    assert job.state is State.FAILED
    assert notes.errors[0].code == "engine-no-answer"
    assert "without an answer" in notes.errors[0].text


def test_an_engine_that_closes_its_output_early_is_waited_for(finish):
    job, notes = finish("closes_output")
    assert job.state is State.FAILED and notes.errors[0].code == "engine-no-answer"


@pytest.mark.skipif(os.name == "nt", reason="signals are a matter of Linux and macOS")
def test_a_crash_is_an_error_that_names_the_signal(finish):
    _, notes = finish("crash")
    assert notes.errors[0].code == "engine-crashed"
    assert "signal 11" in notes.errors[0].found


@pytest.mark.skipif(os.name == "nt", reason="signals are a matter of Linux and macOS")
def test_an_engine_killed_from_outside_says_that_memory_may_have_run_out(run, process_events):
    job, notes = run("slow")
    assert process_events(until=lambda: notes.stages and children())
    children()[0].send_signal(signal.SIGKILL)
    assert process_events(until=lambda: job.state.is_over)
    assert job.state is State.FAILED
    assert "memory" in notes.errors[0].found


def test_a_defect_of_the_engine_leaves_its_trace_in_the_log_without_folders(finish):
    job, notes = finish("defect")
    assert notes.errors[0].code == "engine-exit-1"
    assert 'File "engine.py", line 3' in job.log_text()
    assert "somebody" not in job.log_text()


def test_a_strange_end_after_the_result_is_a_warning_and_the_result_stands(finish):
    job, notes = finish("unexpected_exit")
    assert job.state is State.DONE and notes.results
    assert notes.warnings[0][0] == "engine-exit-17"


def test_a_program_that_does_not_exist_is_an_error_in_words(application, process_events):
    notes = Notes()
    job = Engine("/there/is/no/such/program").start([], notes)
    assert process_events(until=lambda: job.state.is_over)
    assert job.state is State.FAILED
    assert notes.errors[0].code == "engine-not-started"
    assert "/" not in notes.errors[0].text


def test_silence_is_told_and_nothing_is_ended_because_of_it(finish):
    job, notes = finish("pauses", silence_seconds=0.4)
    assert job.state is State.DONE
    assert max(notes.silences) >= 0.4
    assert notes.silences[-1] == 0.0


def test_two_runs_one_after_the_other_do_not_mix(finish):
    first, _ = finish("refuses")
    second, notes = finish("good")
    assert first.state is State.FAILED and second.state is State.DONE
    assert not notes.errors


def test_two_runs_at_the_same_time_do_not_mix(run, process_events):
    one, notes_one = run("good")
    two, notes_two = run("refuses")
    assert process_events(until=lambda: one.state.is_over and two.state.is_over)
    assert notes_one.results and not notes_one.errors
    assert notes_two.errors and not notes_two.results


def test_closing_waits_until_the_process_is_gone(run, process_events):
    job, notes = run("slow")
    assert process_events(until=lambda: notes.stages)
    job.close()
    assert job.state is State.CANCELLED
    assert not children()


def test_a_deaf_engine_is_gone_too_after_closing(run, process_events):
    job, notes = run("ignores_cancel")
    assert process_events(until=lambda: notes.stages)
    started = time.monotonic()
    job.close()
    assert time.monotonic() - started < 3
    assert not children()


def test_the_end_of_slicer_leaves_no_process_behind(run, process_events, application):
    job, notes = run("slow")
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


def test_closing_the_scene_cancels_the_run(scene, run, process_events):
    job, notes = run("slow")
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
    import subprocess

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


def test_the_real_engine_ends_within_a_second_or_so_after_cancel(run, application, process_events, tmp_path):
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

"""The engine as a child process: what a user sees of it, with real processes that behave well and badly."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from BATNetSlicer.jobs import Engine, State
from job_cases import Notes, children


def test_a_good_run_reports_its_stages_its_warning_and_its_result(finish_engine):
    job, notes = finish_engine("good")
    assert notes.states == [State.RUNNING, State.DONE]
    assert notes.stages[-1].finished and notes.stages[-1].fraction == 1.0
    assert notes.warnings == [("gap", "Two slices are missing.")]
    assert [result.folder.name for result in notes.results] == ["result"]
    assert job.answer.facts == {"probability": 0.25}
    assert not notes.errors


def test_a_refusal_arrives_in_the_words_of_the_engine(finish_engine):
    job, notes = finish_engine("refuses")
    assert job.state is State.FAILED
    assert notes.errors[0].code == "mask-empty"
    assert notes.errors[0].text == "The mask is empty. Fat was expected. Draw it."
    assert notes.errors[0].exit_code == 3


def test_a_batch_with_failed_cases_still_has_its_result(finish_engine):
    job, notes = finish_engine("some_failed")
    assert job.state is State.DONE
    assert notes.results[0].exit_code == 4 and notes.results[0].facts == {"failed": 2}


def test_cancel_takes_effect_within_a_second(run_engine, process_events):
    job, notes = run_engine("slow")
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


def test_cancel_before_the_engine_has_said_anything_works_too(run_engine, process_events):
    job, _ = run_engine("slow")
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.CANCELLED


def test_cancelling_twice_or_after_the_end_does_nothing(finish_engine):
    job, notes = finish_engine("good")
    job.cancel()
    job.close()
    assert job.state is State.DONE and notes.states[-1] is State.DONE


def test_an_engine_that_does_not_listen_is_ended_all_the_same(run_engine, process_events):
    job, notes = run_engine("ignores_cancel", grace_seconds=0.3)
    assert process_events(until=lambda: notes.stages)
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.CANCELLED
    assert not children()


def test_a_result_that_is_complete_wins_over_a_late_cancel(run_engine, process_events):
    job, notes = run_engine("late_result")
    process_events(timeout=0.3)
    job.cancel()
    assert process_events(until=lambda: job.state.is_over, timeout=5)
    assert job.state is State.DONE and notes.results


@pytest.mark.parametrize("behaviour", ["flood", "flood_of_errors"])
def test_the_window_is_never_blocked_while_200000_lines_flood_in(
    run_engine, process_events, gui_watch, behaviour
):
    longest = []
    for _ in range(
        3
    ):  # a busy machine may stop the whole process once; what we do ourselves happens each time
        job, notes = run_engine(behaviour)
        with gui_watch() as watch:
            assert process_events(until=lambda: job.state.is_over, timeout=60)  # noqa: B023
        assert job.state is State.DONE
        longest.append(watch.longest)
        if watch.longest < 0.1:
            break
    assert min(longest) < 0.1, f"blocked for {[round(1000 * seconds) for seconds in longest]} ms"
    assert len(job.log_text().splitlines()) <= 2000
    assert len(notes.stages) < 5000


def test_garbage_between_the_events_goes_to_the_log_and_does_no_harm(finish_engine):
    job, notes = finish_engine("garbage")
    assert job.state is State.DONE
    assert "Python 3.12 says hello" in job.log_text()
    assert '{"event": "nonsense"}' in job.log_text()
    assert {progress.name for progress in notes.stages} <= {"segment", "{'a': []}"}


def test_bytes_that_are_no_text_do_no_harm(finish_engine):
    job, _ = finish_engine("not_unicode")
    assert job.state is State.DONE
    assert "caf" in job.log_text()


def test_a_line_that_arrives_in_two_pieces_is_one_event_and_the_last_line_needs_no_end(finish_engine):
    job, notes = finish_engine("half_a_line")
    assert [progress.name for progress in notes.stages] == ["cut in two"]
    assert job.answer.folder == Path("late")


def test_a_line_without_end_does_not_fill_the_memory(finish_engine):
    job, _ = finish_engine("endless_line")
    assert job.state is State.DONE
    assert max(len(line) for line in job.log_text().splitlines()) <= 500


def test_an_engine_that_ends_without_an_answer_is_an_error_in_words(finish_engine):
    job, notes = finish_engine("no_answer")
    assert job.state is State.FAILED
    assert notes.errors[0].code == "engine-no-answer"
    assert "without an answer" in notes.errors[0].text


def test_an_engine_that_closes_its_output_early_is_waited_for(finish_engine):
    job, notes = finish_engine("closes_output")
    assert job.state is State.FAILED and notes.errors[0].code == "engine-no-answer"


@pytest.mark.skipif(os.name == "nt", reason="signals are a matter of Linux and macOS")
def test_a_crash_is_an_error_that_names_the_signal(finish_engine):
    _, notes = finish_engine("crash")
    assert notes.errors[0].code == "engine-crashed"
    assert "signal 11" in notes.errors[0].found


@pytest.mark.skipif(os.name == "nt", reason="signals are a matter of Linux and macOS")
def test_an_engine_killed_from_outside_says_that_memory_may_have_run_out(run_engine, process_events):
    job, notes = run_engine("slow")
    assert process_events(until=lambda: notes.stages and children())
    children()[0].send_signal(signal.SIGKILL)
    assert process_events(until=lambda: job.state.is_over)
    assert job.state is State.FAILED
    assert "memory" in notes.errors[0].found


def test_a_defect_of_the_engine_leaves_its_trace_in_the_log_without_folders(finish_engine):
    job, notes = finish_engine("defect")
    assert notes.errors[0].code == "engine-exit-1"
    assert 'File "engine.py", line 3' in job.log_text()
    assert "somebody" not in job.log_text()


def test_a_strange_end_after_the_result_is_a_warning_and_the_result_stands(finish_engine):
    job, notes = finish_engine("unexpected_exit")
    assert job.state is State.DONE and notes.results
    assert notes.warnings[0][0] == "engine-exit-17"


def test_a_program_that_does_not_exist_is_an_error_in_words(application, process_events):
    notes = Notes()
    job = Engine("/there/is/no/such/program").start([], notes)
    assert process_events(until=lambda: job.state.is_over)
    assert job.state is State.FAILED
    assert notes.errors[0].code == "engine-not-started"
    assert "/" not in notes.errors[0].text


def test_silence_is_told_and_nothing_is_ended_because_of_it(finish_engine):
    job, notes = finish_engine("pauses", silence_seconds=0.4)
    assert job.state is State.DONE
    assert max(notes.silences) >= 0.4
    assert notes.silences[-1] == 0.0


def test_two_runs_one_after_the_other_do_not_mix(finish_engine):
    first, _ = finish_engine("refuses")
    second, notes = finish_engine("good")
    assert first.state is State.FAILED and second.state is State.DONE
    assert not notes.errors


def test_two_runs_at_the_same_time_do_not_mix(run_engine, process_events):
    one, notes_one = run_engine("good")
    two, notes_two = run_engine("refuses")
    assert process_events(until=lambda: one.state.is_over and two.state.is_over)
    assert notes_one.results and not notes_one.errors
    assert notes_two.errors and not notes_two.results

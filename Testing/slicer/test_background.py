"""Work in a thread beside the window: told once, in the window's thread, and freed there too."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
import slicer
from BATNetSlicer import background
from BATNetSlicer.background import Background


@pytest.fixture
def told(application):
    return []


def test_the_outcome_is_told_in_the_windows_thread(told, process_events):
    here = threading.get_ident()
    Background(threading.get_ident, lambda ident: told.append((ident, threading.get_ident())), told.append)
    assert process_events(lambda: told, 5)
    assert told[0][0] != here and told[0][1] == here and len(told) == 1


def test_an_error_is_told_as_it_is(told, process_events):
    def work():
        raise ValueError("no")

    Background(work, lambda outcome: told.append("done"), told.append)
    assert process_events(lambda: told, 5)
    assert isinstance(told[0], ValueError)


@pytest.mark.alone
def test_the_window_answers_while_python_computes(process_events, gui_watch, told):
    """Pure Python holds its lock for 5 ms at a time, numpy not at all."""

    def work():
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            sum(range(1000))
        return np.ones((300, 300, 300)).sum()

    with gui_watch() as watch:
        Background(work, told.append, told.append)
        assert process_events(lambda: told, 20)
    assert told == [27e6] and watch.longest < 0.15


def test_stopped_work_tells_nobody_and_is_freed_in_the_windows_thread(process_events, told):
    class Held:
        def __del__(self):
            told.append(threading.get_ident())

    def start():
        held = Held()

        def work():
            time.sleep(0.1)
            return held

        Background(work, lambda outcome: told.append("done"), told.append).stop()

    start()
    assert process_events(lambda: not background._alive, 5)
    gc.collect()
    assert told == [threading.get_ident()]


def test_work_that_must_finish_is_waited_for_when_slicer_ends(told):
    Background(lambda: time.sleep(0.2), lambda outcome: told.append("saved"), told.append, must_finish=True)
    slicer.app.exit()
    assert told == ["saved"]


def test_work_that_need_not_finish_does_not_delay_the_end(told, process_events):
    Background(lambda: time.sleep(0.3), lambda outcome: told.append("done"), told.append)
    start = time.monotonic()
    slicer.app.exit()
    assert time.monotonic() - start < 0.2
    assert process_events(lambda: not background._alive, 5) and told == []

import io
import json
import pickle

import pytest

from BATNetLib.errors import Cancelled, InputRefused, NoModel, UsageError
from BATNetLib.events import Events, JsonLines, ProgressBar


def test_programs_read_one_json_object_a_line():
    stream = io.StringIO()
    events = JsonLines(stream)
    with events.stage("adipose", 2) as stage:
        stage.advance()
        stage.advance()
    events.warning("contrast", "Contrast medium\nseen, 120 HU")
    events.result("out", probability=0.25)
    events.error(UsageError("x", "found", "wanted", "remedy"))
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [s["event"] for s in said] == ["stage"] * 4 + ["warning", "result", "error"]
    assert [(s["done"], s["total"], s["finished"]) for s in said[:4]] == [
        (0, 2, False),
        (1, 2, False),
        (2, 2, False),
        (2, 2, True),
    ]
    assert said[5] == {"event": "result", "folder": "out", "probability": 0.25}
    assert said[6]["exit_code"] == 2 and said[6]["remedy"] == "remedy"


def test_every_line_is_ascii_so_that_no_console_can_spoil_it():
    stream = io.StringIO()
    JsonLines(stream).warning("name", "Größe 8³")
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["text"] == "Größe 8³"


def test_cancelling_takes_effect_at_the_next_step():
    events = Events()
    with pytest.raises(Cancelled), events.stage("adipose", 10) as stage:
        stage.advance()
        events.cancel()
        stage.advance()
    assert "adipose" not in events.seconds


def test_the_same_warning_is_said_once():
    stream = io.StringIO()
    events = JsonLines(stream)
    events.warning("a", "b")
    events.warning("a", "b")
    assert len(events.warnings) == len(stream.getvalue().splitlines()) == 1


def test_stages_add_up_their_seconds_for_the_passport():
    events = Events()
    for _ in range(2):
        with events.stage("read"):
            pass
    assert list(events.seconds) == ["read"] and events.seconds["read"] >= 0


def test_people_see_a_line_per_stage_and_a_refusal_in_three_parts():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    with bar.stage("adipose", 3):
        pass
    bar.error(InputRefused("mask-empty", "It is empty.", "A mask.", "Choose another."))
    text = stream.getvalue()
    assert "adipose" in text and "s\n" in text
    assert "mask-empty" in text and "To do:" in text and "Choose another." in text


def test_errors_cross_process_borders_whole():
    error = pickle.loads(pickle.dumps(NoModel("model-unknown", "a", "b", "c")))
    assert (error.code, error.found, error.wanted, error.remedy, error.exit_code) == (
        "model-unknown",
        "a",
        "b",
        "c",
        5,
    )
    assert pickle.loads(pickle.dumps(Cancelled())).exit_code == 6

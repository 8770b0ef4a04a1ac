"""The folder of a run: one process at a time, signs of life, the wish to stop, a log that survives kills."""

import json
import os
import subprocess
import sys
import time

import pytest

from BATNetLib.errors import InputRefused, OutputRefused, UsageError
from BATNetLib.training import runfolder
from BATNetLib.training.contract import Metric
from BATNetLib.training.logs import RunLog, cut_back
from BATNetLib.training.runfolder import RunState, liveness, read_state
from BATNetLib.training.statuswords import duration, status_words


def test_a_second_process_is_kept_out_and_the_lock_goes_with_its_holder(tmp_path):
    with runfolder.run_lock(tmp_path):
        with pytest.raises(UsageError) as caught, runfolder.run_lock(tmp_path):
            pass
        assert caught.value.code == "run-in-use" and runfolder.is_locked(tmp_path)
    assert not runfolder.is_locked(tmp_path)
    code = (
        "import sys, os; from BATNetLib.training.runfolder import run_lock\n"
        "from pathlib import Path\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline().strip() == b"held"
    assert runfolder.is_locked(tmp_path)
    process.kill()
    process.communicate()
    assert not runfolder.is_locked(tmp_path)


def test_a_run_at_work_is_alive_and_one_whose_process_is_gone_is_lost(tmp_path):
    with RunState(tmp_path, epochs=3):
        assert liveness(tmp_path) == "running"
    state = read_state(tmp_path)
    gone = {**state, "pid": 2**22 + 1}
    assert liveness(tmp_path, gone) == "lost"
    # The id of the process was given to another one since.
    assert liveness(tmp_path, {**state, "process_start": "another"}) == "lost"
    assert liveness(tmp_path, {**gone, "state": "stopped"}) == "over"


def test_on_another_computer_the_last_sign_of_life_counts(tmp_path):
    with RunState(tmp_path):
        pass
    far = {**read_state(tmp_path), "host": "elsewhere"}
    assert liveness(tmp_path, far) == "running"
    assert liveness(tmp_path, {**far, "heartbeat": "2020-01-01T00:00:00Z"}) == "lost"
    assert liveness(tmp_path, {**far, "heartbeat": None}) == "lost"


def test_the_heart_beats_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(runfolder, "BEAT", 0.02)
    with RunState(tmp_path) as state:
        state.update(epoch=2)
        written = (tmp_path / "state.json").stat().st_mtime_ns
        until = time.monotonic() + 5
        while (tmp_path / "state.json").stat().st_mtime_ns == written and time.monotonic() < until:
            time.sleep(0.02)
        assert (tmp_path / "state.json").stat().st_mtime_ns > written
    assert read_state(tmp_path)["epoch"] == 2


def test_a_heartbeat_on_a_full_disk_ends_nothing(tmp_path, monkeypatch):
    with RunState(tmp_path) as state:

        def full(*_):
            raise OutputRefused("disk-full", "Full.", "Room.", "Make room.")

        monkeypatch.setattr(runfolder, "write_json", full)
        monkeypatch.setattr(state, "_written", 0.0)
        state.update(now_=False, step=1)
        state.fail(UsageError("a", "b", "c", "d"))
        with pytest.raises(OutputRefused):
            state.update(step=2)


def test_a_wish_to_stop_is_a_file(tmp_path):
    assert not runfolder.stop_requested(tmp_path)
    runfolder.request_stop(tmp_path)
    assert runfolder.stop_requested(tmp_path)
    runfolder.clear_stop(tmp_path)
    runfolder.clear_stop(tmp_path)
    assert not runfolder.stop_requested(tmp_path)


def test_a_folder_that_is_no_run_is_refused_by_its_name_alone(tmp_path):
    with pytest.raises(UsageError, match="is no folder of a training run") as caught:
        runfolder.require_run(tmp_path / "nothing")
    assert str(tmp_path) not in str(caught.value)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(InputRefused, match=r"state.json"):
        read_state(tmp_path)


def test_the_log_is_cut_back_to_the_state_that_is_gone_on_from(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    for step in range(1, 7):
        log.step(step, epoch=1 + (step > 3), step=step, loss=1 / step, parts={}, lr=0.1, seconds=0.1)
        if step == 3:
            log.epoch(3, epoch=1, train_loss=float("nan"), validation={"dice": None}, seconds=1.0, best=False)
    log.note("a", "b")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "step", "global')  # cut off by a kill
    cut_back(tmp_path, 2, 4)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["global_step"] for e in entries if e["kind"] == "step"] == [1, 2, 3, 4]
    assert [e["train_loss"] for e in entries if e["kind"] == "epoch"] == [None]
    assert entries[-1]["kind"] == "note" and runfolder.read_log(tmp_path) == entries


def test_a_metric_knows_which_way_is_better():
    up, down = Metric("dice"), Metric("validation_loss", "min")
    assert up.better(0.5, None) and up.better(0.5, 0.4) and not up.better(0.4, 0.4)
    assert not up.better(0.45, 0.4, 0.1) and not up.better(None, None) and not up.better(float("nan"), None)
    assert down.better(0.3, 0.4) and not down.better(0.5, 0.4)


def test_the_state_is_told_in_words():
    state = {
        "state": "running", "epoch": 3, "epochs": 10, "step": 2, "steps": 5, "seconds_per_epoch": 4000.0,
        "seconds_left": 30000.0, "metric": {"name": "dice"}, "best": {"epoch": 2, "value": 0.91},
        "last": {"train_loss": 0.2, "dice": None}, "error": None,
    }  # fmt: skip
    words = status_words("RUN", state, "running")
    assert "epochs done 3 of 10, step 2 of 5" in words and "67 min an epoch, about 8.3 h left" in words
    assert "best: dice 0.91 after epoch 2" in words and "train_loss 0.2" in words
    assert "without a word" in status_words("RUN", state, "lost")
    error = {"found": "The disk filled up.", "wanted": "Room.", "remedy": "Make room."}
    assert "Make room." in status_words("RUN", {**state, "state": "failed", "error": error}, "over")
    assert duration(12) == "12 s"

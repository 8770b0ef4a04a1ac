"""One run at a time on an output folder, and shards beside each other."""

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from BATNetLib.batch.lock import Lock, is_gone, myself, take_run_lock
from BATNetLib.errors import OutputRefused, UsageError


def held_by(path, **holder):
    path.write_text(json.dumps({**myself(), **holder}), encoding="utf-8")


@pytest.fixture
def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_run_is_refused_in_words_and_may_start_when_the_first_has_ended(tmp_path):
    first = take_run_lock(tmp_path, None)
    with pytest.raises(UsageError, match=f"process {os.getpid()} on this computer") as caught:
        take_run_lock(tmp_path, None)
    assert caught.value.code == "locked"
    first.release()
    take_run_lock(tmp_path, None).release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_full_disk_is_refused_in_words_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, text, **options):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_text", full)
    with pytest.raises(OutputRefused) as caught:
        take_run_lock(tmp_path, None)
    assert caught.value.code == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_process_that_is_gone_is_taken_over(tmp_path, dead_process):
    held_by(tmp_path / ".batnet-lock", pid=dead_process)
    take_run_lock(tmp_path, None).release()
    held_by(tmp_path / ".batnet-lock-2-of-3", pid=dead_process)
    take_run_lock(tmp_path, None).release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_id_that_was_used_again_does_not_keep_the_lock():
    holder = myself()
    assert not is_gone(holder)
    if holder["process_start"] is None:
        pytest.skip("this system does not tell when a process started")
    assert is_gone({**holder, "process_start": "another"})


def test_a_lock_of_another_computer_is_explained_and_broken_only_on_the_users_word(tmp_path):
    held_by(tmp_path / ".batnet-lock", host="node-7", pid=1)
    with pytest.raises(UsageError, match="the computer 'node-7'") as caught:
        take_run_lock(tmp_path, None)
    assert "cannot be seen from here" in caught.value.remedy
    assert "last sign of life" in caught.value.found
    take_run_lock(tmp_path, None, break_it=True).release()


def test_shards_of_one_cut_run_beside_each_other_and_nothing_else_does(tmp_path):
    third = take_run_lock(tmp_path, (3, 10))
    fourth = take_run_lock(tmp_path, (4, 10))
    for other in (None, (3, 10), (1, 5)):
        with pytest.raises(UsageError):
            take_run_lock(tmp_path, other)
    third.release()
    fourth.release()
    whole = take_run_lock(tmp_path, None)
    with pytest.raises(UsageError):
        take_run_lock(tmp_path, (3, 10))
    whole.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_just_being_written_counts_as_held(tmp_path):
    (tmp_path / ".batnet-lock").write_text("", encoding="utf-8")
    with pytest.raises(UsageError):
        take_run_lock(tmp_path, None)


def test_of_many_processes_that_find_a_stale_lock_one_gets_it(tmp_path, dead_process):
    held_by(tmp_path / "lock", pid=dead_process)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom BATNetLib.batch.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'it')\n"
        "try: lock.take()\nexcept Exception: print('refused')\n"
        "else: print('mine')\nsys.stdout.flush()\nsys.stdin.read()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(4)
    ]
    said = [process.stdout.readline().strip() for process in processes]
    for process in processes:
        process.communicate()
    assert sorted(said) == ["mine", "refused", "refused", "refused"]


def test_waiting_ends_when_the_holder_lets_go(tmp_path):
    import threading

    holder, waiter = Lock(tmp_path / "lock", "it"), Lock(tmp_path / "lock", "it")
    holder.take()
    threading.Timer(0.2, holder.release).start()
    waiter.take(wait=10)
    assert json.loads((tmp_path / "lock").read_text())["host"] == socket.gethostname()
    waiter.release()

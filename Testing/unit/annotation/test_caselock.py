"""One place at a time per case and reader: refused in words, stale locks broken, lost locks noticed."""

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from annotationcases import save

from BATNetLib.annotation import CaseLock, Store
from BATNetLib.annotation.caselock import STALE_AFTER, in_words
from BATNetLib.errors import InputRefused, OutputRefused
from BATNetLib.locking import LockFile, myself, seconds_since


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "reads")


def held_elsewhere(store, seconds_ago=5.0, **holder):
    """A lock of another computer with its last sign of life some time ago."""
    place = store.make_place("P01", "anna") / ".lock"
    said = {**myself(), "host": "reading-room-2", "pid": 4711, "reader": "anna", "user": "am"}
    place.write_text(json.dumps({**said, "token": "other", **holder}), encoding="utf-8")
    os.utime(place, (time.time() - seconds_ago,) * 2)
    return place


def test_a_second_place_is_refused_and_gets_the_case_when_the_first_lets_go(store):
    with CaseLock(store, "P01", "anna") as first:
        assert first.held
        with pytest.raises(InputRefused) as caught:
            CaseLock(Store(store.root), "P01", "anna").acquire()
        assert caught.value.code == "case-locked"
        CaseLock(store, "P01", "bert").acquire().release()
        CaseLock(store, "P02", "anna").acquire().release()
    second = CaseLock(Store(store.root), "P01", "anna").acquire()
    second.release()
    assert not (store.folder("P01", "anna") / ".lock").exists()


def test_saving_goes_through_the_lock_that_is_held_and_gives_a_sign_of_life(store):
    lock = CaseLock(store, "P01", "anna").acquire()
    os.utime(lock.path, (time.time() - 1000,) * 2)
    save(store)
    assert seconds_since(lock.path) < 60
    with pytest.raises(InputRefused) as caught:
        save(Store(store.root))
    assert caught.value.code == "case-locked"
    lock.release()
    assert [v.number for v in store.versions("P01", "anna")] == [1]


def test_a_lock_of_another_computer_names_it_with_user_time_and_last_sign_of_life(store):
    held_elsewhere(store, 40, since="2026-11-20T08:15:00+0100")
    with pytest.raises(InputRefused) as caught:
        CaseLock(store, "P01", "anna").acquire()
    assert re.search(r"last sign of life [45]\d s ago", caught.value.found)
    for words in ("'anna'", "'reading-room-2'", "4711", "'am'", "2026-11-20T08:15:00+0100"):
        assert words in caught.value.found
    assert "abandoned" not in caught.value.remedy


def test_a_lock_without_a_sign_of_life_is_called_abandoned_and_still_not_broken_silently(store):
    place = held_elsewhere(store, STALE_AFTER + 7 * 60)
    with pytest.raises(InputRefused) as caught:
        CaseLock(store, "P01", "anna").acquire()
    assert "12 min ago" in caught.value.found
    assert "abandoned" in caught.value.remedy
    assert "force" in caught.value.remedy
    assert json.loads(place.read_text())["token"] == "other"


@pytest.mark.parametrize("seconds_ago", [1, STALE_AFTER * 10])
def test_the_user_may_break_a_lock_and_the_former_holder_is_told_and_loses_nothing(store, seconds_ago):
    elsewhere = Store(store.root)
    former = CaseLock(elsewhere, "P01", "anna").acquire()
    save(elsewhere, seed=1)
    os.utime(former.path, (time.time() - seconds_ago,) * 2)
    mine = CaseLock(store, "P01", "anna").acquire(force=True)
    save(store, seed=2)
    with pytest.raises(InputRefused) as caught:
        save(elsewhere, seed=3)
    assert caught.value.code == "lock-lost"
    assert "this computer" in caught.value.found
    assert "not lost" in caught.value.remedy
    former.release()
    mine.refresh()  # giving back what was broken takes nothing from its new holder
    mine.release()
    CaseLock(elsewhere, "P01", "anna").acquire()
    assert save(elsewhere, seed=3).number == 3
    assert [v.damage for v in store.verify("P01", "anna")] == [None] * 3


def test_a_lock_whose_process_on_this_computer_is_gone_is_taken_over(store):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    held_elsewhere(store, host=myself()["host"], pid=process.pid)
    CaseLock(store, "P01", "anna").acquire().release()


def test_a_lock_file_that_says_nothing_counts_as_held_and_can_be_broken(store):
    place = held_elsewhere(store)
    place.write_bytes(b"")
    with pytest.raises(InputRefused, match="a computer that is not named"):
        CaseLock(store, "P01", "anna").acquire()
    CaseLock(store, "P01", "anna").acquire(force=True).release()


def test_of_two_who_break_a_lock_at_the_same_time_one_gets_it(store):
    for _ in range(20):
        held_elsewhere(store, 1e6)
        got, refused = [], []
        barrier = threading.Barrier(2)

        def take(got=got, refused=refused, barrier=barrier):
            lock = CaseLock(Store(store.root), "P01", "anna")
            barrier.wait()
            try:
                got.append(lock.acquire(force=True))
            except InputRefused as error:
                refused.append(error)

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        holding = []
        for lock in got:
            try:
                lock.refresh()
                holding.append(lock)
            except InputRefused:
                pass
        assert len(holding) == 1
        assert len(got) + len(refused) == 2
        for lock in holding:
            lock.release()


def test_a_lock_that_was_removed_by_hand_is_noticed_before_anything_is_saved(store):
    lock = CaseLock(store, "P01", "anna").acquire()
    lock.path.unlink()
    with pytest.raises(InputRefused) as caught:
        save(store)
    assert caught.value.code == "lock-lost"
    assert store.versions("P01", "anna") == []
    assert not lock.held
    save(store)  # nobody holds it: saving takes it for the moment
    assert not lock.path.exists()


def test_a_folder_that_does_not_answer_for_a_while_costs_nobody_the_lock(store):
    lock = CaseLock(store, "P01", "anna").acquire()
    away = store.root.with_name("away")
    store.root.rename(away)  # the network is gone
    with pytest.raises(OutputRefused) as caught:
        save(store)
    assert caught.value.code == "store-unreachable"
    assert "not lost" in caught.value.remedy
    away.rename(store.root)
    assert save(store).number == 1
    lock.release()


def test_a_sign_of_life_is_judged_by_the_clock_of_the_disk(store, monkeypatch):
    place = held_elsewhere(store, 40)
    monkeypatch.setattr(time, "time", lambda: 4.0e9)  # this computer's clock is decades ahead
    assert 30 < seconds_since(place) < 90


def test_a_disk_without_hard_links_has_locks_as_well(store, monkeypatch):
    def no_links(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    lock = CaseLock(store, "P01", "anna").acquire()
    with pytest.raises(InputRefused):
        CaseLock(Store(store.root), "P01", "anna").acquire()
    assert save(store).number == 1
    lock.release()
    held_elsewhere(store)
    CaseLock(store, "P01", "anna").acquire(force=True).release()
    store.lock_final("P01", "anna")


def test_a_stale_lock_that_changed_hands_meanwhile_is_left_to_its_new_holder(store, monkeypatch):
    place = held_elsewhere(store)
    LockFile(place).remove_stale({"token": "an older one"})
    assert json.loads(place.read_text())["token"] == "other"


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "3 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h"), (1e6, "12 days")]
)
def test_ages_are_told_in_words(seconds, words):
    assert in_words(seconds) == words

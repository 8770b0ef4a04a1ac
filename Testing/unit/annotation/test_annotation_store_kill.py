"""SIGKILL in the middle of a save, and several processes on one folder: nothing saved is lost or doubled."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from annotationcases import ct_on, mask_of, save
from savers import POINTS

from BATNetLib.annotation import CaseLock, Store
from BATNetLib.errors import InputRefused

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a matter of POSIX systems")

SAVERS = Path(__file__).with_name("savers.py")


class Forker:
    """``savers.py`` as a process; runs one command at a time in a child of its own."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(SAVERS)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(SAVERS.parent)])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *command):
        """Process id of the child that runs ``command``."""
        self.process.stdin.write("\t".join(map(str, command)) + "\n")
        self.process.stdin.flush()
        return int(self.line().split()[1])

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def rest(self):
        """What the child says until it ends, and its exit code."""
        said = []
        while not (line := self.line()).startswith("ended "):
            assert line, "the savers are gone"
            said.append(line)
        return said, int(line.split()[1])


@pytest.fixture(scope="module")
def savers():
    made = [Forker() for _ in range(3)]
    yield made
    for forker in made:
        forker.process.communicate()


def test_thirty_kills_at_random_moments_leave_the_last_version_whole_and_double_no_number(tmp_path, savers):
    chance = random.Random(20261120)
    promised: dict[int, str] = {}
    one_save = 0.02
    for _ in range(30):
        child = savers[0].start("forever", tmp_path / "reads", "P01", "anna")
        assert savers[0].line() == "ready"
        started, said = time.perf_counter(), []
        for _ in range(chance.randrange(3)):
            said.append(savers[0].line())
            one_save = (time.perf_counter() - started) / len(said)
        time.sleep(chance.uniform(0.0, one_save))  # however slow the machine is just now
        os.kill(child, signal.SIGKILL)
        more, code = savers[0].rest()
        assert code == -signal.SIGKILL
        for _, number, sha256 in (line.split() for line in [*said, *more]):
            assert int(number) not in promised, "a version number was given twice"
            promised[int(number)] = sha256
        store = Store(tmp_path / "reads")
        newest = store.newest("P01", "anna")
        assert store.damaged_after("P01", "anna") == []
        last = max(promised, default=0)
        assert (newest is None and not promised) or newest.number >= last
    whole = Store(tmp_path / "reads").verify("P01", "anna")
    assert [version.number for version in whole] == list(range(1, len(whole) + 1))
    assert all(version.damage is None for version in whole)
    files = {version.number: version.record.files["brown"]["sha256"] for version in whole}
    assert {number: files[number] for number in promised} == promised
    # A version may be whole although its saver died before it could say so; no other may be there.
    assert len(files) - len(promised) <= 30
    assert [version.record.seconds_total for version in whole] == [float(v.number) for v in whole]
    assert len(promised) >= 10, "the children were killed before they saved anything"
    # Each kill in the middle of a save leaves a folder that was never named.
    in_the_middle = len(list(store.folder("P01", "anna").glob(".saving-*")))
    print(f"30 kills: {in_the_middle} in the middle of a save, {len(promised)} saves in all")
    assert in_the_middle >= 5, "too few kills fell into a save"


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_point_of_a_save_leaves_what_was_saved_and_the_next_one_works(tmp_path, savers, point):
    store = Store(tmp_path / "reads")
    save(store, seed=1)
    savers[0].start("die", store.root, "P01", "anna", point)
    assert savers[0].rest() == ([], -signal.SIGKILL)
    newest = store.newest("P01", "anna")
    assert newest.number == (2 if point == "after the rename" else 1)
    assert store.damaged_after("P01", "anna") == []
    seed = 7 if newest.number == 2 else 1
    assert np.array_equal(store.read(newest)[0].array, mask_of(ct_on(), seed).array)
    # The lock of the dead process does not stand in the way.
    assert save(store, seed=3).number == newest.number + 1


def test_what_killed_saves_left_is_removed_after_a_day_and_not_before(tmp_path):
    store = Store(tmp_path / "reads")
    save(store)
    left = store.folder("P01", "anna") / ".saving-0123456789ab"
    left.mkdir()
    (left / "brown_fat_mask.nii.gz").write_bytes(b"half")
    beside = left.with_name("..lock.node-7.11.12")
    beside.write_text("{}")
    save(store)
    assert left.exists()
    assert beside.exists()
    for path in (left, beside):
        os.utime(path, (time.time() - 90000,) * 2)
    save(store)
    assert not left.exists()
    assert not beside.exists()
    assert len(store.versions("P01", "anna")) == 3


def test_two_readers_save_the_same_case_at_the_same_time_and_both_keep_everything(tmp_path, savers):
    root = tmp_path / "reads"
    for saver, reader in zip(savers, ("anna", "bert"), strict=False):
        saver.start("count", root, "P01", reader, 12)
    for saver, reader in zip(savers, ("anna", "bert"), strict=False):
        assert saver.rest()[0] == [f"saved {number}" for number in range(1, 13)]
        versions = Store(root).verify("P01", reader)
        assert len(versions) == 12
        for version in versions:
            assert version.damage is None
            assert version.record.reader == reader


def test_the_same_reader_elsewhere_is_told_by_the_lock_in_words_and_destroys_nothing(tmp_path, savers):
    store = Store(tmp_path / "reads")
    save(store, seed=1)
    holder = savers[0].start("hold", store.root, "P01", "anna")
    assert savers[0].line() == "held"
    with pytest.raises(InputRefused) as caught:
        CaseLock(store, "P01", "anna").acquire()
    assert caught.value.code == "case-locked"
    for words in ("'anna'", "this computer", f"process {holder}", "since 20", "last sign of life"):
        assert words in caught.value.found
    savers[1].start("count", store.root, "P01", "anna", 1)
    ((said,), _) = savers[1].rest()
    assert said.startswith("refused case-locked The case is open for the reader 'anna' on this computer")
    assert [v.number for v in store.versions("P01", "anna")] == [1]
    os.kill(holder, signal.SIGTERM)
    savers[0].rest()
    assert save(store, seed=2).number == 2


def test_even_where_locks_fail_no_version_takes_the_place_of_another(tmp_path, savers):
    root = tmp_path / "reads"
    for saver in savers:
        saver.start("unlocked", root, "P01", "anna", 15)
    numbers = [int(line.removeprefix("saved ")) for saver in savers for line in saver.rest()[0]]
    assert sorted(numbers) == list(range(1, 46))
    versions = Store(root).verify("P01", "anna")
    assert [version.number for version in versions] == list(range(1, 46))
    assert all(version.damage is None for version in versions)

"""Processes that save, to be killed or set against each other.

Run as a script it reads lines, tab-separated, and forks a child for each, so that a test does not wait for
imports; it says "child PID", then what the child says, then "ended CODE".

    forever ROOT CASE READER      saves until it is killed
    count ROOT CASE READER N      saves N times and prints the version numbers or the refusal
    unlocked ROOT CASE READER N   the same without any lock, as where locks fail
    die ROOT CASE READER POINT    dies by SIGKILL at a point inside a save
    hold ROOT CASE READER         takes the lock, says so, and keeps it until it is asked to stop (SIGTERM)
"""

import contextlib
import os
import signal
import sys
import time

import numpy as np
from annotationcases import ct_on, mask_of, save

from BATNetLib.annotation import CaseLock, Record, Store
from BATNetLib.errors import BATNetError
from BATNetLib.volume import Grid, Volume

#: Points at which a save can be killed: function of which module, and whether before or after it.
POINTS = {
    "before the first mask": ("store", "write_mask", "before", 1),
    "between the masks": ("store", "write_mask", "after", 1),
    "after the masks": ("store", "write_mask", "after", 2),
    "before the record": ("store", "write_flushed", "before", 1),
    "after the record": ("store", "write_flushed", "after", 1),
    "before the rename": ("store", "rename_folder", "before", 1),
    "after the rename": ("store", "rename_folder", "after", 1),
}


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def forever(root, case, reader):
    """Save masks that take a while to write, and say each number once it is safe."""
    rng = np.random.default_rng(os.getpid())
    grid = Grid.canonical((40, 64, 64), (2.0, 1.0, 1.0))
    store = Store(root)
    with CaseLock(store, case, reader):
        say("ready")
        while True:
            brown = Volume((rng.random(grid.shape) < 0.5).astype(np.uint8), grid)
            version = store.save(case, reader, brown, adipose=brown, record=Record(seconds=1))
            say(f"saved {version.number} {version.record.files['brown']['sha256']}")


def serve():
    commands = {"forever": forever, "count": count, "unlocked": unlocked, "die": die, "hold": hold}
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            name, *arguments = line.rstrip("\n").split("\t")
            try:
                commands[name](*arguments)
                sys.stdout.flush()
            finally:
                os._exit(0)
        say(f"child {child}")
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


def count(root, case, reader, number):
    store = Store(root)
    for index in range(int(number)):
        try:
            say(f"saved {save(store, case, reader, index).number}")
        except BATNetError as error:
            say(f"refused {error.code} {error}")


def unlocked(root, case, reader, number):
    from BATNetLib.annotation import store as module

    module.Store._working = lambda self, case, reader: contextlib.nullcontext()
    count(root, case, reader, number)


def die(root, case, reader, point):
    from BATNetLib.annotation import store as module

    _, name, when, nth = POINTS[point]
    original, calls = getattr(module, name), []

    def killing(*arguments):
        calls.append(1)
        if when == "before" and len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        made = original(*arguments)
        if when == "after" and len(calls) == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    store = Store(root)
    CaseLock(store, case, reader).acquire()
    setattr(module, name, killing)
    ct = ct_on()
    store.save(case, reader, mask_of(ct, 7), adipose=mask_of(ct, 8), record=Record())


def hold(root, case, reader):
    asked = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    with CaseLock(Store(root), case, reader):
        say("held")
        while not asked:
            time.sleep(0.01)


if __name__ == "__main__":
    serve()

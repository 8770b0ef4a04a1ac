"""The engine behind a window gives way; the one of a shell or a cluster does not."""

import os
import subprocess
import sys

import pytest

CODE = (
    "import os\n"
    "from BATNetLib.cli import main\n"
    "try: main(['--version'])\n"
    "except SystemExit: pass\n"
    "from BATNetLib.cli.priority import give_way\n"
    "give_way(); give_way()\n"
    "print(os.getpriority(os.PRIO_PROCESS, 0), 'BATNET_BACKGROUND' in os.environ)\n"
)


@pytest.mark.skipif(os.name == "nt", reason="Windows has priority classes, not niceness")
@pytest.mark.parametrize(("asked", "steps"), [("1", 5), ("0", 0), (None, 0)])
def test_only_an_engine_that_is_told_so_gives_way_and_only_once(asked, steps):
    environment = {key: value for key, value in os.environ.items() if key != "BATNET_BACKGROUND"}
    environment |= {} if asked is None else {"BATNET_BACKGROUND": asked}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True)
    level, still_set = done.stdout.splitlines()[-1].split()
    assert int(level) == min(os.getpriority(os.PRIO_PROCESS, 0) + steps, 19)
    assert still_set == "False", "a child of the engine does not step back again"


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has an idle class")
@pytest.mark.parametrize("level", [0, 19])
def test_behind_a_window_that_has_the_lowest_level_the_idle_class_is_taken(level):
    code = (
        "import os\n"
        f"os.nice({level})\n"
        "from BATNetLib.cli.priority import give_way\n"
        "give_way()\n"
        "print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))\n"
    )
    environment = os.environ | {"BATNET_BACKGROUND": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    now = os.getpriority(os.PRIO_PROCESS, 0) + level
    idle = now + 5 > 19
    assert done.stdout.split() == [str(idle), str(min(now if idle else now + 5, 19))], done.stderr

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

"""What is measured of every module alike: how fast it starts, and its panel as high as all of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from stage import modules, screenshots


def import_seconds(module, without):
    """Seconds to load the module file in a fresh process with Slicer already there.

    Fails where that imports one of the packages ``without``.
    """
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import stage
stage.raise_curtain()
from stage import modules
from pathlib import Path
import slicer.util
start = time.perf_counter()
modules.load(Path({str(module)!r}))
seconds = time.perf_counter() - start
for name in {tuple(without)!r}:
    assert name not in sys.modules, name
print(seconds)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.splitlines()[-1])


def setup_seconds(module):
    """Seconds of ``setup()``, the faster of two: the computer may be busy with other tests."""
    times = []
    for _ in range(2):
        loaded = modules.load(module)
        start = time.perf_counter()
        panel = loaded.make_panel()
        times.append(time.perf_counter() - start)
        panel.python.panel.close()
    return min(times)


def stretch(frame, width):
    """As high as all of it; in Slicer the panel scrolls."""
    frame.resize(width, 100)
    screenshots.settle(frame)
    frame.resize(width, frame.sizeHint.height())
    screenshots.settle(frame)

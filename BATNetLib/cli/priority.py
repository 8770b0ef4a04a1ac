"""An engine that works behind a window gives way to it.

Slicer and its engine share the cores; with equal rights the window waits for its turn behind the network's
threads. ``BATNET_BACKGROUND=1`` (set by the modules, not by a shell or a cluster) asks for less right.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

VARIABLE = "BATNET_BACKGROUND"
#: Steps of "nice": enough that the window goes first, little enough that nothing else starves the engine.
STEPS = 5
#: The lowest level of "nice"; only the idle class is below it.
LOWEST = 19
_BELOW_NORMAL = 0x4000  # BELOW_NORMAL_PRIORITY_CLASS of the Windows API


def give_way() -> None:
    """Lower the priority of this process, once, where the caller asked for it; never fails."""
    # Not inherited: a child of the engine that is told the same would step back twice.
    if os.environ.pop(VARIABLE, "") != "1":
        return
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "win32":
            import ctypes

            kernel: Any = ctypes.windll.kernel32
            kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL)
        elif os.nice(0) + STEPS <= LOWEST or not hasattr(os, "SCHED_IDLE"):
            os.nice(STEPS)
        else:  # Slicer on Linux puts itself at the lowest level, and its children with it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

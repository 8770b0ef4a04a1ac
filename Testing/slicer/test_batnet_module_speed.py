"""A run leaves the window alone. Measured by the clock, so with nothing else running: ``make test`` runs the
tests marked ``alone`` by themselves, after all others."""

from __future__ import annotations

import os
import time

import psutil
import pytest
from batnet_cases import MODULE, BusyWatch, build_views


@pytest.mark.alone
def test_the_window_is_never_blocked_for_a_tenth_of_a_second_during_a_run(open_panel, process_events):
    build_views()
    panel = open_panel(MODULE).python.panel
    assert process_events(lambda: panel.setup.models is not None, 30)
    panel.ui.phantomButton.click()
    assert process_events(lambda: panel.parameters.ct is not None, 30)
    longest, seconds = [], []
    for _attempt in range(3):  # another program may wake up on this computer in the middle of one
        began = time.monotonic()
        with BusyWatch() as watch:
            panel.ui.applyButton.click()
            assert process_events(lambda: panel.run is None and not panel._todo, 60)
        assert panel.ui.statusLabel.text == "Done."
        longest.append(watch.longest)
        seconds.append(time.monotonic() - began)
        if watch.longest < 0.1:
            break
    print(f"\nlongest block {[round(1000 * s) for s in longest]} ms, Apply to result {seconds[-1]:.1f} s")
    assert min(longest) < 0.1, f"blocked for {[round(1000 * s) for s in longest]} ms"
    assert seconds[-1] < 30


@pytest.mark.skipif(os.name == "nt", reason="Windows has priority classes, not niceness")
def test_the_engine_gives_way_to_the_window(open_panel, process_events):
    panel = open_panel(MODULE).python.panel
    ours = psutil.Process().nice()
    seen = set()

    def looked():
        for child in psutil.Process().children(recursive=True):
            try:
                seen.add(child.nice())
            except psutil.Error:
                continue
        return panel.setup.models is not None

    assert process_events(looked, 30)
    assert max(seen) == min(ours + 5, 19)

"""How long the window is blocked while a training starts, runs and is drawn, by the clock; run by itself."""

from __future__ import annotations

import pytest
import slicer
from batnet_cases import BusyWatch, build_views
from BATNetSlicer import modelsettings
from train_cases import MODULE, end_training, write_study


@pytest.mark.alone
def test_the_window_is_never_blocked_for_a_tenth_of_a_second_while_a_training_runs(
    open_panel, process_events, dialogs, scene, tmp_path
):
    pytest.importorskip("monai", reason="training needs pip install 'batnet[train]'")
    build_views()
    slicer.app.settings().setValue(modelsettings.HOME_SETTING, str(tmp_path / "models"))
    study = write_study(tmp_path / "cohort", 6)
    panel = open_panel(MODULE).python.panel
    ui = panel.ui
    assert process_events(lambda: panel.doctor is not None, 60)
    ui.dataEdit.text, ui.outEdit.text = str(study), str(tmp_path / "run")
    ui.trainShareBox.value, ui.validationShareBox.value, ui.testShareBox.value = 60, 20, 20
    ui.epochsBox.value, ui.widthBox.value = 3, 4
    blocks = {}
    try:
        with BusyWatch() as watch:
            ui.checkButton.click()
            assert process_events(lambda: panel.data._call is None, 60)
        blocks["check"] = watch.longest
        with BusyWatch() as watch:
            dialogs.append(str(tmp_path / "split.json"))
            ui.makeSplitButton.click()
            assert process_events(lambda: panel.split._call is None, 60)
        blocks["split"] = watch.longest
        with BusyWatch() as watch:
            ui.startButton.click()
            assert process_events(lambda: panel.watch.folder is not None, 120), ui.startLabel.text
            assert process_events(lambda: panel.watch.state.get("state") == "done", 180)
            assert process_events(lambda: panel._doctor_call is None, 60)
        blocks["training"] = watch.longest
        with BusyWatch() as watch:
            ui.showExampleButton.click()
            assert process_events(lambda: panel.examples.nodes.there() and panel.examples._steps is None, 10)
        blocks["example"] = watch.longest
    finally:
        end_training(tmp_path / "run")
    said = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in blocks.items())
    print(f"\nlongest block: {said}")
    assert max(blocks.values()) < 0.1, said

"""A scripted module opens, works, is saved with the scene and goes away, as in Slicer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import qt
import slicer
from stage import cut_text, modules, screenshots

SAMPLE = Path(__file__).parent / "sample" / "StageSample.py"


@pytest.fixture
def volume(scene):
    return slicer.util.addVolumeFromArray(
        np.arange(-500, 500).reshape(10, 10, 10).astype(np.int16), name="CT"
    )


def test_the_panel_opens_with_its_widgets_and_the_scene(open_panel, scene):
    panel = open_panel(SAMPLE)
    ui = panel.python.ui
    assert ui.inputSelector.mrmlScene() is scene
    assert not ui.applyButton.enabled
    assert ui.thresholdSlider.value == 100
    assert slicer.util.getModuleWidget("StageSample") is panel.python
    assert slicer.util.modulePath("StageSample") == str(SAMPLE)


def test_choosing_a_volume_and_pressing_apply_gives_the_result(open_panel, volume):
    ui = open_panel(SAMPLE).python.ui
    ui.inputSelector.setCurrentNode(volume)
    ui.thresholdSlider.value = 0
    ui.applyButton.click()
    assert ui.resultLabel.text == "499 voxels"
    ui.invertBox.checked = True
    ui.applyButton.click()
    assert ui.resultLabel.text == "501 voxels"


def test_a_script_that_sets_a_parameter_moves_the_widgets(open_panel, volume):
    widget = open_panel(SAMPLE).python
    widget.parameters.threshold = 33.0
    widget.parameters.input = volume
    assert widget.ui.thresholdSlider.value == 33.0
    assert widget.ui.inputSelector.currentNode() is volume
    assert widget.ui.applyButton.enabled


def test_choices_come_back_with_the_scene(open_panel, volume, scene, tmp_path):
    widget = open_panel(SAMPLE).python
    widget.parameters.input = volume
    widget.parameters.threshold = 250
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert widget.parameters.input is None and not widget.ui.applyButton.enabled
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    widget.connect_parameters()
    assert widget.ui.thresholdSlider.value == 250
    assert widget.parameters.input.GetName() == "CT"
    assert slicer.util.arrayFromVolume(widget.parameters.input).shape == (10, 10, 10)


def test_reloading_cleans_up_the_old_panel(open_panel):
    old = open_panel(SAMPLE).python
    new = open_panel(SAMPLE).python
    assert old.cleaned and not new.cleaned
    modules.unload("StageSample")
    assert new.cleaned
    assert slicer.modules.find("StageSample") is None


def test_a_failure_in_a_slot_is_seen_by_the_test(open_panel, volume, expected_exceptions):
    widget = open_panel(SAMPLE).python
    widget.parameters.input = volume
    widget.logic = None
    widget.ui.applyButton.click()
    assert isinstance(expected_exceptions[0], AttributeError)
    expected_exceptions.clear()


def test_the_module_runs_its_own_test(open_panel):
    open_panel(SAMPLE)
    slicer.modules.stagesample.instance.runTest()


def test_an_unknown_widget_in_a_ui_file_is_named(application, tmp_path):
    path = tmp_path / "x.ui"
    path.write_text('<ui version="4.0"><class>X</class><widget class="qMRMLNoSuch" name="X"/></ui>')
    with pytest.raises((LookupError, RuntimeError)):
        slicer.util.loadUI(str(path))


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_no_text_of_the_panel_is_cut(open_panel, volume, scale, tmp_path):
    panel = open_panel(SAMPLE)
    assert cut_text.cut_texts(panel.widget, scale) == []
    picture = screenshots.grab(panel.widget, tmp_path / "panel.png", scale)
    image = qt.QImage(str(picture))
    assert image.width() == round(480 * scale)


@pytest.mark.parametrize(
    "make, squeeze",
    [
        (lambda: qt.QLabel("a long sentence that needs room"), 60),
        (lambda: qt.QPushButton("Fetch the model from the network"), 60),
        (lambda: qt.QCheckBox("Show the patches"), 40),
        (lambda: qt.QGroupBox("Operating point of the model"), 50),
    ],
)
def test_a_text_that_is_cut_is_found(application, make, squeeze):
    widget = make()
    widget.setFixedWidth(squeeze)
    widget.show()
    assert len(cut_text.cut_texts(widget)) == 1
    widget.setFixedWidth(500)
    assert cut_text.cut_texts(widget) == []


def test_a_wrapped_label_without_the_height_it_needs_is_found(application):
    label = qt.QLabel("Many words that need several lines in a narrow column of the panel.")
    label.wordWrap = True
    label.setFixedSize(120, 20)
    label.show()
    assert len(cut_text.cut_texts(label)) == 1
    label.setFixedSize(120, 200)
    assert cut_text.cut_texts(label) == []


def test_a_narrow_column_and_its_header_are_found(application):
    table = qt.QTableWidget(1, 2)
    table.setHorizontalHeaderLabels(["Place", "Probability on the right"])
    table.setItem(0, 0, qt.QTableWidgetItem("above the clavicle, in front"))
    table.resize(500, 100)
    table.show()
    table.setColumnWidth(0, 60)
    table.setColumnWidth(1, 60)
    assert len(cut_text.cut_texts(table)) == 2
    table.resizeColumnsToContents()
    assert cut_text.cut_texts(table) == []


def test_sizes_given_in_pixels_are_found_at_150_percent(application):
    panel = qt.QWidget()
    layout = qt.QVBoxLayout(panel)
    button = qt.QPushButton("Run again")
    layout.addWidget(button)
    button.setFixedHeight(18)
    button.setFixedWidth(90)
    panel.show()
    assert cut_text.cut_texts(panel, 1.0) == []
    assert cut_text.cut_texts(panel, 1.5) != []

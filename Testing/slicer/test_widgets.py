"""Every stand-in for a ctk or MRML widget loads from a .ui file and does what panels rely on."""

from __future__ import annotations

import ctk
import numpy as np
import pytest
import qt
import slicer
from stage import ctk_widgets, mrml_widgets, segment_widgets

ALL = {**ctk_widgets.WIDGETS, **mrml_widgets.WIDGETS, **segment_widgets.WIDGETS}


@pytest.fixture
def fat(scene):
    volume = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="CT")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Fat")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for name in ("left", "right"):
        node.GetSegmentation().AddEmptySegment(name, f"Fat {name}")
    return node


@pytest.mark.parametrize("name", sorted(ALL))
def test_it_loads_from_a_ui_file_with_its_scene(scene, tmp_path, name):
    path = tmp_path / "panel.ui"
    path.write_text(
        f"""<ui version="4.0"><class>P</class><widget class="qMRMLWidget" name="P">
        <layout class="QVBoxLayout" name="l"><item><widget class="{name}" name="it"/></item></layout></widget>
        <customwidgets>
        <customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>x.h</header></customwidget>
        <customwidget><class>{name}</class><extends>QWidget</extends><header>x.h</header></customwidget>
        </customwidgets></ui>"""
    )
    panel = slicer.util.loadUI(str(path))
    widget = slicer.util.childWidgetVariables(panel).it
    assert type(widget) is ALL[name]
    for member in mrml_widgets.find_scene_members(panel):
        member.setMRMLScene(scene)
        assert member.mrmlScene() is scene
    panel.show()
    panel.close()


def test_a_folded_section_hides_its_contents_and_shows_them_again(application):
    section = ctk.ctkCollapsibleButton("Advanced")
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    for label in (shown, hidden):
        layout.addWidget(label)
    hidden.hide()
    section.show()
    heard = []
    section.connect("contentsCollapsed(bool)", heard.append)
    section.collapsed = True
    assert not shown.visible and section.collapsed and not section.checked
    section.collapsed = False
    assert shown.visible and not hidden.visible and heard == [True, False]


def test_a_slider_keeps_value_range_and_decimals(application):
    slider = ctk.ctkSliderWidget()
    heard = []
    slider.connect("valueChanged(double)", heard.append)
    slider.minimum, slider.maximum, slider.decimals, slider.singleStep = -10.0, 10.0, 1, 0.5
    slider.value = 2.5
    assert (slider.value, slider.minimum, slider.maximum, slider.decimals) == (2.5, -10.0, 10.0, 1)
    assert heard == [2.5]
    slider.value = 99
    assert slider.value == 10.0


def test_a_range_keeps_its_order(application):
    values = ctk.ctkRangeWidget()
    values.minimum, values.maximum = -200, 0
    values.setValues(-30, -190)
    assert (values.minimumValue, values.maximumValue) == (-190, -30)


def test_a_path_is_typed_or_chosen(application, dialogs, tmp_path):
    edit = ctk.ctkPathLineEdit()
    heard = []
    edit.connect("currentPathChanged(QString)", heard.append)
    edit.filters = ctk.ctkPathLineEdit.Dirs
    edit.currentPath = "typed"
    dialogs.append(str(tmp_path))
    edit.browse()
    assert edit.currentPath == str(tmp_path) and heard == ["typed", str(tmp_path)]


def test_a_folder_button_shows_what_was_chosen(application, dialogs, tmp_path):
    button = ctk.ctkDirectoryButton()
    dialogs.append(str(tmp_path))
    button.click()
    assert button.directory == str(tmp_path) and button.text == str(tmp_path)


def test_creating_a_node_in_the_selector_chooses_it(scene):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLSegmentationNode"]
    selector.baseName = "Adipose tissue"
    selector.noneEnabled = True
    selector.setMRMLScene(scene)
    heard = []
    selector.connect("nodeAddedByUser(vtkMRMLNode*)", heard.append)
    node = selector.addNode()
    assert selector.currentNode() is node and node.GetName() == "Adipose tissue" and heard == [node]


def test_a_selector_that_is_gone_leaves_nothing_on_the_scene(scene):
    before = scene.HasObserver(scene.NodeAddedEvent)
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLTextNode"]
    selector.setMRMLScene(scene)
    selector.delete()
    scene.AddNewNodeByClass("vtkMRMLTextNode")
    assert before == scene.HasObserver(scene.NodeAddedEvent)


def test_the_segment_editor_keeps_nodes_segment_and_effect(scene, fat):
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(scene)
    with pytest.raises(RuntimeError):
        editor.setSegmentationNode(fat)
    editor.setMRMLSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(fat)
    editor.setSourceVolumeNode(slicer.util.getNode("CT"))
    assert editor.segmentationNode() is fat and editor.currentSegmentID() == "left"
    editor.setCurrentSegmentID("right")
    editor.setActiveEffectByName("Paint")
    assert editor.mrmlSegmentEditorNode().GetSelectedSegmentID() == "right"
    assert editor.activeEffect().name == "Paint"
    with pytest.raises(ValueError, match="no effect"):
        editor.setActiveEffectByName("Pant")


def test_segments_are_listed_and_chosen(scene, fat):
    table = slicer.qMRMLSegmentsTableView()
    table.setMRMLScene(scene)
    table.setSegmentationNode(fat)
    table.setSelectedSegmentIDs(["right"])
    assert table.selectedSegmentIDs() == ["right"]
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(scene)
    selector.setCurrentNode(fat)
    selector.setCurrentSegmentID("right")
    assert selector.currentSegmentID() == "right"

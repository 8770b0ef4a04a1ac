"""PySide6 with the manners of PythonQt: what module code may do works, what it may not is refused."""

from __future__ import annotations

import sys
import time

import pytest
import qt
from stage.qt_module import UnansweredDialog


def test_a_property_is_a_value_and_its_setter_stays_a_method(application):
    label = qt.QLabel("before")
    assert label.text == "before"
    label.text = "after"
    assert label.text == "after"
    label.setText("again")
    assert label.text == "again"


def test_a_property_cannot_be_called(application):
    with pytest.raises(TypeError):
        qt.QLabel("text").text()


def test_properties_with_an_is_in_their_getter_are_values_too(application):
    box = qt.QCheckBox("choice")
    box.checked = True
    box.enabled = False
    timer = qt.QTimer()
    timer.singleShot = True
    assert (box.checked, box.isChecked(), box.enabled, timer.singleShot) == (True, True, False, True)


def test_name_is_the_object_name(application):
    button = qt.QPushButton()
    button.name = "apply"
    assert button.objectName == "apply" and button.name == "apply"


@pytest.mark.parametrize("make", [lambda: qt.QPushButton(), lambda: qt.QSize(1, 2), lambda: qt.QTimer()])
def test_an_unknown_attribute_cannot_be_set(application, make):
    with pytest.raises(AttributeError):
        make().nosuch = 3


def test_a_python_subclass_has_attributes_of_its_own(application):
    class Panel(qt.QWidget):
        def __init__(self):
            super().__init__()
            self.mine = 3
            self.windowTitle = "title"

    panel = Panel()
    assert (panel.mine, panel.windowTitle) == (3, "title")


def test_signals_connect_by_signature_and_by_name(application):
    heard = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", lambda checked: heard.append(checked))
    button.connect("clicked()", lambda: heard.append("plain"))
    button.clicked.connect(lambda checked: heard.append(checked))
    button.clicked.connect(lambda: heard.append("dropped"))
    button.click()
    assert heard == [True, "plain", True, "dropped"]


def test_calling_a_signal_emits_it(application):
    heard = []
    button = qt.QPushButton()
    button.clicked.connect(lambda: heard.append(1))
    button.clicked()
    assert heard == [1]


def test_disconnecting_takes_exactly_the_one_slot(application):
    heard = []

    def first():
        heard.append("first")

    def second():
        heard.append("second")

    button = qt.QPushButton()
    for slot in (first, second):
        button.connect("clicked()", slot)
    button.disconnect("clicked()", first)
    button.click()
    button.clicked.connect(first)
    button.clicked.disconnect(first)
    button.click()
    assert heard == ["second", "second"]


def test_a_method_as_slot_keeps_its_object_alive_as_in_pythonqt(application):
    heard = []

    class Holder:
        def slot(self):
            heard.append(1)

    button = qt.QPushButton()
    button.clicked.connect(Holder().slot)
    button.click()
    assert heard == [1]


@pytest.mark.parametrize("signature", ["nosuch()", "clicked(int)", "textChanged(QString)"])
def test_an_unknown_signal_is_refused(application, signature):
    with pytest.raises(AttributeError):
        qt.QPushButton().connect(signature, print)


def test_what_only_qt_5_has_is_refused(application):
    with pytest.raises(AttributeError):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)
    assert not hasattr(qt, "QRegExp")
    assert not hasattr(qt.QFontMetrics(qt.QFont()), "width")


@pytest.mark.parametrize(
    "use",
    [
        lambda: qt.QCheckBox().checkStateChanged,
        lambda: qt.QCheckBox().connect("checkStateChanged(Qt::CheckState)", print),
        lambda: qt.QProcess().startCommand("ls"),
        lambda: qt.QColor.fromString("red"),
        lambda: qt.QDialog().exec(),
        lambda: qt.QLayout.unsetContentsMargins,
        lambda: qt.Signal,
        lambda: qt.QStringConverter,
    ],
)
def test_what_only_qt_6_or_pyside_has_is_refused(application, use):
    with pytest.raises(AttributeError):
        use()


def test_what_became_a_property_in_qt_6_is_still_a_method(application):
    layout = qt.QVBoxLayout()
    layout.setContentsMargins(1, 2, 3, 4)
    assert layout.contentsMargins().left() == 1


def test_an_exception_in_a_slot_reaches_the_test(application, expected_exceptions):
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    assert [type(error) for error in expected_exceptions] == [ZeroDivisionError]
    expected_exceptions.clear()


def test_an_exception_in_an_observer_reaches_the_test(scene, expected_exceptions):
    def fails(caller, event):
        raise KeyError("observer")

    tag = scene.AddObserver(scene.NodeAddedEvent, fails)
    scene.AddNewNodeByClass("vtkMRMLTextNode")
    scene.RemoveObserver(tag)
    assert [type(error) for error in expected_exceptions] == [KeyError]
    expected_exceptions.clear()


def test_an_exception_in_a_timer_reaches_the_test(process_events, application, expected_exceptions):
    qt.QTimer.singleShot(0, lambda: 1 / 0)
    assert process_events(until=lambda: expected_exceptions, timeout=2)
    expected_exceptions.clear()


def test_a_process_reports_as_in_slicer(application, process_events):
    lines, ends = [], []
    process = qt.QProcess()

    def read():
        while process.canReadLine():
            lines.append(process.readLine().data().decode())

    process.connect("readyReadStandardOutput()", read)
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ends.append((code, status)))
    process.start(
        sys.executable, ["-c", "import sys; print('ready', flush=True); sys.stdin.read(); sys.exit(6)"]
    )
    assert process_events(until=lambda: lines)
    process.closeWriteChannel()
    assert process_events(until=lambda: ends)
    assert lines == ["ready\n"]
    assert ends == [(6, qt.QProcess.NormalExit)] and process.exitCode() == 6


def test_a_dialog_that_nobody_answers_is_an_error_and_no_hang(application):
    with pytest.raises(UnansweredDialog, match="really"):
        box = qt.QMessageBox()
        box.text = "really?"
        box.exec_()


def test_a_file_dialog_gives_back_the_name_alone(application, dialogs):
    dialogs.append("/data/scan.nrrd")
    assert qt.QFileDialog.getOpenFileName(None, "Open") == "/data/scan.nrrd"


def test_a_blocked_event_loop_is_measured(application, process_events, gui_watch):
    qt.QTimer.singleShot(20, lambda: time.sleep(0.25))
    with gui_watch() as watch:
        process_events(timeout=0.4)
    assert 0.2 < watch.longest < 0.6


def test_settings_of_tests_never_touch_those_of_the_user(application):
    assert str(application._folder) in qt.QSettings().fileName()

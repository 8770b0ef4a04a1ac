"""Fixtures of the Slicer stage; see README.md. Where slicer-core or PySide6 is missing, everything is
skipped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import stage  # noqa: E402

WHY_NOT = stage.missing()
if WHY_NOT is None:
    stage.raise_curtain()
    for folder in (REPOSITORY, REPOSITORY / "BATNetExtension"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def pytest_configure(config):
    config.addinivalue_line("markers", "draws: draws the scene off screen; skipped where OpenGL is missing")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path, parent):
    """Without the stage a test file is skipped with the reason, and not even imported."""
    if WHY_NOT is not None and HERE in Path(module_path).parents:
        return _Skipped.from_parent(parent, path=module_path)
    return None


class _Skipped(pytest.Module):
    def collect(self):
        pytest.skip(f"no Slicer stage: {WHY_NOT}", allow_module_level=True)


def pytest_collection_modifyitems(items):
    """Tests marked ``draws`` are skipped where nothing can be drawn off screen, tests marked ``alone`` in one
    of several processes: what they measure would be the other tests."""
    for item in items if "PYTEST_XDIST_WORKER" in os.environ else ():
        if item.get_closest_marker("alone"):
            item.add_marker(pytest.mark.skip(reason="runs by itself: pytest -m alone (make test does)"))
    drawing = [item for item in items if item.get_closest_marker("draws")]
    if drawing:
        from stage import views

        why = views.cannot_draw()
        for item in drawing if why else ():
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(autouse=True)
def nothing_goes_wrong_unseen():
    """An exception in a slot or an observer fails the test: nobody else would see it."""
    if WHY_NOT is not None:
        yield
        return
    seen = []
    before = sys.excepthook
    sys.excepthook = lambda kind, error, trace: seen.append(error)
    yield seen
    sys.excepthook = before
    if seen:
        raise AssertionError(
            f"{len(seen)} exception(s) in slots or observers; the first one is above"
        ) from seen[0]


@pytest.fixture
def expected_exceptions(nothing_goes_wrong_unseen):
    """List of the exceptions that reached ``sys.excepthook``; a test that expects some clears it."""
    return nothing_goes_wrong_unseen


@pytest.fixture
def application():
    """``slicer.app`` over an off-screen QApplication."""
    import slicer

    return slicer.app


@pytest.fixture
def scene(application, request):
    """An empty ``slicer.mrmlScene``; after the test its modules are unloaded and the scene is closed.

    Tests marked ``draws`` have their views from the start, as in Slicer; others do without.
    """
    import slicer
    from stage import modules, packaging, qt_module

    _close_everything(slicer, modules, packaging, qt_module)
    if request.node.get_closest_marker("draws"):
        slicer.app.layoutManager().build_views()
    yield slicer.mrmlScene
    _close_everything(slicer, modules, packaging, qt_module)


def _close_everything(slicer, modules, packaging, qt_module):
    import qt

    modules.unload_all()
    slicer.mrmlScene.Clear(0)
    slicer.app.layoutManager().restore()
    slicer.app.testing = True
    packaging.reset()
    qt_module.answers.clear()
    qt_module.shown.clear()
    qt.QSettings().clear()
    for widget in qt.QApplication.topLevelWidgets():
        widget.close()
        widget.deleteLater()
    qt.QApplication.instance().sendPostedEvents(None, qt.QEvent.DeferredDelete)


@pytest.fixture
def process_events():
    """``process_events(until=None, timeout=10)``: run the event loop; True once ``until()`` holds."""
    from stage.event_loop import process_events

    return process_events


@pytest.fixture
def gui_watch():
    """``with gui_watch() as watch: ...; watch.longest`` is the longest block of the event loop in seconds."""
    from stage.event_loop import GuiWatch

    return GuiWatch


@pytest.fixture
def dialogs():
    """``dialogs.append(answer)`` says what the user answers to the next dialog; unanswered ones raise."""
    from stage import qt_module

    return qt_module.answers


@pytest.fixture
def open_panel(scene):
    """``open_panel(path)`` loads a module file and shows its panel; ``panel.python`` is its widget object."""
    from stage import modules

    return modules.open_panel


@pytest.fixture
def run_engine(application, process_events):
    """``run_engine(behaviour)`` starts ``engines/engine.py``; returns (job, notes). None may stay behind."""
    import job_cases
    from BATNetSlicer.jobs import Engine

    jobs = []

    def start(behaviour, **options):
        notes = job_cases.Notes()
        engine = Engine(sys.executable, (job_cases.ENGINE, behaviour), **options)
        jobs.append(engine.start([], notes))
        return jobs[-1], notes

    yield start
    for job in jobs:
        job.close()
    jobs.clear()
    assert process_events(until=lambda: not job_cases.children(), timeout=5), "an engine was left behind"


@pytest.fixture
def finish_engine(run_engine, process_events):
    """``finish_engine(behaviour)`` runs ``engines/engine.py`` to its end."""

    def to_the_end(behaviour, timeout=20, **options):
        job, notes = run_engine(behaviour, **options)
        assert process_events(until=lambda: job.state.is_over, timeout=timeout), f"still {job.state}"
        return job, notes

    return to_the_end

"""The panel: loads the layout, gives each part to its card, and shows where the reader stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer import add_library_to_path
from BATNetSlicer.background import Background
from BATNetSlicer.job_contract import JobRunner
from BATNetSlicer.job_words import Failure
from BATNetSlicer.sceneobservers import SceneObservers
from BATNetSlicer.texts import _

from . import rescue, scenecases
from .agreement_card import AgreementCard
from .caseflow import CaseFlow
from .casenodes import FAT
from .mirror_card import MirrorCard
from .opening import Opener
from .paint_card import PaintCard
from .saver import Saver, failure_of
from .scores_card import ScoresCard
from .session import Session
from .shortcuts import Shortcuts, main_window
from .worklist_card import WorkListCard


class Panel(CaseFlow):
    """One for each time the module is loaded. ``runner``: who starts the engine; tests put their own.

    ``session``: the case that is open, or None. ``ask(question) -> bool`` asks the user.
    """

    def __init__(self, layout_file: str, layout: Any) -> None:
        add_library_to_path()
        from BATNetLib.annotation.record import DEPOTS

        self.runner: JobRunner | None = None
        self.session: Session | None = None
        self._listing: Background | None = None
        self._locking: Background | None = None
        self._opening: str | None = None
        self._entered = False
        self.root = slicer.util.loadUI(layout_file)
        layout.addWidget(self.root)
        self.ui = ui = slicer.util.childWidgetVariables(self.root)
        self.root.setMRMLScene(slicer.mrmlScene)
        self.opener = Opener(self.engine, self._progress)
        self.saver = Saver(lambda: self.session, self._saved, self._not_saved)
        self.list = WorkListCard(ui, self.open_case, self.open_list)
        self.paint = PaintCard(ui, self._voxels_changed, self.say, lambda question: self.ask(question))
        self.scores = ScoresCard(ui, DEPOTS, self._scored)
        self.mirror = MirrorCard(ui, self.paint, self._plane_moved, self._mouse_moved)
        self.agreement = AgreementCard(
            ui,
            self._reads,
            self.engine,
            self.look_at,
            lambda question: self.ask(question),
            self.mirror.view.jump,
        )
        self.shortcuts = Shortcuts(self.keys())
        for name, action in (
            ("nextButton", self.next),
            ("previousButton", self.previous),
            ("saveButton", self.save),
            ("doneButton", self.done),
            ("startOverButton", self.start_over),
            ("breakLockButton", self.take_over),
            ("lockButton", self.lock),
            ("exportButton", self.export),
        ):
            getattr(ui, name).connect("clicked()", action)
        font = ui.researchLabel.font
        font.setItalic(True)
        ui.researchLabel.setFont(font)
        self._scene = SceneObservers(slicer.mrmlScene, self.node_leaves, lambda node: None, lambda: None)
        self.say("")
        self._no_progress()
        self._show()

    def engine(self) -> JobRunner:
        if self.runner is not None:
            return self.runner
        from BATNetSlicer.jobs import Engine

        return Engine()

    def ask(self, question: str) -> bool:
        return bool(slicer.util.confirmYesNoDisplay(question, windowTitle="BATNet Annotate"))

    def keys(self) -> dict[str, Callable[[], None]]:
        """Every key of the module; the buttons name them."""
        scores = self.scores
        return {
            "N": self.next,
            "Shift+N": self.previous,
            "Shift+S": self.save,
            "Shift+D": self.done,
            "Shift+F": scores.flag,
            "Alt+0": lambda: scores.score(0),
            "Alt+1": lambda: scores.score(1),
            "Alt+2": lambda: scores.score(2),
            "Alt+3": lambda: scores.score(None),
            "Alt+Up": lambda: scores.step(-1),
            "Alt+Down": lambda: scores.step(1),
            **self.paint.keys(),
            **self.mirror.keys(),
        }

    # --- life
    def enter(self) -> None:
        if self._entered:
            return
        self._entered = True
        window = main_window(self.root)
        self.shortcuts.install(window)
        self.ui.editor.installKeyboardShortcuts(window)
        self.ui.editor.setupViewObservations()
        self.mirror.view.start()
        self.mirror.switch(self.mirror.wanted)
        self.saver.start()

    def exit(self) -> None:
        """Another module is chosen: nothing is painted by accident, and all is saved."""
        self._entered = False
        self.shortcuts.remove()
        self.ui.editor.setActiveEffectByName("")
        self.ui.editor.uninstallKeyboardShortcuts()
        self.ui.editor.removeViewObservations()
        self.mirror.switch(False)
        self.mirror.view.stop()
        self.saver.save()

    def close(self) -> None:
        """The module is unloaded or Slicer ends: all is saved, nothing is left running."""
        self._scene.stop()
        self._leave_now()
        self.saver.stop()
        self.shortcuts.remove()
        self.ui.editor.uninstallKeyboardShortcuts()
        for work in (self._listing, self._locking):
            if work is not None:
                work.stop()
        self.opener.close()
        self.agreement.close()
        self.mirror.close()
        self.paint.close()

    def scene_closes(self) -> None:
        """The scene is about to be emptied: what was painted is written first."""
        self.opener.give_up()
        self._opening = None
        self._no_progress()
        self._leave_now()
        self.mirror.view.pause()
        self.ui.editor.removeViewObservations()
        self.opener.volumes = {}

    def scene_changed(self) -> None:
        """A scene was emptied or loaded."""
        if self._entered:
            self.mirror.view.start()
            self.ui.editor.setupViewObservations()
            self.ui.editor.updateWidgetFromMRML()
        self._show()

    # --- the list
    def open_list(self, from_scene: bool = False) -> None:
        """Open the work list that the user has named, or one of the volumes that are loaded."""
        from BATNetLib.annotation.store import Store
        from BATNetLib.annotation.worklist import open_worklist, worklist_of

        why_not = self.list.why_not(from_scene)
        if why_not is not None or self._listing is not None:
            self.list.say(why_not or "")
            return
        self.list.remember()
        store, reader = Store(self.ui.storeEdit.text.strip()), self.list.reader
        source = Path(self.ui.sourceEdit.text.strip())
        volumes = scenecases.volumes(slicer.mrmlScene) if from_scene else {}
        if from_scene and not volumes:
            self.list.say(_("No volume of this scene can be a CT: load one first."))
            return

        def work() -> Any:
            if from_scene:
                return worklist_of(scenecases.items(list(volumes)), store, reader, _("This scene"))
            return open_worklist(source, store, reader)

        def opened(worklist: Any) -> None:
            self._listing = None
            self.opener.volumes = volumes
            self.list.enable()
            self.list.take(worklist)
            self.agreement.forget()
            self._show()

        def failed(error: Exception) -> None:
            self._listing = None
            self.list.enable()
            self.list.say(failure_of(error).text)

        def left(saved: bool) -> None:
            if saved:
                self.list.say(_("Looking for cases ..."))
                self.list.enable(busy=True)
                self._listing = Background(work, opened, failed)

        self.leave(left)

    # --- the result
    def export(self) -> None:
        """Write the list of finished reads that training takes as it is."""
        from BATNetLib.annotation.manifest import export_manifest

        worklist = self.list.worklist
        if worklist is None or self._listing is not None:
            return

        def done(made: Any) -> None:
            self._listing = None
            self.say(
                _("Finished reads listed in {name}: {cases}; cases without one: {left}.").format(
                    name=made.path.name, cases=len(made.chosen), left=len(made.left_out)
                )
            )
            self._show()

        def failed(error: Exception) -> None:
            self._listing = None
            self.say(failure_of(error).text)
            self._show()

        self._listing = Background(lambda: export_manifest(worklist), done, failed)
        self._show()

    # --- saving
    def _saved(self, session: Session, version: Any) -> None:
        rescue.forget(session.case, session.reader)
        time = qt.QDateTime.currentDateTime().toString("HH:mm:ss")
        self.say(_("Saved at {time} as version {number}.").format(time=time, number=version.number))
        if self.list.worklist is not None and session.store is self.list.worklist.store:
            self.list.refresh(session.case)
        if session is self.session:
            self._show()

    def _not_saved(self, session: Session, failure: Failure) -> None:
        self._why, self._code = failure.text, failure.code
        if failure.code == "lock-lost":
            session.lock, session.why_not = None, failure.text
            if session is self.session:
                self._editable_changed()
        self.say(_("Not saved: {why}").format(why=failure.text))

    # --- what the cards tell
    def _voxels_changed(self, segment: str) -> None:
        session = self.session
        if session is None or not session.editable:
            return
        session.fat_touched = session.fat_touched or segment == FAT
        session.changed()
        self._show_case()

    def _scored(self) -> None:
        session = self.session
        if session is not None and session.editable:
            session.scores, session.comment = self.scores.scores, self.scores.comment
            session.flagged = self.scores.flagged
            session.changed()
            self._show_case()

    def _plane_moved(self) -> None:
        if self.session is not None:
            self.session.changed()
            self._show_case()

    def _mouse_moved(self) -> None:
        if self.session is not None:
            self.session.time.touch()

    def _reads(self) -> tuple[Any, str] | None:
        """Work list and reader, for the agreement panel."""
        worklist = self.list.worklist
        return None if worklist is None else (worklist, worklist.reader)

    # --- showing
    def say(self, text: str) -> None:
        self.ui.statusLabel.text = text
        self.ui.statusLabel.visible = bool(text)

    def _progress(self, share: float | None, words: str) -> None:
        bar = self.ui.progressBar
        bar.visible = True
        bar.setRange(0, 0 if share is None else 1000)
        if share is not None:
            bar.value = round(1000 * share)
        self.say(words)

    def _no_progress(self) -> None:
        self.ui.progressBar.visible = False

    def _editable_changed(self) -> None:
        self.paint.enable()
        self.mirror.enable()
        self._show()

    def _show(self) -> None:
        ui, session = self.ui, self.session
        editable = session is not None and session.editable
        self.scores.enable(editable)
        ui.lockButton.enabled = editable
        ui.exportButton.enabled = (
            self.list.worklist is not None and self._listing is None and not self.opener.volumes
        )
        ui.doneButton.enabled = ui.saveButton.enabled = editable
        have_list = self.list.worklist is not None and self._opening is None
        ui.nextButton.enabled = have_list and self.list.next() is not None
        ui.previousButton.enabled = have_list and self.list.previous() is not None
        ui.breakLockButton.visible = (
            session is not None and not editable and not session.final and not session.compared
        )
        ui.startOverButton.visible = editable and session.version is not None and session.status == "draft"
        self.agreement.enable()
        self._show_case()

    def _show_case(self) -> None:
        session = self.session
        self.ui.caseLabel.text = case_words(session) if session is not None else _("No case is open.")
        self.ui.caseNote.text = note_words(session) if session is not None else ""
        self.ui.caseNote.visible = bool(self.ui.caseNote.text)


def case_words(session: Session) -> str:
    """Case, version and whether there is something to save."""
    state = {"done": _("done"), "draft": _("begun")}.get(session.status, session.status)
    if session.final:
        state = _("final")
    elif session.version is None and not session.dirty:
        state = _("new")
    text = _("<b>{case}</b>, {state}").format(case=_plain(session.case), state=state)
    if session.version is not None:
        text = _("{text}, version {number}").format(text=text, number=session.version)
    return _("{text}; not saved yet").format(text=text) if session.dirty else text


def note_words(session: Session) -> str:
    """Why the case cannot be changed, or that a draft goes on."""
    if session.why_not:
        return session.why_not
    if session.version is not None and session.status == "draft" and session.changes == 0:
        return _("Your draft goes on from version {number}.").format(number=session.version)
    return ""


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")

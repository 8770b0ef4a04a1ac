"""Painting: ranges of HU, proposals, which segment is edited, and how much brown fat there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
from BATNetSlicer.background import Background
from BATNetSlicer.texts import _, millilitres

from . import proposing
from .arrays import Lattice
from .casenodes import BROWN, FAT, PET_OPACITY, SegmentObserver
from .saver import failure_of
from .session import Session

#: Effects of Slicer's segment editor in the order of its keys 1, 2, 3, ...
EFFECTS = [
    "Paint",
    "Erase",
    "Draw",
    "Scissors",
    "Islands",
    "Level tracing",
    "Smoothing",
    "Margin",
    "Threshold",
]
#: Keys of the criteria, in the order of their buttons.
CRITERION_KEYS = ("F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9")
#: Volumes are counted again so long after the last change.
COUNT_MS = 200
NODE_TAG = "BATNetAnnotate"


class PaintCard:
    """``changed(segment)`` is called when voxels have changed, ``say(text)`` tells the user something."""

    def __init__(
        self,
        ui: Any,
        changed: Callable[[str], None],
        say: Callable[[str], None],
        ask: Callable[[str], bool],
    ) -> None:
        self.ui, self._changed, self._say, self.ask = ui, changed, say, ask
        self.session: Session | None = None
        self.criteria: dict[str, Any] = {}
        self._buttons: dict[str, Any] = {}
        self._observer: SegmentObserver | None = None
        self._observed: list[tuple[Any, int]] = []
        self._work: Background | None = None
        self._edited = ""
        self._count = qt.QTimer()
        self._count.setSingleShot(True)
        self._count.setInterval(COUNT_MS)
        self._count.connect("timeout()", self.count)
        self.volumes: tuple[float, float, float] = (0.0, 0.0, 0.0)
        editor = ui.editor
        editor.setEffectNameOrder(EFFECTS)
        editor.unorderedEffectsVisible = False
        for part in ("segmentationNodeSelector", "sourceVolumeNodeSelector", "switchToSegmentationsButton"):
            setattr(editor, f"{part}Visible", False)
        editor.addRemoveSegmentButtonsVisible = False
        editor.autoShowSourceVolumeNode = False  # the case is shown already, with its PET
        editor.maximumNumberOfUndoStates = 20
        self._make_criteria()
        ui.proposeButton.connect("clicked()", self.propose)
        ui.findFatButton.connect("clicked()", self.find_fat)
        ui.brownButton.connect("clicked()", lambda: self.edit(BROWN))
        ui.fatButton.connect("clicked()", lambda: self.edit(FAT))
        ui.undoButton.connect("clicked()", lambda: self.ui.editor.undo())
        ui.redoButton.connect("clicked()", lambda: self.ui.editor.redo())
        ui.paintEffectButton.connect("clicked()", lambda: self.choose_effect("Paint"))
        ui.eraseEffectButton.connect("clicked()", lambda: self.choose_effect("Erase"))
        ui.hideButton.connect("clicked()", lambda: self.show_masks(not self.ui.hideButton.checked))
        ui.petButton.connect("clicked()", lambda: self.show_pet(self.ui.petButton.checked))
        ui.sexCombo.addItems([_("sex: unknown"), _("woman"), _("man")])
        self.show(None)

    def _make_criteria(self) -> None:
        from BATNetLib.pet.criteria import load_criteria

        self.criteria = load_criteria()
        grid = qt.QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        self.ui.criteriaFrame.layout().addLayout(grid)
        for index, (name, criterion) in enumerate(self.criteria.items()):
            button = qt.QPushButton(criterion_words(criterion, _key(index)))
            button.setCheckable(True)
            button.setToolTip(criterion.title)
            button.connect("clicked()", lambda name=name: self.choose(name))
            grid.addWidget(button, index // 2, index % 2)
            self._buttons[name] = button

    def keys(self) -> dict[str, Callable[[], None]]:
        """Keys of this card and what they do."""
        keys: dict[str, Callable[[], None]] = {
            "P": self.propose,
            "H": lambda: self.show_masks(self.ui.hideButton.checked),
            "T": lambda: self.show_pet(not self.ui.petButton.checked),
        }
        for index, name in enumerate(self.criteria):
            if _key(index):
                keys[_key(index)] = lambda name=name: self.choose(name)
        return keys

    # --- the case
    def show(self, session: Session | None) -> None:
        """Edit another case, or none."""
        self._release()
        self.session = session
        editor = self.ui.editor
        if session is None:
            if editor.mrmlSegmentEditorNode() is not None:
                editor.setActiveEffectByName("")
                editor.setSourceVolumeNode(None)
                editor.setSegmentationNode(None)
        else:
            node = editor_node()
            editor.setMRMLSegmentEditorNode(node)
            editor.setSegmentationNode(session.nodes.segmentation)
            editor.setSourceVolumeNode(session.nodes.ct)
            self._edited = ""
            self._observer = SegmentObserver(session.nodes.segmentation, self._voxels_changed)
            self._observed = [
                (node, node.AddObserver("ModifiedEvent", lambda *_: self._editor_changed())),
                (node, node.AddObserver(node.EffectParameterModified, lambda *_: session.time.touch())),
            ]
            self.ui.petButton.checked = session.nodes.pet is not None
            self.ui.hideButton.checked = False
            self.choose(session.criterion or next(iter(self.criteria)), by_user=False)
            self.edit(BROWN)
            unknown = session.pet_of_unknown_unit is not None
            self.ui.proposeNote.text = _("The PET does not say whether it is in SUV.") if unknown else ""
        if session is None:
            self.ui.proposeNote.text = ""
            self.ui.patientFrame.visible = False
        self.enable()
        self.count()

    def close(self) -> None:
        self._release()
        self.session = None

    def enable(self) -> None:
        session, busy = self.session, self._work is not None
        editable = session is not None and session.editable
        for button in (*self._buttons.values(), self.ui.brownButton, self.ui.fatButton):
            button.enabled = editable
        for name in ("undo", "redo", "paintEffect", "eraseEffect"):
            getattr(self.ui, f"{name}Button").enabled = editable
        self.ui.proposeButton.enabled = editable and not busy
        self.ui.findFatButton.enabled = editable and not busy
        self.ui.hideButton.enabled = session is not None
        self.ui.petButton.enabled = session is not None and session.nodes.pet is not None
        self.ui.editor.setReadOnly(session is None or not editable)

    def _release(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer = None
        for thing, tag in self._observed:
            thing.RemoveObserver(tag)
        self._observed = []
        self._count.stop()
        if self._work is not None:
            self._work.stop()
            self._work = None

    # --- where may be painted
    @property
    def criterion(self) -> Any:
        return self.criteria.get(self.session.criterion) if self.session is not None else None

    @property
    def hu_range(self) -> tuple[float, float] | None:
        return self.criterion.hu if self.criterion is not None else None

    def choose(self, name: str, by_user: bool = True) -> None:
        """Paint by the range of HU of a criterion."""
        if self.session is None or name not in self.criteria or not (self.session.editable or not by_user):
            return
        if by_user and self.session.criterion != name:
            self.session.changed()
        self.session.criterion = name
        for known, button in self._buttons.items():
            button.checked = known == name
        self.ui.patientFrame.visible = self.session.pet is not None and self.criterion.lean_mass is not None
        self._limit()
        if by_user:
            self._say(_("Painting by {criterion}.").format(criterion=self.criteria[name].title))

    def edit(self, segment: str) -> None:
        """Paint brown fat, or correct the adipose tissue itself."""
        if self.session is not None:
            self.ui.editor.setCurrentSegmentID(segment)
            self._editor_changed()

    def _look_at(self, segment: str) -> None:
        """Brown fat is edited in the box around the fat, fat itself anywhere."""
        if segment != self._edited:
            self._edited = segment
            self.session.nodes.limit_editing(segment == BROWN)

    def choose_effect(self, name: str) -> None:
        editor = self.ui.editor
        if self.session is None or not self.session.editable:
            return
        now = editor.activeEffect()
        editor.setActiveEffectByName("" if now is not None and now.name == name else name)
        self._editor_changed()

    def _editor_changed(self) -> None:
        if self.session is None:
            return
        if not self.session.editable and self.ui.editor.activeEffect() is not None:
            self.ui.editor.setActiveEffectByName("")  # its keys do not ask whether the editor is read-only
        segment, effect = self.ui.editor.currentSegmentID(), self.ui.editor.activeEffect()
        self._look_at(segment)
        self.ui.brownButton.checked, self.ui.fatButton.checked = segment == BROWN, segment == FAT
        name = effect.name if effect is not None else ""
        self.ui.paintEffectButton.checked, self.ui.eraseEffectButton.checked = (
            name == "Paint",
            name == "Erase",
        )
        self._limit()

    def _limit(self) -> None:
        """Brown fat only inside the adipose tissue and the range of HU; the two may overlap."""
        node = self.ui.editor.mrmlSegmentEditorNode()
        if node is None or self.session is None:
            return
        modes = slicer.vtkMRMLSegmentationNode
        brown = self.ui.editor.currentSegmentID() == BROWN
        wanted = self.hu_range if brown else None
        changed = node.StartModify()
        node.SetOverwriteMode(node.OverwriteNone)
        node.SetMaskMode(modes.EditAllowedInsideSingleSegment if brown else modes.EditAllowedEverywhere)
        node.SetMaskSegmentID(FAT if brown else "")
        node.SetSourceVolumeIntensityMask(wanted is not None)
        if wanted is not None:
            node.SetSourceVolumeIntensityMaskRange(*wanted)
        node.EndModify(changed)

    # --- proposals
    def propose(self) -> None:
        """Fill brown fat by fat, HU and uptake; without PET by HU alone, if the reader says so."""
        session, criterion = self.session, self.criterion
        if session is None or not session.editable or criterion is None or self._work is not None:
            return
        if session.pet is None and session.pet_of_unknown_unit is not None:
            question = _("The PET does not say what its values are. Are they SUV by body weight?")
            if not self.ask(question):
                return
            session.pet, session.pet_of_unknown_unit = session.pet_of_unknown_unit, None
        session.patient = self._patient()
        scan = session.scan()
        if session.pet is not None:
            self._start(
                lambda: proposing.proposal(scan, criterion),
                _origin(criterion),
                _("Looking at the uptake ..."),
            )
            return
        if criterion.hu is None:
            self.ui.proposeNote.text = _(
                "There is no PET, and {criterion} has no range of HU: nothing can be proposed."
            ).format(criterion=criterion.title)
            return
        question = _(
            "There is no PET. HU alone does not tell brown fat from white: what it fills is no finding. Fill "
            "by HU range only?"
        )
        if self.ask(question):
            low_high = criterion.hu
            self._start(lambda: proposing.hu_proposal(scan, low_high), _origin(None), _("Looking at HU ..."))

    def _patient(self) -> Any:
        """What the reader entered of the patient, for criteria on the lean body mass."""
        from BATNetLib.pet.bodysize import Patient

        weight, height = float(self.ui.weightBox.value), float(self.ui.heightBox.value)
        sex = (None, "F", "M")[max(0, self.ui.sexCombo.currentIndex)]
        return Patient(weight or None, height / 100 or None, sex)

    def find_fat(self) -> None:
        """Fat by range of HU inside the body, where the case has no mask of it."""
        session = self.session
        if session is None or not session.editable or self._work is not None:
            return
        lattice, hu = session.lattice, session.nodes.hu
        self.ui.proposeNote.text = _("Looking for the fat ...")
        self._run(lambda: _fat_of(lattice, hu), lambda mask: self.put(FAT, mask))

    def _start(self, work: Callable[[], tuple[np.ndarray, str]], origin: str, words: str) -> None:
        session = self.session
        self.ui.proposeNote.text = words

        def done(outcome: tuple[np.ndarray, str]) -> None:
            mask, told = outcome
            session.began_from = origin
            self.put(BROWN, mask)
            self.ui.proposeNote.text = told

        self._run(work, done)

    def _run(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def over(outcome: Any) -> None:
            self._work = None
            self.ui.proposeNote.text = ""
            done(outcome)
            self.enable()

        def failed(error: Exception) -> None:
            self._work = None
            failure = failure_of(error)
            text = failure.text
            if failure.code.startswith("pet-") and failure.code.endswith(("-missing", "-zero")):
                text = _("Enter weight, height and sex of the patient: {why}").format(why=failure.found)
            self.ui.proposeNote.text = text
            self.enable()

        self._work = Background(work, over, failed)
        self.enable()

    @property
    def busy(self) -> bool:
        return self._work is not None

    def put(self, segment: str, mask: np.ndarray) -> None:
        """Make ``mask`` the content of a segment; undo takes it back."""
        self.ui.editor.saveStateForUndo()
        self.session.nodes.put_mask(segment, mask)

    # --- showing
    def _voxels_changed(self, segment: str) -> None:
        if segment in (BROWN, FAT):
            if segment == FAT:
                self.session.nodes.fat_changed()
                if self._edited == BROWN:  # found, or taken back while brown fat is edited
                    self._edited = ""
            self._changed(segment)
            self._count.start()

    def count(self) -> None:
        """Say how much brown fat there is, in all and by side."""
        session = self.session
        if session is None or not session.nodes.in_scene:
            self.ui.volumeLabel.text = ""
            return
        self._look_at(self.ui.editor.currentSegmentID())
        mask = session.nodes.mask(BROWN)
        total = np.count_nonzero(mask.array) * session.nodes.voxel_ml
        right = left = 0.0
        text = _("Brown fat {ml} mL").format(ml=millilitres(total))
        if session.midplane is not None:
            start = session.lattice.affine.copy()
            start[:3, 3] = (start @ [*mask.start, 1.0])[:3]
            piece = Lattice(start, mask.array.shape) if mask.array.size else session.lattice
            if mask.array.size:
                right, left = proposing.side_volumes(
                    piece, mask.array, session.midplane, session.nodes.voxel_ml
                )
            text = _("Brown fat {ml} mL (right {right}, left {left})").format(
                ml=millilitres(total), right=millilitres(right), left=millilitres(left)
            )
        self.volumes = (total, right, left)
        self.ui.volumeLabel.text = text
        self.ui.findFatButton.visible = not session.nodes.has_fat

    def show_masks(self, on: bool) -> None:
        if self.session is not None:
            self.session.nodes.segmentation.GetDisplayNode().SetVisibility(on)
            self.ui.hideButton.checked = not on

    def show_pet(self, on: bool) -> None:
        if self.session is not None and self.session.nodes.pet is not None:
            slicer.util.setSliceViewerLayers(foregroundOpacity=PET_OPACITY if on else 0.0)
            self.ui.petButton.checked = on


def editor_node() -> Any:
    """The node of this module's segment editor; not the one of Slicer's own module."""
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(NODE_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(NODE_TAG)
        node.SaveWithSceneOff()
        node = scene.AddNode(node)
    return node


def criterion_words(criterion: Any, key: str) -> str:
    """What a button says: the range of HU and the key."""
    hu = (
        _("any HU")
        if criterion.hu is None
        else f"{criterion.hu[0]:g} … {criterion.hu[1]:g} HU".replace("-", "−")
    )
    name = str(criterion.title).partition(":")[0].partition(",")[0]
    text = hu if name.endswith("HU") else f"{name}: {hu}"
    return f"{text} ({key})" if key else text


def _key(index: int) -> str:
    return CRITERION_KEYS[index] if index < len(CRITERION_KEYS) else ""


def _origin(criterion: Any) -> str:
    from BATNetLib.annotation.propose import origin

    return origin(criterion)


def _fat_of(lattice: Lattice, hu: np.ndarray) -> np.ndarray:
    from BATNetLib.adipose.threshold import adipose_by_threshold

    found = adipose_by_threshold(lattice.volume(hu))
    return np.ascontiguousarray(lattice.back(found.array)) > 0

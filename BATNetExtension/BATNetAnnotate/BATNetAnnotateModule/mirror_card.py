"""The other side: the body's mid-plane, the second view about it, and copies of what was painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from BATNetSlicer.background import Background
from BATNetSlicer.texts import _

from . import proposing, settings
from .casenodes import BROWN
from .mirrorview import MirrorView
from .paint_card import PaintCard
from .saver import failure_of
from .session import Session

CURSOR, RIGHT, LEFT = range(3)


class MirrorCard:
    """``changed()`` is called when the plane was moved; ``moved()`` when the mouse was."""

    def __init__(
        self, ui: Any, paint: PaintCard, changed: Callable[[], None], moved: Callable[[], None]
    ) -> None:
        self.ui, self._paint, self._changed = ui, paint, changed
        self.session: Session | None = None
        self.view = MirrorView(lambda: self.session.plane if self.session is not None else None, moved)
        self._work: Background | None = None
        self._found: Any = None
        self._showing = False
        ui.fromCombo.addItems(
            [_("the side under the cursor"), _("the patient's right"), _("the patient's left")]
        )
        ui.mirrorViewButton.connect("clicked()", lambda: self.choose(self.ui.mirrorViewButton.checked))
        ui.findPlaneButton.connect("clicked()", self.find)
        ui.copyButton.connect("clicked()", self.copy)
        for name in ("shiftBox", "yawBox", "rollBox"):
            getattr(ui, name).connect("valueChanged(double)", lambda *_: self._placed())
        self.show(None)

    def keys(self) -> dict[str, Callable[[], None]]:
        return {"M": lambda: self.choose(not self.view.shown), "C": self.copy}

    def show(self, session: Session | None) -> None:
        """Another case, or none. A plane that was saved is used again, else one is looked for."""
        self._stop()
        self.session = session
        self._found = None
        self.ui.planeNote.text = ""
        if session is not None:
            self._found = session.plane
            self._show_plane()
            if session.plane is None:
                self.find()
            self.switch(self.wanted)
        self.enable()
        self.view.update()

    def enable(self) -> None:
        session = self.session
        self.ui.mirrorViewButton.enabled = session is not None
        self.ui.findPlaneButton.enabled = session is not None and self._work is None
        self.ui.copyButton.enabled = session is not None and session.editable and session.plane is not None
        for name in ("shiftBox", "yawBox", "rollBox", "fromCombo"):
            getattr(self.ui, name).enabled = session is not None and session.plane is not None

    def close(self) -> None:
        self._stop()
        self.view.stop()
        self.session = None

    @property
    def wanted(self) -> bool:
        """Whether the user works with the mirrored view; he does until he switches it off."""
        return settings.read(settings.MIRROR, "1") == "1"

    def choose(self, on: bool) -> None:
        """The user switches the mirrored view; it stays so for the next cases."""
        settings.write(settings.MIRROR, "1" if on else "0")
        self.switch(on)

    def switch(self, on: bool) -> None:
        """Show or hide the mirrored view."""
        if self.session is None:
            on = False
        if on:
            self.view.show()
        else:
            self.view.hide()
        self.ui.mirrorViewButton.checked = self.view.shown

    # --- the plane
    def find(self) -> None:
        """Look for the plane about which the body mirrors onto itself, in a thread."""
        session = self.session
        if session is None or self._work is not None:
            return
        lattice, hu = session.lattice, session.nodes.hu
        self.ui.planeNote.text = _("Looking for the mid-plane ...")

        def done(plane: Any) -> None:
            self._work = None
            if self.session is session:
                self._take(plane)

        def failed(error: Exception) -> None:
            self._work = None
            if self.session is session:
                self._take(None)
                self.ui.planeNote.text = failure_of(error).text

        self._work = Background(lambda: _plane_of(lattice.volume(hu)), done, failed)
        self.enable()

    @property
    def busy(self) -> bool:
        return self._work is not None

    def _take(self, plane: Any) -> None:
        from BATNetLib.symmetry import MirrorPlane

        session = self.session
        found = plane is not None
        if not found:
            plane = MirrorPlane.middle_of(session.lattice.volume(session.nodes.hu))
        session.plane = self._found = plane
        session.plane_stands_in = not found
        self._show_plane()
        if not found:
            self.ui.planeNote.text = _(
                "No mid-plane was found in this body; the middle of the image stands for it. Move it here."
            )
        self.enable()
        self.view.update()
        self._paint.count()

    def _show_plane(self) -> None:
        self._showing = True
        try:
            plane = self.session.plane
            self.ui.shiftBox.value = 0.0
            self.ui.yawBox.value = plane.yaw_degrees if plane is not None else 0.0
            self.ui.rollBox.value = plane.roll_degrees if plane is not None else 0.0
            self.ui.planeNote.text = plane.words() if plane is not None else ""
        finally:
            self._showing = False

    def _placed(self) -> None:
        """The user has moved the plane."""
        if self._showing or self.session is None or self._found is None:
            return
        found = self._found
        turned = found.turned(
            self.ui.rollBox.value - round(found.roll_degrees, 1),
            self.ui.yawBox.value - round(found.yaw_degrees, 1),
        )
        self.session.plane = turned.moved(self.ui.shiftBox.value)
        self.session.plane_stands_in = False
        self.ui.planeNote.text = self.session.plane.words()
        self._changed()
        self.view.update()
        self._paint.count()

    # --- copying
    def from_side(self) -> str | None:
        """Which side is copied; None where the cursor has not been in a view yet."""
        chosen = self.ui.fromCombo.currentIndex
        if chosen != CURSOR:
            return "right" if chosen == RIGHT else "left"
        cursor = self.view.cursor
        if cursor is None:
            return None
        lps = np.array(cursor) * (-1.0, -1.0, 1.0)
        return "left" if float(self.session.plane.distance(lps)) > 0 else "right"

    def copy(self) -> None:
        """Mirror the brown fat of one side onto the other one."""
        session = self.session
        if session is None or not session.editable or session.plane is None or self._work is not None:
            return
        if session.plane_stands_in:
            self.ui.planeNote.text = _("No mid-plane was found: move it to where it lies, then copy.")
            return
        side = self.from_side()
        if side is None:
            self.ui.planeNote.text = _("Move the mouse over the side that is to be copied.")
            return
        scan, plane, hu_range = session.scan(), session.plane, self._paint.hu_range
        brown = session.nodes.mask(BROWN)
        before = int(np.count_nonzero(brown.array))

        def done(mask: np.ndarray) -> None:
            self._work = None
            added = int(np.count_nonzero(mask)) - before
            if added:
                self._paint.put(BROWN, mask)
            ml = f"{added * session.nodes.voxel_ml:.1f}"
            words = {
                "right": _("{ml} mL added on the left, mirrored from the right."),
                "left": _("{ml} mL added on the right, mirrored from the left."),
            }
            self.ui.planeNote.text = words[side].format(ml=ml)
            self.enable()

        def failed(error: Exception) -> None:
            self._work = None
            self.ui.planeNote.text = failure_of(error).text
            self.enable()

        self._work = Background(lambda: proposing.mirrored(scan, brown, plane, side, hu_range), done, failed)
        self.enable()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop()
            self._work = None


def _plane_of(ct: Any) -> Any:
    from BATNetLib.annotation.mirror import find_mirror_plane

    return find_mirror_plane(ct)

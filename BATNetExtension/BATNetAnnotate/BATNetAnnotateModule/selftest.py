"""The module's own test: two phantoms through the panel, with the real engine; no PyTorch, no model."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import slicer
from BATNetSlicer.texts import _

from .casenodes import BROWN, FAT

_WAIT = 120.0


def annotate_phantoms(case: Any) -> str:
    """Assert on ``case`` (a ``unittest.TestCase``); returns what was measured, in words."""
    panel = slicer.modules.batnetannotate.widgetRepresentation().self().panel
    with tempfile.TemporaryDirectory(prefix="BATNetAnnotate-", ignore_cleanup_errors=True) as folder:
        study, reads = Path(folder) / "study", Path(folder) / "reads"
        _make_phantoms(study)
        _until(lambda: panel.session is None or not panel.saver.busy)
        ui = panel.ui
        before = [edit.text for edit in (ui.sourceEdit, ui.storeEdit, ui.readerEdit)]
        ui.sourceEdit.text, ui.storeEdit.text, ui.readerEdit.text = str(study), str(reads), "self test"
        try:
            return _run(case, panel, reads)
        finally:
            panel.leave(lambda ok: None)
            _until(lambda: not panel.saver.busy)
            for edit, text in zip((ui.sourceEdit, ui.storeEdit, ui.readerEdit), before, strict=True):
                edit.text = text
            panel.list.remember()


def _run(case: Any, panel: Any, reads: Path) -> str:
    start = time.monotonic()
    panel.open_list()
    case.assertTrue(_until(lambda: panel.list.worklist is not None and panel._listing is None))
    first, second = (item.case for item in panel.list.worklist.items)
    panel.open_case(panel.list.item(first))
    case.assertTrue(_until(lambda: panel.session is not None and not panel.mirror.busy))
    session = panel.session
    case.assertTrue(session.editable)
    panel.paint.choose("hu-180-10-suv-1.5")
    panel.paint.propose()
    case.assertTrue(_until(lambda: not panel.paint.busy))
    proposed = session.nodes.whole_mask(BROWN)
    case.assertTrue(proposed.any())
    case.assertFalse((proposed & ~session.nodes.whole_mask(FAT)).any())
    panel.ui.fromCombo.currentIndex = 1
    panel.mirror.copy()
    case.assertTrue(_until(lambda: not panel.mirror.busy))
    copied = session.nodes.whole_mask(BROWN)
    case.assertFalse((proposed & ~copied).any())
    panel.scores.score(2)
    panel.next()
    case.assertTrue(_until(lambda: panel.session is not None and panel.session.case == second))
    panel.previous()
    case.assertTrue(_until(lambda: panel.session is not None and panel.session.case == first))
    case.assertTrue((panel.session.nodes.whole_mask(BROWN) == copied).all())
    case.assertEqual(panel.session.scores["cervical"]["right"], 2)
    case.assertEqual(len(list(reads.glob("*/*/v0001/brown_fat_mask.nii.gz"))), 1)
    return _("Two phantoms were annotated in {seconds:.1f} s.").format(seconds=time.monotonic() - start)


def _make_phantoms(study: Path) -> None:
    """Two coarse phantoms with a PET that shows their brown fat."""
    import numpy as np

    from BATNetLib.annotation.rawnrrd import write_raw
    from BATNetLib.dataset.phantom import make_phantom
    from BATNetLib.events import Events

    for seed in (3, 4):
        made = make_phantom(seed, spacing=(6.0, 4.5, 4.5))
        folder = study / f"phantom-{seed}"
        folder.mkdir(parents=True)
        suv = np.where(made.brown.array > 0, 4.0, 0.5).astype(np.float32)
        volumes = {"image": made.ct, "fat_mask": made.adipose, "suv": made.ct.with_array(suv)}
        for name, volume in volumes.items():
            write_raw(volume, folder / f"{name}.nrrd", Events())


def _until(done: Any) -> bool:
    """Run Slicer's event loop until ``done()``; False where it takes too long."""
    end = time.monotonic() + _WAIT
    while not done():
        if time.monotonic() > end:
            return False
        slicer.app.processEvents()
    return True

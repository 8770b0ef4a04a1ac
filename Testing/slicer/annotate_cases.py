"""The panel of BATNetAnnotate opened for a test, and phantoms with PET as cases on the disk."""

from __future__ import annotations

import functools
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "BATNetExtension" / "BATNetAnnotate" / "BATNetAnnotate.py"
#: Coarse, so that a case is read in no time.
SPACING = (6.0, 4.5, 4.5)
CASES = ("anna", "berta", "carla", "dora", "emma")
if str(MODULE.parent) not in sys.path:
    sys.path.insert(0, str(MODULE.parent))
_KEPT: list[tempfile.TemporaryDirectory] = []


@functools.cache
def phantom(seed=3):
    from BATNetLib.dataset.phantom import make_phantom

    return make_phantom(seed, spacing=SPACING)


def suv_of(made):
    """A PET on a coarser grid of its own: SUV 4 in the brown fat, 0.6 in the rest of the body."""
    from BATNetLib.volume import Grid, Volume

    brown = made.brown
    array = np.where(brown.array > 0, 4.0, np.where(made.ct.array > -500, 0.6, 0.0))
    array = array.astype(np.float32)[:, ::2, ::2]
    affine = brown.grid.affine.copy()
    affine[:3, 1:3] *= 2
    return Volume(np.ascontiguousarray(array), Grid(array.shape, affine))


@functools.cache
def _folder():
    """Five cases as folders: image, fat_mask, brown_fat_mask and suv. Made once."""
    from BATNetLib.dataset.phantom import write_phantom
    from BATNetLib.volume import write_volume

    keep = tempfile.TemporaryDirectory(prefix="batnet-annotate-")
    _KEPT.append(keep)
    root = Path(keep.name) / "cases"
    for seed, name in enumerate(CASES, 3):
        made = phantom(seed if seed < 5 else 3)
        write_phantom(replace(made, pet=None), root / name)
        write_volume(suv_of(made), root / name / "suv.nii.gz")
    return root


def cases(tmp_path, names=CASES):
    """A folder of cases that a test may change."""
    root = tmp_path / "study"
    for name in names:
        shutil.copytree(_folder() / name, root / name)
    return root


class Nearby:
    """The engine without a process of its own, for tests of other things: ``annotate`` and ``agreement`` run
    here, their last words are told from the event loop."""

    def __init__(self):
        self.calls = []

    def start(self, arguments, listener=None):
        from stage import scripted_engine as script

        from BATNetLib.errors import BATNetError

        words = [str(argument) for argument in arguments]
        self.calls.append(words)
        try:
            step = script.result(self._run(words))
        except BATNetError as error:
            step = script.error(error.code, error.found, error.wanted, error.remedy, error.exit_code)
        return script.ScriptedRunner(step).start(arguments, listener)

    @staticmethod
    def _run(words):
        import argparse
        import contextlib
        import io

        from BATNetLib.cli import agreement, annotate
        from BATNetLib.events import Events

        parser = argparse.ArgumentParser()
        common = argparse.ArgumentParser(add_help=False)
        common.add_argument("--events", default="json")
        commands = parser.add_subparsers(dest="command")
        for command in (annotate, agreement):
            command.add_parser(commands, common)
        args = parser.parse_args(words)
        with contextlib.redirect_stdout(io.StringIO()):
            args.run(args, Events())
        return str(getattr(args, "out", None) or args.scratch)


def open_annotate(open_panel, engine=None):
    """The panel, with its views built as in Slicer. ``engine``: the real one in a process where None."""
    from batnet_cases import build_views

    build_views()
    panel = open_panel(MODULE).python.panel
    panel.runner = engine
    return panel


def open_list(panel, process_events, source, store, reader="Anna Reader"):
    panel.ui.sourceEdit.text = str(source)
    panel.ui.storeEdit.text = str(store)
    panel.ui.readerEdit.text = reader
    panel.ui.openButton.click()
    assert process_events(lambda: panel._listing is None, 20)
    assert panel.list.worklist is not None, panel.ui.openNote.text


def open_case(panel, process_events, case, timeout=40):
    panel.open_case(panel.list.item(case))
    assert process_events(lambda: panel._opening is None and panel.session is not None, timeout), (
        panel.ui.statusLabel.text
    )
    settle(panel, process_events)
    return panel.session


def settle(panel, process_events, timeout=40):
    """Wait until nothing is computed, saved or opened any more."""
    assert process_events(
        lambda: (
            not panel.saver.busy
            and not panel.paint.busy
            and not panel.mirror.busy
            and panel._opening is None
            and panel._listing is None
        ),
        timeout,
    ), panel.ui.statusLabel.text


def mask_array(panel, segment):
    """uint8 [k, j, i] of a segment by Slicer's own export."""
    nodes = panel.session.nodes
    return slicer.util.arrayFromSegmentBinaryLabelmap(nodes.segmentation, segment, nodes.ct)


def to_ras(panel, kji):
    """RAS mm of voxels [k, j, i] of the CT."""
    affine = panel.session.nodes.affine
    return np.asarray(kji, float)[..., ::-1] @ affine[:3, :3].T + affine[:3, 3]

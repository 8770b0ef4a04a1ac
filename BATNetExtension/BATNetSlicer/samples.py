"""Sample data: a phantom that is made on the spot, and Slicer's own chest CT.

The phantom needs no network: the engine invents a patient in a child process. It has 3 mm voxels so that
the whole way takes seconds. Both are offered in the module Sample Data as well.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from .job_contract import JobListener, JobRunner, Progress, Result, RunningJob, State
from .job_words import Failure
from .texts import _

CATEGORY = "BATNet"
PHANTOM = "BATNetPhantom"
CHEST = "CTChest"
_CHEST_SHA256 = "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"
_CHEST_URL = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{_CHEST_SHA256}"
#: The invented patient of the sample.
SEED = 4


def register_samples() -> None:
    """Offer both samples in the module Sample Data."""
    try:
        import SampleData
    except ImportError:
        return  # a Slicer without that module
    icons = Path(__file__).resolve().parent / "Icons"
    logic = SampleData.SampleDataLogic
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=PHANTOM,
        uris="",  # Slicer counts the addresses even where nothing is downloaded
        customDownloader=_for_sample_data,
        thumbnailFileName=str(icons / "BATNetPhantom.png"),
    )
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=CHEST,
        uris=_CHEST_URL,
        fileNames="CT-chest.nrrd",
        nodeNames=CHEST,
        checksums=f"SHA256:{_CHEST_SHA256}",
        thumbnailFileName=str(icons / "BATNetChest.png"),
    )


def _for_sample_data(source: Any = None) -> Any:
    """What the button in Sample Data does; ``source`` is its entry there."""
    with slicer.util.tryWithErrorDisplay(_("The phantom could not be made."), waitCursor=True):
        node = phantom_now()
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        return node


def chest_ct() -> Any:
    """Download Slicer's sample CTChest (or take it from the cache) and load it; None where that failed."""
    import SampleData

    nodes = SampleData.SampleDataLogic().downloadFromURL(
        uris=_CHEST_URL, fileNames="CT-chest.nrrd", nodeNames=CHEST, checksums=f"SHA256:{_CHEST_SHA256}"
    )
    return nodes[0] if nodes else None


def phantom_now() -> Any:
    """The phantom as a volume node; the event loop runs until it is there. Raises ``RuntimeError`` in
    words."""
    import qt

    from .jobs import Engine

    loop, outcome = qt.QEventLoop(), []

    def done(node: Any, failure: Failure | None) -> None:
        outcome.append((node, failure))
        loop.quit()

    job = PhantomJob(Engine(), done)
    loop.exec_()
    job.close()
    node, failure = outcome[0]
    if failure is not None:
        raise RuntimeError(failure.text)
    return node


class PhantomJob(JobListener):
    """Makes a phantom and loads its CT; ``done(node, failure)`` is called once, with (None, None) if
    cancelled."""

    def __init__(
        self,
        runner: JobRunner,
        done: Callable[[Any, Failure | None], None],
        progress: Callable[[str], None] = lambda stage: None,
    ) -> None:
        self._done, self._progress = done, progress
        self._folder = Path(tempfile.mkdtemp(prefix="BATNet-", dir=slicer.app.temporaryPath or None))
        self._result: Result | None = None
        words = ["demo", "--phantom-only", "--size", "small", "--seed", str(SEED)]
        self._job: RunningJob = runner.start([*words, "--out", str(self._folder / "phantom")], self)

    def cancel(self) -> None:
        self._job.cancel()

    def close(self) -> None:
        """End now and report nothing any more."""
        self._done = lambda node, failure: None
        self._job.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stage(self, progress: Progress) -> None:
        self._progress(progress.name)

    def result(self, result: Result) -> None:
        self._result = result

    def error(self, failure: Failure) -> None:
        self._end(None, failure)

    def state(self, state: State) -> None:
        if state is State.DONE:
            node = slicer.util.loadVolume(
                str(self._result.folder / "image.nii.gz"), properties={"name": _("Phantom"), "show": True}
            )
            storage = node.GetStorageNode()
            if storage is not None:  # the file is temporary; with the scene the volume is saved anew
                node.SetAndObserveStorageNodeID(None)
                slicer.mrmlScene.RemoveNode(storage)
            self._end(node, None)
        elif state is State.CANCELLED:
            self._end(None, None)

    def _end(self, node: Any, failure: Failure | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        done, self._done = self._done, lambda node, failure: None
        done(node, failure)

"""The module's own test: phantoms, a split and a small training with the real engine, followed to its end."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import qt
import slicer
from BATNetSlicer import packages
from BATNetSlicer.job_contract import Result
from BATNetSlicer.job_words import Failure
from BATNetSlicer.jobs import Engine
from BATNetSlicer.texts import _

from .calls import Call
from .runwatch import RunWatch

PATIENTS, SECONDS = 2, 600.0


def train_on_phantoms(case: Any) -> str:
    """Assert on ``case`` (a ``unittest.TestCase``); returns what was measured, in words.

    Models and data lie in a temporary folder that is removed: the user's list of models stays as it is.
    """
    missing = [need.name for need in packages.package_needs(packages.TRAINING) if not need.met]
    if not packages.torch_need().met or missing:
        return _("PyTorch or packages are missing: training was not tested. See the panel.")
    folder = Path(tempfile.mkdtemp(prefix="BATNet-", dir=slicer.app.temporaryPath or None))
    watch: RunWatch | None = None
    begun = time.monotonic()
    try:
        engine = Engine(environment={"BATNET_HOME": str(folder / "models")})
        for number in range(PATIENTS):
            words = ["demo", "--phantom-only", "--size", "small", "--seed", str(number)]
            words += ["--brown", ("none", "both")[number % 2], "--out", str(folder / "made")]
            made = ask(engine, words)
            (folder / "data").mkdir(exist_ok=True)
            shutil.move(str(made.folder), str(folder / "data" / f"P{number}"))
            shutil.rmtree(folder / "made", ignore_errors=True)
        data, split, run = (str(folder / name) for name in ("data", "split.json", "run"))
        checked = ask(engine, ["dataset", "check", data, "--stage", "adipose"])
        case.assertEqual(len(checked.facts["cases"]), PATIENTS)
        case.assertFalse(checked.facts["blocking"])
        ask(engine, ["dataset", "split", data, "--folds", "2", "--out", split])
        words = ["train", "adipose", data, "--split", split, "--fold", "fold 1", "--out", run, "--detach"]
        ask(engine, [*words, "--width", "2", "--epochs", "1", "--batch-size", "8", "--device", "cpu"])
        watch = RunWatch(lambda: None)
        watch.open(run)
        ended = wait_for(lambda: watch.state.get("state") in ("done", "failed") and not watch.at_work)
        case.assertTrue(ended)
        case.assertEqual(watch.state["state"], "done", str(watch.state.get("error")))
        case.assertTrue(wait_for(lambda: watch.all_read))
        case.assertIn(1, watch.curves.epochs)
        case.assertTrue((Path(run) / "report.html").is_file())
        case.assertTrue(watch.state["result"]["model"])
    finally:
        if watch is not None:
            if watch.at_work:
                watch.request_stop()
                wait_for(lambda: not watch.at_work)
            watch.close()
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - begun
    return _("A small network was trained on phantoms in {seconds:.0f} s.").format(seconds=seconds)


def ask(engine: Any, words: list[str]) -> Result:
    """The answer of the engine; the event loop runs until it comes. Raises ``AssertionError`` in words."""
    answers: list[Any] = []
    call = Call(engine, words, answers.append, answers.append, lambda: answers.append(None))
    came = wait_for(lambda: bool(answers))
    call.close()
    if not came or not isinstance(answers[0], Result):
        why = answers[0].text if answers and isinstance(answers[0], Failure) else "no answer"
        raise AssertionError(f"batnet {words[0]}: {why}")
    return answers[0]


def wait_for(holds: Any) -> bool:
    """Run the event loop until ``holds()``; False after ``SECONDS``."""
    loop, until = qt.QEventLoop(), time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > until:
            return False
        qt.QTimer.singleShot(50, loop.quit)
        loop.exec_()
    return True

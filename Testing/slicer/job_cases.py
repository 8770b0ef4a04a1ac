"""What the tests of jobs share: a listener that writes everything down, and the engines that are running."""

from __future__ import annotations

from pathlib import Path

import psutil
from BATNetSlicer.jobs import JobListener

ENGINE = str(Path(__file__).parent / "engines" / "engine.py")


class Notes(JobListener):
    """Writes down everything that a job reports."""

    def __init__(self):
        self.states, self.stages, self.warnings, self.results = [], [], [], []
        self.errors, self.lines, self.silences = [], [], []

    def state(self, state):
        self.states.append(state)

    def stage(self, progress):
        self.stages.append(progress)

    def warning(self, code, text):
        self.warnings.append((code, text))

    def result(self, result):
        self.results.append(result)

    def error(self, failure):
        self.errors.append(failure)

    def log(self, lines):
        self.lines += lines

    def silence(self, seconds):
        self.silences.append(seconds)


def children():
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "engine.py" in " ".join(_command(child))
    ]


def _command(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []

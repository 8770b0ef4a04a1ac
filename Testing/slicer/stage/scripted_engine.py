"""A ``JobRunner`` that plays a script instead of starting a process: for tests of panels.

    runner = ScriptedRunner(stage("segment", 1, 2), pause(0.2), result(folder))
    panel.python.logic.runner = runner

Steps are played from the event loop, one a turn; cancelling stops the script. ``runner.calls`` holds the
arguments of every start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import qt
from BATNetSlicer.jobs import Failure, JobListener, Progress, Result, State

Step = Callable[["ScriptedJob"], float]


def stage(name: str, done: int, total: int | None, seconds: float = 0.1, finished: bool = False) -> Step:
    return _tell(lambda job: job.listener.stage(Progress(name, done, total, seconds, finished)))


def warning(code: str, text: str) -> Step:
    return _tell(lambda job: job.listener.warning(code, text))


def log(*lines: str) -> Step:
    return _tell(lambda job: job.write(list(lines)))


def silence(seconds: float) -> Step:
    return _tell(lambda job: job.listener.silence(seconds))


def pause(seconds: float) -> Step:
    return lambda job: seconds


def result(folder, exit_code: int = 0, **facts) -> Step:
    """The end: the folder is complete. Where ``folder`` is callable, it gets the arguments and makes the
    folder.
    """

    def end(job):
        made = folder(job.arguments) if callable(folder) else folder
        job.answer = Result(Path(made), facts, exit_code)
        job.listener.result(job.answer)
        job.become(State.DONE)

    return _tell(end)


def error(code: str, found: str, wanted: str = "", remedy: str = "", exit_code: int = 3) -> Step:
    """The end: a refusal in words."""

    def end(job):
        job.failure = Failure(code, found, wanted, remedy, exit_code)
        job.listener.error(job.failure)
        job.become(State.FAILED)

    return _tell(end)


def _tell(action) -> Step:
    def step(job) -> float:
        action(job)
        return 0.0

    return step


class ScriptedJob:
    """Looks like ``Job`` to its holder."""

    def __init__(self, steps, arguments, listener) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.listener = listener
        self.answer = self.failure = None
        self.state = State.IDLE
        self.silent_for = 0.0
        self._steps = list(steps)
        self._log: list[str] = []
        self.become(State.RUNNING)
        qt.QTimer.singleShot(0, self._next)

    def become(self, state: State) -> None:
        self.state = state
        self.listener.state(state)

    def write(self, lines) -> None:
        self._log += lines
        self.listener.log(lines)

    def log_text(self) -> str:
        return "\n".join(self._log)

    def _next(self) -> None:
        if self.state is State.CANCELLING:
            self.become(State.CANCELLED)
        elif self.state is State.RUNNING and self._steps:
            delay = self._steps.pop(0)(self)
            qt.QTimer.singleShot(int(delay * 1000), self._next)

    def follow_scene(self, scene) -> None:
        scene.AddObserver(scene.StartCloseEvent, lambda *_: self.cancel())

    def cancel(self) -> None:
        if self.state is State.RUNNING:
            self.become(State.CANCELLING)
            qt.QTimer.singleShot(0, self._next)

    def close(self) -> None:
        self.cancel()
        if self.state is State.CANCELLING:
            self.become(State.CANCELLED)


class ScriptedRunner:
    """Every ``start`` plays the script from its beginning."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.calls: list[list[str]] = []
        self.jobs: list[ScriptedJob] = []

    def start(self, arguments, listener: JobListener | None = None) -> ScriptedJob:
        job = ScriptedJob(self.steps, arguments, listener or JobListener())
        self.calls.append(job.arguments)
        self.jobs.append(job)
        return job

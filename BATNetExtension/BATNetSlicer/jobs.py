"""The engine as a child process that is watched and never waited for.

``Engine.start`` runs ``python -m BATNetLib ... --events json`` and reports to a ``JobListener`` from the
event loop of Slicer: the window stays usable however much the engine says. Cancelling closes the engine's
standard input, upon which it ends itself within a second; only an engine that does not is terminated, and
only that one process.

What takes a ``JobRunner`` can be tested with a scripted engine instead of a process.
"""

from __future__ import annotations

import contextlib
import json
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt

from . import job_words, processes
from .job_contract import JobListener, JobRunner, Progress, Result, RunningJob, State
from .job_words import Failure, _
from .processes import tell

__all__ = [
    "Engine",
    "Failure",
    "Job",
    "JobListener",
    "JobRunner",
    "Progress",
    "Result",
    "RunningJob",
    "State",
]

TURN_SECONDS = 0.015  # work on the engine's output before the window gets its turn
CHUNK_BYTES = 1 << 14
LINE_BYTES = 1 << 20  # what comes without a line end is cut here
LOG_LINES = 2000
TURN_LINES = 300  # lines of the log that one turn passes on; the rest of a flood is counted
LOG_LINE_LENGTH = 500
SILENCE_SECONDS = 10.0  # no news for so long is worth telling
CLOSING_READ_SECONDS = 0.2  # for what is left when Slicer ends
GRACE_SECONDS = 2.0  # from closing the input to terminate(), and again to kill()


class Engine:
    """Starts the engine. ``program`` and ``prefix`` say what to run; tests run scripts of their own."""

    def __init__(
        self,
        program: str | None = None,
        prefix: Sequence[str] = ("-m", "BATNetLib"),
        environment: dict[str, str] | None = None,
        grace_seconds: float = GRACE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.program = program
        self.prefix = tuple(prefix)
        self.environment = dict(environment or {})
        self.grace_seconds = grace_seconds
        self.silence_seconds = silence_seconds

    def start(self, arguments: Sequence[str], listener: JobListener | None = None) -> Job:
        """Start ``python -m BATNetLib arguments --events json``; reports to ``listener``.

        Keep the job: when it is dropped, the engine is told to end.
        """
        job = Job(listener or JobListener(), self.grace_seconds, self.silence_seconds)
        command = [*self.prefix, *map(str, arguments), "--events", "json"]
        environment = processes.engine_environment(self.environment)
        job.start(self.program or processes.python_program(), command, environment)
        return job


class Job:
    """One run of the engine, from start to its end. Made by ``Engine.start``."""

    def __init__(self, listener: JobListener, grace_seconds: float, silence_seconds: float) -> None:
        self.listener = listener
        self.answer: Result | None = None
        self.failure: Failure | None = None
        self._state = State.IDLE
        self._grace, self._silence = grace_seconds, silence_seconds
        self._process: Any = None
        self._rest = {"output": b"", "error": b""}
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._ended: tuple[int, bool] | None = None
        self._drain_queued = False
        self._last_news = time.monotonic()
        self._was_silent = False
        self._observed: list[tuple[Any, int]] = []

    @property
    def state(self) -> State:
        return self._state

    @property
    def silent_for(self) -> float:
        """Seconds since the engine last said anything; 0 when it is not running."""
        return 0.0 if self._process is None else time.monotonic() - self._last_news

    def log_text(self) -> str:
        """The last lines of what the engine wrote, without folders; progress lines are left out."""
        return "\n".join(self._log)

    # --- start and end
    def start(self, program: str, arguments: list[str], environment: Any) -> None:
        process = self._process = qt.QProcess()
        process.setProcessEnvironment(environment)
        # The process must not keep the job alive: a job that is dropped ends its engine.
        me = weakref.ref(self)
        process.connect("readyReadStandardOutput()", lambda: tell(me, "_queue_drain"))
        process.connect("readyReadStandardError()", lambda: tell(me, "_queue_drain"))
        process.connect("finished(int,QProcess::ExitStatus)", lambda *end: tell(me, "_end", *end))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda why: tell(me, "_process_error", why))
        self._clock = qt.QTimer()
        self._clock.setInterval(500)
        self._clock.connect("timeout()", lambda: tell(me, "_look_at_clock"))
        processes.hold(self)
        self._set_state(State.RUNNING)
        self._clock.start()
        process.start(program, arguments)

    def cancel(self) -> None:
        """Ask the engine to end; returns at once. One that does not is terminated after ``grace_seconds``."""
        if self._state is not State.RUNNING:
            return
        self._set_state(State.CANCELLING)
        process, me = self._process, weakref.ref(self)

        def concerns() -> bool:
            return me() is not None and me()._process is process

        processes.ask_to_end(process, self._grace, concerns)

    def follow_scene(self, scene: Any) -> None:
        """Cancel when ``scene`` is closed."""
        me = weakref.ref(self)
        tag = scene.AddObserver(scene.StartCloseEvent, lambda *_: tell(me, "cancel"))
        self._observed.append((scene, tag))

    def _end_observing(self) -> None:
        for scene, tag in self._observed:
            scene.RemoveObserver(tag)
        self._observed.clear()

    def close(self) -> None:
        """End the engine and wait for that, up to two seconds; for clean-up and the end of Slicer."""
        if self._process is None:
            return
        self.cancel()
        processes.end_now(self._process)
        self._read(CLOSING_READ_SECONDS)
        self._read_rest()
        self._conclude()

    def __del__(self) -> None:
        process = self.__dict__.get("_process")
        if process is not None:
            self._process = None
            with contextlib.suppress(Exception):  # Python itself may be ending
                self._end_observing()
                processes.leave(process, self._grace)

    def _process_error(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self.failure = job_words.not_started()
            self._end(0, qt.QProcess.NormalExit)

    def _end(self, code: int, status: Any) -> None:
        self._ended = (int(code), status == qt.QProcess.CrashExit)
        self._queue_drain()

    def _set_state(self, state: State) -> None:
        self._state = state
        self.listener.state(state)

    def _conclude(self) -> None:
        """The process is over and all it wrote is read: say what came of it."""
        process, self._process = self._process, None
        self._clock.stop()
        self._end_observing()
        processes.release(self)
        process.deleteLater()
        code, crash = self._ended or (0, False)
        asked = self._state is State.CANCELLING
        if self.answer is not None:
            self.failure = None
            if crash or code not in (job_words.EXIT_DONE, job_words.EXIT_SOME_FAILED):
                failure = job_words.crashed(code) if crash else job_words.ended(code)
                self.listener.warning(failure.code, failure.found)
            self.answer = Result(self.answer.folder, self.answer.facts, code)
            try:
                self.listener.result(self.answer)
            finally:
                self._set_state(State.DONE)
            return
        if self.failure is None and not asked:
            self.failure = job_words.crashed(code) if crash else job_words.ended(code)
        if asked or (self.failure is not None and self.failure.exit_code == job_words.EXIT_CANCELLED):
            self.failure = None
            self._set_state(State.CANCELLED)
        else:
            try:
                self.listener.error(self.failure)
            finally:
                self._set_state(State.FAILED)

    # --- what the engine says
    def _queue_drain(self) -> None:
        if not self._drain_queued and self._process is not None:
            self._drain_queued = True
            me = weakref.ref(self)
            qt.QTimer.singleShot(0, lambda: tell(me, "_drain"))

    def _drain(self) -> None:
        self._drain_queued = False
        if self._process is None:
            return
        over = self._ended is not None  # looked at first: what comes later announces itself
        more = True
        try:
            more = self._read(TURN_SECONDS)
        finally:  # a listener that fails must not stop the job
            if more:
                self._queue_drain()
        if over and not more:
            try:
                self._read_rest()
            finally:
                self._conclude()

    def _read(self, seconds: float) -> bool:
        """Work off output for so long; True while there may be more."""
        stop = time.perf_counter() + seconds
        turn = _Turn()
        more = True
        while more and time.perf_counter() < stop:
            more = False
            for channel in self._rest:
                piece = self._piece(channel)
                if piece:
                    more = turn.news = True
                    *lines, rest = (self._rest[channel] + piece).split(b"\n")
                    if len(rest) > LINE_BYTES:
                        lines, rest = [*lines, rest], b""
                    self._rest[channel] = rest
                    for line in lines:
                        self._line(line, turn)
        self._report(turn)
        return more

    def _piece(self, channel: str) -> bytes:
        process, kinds = self._process, qt.QProcess
        process.setReadChannel(kinds.StandardOutput if channel == "output" else kinds.StandardError)
        return processes.contents(process.read(CHUNK_BYTES))

    def _read_rest(self) -> None:
        """The last line of an engine that ended in the middle of it."""
        turn = _Turn()
        for channel, rest in self._rest.items():
            self._rest[channel] = b""
            self._line(rest, turn)
        self._report(turn)

    def _line(self, raw: bytes, turn: _Turn) -> None:
        raw = raw.strip()
        if raw.startswith(b"{") and b'"event"' in raw:
            try:
                if self._event(json.loads(raw), turn):
                    return
            except (ValueError, TypeError, KeyError, RecursionError):
                pass  # not one of ours after all
        if raw:
            turn.line_count += 1
            turn.lines.append(raw)

    def _event(self, event: Any, turn: _Turn) -> bool:
        """Take in one event; False where it is none of the contract."""
        kind = event["event"]
        if kind == "stage":
            total = event.get("total")
            progress = Progress(
                str(event["name"]),
                int(event.get("done") or 0),
                None if total is None else int(total),
                float(event.get("seconds") or 0.0),
                bool(event.get("finished")),
            )
            turn.stages[(progress.name, progress.finished)] = progress
        elif kind == "warning":
            turn.warnings.append((str(event["code"]), str(event["text"])))
        elif kind == "result":
            facts = {name: value for name, value in event.items() if name not in ("event", "folder")}
            found = Result(Path(str(event["folder"])), facts)
            if "case_id" in facts:
                turn.parts.append(found)
            else:
                self.answer = found
        elif kind == "error":
            parts = [str(event.get(part) or "") for part in ("found", "wanted", "remedy")]
            self.failure = Failure(str(event["code"]), *parts, int(event.get("exit_code") or 1))
        else:
            return False
        return True

    def _report(self, turn: _Turn) -> None:
        """Tell the listener what one turn brought: of each stage only the latest."""
        if turn.news:
            self._last_news = time.monotonic()
            if self._was_silent:
                self._was_silent = False
                self.listener.silence(0.0)
        if turn.lines:
            texts = (line[:LOG_LINE_LENGTH].decode("utf-8", "replace") for line in turn.lines)
            lines = [job_words.without_folders(text) for text in texts]
            left_out = turn.line_count - len(lines)
            if left_out:
                lines.insert(0, _("... {number} lines left out ...").format(number=left_out))
            self._log.extend(lines)
            self.listener.log(lines)
        for progress in turn.stages.values():
            self.listener.stage(progress)
        for code, text in turn.warnings:
            self.listener.warning(code, text)
        for part in turn.parts:
            self.listener.part(part)

    def _look_at_clock(self) -> None:
        if self._process is not None and self.silent_for >= self._silence:
            self._was_silent = True
            self.listener.silence(self.silent_for)


class _Turn:
    """What was read in one turn of the event loop."""

    def __init__(self) -> None:
        self.news = False
        self.line_count = 0
        self.lines: deque[bytes] = deque(maxlen=TURN_LINES)
        self.stages: dict[tuple[str, bool], Progress] = {}
        self.warnings: list[tuple[str, str]] = []
        self.parts: list[Result] = []

"""Running a batch: every case ends as done, refused, failed or not assessable, and nothing is lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..analysis import AnalysisOptions
from ..errors import (
    BATNetError,
    Cancelled,
    NoModel,
    OutputRefused,
)
from ..events import Events, JsonLines, Stage
from ..workfiles import output_errors
from . import names
from .backends import Backend, InProcess, Workers
from .cases import UNUSABLE, Found, refusal_of
from .engine import CANCELLED, STOP, UNCHANGED, Reply, make_task
from .fingerprint import settings_key
from .ledger import DONE, NOT_ASSESSABLE, PENDING, REFUSED, STATUSES, Ledger, Record, read_case_file
from .lock import take_run_lock
from .output import OutputFolder
from .plan import Step, make_plan, shard_of
from .settings import BatchResult, BatchSettings, OnCase, Progress, models_used
from .tables import Tables
from .words import private_words, without_names

#: Seconds that the driver waits for a reply before it looks at the wish to cancel.
_POLL = 0.1


def run_batch(
    found: Found,
    out: Path,
    options: AnalysisOptions | None = None,
    settings: BatchSettings | None = None,
    events: Events | None = None,
    on_case: OnCase | None = None,
) -> BatchResult:
    """Analyse all cases into ``out``; those that are finished and unchanged are skipped.

    Refusals and failures of cases are results. Raises ``UsageError`` (locked, folder of another kind),
    ``NoModel``, ``OutputRefused`` (disk full) and ``Cancelled``; what was done stays, and the same call
    goes on from there.
    """
    run = _Run(
        found,
        Path(out).resolve(),
        options or AnalysisOptions(),
        settings or BatchSettings(),
        events or Events(),
        on_case,
    )
    return run.start()


class _Run:
    def __init__(
        self,
        found: Found,
        out: Path,
        options: AnalysisOptions,
        settings: BatchSettings,
        events: Events,
        on_case: OnCase | None,
    ) -> None:
        self.cases = [case.as_used(settings.fat_masks).read_as(settings.axes) for case in found.cases]
        self.passed_over = found.passed_over
        self.output = OutputFolder(out, settings.shard)
        self.options, self.settings, self.events, self.on_case = options, settings, events, on_case
        self.ledger = Ledger(self.output.state, settings.shard)
        self.result = BatchResult(out)
        self.running: dict[str, Step] = {}
        self.words: dict[str, list[str]] = {}

    # --- from start to end
    def start(self) -> BatchResult:
        settings, out = self.settings, self.output.path
        self.output.check(self.cases, settings.keep_names)
        models = settings.models if settings.models is not None else models_used(self.options)
        with output_errors(out.name):
            out.mkdir(parents=True, exist_ok=True)
        lock = take_run_lock(out, settings.shard, break_it=settings.break_lock)
        try:
            ids = self._names()
            options = self._plain_options()
            reading = {"accept_gaps": settings.accept_gaps, "accept_tilt": settings.accept_tilt}
            self.settings_key = settings_key({**options, **reading}, _hashes(models), _schema())
            about = {
                "options": options,
                "models": models,
                "software": __version__,
                "passed_over": self._passed_over(),
            }
            self.output.prepare(about, settings.keep_names, sorted(ids.values()))
            steps = self._plan(ids)
            self.tables = Tables(self.output, self.ledger)
            try:
                self._run([step for step in steps if step.run], lock.touch)
            finally:
                self._finish(ids)
        finally:
            self.ledger.close()
            self.output.clear_work()
            lock.release()
        return self.result

    def _names(self) -> dict[str, str]:
        if self.settings.keep_names:
            return names.kept_names(self.cases)
        self.result.key = key = self.settings.key or names.key_file_of(self.output.path)
        if self.output.settings() is not None and not key.exists():
            raise names.missing_key(key)
        return names.pseudonyms(self.cases, key)

    def _plan(self, ids: Mapping[str, str]) -> list[Step]:
        self.ledger.refresh()
        self.output.recover(self.ledger)
        folders = self.output.finished_folders()

        def plan() -> list[Step]:
            return make_plan(
                self.cases,
                ids,
                self.ledger,
                self.settings_key,
                shard=self.settings.shard,
                rerun=self.settings.rerun,
                folders=folders,
                events=self.events,
            )

        steps = plan()
        wanted = [step.case_id for step in steps if step.run and step.case_id in folders]
        if self.ledger.adopt(self.output.cases, wanted):
            steps = plan()
        for step in steps:
            if step.case_id in folders:
                self._drop_outdated(step.case_id)
        self.result.skipped = sum(not step.run for step in steps)
        return steps

    def _drop_outdated(self, case_id: str) -> None:
        """Remove a result that came before a refusal or failure, where a kill kept that from happening."""
        record = self.ledger.records.get(case_id)
        if record is not None and record["status"] not in (DONE, NOT_ASSESSABLE):
            former = read_case_file(self.output.cases / case_id)
            if former is None or former["time"] < record["time"]:
                self.output.drop(case_id)

    def _run(self, steps: list[Step], sign_of_life: Callable[[], None]) -> None:
        waiting = iter(steps)
        backend = self._backend(steps)
        self.started = time.monotonic()
        upcoming = next(waiting, None)
        try:
            with self.events.stage("batch", len(steps)) as self.stage:
                while upcoming is not None or self.running:
                    self.events.check()
                    while upcoming is not None and len(self.running) < backend.capacity:
                        self._begin(upcoming, backend)
                        upcoming = next(waiting, None)
                    for reply in backend.poll(_POLL):
                        self._end(reply)
                    sign_of_life()
                    self.tables.write_now_and_then(self.events)
        except Cancelled as error:
            raise Cancelled(
                found=f"The batch was cancelled after {self.result.ran} of {len(steps)} cases.",
                wanted="The others are not done yet.",
                remedy="Start the same command again: it goes on from there.",
            ) from error
        finally:
            backend.close()

    def _finish(self, ids: Mapping[str, str]) -> None:
        """Tables as far as the run came, also when it was cancelled or stopped."""
        self.ledger.refresh()
        mine = set(shard_of(ids.values(), self.settings.shard))
        self.result.counts = Counter(
            record["status"] for case_id, record in self.ledger.records.items() if case_id in mine
        )
        self.result.counts[PENDING] = len(mine) - sum(self.result.counts[s] for s in STATUSES)
        self.tables.write(quickly=self.events.cancelled)

    # --- one case
    def _begin(self, step: Step, backend: Backend) -> None:
        if step.case.kind == UNUSABLE:
            self._refuse_unusable(step)
            return
        self.running[step.case_id] = step
        self.words[step.case_id] = private_words(step.case.name, step.case.files.values())
        backend.submit(
            make_task(
                step.case,
                step.case_id,
                out=str(self.output.work / step.case_id),
                options=self.options.as_dict(),
                settings=self.settings_key,
                quick=step.quick,
                known=step.known,
                attempts=step.attempts,
                reading={"accept_gaps": self.settings.accept_gaps, "accept_tilt": self.settings.accept_tilt},
                analyzer=self.settings.analyzer,
                names=self.settings.keep_names,
            )
        )

    def _end(self, reply: Reply) -> None:
        step = self.running.pop(reply["id"])
        words = self.words.pop(step.case_id)
        if reply["end"] == CANCELLED:
            raise Cancelled()
        if reply["end"] == STOP:
            raise _stopped(reply["error"])
        if reply["end"] == UNCHANGED:
            former = self.ledger.records[step.case_id]
            self.ledger.append({**former, "quick": step.quick, "time": time.time()})
            self.result.skipped += 1
            self.stage.advance()
            return
        record = reply["record"]
        if record["status"] in (DONE, NOT_ASSESSABLE):
            self.output.place(self.output.work / step.case_id, step.case_id)
            self.ledger.append(record)
        else:
            self.ledger.append(record)
            self.output.drop(step.case_id)
        log = reply.get("log")
        self.output.write_log(step.case_id, without_names(log, words, step.case_id) if log else None)
        self._tell(record)

    def _refuse_unusable(self, step: Step) -> None:
        refusal = refusal_of(step.case)
        now = time.time()
        record = {
            "case": step.case_id,
            "status": REFUSED,
            "time": now,
            "finished": now,
            "settings": self.settings_key,
            "quick": "",
            "content": "",
            "prediction": None,
            "code": refusal["code"],
            "why": f"{refusal['found']} {refusal['remedy']}",
            "warnings": [],
            "seconds": 0.0,
        }
        self.ledger.append(record)
        self.output.drop(step.case_id)
        self._tell(record)

    def _tell(self, record: Record) -> None:
        self.result.ran += 1
        self.tables.changed = True
        done, total = self.stage.done + 1, self.stage.total or 0
        left = (time.monotonic() - self.started) / done * (total - done)
        progress = Progress(done, total, round(left, 1))
        placed = record["status"] in (DONE, NOT_ASSESSABLE)
        self.events.result(
            str(self.output.cases / record["case"]) if placed else "",
            **{
                name: record.get(name)
                for name in ("status", "prediction", "outcome", "code", "why", "seconds")
            },
            case_id=record["case"],
            done=done,
            total=total,
            seconds_left=progress.seconds_left,
        )
        if self.on_case:
            self.on_case(record, progress)
        self.stage.advance()

    # --- helpers
    def _backend(self, steps: list[Step]) -> Backend:
        if not any(step.case.kind != UNUSABLE for step in steps):
            return InProcess(self.events, self._on_stage)
        if self.settings.dask:
            from .cluster import DaskWorkers

            return DaskWorkers(self.settings.dask, self.output.work, self.events)
        if self.settings.workers:
            return Workers(min(self.settings.workers, len(steps)), self._on_stage, self.settings.time_limit)
        return InProcess(self.events, self._on_stage)

    def _on_stage(self, case_id: str, said: Mapping[str, Any]) -> None:
        """Stages within cases, for programs; a person sees the bar of the batch."""
        if not isinstance(self.events, JsonLines):
            return
        stage = Stage(f"{case_id}: {said['name']}", said["total"], self.events, said["done"])
        stage.started = time.perf_counter() - said["seconds"]
        self.events.on_stage(stage, bool(said["finished"]))

    def _plain_options(self) -> dict[str, Any]:
        options = self.options.as_dict()
        for name in ("adipose_model", "brown_model"):
            # A model may be named by its path; its hash is what counts.
            options[name] = Path(options[name]).name
        return options

    def _passed_over(self) -> dict[str, int]:
        return dict(sorted(Counter(skipped.why for skipped in self.passed_over).items()))


def _hashes(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    return {stage: facts.get("sha256") for stage, facts in models.items()}


def _schema() -> int:
    from ..analysis.passport import SCHEMA_VERSION

    return SCHEMA_VERSION


def _stopped(error: Mapping[str, Any]) -> BATNetError:
    """The error of a case that would end every other case as well."""
    kinds = {kind.exit_code: kind for kind in (NoModel, OutputRefused)}
    kind = kinds.get(error["exit_code"], BATNetError)
    return kind(error["code"], error["found"], error["wanted"], error["remedy"])

"""Which cases run: resume means that a case whose inputs, models and options are unchanged is skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..events import Events
from .cases import UNUSABLE, Case, natural, refusal_of
from .fingerprint import quick_key
from .ledger import DONE, FAILED, NOT_ASSESSABLE, REFUSED, Ledger, Record

RERUN = ("failed", "refused", "all")
#: Ways to fail that may have been bad luck: tried once more in the next run.
_BAD_LUCK = ("crashed", "memory", "time-limit")
_TRIES = 2


@dataclass(frozen=True)
class Step:
    """A case and what is to be done with it.

    ``run``: whether it is analysed. ``why``: in words. ``known``: hash of the inputs of its former result;
    when the bytes still have it, the case is not analysed after all. ``attempts``: failures so far.
    """

    case: Case
    case_id: str
    run: bool
    why: str
    quick: str = ""
    known: str | None = None
    attempts: int = 0


def shard_of(ids: Iterable[str], shard: tuple[int, int] | None) -> list[str]:
    """The ids of one shard, in order: every N-th, so that shards are equally long."""
    ordered = sorted(ids, key=natural)
    return ordered if shard is None else ordered[shard[0] - 1 :: shard[1]]


def parse_shard(text: str) -> tuple[int, int]:
    """(number, count) of ``"3/10"``. Raises ``UsageError``."""
    first, slash, second = text.partition("/")
    if slash and first.strip().isdigit() and second.strip().isdigit():
        number, count = int(first), int(second)
        if 1 <= number <= count:
            return number, count
    raise UsageError(
        "shard",
        f"The shard '{text}' is not one.",
        "A number from 1 to N, a slash, and N are needed.",
        "Say for example --shard 3/10; in a SLURM array from 1 to 10: --shard $SLURM_ARRAY_TASK_ID/10.",
    )


def make_plan(
    cases: Sequence[Case],
    ids: Mapping[str, str],
    ledger: Ledger,
    settings: str,
    *,
    shard: tuple[int, int] | None,
    rerun: str | None,
    folders: set[str],
    events: Events,
) -> list[Step]:
    """What to do with each case of this shard, in the order of their ids.

    ``folders``: ids that have a result folder. ``settings``: key of options and models.
    """
    by_id = {ids[case.name]: case for case in cases}
    steps = []
    with events.stage("look what is done", len(by_id)) as stage:
        for number, case_id in enumerate(shard_of(by_id, shard), 1):
            case = by_id[case_id]
            record = ledger.records.get(case_id)
            steps.append(_step(case, case_id, record, settings, rerun, case_id in folders))
            if number % 100 == 0:
                stage.advance(100)
    return steps


def _step(
    case: Case, case_id: str, record: Record | None, settings: str, rerun: str | None, folder: bool
) -> Step:
    if case.kind == UNUSABLE:
        refused = (REFUSED, refusal_of(case)["code"])
        same = record is not None and (record["status"], record.get("code")) == refused
        return Step(case, case_id, not same, "cannot be run")
    quick = quick_key(case)
    if record is None:
        return Step(case, case_id, True, "new", quick)
    status, attempts = record["status"], int(record.get("attempts") or 0)
    if rerun == "all" or (rerun == FAILED and status == FAILED) or (rerun == REFUSED and status == REFUSED):
        return Step(case, case_id, True, "asked for with --rerun", quick)
    if record.get("settings") != settings:
        return Step(case, case_id, True, "options or models have changed", quick)
    if status in (DONE, NOT_ASSESSABLE) and not folder:
        return Step(case, case_id, True, "its result folder is gone", quick)
    if status == FAILED and record.get("code") in _BAD_LUCK and attempts < _TRIES:
        return Step(case, case_id, True, "tried once more", quick, None, attempts)
    if quick and quick == record.get("quick"):
        return Step(case, case_id, False, status, quick)
    return Step(case, case_id, True, "its files look different", quick, record.get("content") or None)

"""How a batch is asked to run, where it stands, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..analysis import AnalysisOptions
from ..errors import EXIT_CANCELLED, EXIT_DONE, EXIT_SOME_FAILED
from .engine import ANALYZER
from .ledger import FAILED, REFUSED, Record


@dataclass(frozen=True)
class BatchSettings:
    """How a batch runs; what it computes is in ``AnalysisOptions``.

    ``shard``: (number, count) of the part to run. ``workers``: processes at a time, 0 for this process.
    ``dask``: address of a scheduler, or "local:N". ``rerun``: "failed", "refused" or "all" of the finished
    cases are run again. ``fat_masks``: masks of fat that lie in case folders are used instead of stage 1.
    ``axes``, ``accept_gaps``, ``accept_tilt``: how scans are read, see ``read_volume``. ``keep_names``:
    results carry the user's names instead of pseudonyms. ``key``: where the key of the pseudonyms lies.
    ``time_limit``: seconds for one case. ``analyzer``: ``module:function``, called as
    ``BATNetLib.analysis.analyze_files``. ``models``: facts of the models used by stage (``name``,
    ``sha256``, ``demonstration``); looked up in the registry when None.
    """

    shard: tuple[int, int] | None = None
    workers: int = 1
    dask: str | None = None
    rerun: str | None = None
    fat_masks: bool = False
    axes: str | None = None
    accept_gaps: bool = False
    accept_tilt: bool = False
    keep_names: bool = False
    key: Path | None = None
    break_lock: bool = False
    time_limit: float | None = None
    analyzer: str = ANALYZER
    models: Mapping[str, Mapping[str, Any]] | None = None


@dataclass
class Progress:
    """Where a run stands. ``seconds_left``: measured on the cases of this run, None before the first."""

    done: int
    total: int
    seconds_left: float | None


@dataclass
class BatchResult:
    """``counts``: cases of this run (or shard) by status. ``ran``: ended now; ``skipped``: left alone."""

    folder: Path
    counts: Counter[str] = field(default_factory=Counter)
    ran: int = 0
    skipped: int = 0
    key: Path | None = None
    cancelled: bool = False

    @property
    def exit_code(self) -> int:
        if self.cancelled:
            return EXIT_CANCELLED
        return EXIT_SOME_FAILED if self.counts[REFUSED] or self.counts[FAILED] else EXIT_DONE


#: Told of each case that has ended.
OnCase = Callable[[Record, Progress], None]


def models_used(options: AnalysisOptions) -> dict[str, dict[str, Any]]:
    """Name, SHA-256 and whether it is a demonstration, of each model by stage. Raises ``NoModel``."""
    from ..models import locate
    from ..volume import hash_file

    stages = {"brown": options.brown_model}
    if options.method == "network":
        stages["adipose"] = options.adipose_model
    used = {}
    for stage, name in stages.items():
        model = locate(name, stage)
        used[stage] = {
            "name": model.entry.name,
            "sha256": model.entry.sha256 or hash_file(model.path),
            "demonstration": bool(model.entry.demonstration),
        }
    return used

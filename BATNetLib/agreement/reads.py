"""Which reads are compared, and which are not and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..annotation.store import Store
from ..annotation.versions import Version
from ..errors import UsageError
from .adjudication import ADJUDICATED


@dataclass(frozen=True)
class LeftOut:
    """``reader`` has no read of ``case`` that counts; ``words``: why, a sentence."""

    case: str
    reader: str
    words: str


@dataclass
class Reads:
    """``versions``: case to reader to the newest whole version that counts. ``left_out``: who has none, in
    the order of cases. ``remarks``: what a user should know of reads that do count."""

    store: Store
    readers: tuple[str, ...]
    versions: dict[str, dict[str, Version]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def cases(self) -> list[str]:
        """Cases that at least two of the readers have read."""
        return [case for case, found in self.versions.items() if len(found) > 1]


def find_reads(
    root: str | Path | Store, readers: Sequence[str] | None = None, *, drafts: bool = False
) -> Reads:
    """The newest reads of ``readers`` below ``root`` (a folder of annotations).

    ``readers``: None takes all but "adjudicated". ``drafts``: reads that are not marked as done count too.
    Raises ``UsageError``: "agreement-no-store" where the folder holds no reads, "agreement-readers" for fewer
    than two readers or unknown ones.
    """
    store = root if isinstance(root, Store) else Store(root)
    work: dict[str, set[str]] = {}
    for case, reader in store.reads():
        work.setdefault(case, set()).add(reader)
    known = sorted(set().union(*work.values())) if work else []
    if not known:
        raise UsageError(
            "agreement-no-store",
            f"'{store.root.name}' holds no reads.",
            "The folder that readers' work is kept in is needed.",
            "Name the folder that was chosen in BATNetAnnotate.",
        )
    chosen = tuple(dict.fromkeys(readers)) if readers else tuple(n for n in known if n != ADJUDICATED)
    unknown = [name for name in chosen if name not in known]
    if unknown or len(chosen) < 2:
        found = f"No reads of {', '.join(unknown)} are kept here." if unknown else "There is one reader only."
        raise UsageError(
            "agreement-readers",
            found,
            "At least two readers with reads are needed.",
            f"Reads are kept of {', '.join(known)}.",
        )
    reads = Reads(store, chosen)
    for case in sorted(work):
        if not work[case] & set(chosen):
            continue
        reads.versions[case] = {}
        for reader in chosen:
            version, why = _newest(reads, case, reader, reader in work[case], drafts)
            if version is None:
                reads.left_out.append(LeftOut(case, reader, why))
            else:
                reads.versions[case][reader] = version
    return reads


def _newest(reads: Reads, case: str, reader: str, begun: bool, drafts: bool) -> tuple[Version | None, str]:
    if not begun:
        return None, f"{reader} has not read it."
    version = reads.store.newest(case, reader)
    damaged = reads.store.damaged_after(case, reader)
    if version is None or version.record is None:
        return None, f"No version of {reader} can be read ({len(damaged)} damaged)." if damaged else (
            f"{reader} has saved nothing yet."
        )
    if not (version.record.finished or drafts):
        return None, f"The read of {reader} is a draft."
    if damaged:
        names = ", ".join(v.name for v in reversed(damaged))
        reads.remarks.append(
            f"Case {case}: {names} of {reader} {'is' if len(damaged) == 1 else 'are'} damaged; "
            f"{version.name} before was compared."
        )
    if not version.record.finished:
        reads.remarks.append(f"Case {case}: {version.name} of {reader} is a draft and may still change.")
    return version, ""

"""What a reader has to do: the cases of a folder or a list, in its order, with where each stands.

A reader sees the own work only. Masks of other readers are never listed, not even where a list names them (a
manifest that was exported for training, for example).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..dataset.cases import Dataset, TrainingCase
from ..dataset.layouts import open_dataset
from ..dataset.manifest import manifest_of
from ..errors import InputRefused, UsageError
from ..events import Events
from .index import Standing, standings
from .keys import folder_key
from .petfiles import PetSearch, pet_of_rows
from .record import FILES
from .store import MARKER_NAME, Store
from .versions import RECORD_NAME

#: Statuses of a work list. "flagged" goes before "draft" and "done"; final reads carry ``locked`` besides.
STATUSES = ("open", "draft", "done", "flagged")
#: Files of an item by role.
ROLES = ("ct", "pet", "adipose", "brown", "lungs")


@dataclass(frozen=True)
class WorkItem:
    """One case of a work list.

    ``files``: role (``ROLES``) to path; a DICOM series is its folder, with ``series`` and ``members`` (file
    names). ``status``: one of ``STATUSES``; ``seconds``: active seconds spent on it so far; ``note``: the
    comment of the newest version; ``version``: its number, None before the first save; ``damaged``: numbers
    of damaged versions after it, to be named. ``refusal``: why the case cannot be annotated, or None.
    """

    case: str
    patient: str
    files: Mapping[str, Path] = field(default_factory=dict)
    status: str = "open"
    seconds: float = 0.0
    note: str = ""
    flagged: bool = False
    version: int | None = None
    refusal: InputRefused | None = None
    finished: bool = False
    locked: bool = False
    damaged: tuple[int, ...] = ()
    centre: str = ""
    split: str | None = None
    axes: str | None = None
    series: str | None = None
    members: tuple[str, ...] = ()

    def standing_at(self, standing: Standing) -> WorkItem:
        """The item with where the reader stands."""
        return replace(
            self,
            status=standing.status,
            seconds=standing.seconds,
            note=standing.note,
            flagged=standing.flagged,
            version=standing.version,
            finished=standing.finished,
            locked=standing.locked,
            damaged=standing.damaged,
        )

    def as_training_case(self) -> TrainingCase:
        """The case as ``BATNetLib.dataset`` knows it."""
        files = {role: path for role, path in self.files.items() if role != "pet"}
        return TrainingCase(
            self.case, self.patient, "volumes", files, self.centre, self.split, self.axes, self.series,
            self.members, self.refusal,
        )  # fmt: skip

    def as_json(self) -> str:
        """What another process needs to open the case; paths as they are, for a file of the user's own."""
        return json.dumps(
            {
                "case": self.case,
                "patient": self.patient,
                "files": {role: str(path) for role, path in self.files.items()},
                "axes": self.axes,
                "series": self.series,
                "members": list(self.members),
            }
        )

    @staticmethod
    def from_json(text: str) -> WorkItem:
        """Raises ``UsageError`` ("item-unreadable") for anything else than ``as_json`` writes."""
        try:
            said = json.loads(text)
            return WorkItem(
                str(said["case"]),
                str(said["patient"]),
                {str(role): Path(path) for role, path in said["files"].items()},
                axes=said["axes"],
                series=said["series"],
                members=tuple(said["members"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                "item-unreadable",
                "The description of the case cannot be read.",
                "A work item as the work list writes it is needed.",
                "Open the work list again.",
            ) from error


@dataclass(frozen=True)
class WorkList:
    """The items in the order of the list, and what was passed over when they were looked for."""

    items: tuple[WorkItem, ...]
    reader: str
    store: Store
    name: str = ""
    warnings: tuple[str, ...] = ()
    passed_over: int = 0
    #: Whether a list or a pattern says which patient a case is of.
    patients_known: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def item(self, case: str) -> WorkItem:
        """Raises ``UsageError`` ("case-unknown")."""
        for item in self.items:
            if item.case == case:
                return item
        raise UsageError(
            "case-unknown",
            "The case is not in the work list.",
            "A case of the list is needed.",
            "Open the list again; it may have changed.",
        )

    def filter(self, *, status: str | Collection[str] | None = None, text: str = "") -> list[WorkItem]:
        """Items with one of the statuses whose case, patient or note holds ``text`` (any case of letters)."""
        wanted = (status,) if isinstance(status, str) else status
        return [item for item in self.items if _matches(item, wanted, text.casefold().strip())]

    def next(
        self, case: str | None, *, status: str | Collection[str] | None = None, text: str = ""
    ) -> WorkItem | None:
        """The next item after ``case`` (None: the first one) that the filter lets through; None at the end.

        Items that cannot be annotated are stepped over.
        """
        return self._step(case, self.items, status, text)

    def previous(
        self, case: str | None, *, status: str | Collection[str] | None = None, text: str = ""
    ) -> WorkItem | None:
        """As ``next``, backwards."""
        return self._step(case, self.items[::-1], status, text)

    def counts(self) -> dict[str, int]:
        """Status to number of items, and ``total``, ``locked``, ``refused``."""
        numbers = {status: sum(item.status == status for item in self.items) for status in STATUSES}
        return {
            **numbers,
            "total": len(self.items),
            "locked": sum(item.locked for item in self.items),
            "refused": sum(item.refusal is not None for item in self.items),
        }

    def seconds(self) -> float:
        """Active seconds spent on all items."""
        return sum(item.seconds for item in self.items)

    def refreshed(self, case: str | None = None) -> WorkList:
        """The list as the store stands now; ``case``: look at this one only (after a save)."""
        cases = [item.case for item in self.items if case in (None, item.case)]
        now = standings(self.store, self.reader, cases, whole=case is None)
        return replace(
            self,
            items=tuple(i.standing_at(now[i.case]) if i.case in now else i for i in self.items),
        )

    def _step(
        self,
        case: str | None,
        items: tuple[WorkItem, ...],
        status: str | Collection[str] | None,
        text: str,
    ) -> WorkItem | None:
        if case is not None:
            self.item(case)
        wanted = (status,) if isinstance(status, str) else status
        passed = case is None
        for item in items:
            if passed and item.refusal is None and _matches(item, wanted, text.casefold().strip()):
                return item
            passed = passed or item.case == case
        return None


def open_worklist(
    source: str | Path,
    store: Store,
    reader: str,
    *,
    patient_pattern: str | None = None,
    events: Events | None = None,
) -> WorkList:
    """The cases of a folder, or of a CSV or JSON manifest (its column ``pet`` may name a PET).

    The order of a list is kept; a folder is in natural order. A PET is found as well beside the CT, called
    ``suv``, ``pet_suv`` or ``pet`` (volume or folder). Nothing is read but names and small records. Raises
    ``UsageError`` where nothing is found, for an empty reader, and ("store-holds-inputs") where the store's
    folder holds files of a case.
    """
    events = events or Events()
    place = Path(source).expanduser().absolute()
    dataset = open_dataset(place, patient_pattern=patient_pattern, events=events)
    listed = manifest_of(place)
    pets = pet_of_rows(listed, place) if listed else {}
    search = PetSearch(case.files["ct"] for case in dataset.cases if "ct" in case.files)
    items = [_item(case, pets, search) for case in dataset.cases]
    _require_apart(items, store)
    return _with_standings(items, store, reader, dataset)


def worklist_of(items: Collection[WorkItem], store: Store, reader: str, name: str = "") -> WorkList:
    """A work list of items made by the caller, such as of volumes that are loaded already."""
    names = [item.case for item in items]
    if len({folder_key(name) for name in names}) != len(names):
        raise UsageError(
            "duplicate-case-id",
            "Two cases of the list have the same name.",
            "Each case needs a name of its own; the work is kept under it.",
            "Rename one of them.",
        )
    now = standings(store, reader, names)
    return WorkList(tuple(item.standing_at(now[item.case]) for item in items), reader, store, name)


def _with_standings(items: list[WorkItem], store: Store, reader: str, dataset: Dataset) -> WorkList:
    found = worklist_of(items, store, reader, dataset.name)
    return replace(
        found,
        warnings=dataset.warnings,
        passed_over=len(dataset.passed_over),
        patients_known=dataset.patients_known,
    )


def _item(case: TrainingCase, pets: Mapping[str, Path], search: PetSearch) -> WorkItem:
    files = {role: path for role, path in case.files.items() if role in ROLES and not is_of_a_reader(path)}
    refusal = case.refusal
    pet = pets.get(case.case) or (search.beside(files["ct"]) if "ct" in files else None)
    if pet is not None:
        files["pet"] = pet
        if not pet.exists():
            refusal = refusal or _pet_missing()
    if "ct" not in files and refusal is None:
        refusal = _no_scan()
    return WorkItem(
        case.case,
        case.patient,
        files,
        refusal=refusal,
        centre=case.centre,
        split=case.split,
        axes=case.axes,
        series=case.series,
        members=case.members,
    )


def is_of_a_reader(path: Path) -> bool:
    """Whether a mask is a version of some reader's work, or made of one: another reader must not see it."""
    if path.name not in FILES.values():
        return False
    if (path.parent / RECORD_NAME).exists():
        return True
    return any((folder / MARKER_NAME).exists() for folder in path.parents[1:4])


def _require_apart(items: list[WorkItem], store: Store) -> None:
    """Refuse a folder for the reads that holds files of cases: inputs and reads are never mixed."""
    root = Path(os.path.realpath(store.root))
    for item in items:
        if any(root in Path(os.path.realpath(path)).parents for path in item.files.values()):
            raise UsageError(
                "store-holds-inputs",
                f"'{root.name}', where the reads are to be kept, holds files of cases.",
                "Nothing is written into the folders of inputs.",
                "Choose another folder for the reads; one within the folder of the cases is fine.",
            )


def _matches(item: WorkItem, wanted: Collection[str] | None, text: str) -> bool:
    if wanted is not None and item.status not in wanted:
        return False
    return not text or any(text in words.casefold() for words in (item.case, item.patient, item.note))


def _no_scan() -> InputRefused:
    return InputRefused(
        "no-scan",
        "The case has no CT, only slices or patches cut from one.",
        "Brown fat is painted on a CT.",
        "Name the CT in the column ct of a list, or put it into the folder of the case.",
    )


def _pet_missing() -> InputRefused:
    return InputRefused(
        "file-missing",
        "The list names a PET that is not there (column pet).",
        "Paths are absolute, or relative to the list.",
        "Correct the list; a drive that is not connected is a common cause.",
    )

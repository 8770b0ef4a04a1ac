"""What a thread reads of a case: the arrays that were read ahead, the reader's newest version, the lock."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from BATNetSlicer.geometry import ijk_to_ras, size_of, voxels
from BATNetSlicer.masks import Cropped, cropped
from BATNetSlicer.texts import _

from . import disputes, rescue
from .arrays import Lattice
from .rawfiles import read_raw


@dataclass
class Loaded:
    """What a thread has read of a case; arrays [k, j, i] on the CT's voxels."""

    ct: np.ndarray | None = None
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    fat: Cropped | None = None
    brown: Cropped | None = None
    pet: tuple[np.ndarray, np.ndarray] | None = None
    pet_volume: Any = None
    pet_unit: str | None = None
    began_from: str = "empty"
    fat_edited: bool = False
    fingerprint: str | None = None
    version: Any = None
    lock: Any = None
    why_not: str = ""
    final: bool = False
    notes: list[str] = field(default_factory=list)
    others: dict[str, Cropped] = field(default_factory=dict)
    rescued: Any = None


class Held:
    """The voxels of nodes that are in the scene already, for the thread."""

    def __init__(self, nodes: tuple[Any, Any]) -> None:
        ct, pet = nodes
        self.hu, self.affine = voxels(ct.GetImageData()), ijk_to_ras(ct)
        self.size = size_of(ct)
        self.pet = None if pet is None else (voxels(pet.GetImageData()), ijk_to_ras(pet))


@dataclass
class Reading:
    """What runs in the thread: lock, prepared files, the reader's newest version."""

    item: Any
    store: Any
    reader: str
    scratch: Path
    held: Held | None
    from_dataset: bool
    force: bool
    start_over: bool
    compared: dict[str, int] | None = None

    def run(self) -> Loaded | None:
        """None where the case was not read ahead yet."""
        from BATNetLib.annotation.readahead import find_prepared
        from BATNetLib.errors import InputRefused

        loaded = Loaded()
        if self.held is not None:
            loaded.affine = self.held.affine
            shape = self.held.hu.shape
            if self.held.pet is not None:
                loaded.pet_volume = Lattice(self.held.pet[1], self.held.pet[0].shape).volume(self.held.pet[0])
        else:
            prepared = find_prepared(self.item, self.scratch)
            if prepared is None:
                return None
            try:
                self._read_prepared(prepared, loaded)
            except InputRefused as error:
                if error.code != "prepared-damaged":
                    raise
                shutil.rmtree(prepared.folder, ignore_errors=True)
                return None
            shape = loaded.ct.shape
        if self.compared is not None:
            loaded.brown = None
            loaded.others = disputes.shown_masks(self.store, self.item.case, self.compared)
            loaded.why_not = _(
                "Shown with the masks of the readers that are compared; nothing is painted here."
            )
            return loaded
        self._read_version(loaded, shape)
        self._read_rescued(loaded, shape)
        self._lock(loaded)
        return loaded

    def _read_prepared(self, prepared: Any, loaded: Loaded) -> None:
        loaded.ct, loaded.affine = read_raw(prepared.files["ct"])
        facts = prepared.facts
        loaded.fingerprint = facts.get("ct")
        for role, refusal in (facts.get("refused") or {}).items():
            loaded.notes.append(
                _("{role}: {why}").format(
                    role=role_words(role),
                    why=" ".join(str(refusal.get(part, "")) for part in ("found", "remedy")),
                )
            )
        if "suv" in prepared.files:
            loaded.pet = read_raw(prepared.files["suv"])
            loaded.pet_volume = Lattice(loaded.pet[1], loaded.pet[0].shape).volume(loaded.pet[0])
            loaded.pet_unit = facts.get("suv")
        origins = facts.get("origins") or {}
        if "adipose" in prepared.files:
            loaded.fat = cropped(read_raw(prepared.files["adipose"])[0].view(bool))
            loaded.fat_edited = origins.get("adipose") == "hu-threshold"
            if loaded.fat_edited:
                loaded.notes.append(
                    _("The case has no mask of adipose tissue; it was found by its range of HU.")
                )
        if "brown" in prepared.files and self.from_dataset:
            loaded.brown = cropped(read_raw(prepared.files["brown"])[0].view(bool))
            loaded.began_from = str(origins.get("brown") or "dataset mask")

    def _read_version(self, loaded: Loaded, shape: tuple[int, ...]) -> None:
        store, case, reader = self.store, self.item.case, self.reader
        version = store.newest(case, reader)
        damaged = [v for v in store.versions(case, reader) if version is None or v.number > version.number]
        if damaged:
            names = ", ".join(version.name for version in damaged)
            loaded.notes.append(
                _("Damaged and left aside: {names}. The version before is used.").format(names=names)
            )
        loaded.final = store.is_locked(case, reader)
        if version is None:
            return
        loaded.version = version
        if not self.start_over:
            self._take(loaded, shape, *store.read(version))

    def _read_rescued(self, loaded: Loaded, shape: tuple[int, ...]) -> None:
        """What could not be saved the last time goes on where it was."""
        if self.start_over or loaded.final:
            return
        version = rescue.newer_than(loaded.version, self.item.case, self.reader)
        if version is not None:
            self._take(loaded, shape, *rescue.store().read(version))
            loaded.rescued = version
            loaded.notes.append(
                _("Work of {time} that could not be saved is here again; save it.").format(
                    time=version.record.time
                )
            )

    def _take(self, loaded: Loaded, shape: tuple[int, ...], brown: Any, adipose: Any, record: Any) -> None:
        """Masks that were saved, where they lie on this CT."""
        from BATNetLib.annotation.grids import to_slicer
        from BATNetLib.errors import InputRefused

        array, affine = to_slicer(brown)
        if array.shape != tuple(shape) or np.abs(affine - loaded.affine).max() > 0.01:
            raise InputRefused(
                "ct-changed",
                _("The saved masks lie on other voxels than this CT."),
                _("A read goes on upon the CT that it was begun on."),
                _("Put the former CT back, or read this one under another name of the case."),
            )
        if record.ct and loaded.fingerprint and record.ct != loaded.fingerprint:
            loaded.notes.append(
                _("The CT has changed since the last save: its voxels differ. Check the masks.")
            )
        loaded.brown, loaded.began_from = cropped(array.view(bool)), record.edited_from
        if adipose is not None:
            loaded.fat, loaded.fat_edited = cropped(to_slicer(adipose)[0].view(bool)), True

    def _lock(self, loaded: Loaded) -> None:
        from BATNetLib.annotation.caselock import CaseLock
        from BATNetLib.errors import BATNetError

        if loaded.final:
            loaded.why_not = _("The read is final: it was locked. It can be looked at, not changed.")
            return
        try:
            loaded.lock = CaseLock(self.store, self.item.case, self.reader).acquire(force=self.force)
        except BATNetError as error:
            loaded.why_not = f"{error.found} {error.remedy}"


def role_words(role: str) -> str:
    return {
        "adipose": _("Adipose mask"),
        "brown": _("Brown-fat mask"),
        "pet": _("PET"),
        "lungs": _("Lung mask"),
    }.get(role, role)

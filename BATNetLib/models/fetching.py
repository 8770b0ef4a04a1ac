"""Fetches the published weights from their record, after saying what will come, from where and how much.

The record is that of Zenodo's API (``/records/<number>``: ``files[].key, size, checksum "md5:...",
links.self`` and ``metadata.license.id``). Nothing is downloaded before ``fetch`` is called with a plan.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputRefused, NoModel, OutputRefused, UsageError
from ..events import Events
from .download import RemoteFile, check_url, download, get_json
from .printable import printable
from .registry import ModelEntry, load_registry
from .store import StoredModel, home_folder, models_folder, stored_models

RECORD_API = "https://zenodo.org/api"
_MD5 = re.compile(r"md5:([0-9a-f]{32})")
#: Room wanted beside the download itself: unpacked and converted weights, each about as large.
_ROOM_FACTOR = 4


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch would do; shown to the user before anything is downloaded."""

    name: str
    entries: tuple[ModelEntry, ...]
    remote: RemoteFile
    title: str
    licence: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "models": [entry.name for entry in self.entries],
            "title": self.title,
            "licence": self.licence,
            "record": self.entries[0].source.url,
            "file": self.remote.name,
            "from": urllib.parse.urlsplit(self.remote.url).netloc,
            "bytes": self.remote.size,
            "md5": self.remote.md5,
            "patents": sorted({patent for entry in self.entries for patent in entry.patents}),
        }


def to_fetch(name: str, replace_existing: bool = False, folder: Path | None = None) -> tuple[ModelEntry, ...]:
    """The models that a fetch of ``name`` (a set or a model) would bring; empty when all are installed.

    Raises ``UsageError`` where the name stands for nothing that can be downloaded.
    """
    registry = load_registry()
    group = registry.sets.get(name)
    names = [group.adipose, group.brown] if group else [name]
    entries = [registry.models[n] for n in names if n in registry.models and registry.models[n].source.record]
    if not entries:
        known = [n for n, g in registry.sets.items() if registry.models[g.adipose].source.record]
        raise UsageError(
            "model-not-fetchable",
            "There is nothing to download under that name.",
            f"These can be fetched: {', '.join(known)}.",
            "See all models with: batnet models list",
        )
    here = {model.entry.name for model in stored_models(folder)}
    return tuple(entry for entry in entries if replace_existing or entry.name not in here)


def plan_fetch(
    name: str, entries: tuple[ModelEntry, ...], base: str | None = None, events: Events | None = None
) -> FetchPlan:
    """Ask the record what a fetch would download. ``base``: another API than Zenodo's (a mirror).

    Raises ``NoModel``: ``download-*`` where it cannot be reached, ``record-unreadable`` where the answer
    is not such a record or lacks the file.
    """
    events = events or Events()
    base = check_url(base or os.environ.get("BATNET_RECORD_URL") or RECORD_API).rstrip("/")
    source = entries[0].source
    url = f"{base}/records/{source.record}"
    with events.stage("ask the record"), _another_way(entries[0]):
        record = get_json(url, events)
    try:
        matches = [item for item in record["files"] if item["key"] == source.file]
        if len(matches) != 1:
            raise KeyError("file")
        item = matches[0]
        md5 = _MD5.fullmatch(item["checksum"])
        size = item["size"]
        if md5 is None or type(size) is not int or not 0 < size < 1 << 32:
            raise ValueError("checksum or size")
        address = check_url(urllib.parse.urljoin(url, item["links"]["self"]))
        metadata = record.get("metadata") or {}
        licence = metadata.get("license") or {}
        stated = licence.get("id") if isinstance(licence, dict) else licence
        title = metadata.get("title") or source.text
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise NoModel(
            "record-unreadable",
            f"The record {source.record} does not offer {source.file} in the form it should.",
            "A name, a size, an MD5 checksum and an http(s) address are wanted.",
            f"Download it in a browser from {source.url} and give it to: batnet models import FILE",
        ) from error
    remote = RemoteFile(str(source.file), address, size, md5.group(1))
    return FetchPlan(name, entries, remote, _one_line(title), _one_line(stated or "not stated by the record"))


def _one_line(text: Any) -> str:
    return printable(text, 200, instead=" ").strip()


def fetch(
    plan: FetchPlan, replace_existing: bool = False, folder: Path | None = None, events: Events | None = None
) -> list[StoredModel]:
    """Download, check, unpack, convert and store what the plan names; returns the stored models.

    A broken or cancelled download is kept and continued by the next fetch; one that turns out to hold other
    than it should is thrown away. Raises as
    ``download.download``, ``archive.unpack`` and ``reading.read_weights``.
    """
    from .importing import import_archive

    events = events or Events()
    folder = folder or models_folder()
    waiting = home_folder() / "downloads"
    _check_room(waiting, plan.remote.size)
    with _another_way(plan.entries[0]):
        archive = download(plan.remote, waiting, events)
    try:
        origin = (
            f"fetched from record {plan.entries[0].source.record}, {plan.remote.name} MD5 {plan.remote.md5}"
        )
        fields = {"licence": plan.licence} if plan.licence else {}
        stored = import_archive(archive, plan.entries, fields, None, replace_existing, folder, events, origin)
    except InputRefused:
        # Anything else (a full disk, a missing package, a cancel) leaves a whole download for the next time.
        _clear(archive)
        raise
    _clear(archive)
    return stored


@contextmanager
def _another_way(entry: ModelEntry) -> Iterator[None]:
    """Say where the file can be had in a browser, with whatever went wrong on the way to it."""
    try:
        yield
    except NoModel as error:
        if "browser" in error.remedy:
            source = entry.source
            error = NoModel(
                error.code,
                error.found,
                error.wanted,
                f"Try again later; what has arrived is kept. Or download {source.file} in a browser, on any "
                f"machine, from {source.url} and give it to: batnet models import {source.file}",
            )
        raise error from error.__cause__


def _clear(archive: Path) -> None:
    for path in (archive, archive.with_name(archive.name + ".json")):
        path.unlink(missing_ok=True)


def _check_room(folder: Path, size: int) -> None:
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < _ROOM_FACTOR * size:
        raise OutputRefused(
            "disk-full",
            f"There are {free / 1e6:.0f} MB free where models are kept.",
            f"{_ROOM_FACTOR * size / 1e6:.0f} MB are wanted to download and unpack.",
            "Free some room or set BATNET_HOME to a folder on another disk.",
        )

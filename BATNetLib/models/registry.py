"""What is known of each model: the entries of the registry and of the description beside a file.

The registry (``Resources/models/registry.json``) lists the models this project names; the description of
a stored or shipped model (``<file>.safetensors.json``) is an entry of the same form, with its hash. Both
are read by the one parser below, which says in words what is wrong. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import NoModel, UsageError
from ..resources import resource
from .architectures import ARCHITECTURES, PUBLISHED_WIDTH, STAGES, WIDEST

SCHEMA_VERSION = 1
#: Largest description that is read.
_LARGEST_TEXT = 1 << 20
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold with the cohort it was measured on; without the cohort it means nothing."""

    threshold: float
    cohort: str
    sensitivity: float
    specificity: float
    n: int


@dataclass(frozen=True)
class Source:
    """Where the weights come from. ``record``, ``file``, ``member``: an archive that can be fetched."""

    text: str
    url: str | None = None
    record: str | None = None
    file: str | None = None
    member: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class ModelEntry:
    """One model. ``sha256`` is that of the safetensors file; None where it is not known before fetching.

    ``shipped`` names the file in ``Resources/models`` for a model that comes with the program.
    """

    name: str
    title: str
    stage: str
    architecture: str
    width: int
    licence: str
    source: Source
    trained_on: str
    demonstration: bool = False
    calibrated: bool = False
    sha256: str | None = None
    shipped: str | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    patents: tuple[str, ...] = ()
    notes: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they stand in the registry and in the passport of a result."""
        values = asdict(self)
        values["source"] = {key: value for key, value in values["source"].items() if value is not None}
        if self.shipped is None:
            del values["shipped"]
        for key in ("operating_points", "patents"):
            values[key] = list(values[key])
        return values


@dataclass(frozen=True)
class ModelSet:
    """A name for the two models that are meant to work together."""

    name: str
    title: str
    adipose: str
    brown: str

    def model(self, stage: str) -> str:
        return self.adipose if stage == "adipose" else self.brown


@dataclass(frozen=True)
class Registry:
    models: dict[str, ModelEntry] = field(default_factory=dict)
    sets: dict[str, ModelSet] = field(default_factory=dict)


def operating_point(entry: ModelEntry, cohort: str | None = None) -> OperatingPoint | None:
    """The operating point of a model: that of ``cohort``, else the first listed; None unless present."""
    points = [p for p in entry.operating_points if cohort is None or p.cohort == cohort]
    return points[0] if points else None


def load_registry(path: Path | None = None) -> Registry:
    """Read the registry. Raises ``NoModel``: ``registry-broken``."""
    path = path or resource("models/registry.json")
    content = read_json(path, "The registry of models")
    try:
        reader = _Fields(content, "registry")
        if reader.whole("schema_version") != SCHEMA_VERSION:
            reader.wrong(
                "schema_version", f"{SCHEMA_VERSION}; it was written for another version of the program"
            )
        models = [parse_entry(item) for item in reader.objects("models")]
        sets = {name: _parse_set(name, item) for name, item in reader.mapping("sets").items()}
        registry = Registry({entry.name: entry for entry in models}, sets)
        _check_together(registry, models)
    except _Wrong as error:
        raise _broken(path, str(error)) from error
    return registry


def read_json(path: Path, what: str) -> Any:
    """Parse a small JSON file. Raises ``NoModel`` ``registry-broken`` naming what is wrong."""
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise _broken(path, f"{what} is absurdly large")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, f"{what} cannot be read as JSON") from error


def parse_description(path: Path) -> ModelEntry:
    """Read the description beside a model file. Raises ``NoModel`` ``registry-broken``."""
    content = read_json(path, "The description of the model")
    try:
        entry = parse_entry(content)
        if entry.sha256 is None:
            raise _Wrong("description: sha256 is missing")
    except _Wrong as error:
        raise _broken(path, str(error)) from error
    return entry


def _broken(path: Path, found: str) -> NoModel:
    return NoModel(
        "registry-broken",
        f"{path.name}: {found}.",
        "The form is described in Resources/models/registry.schema.json.",
        "Restore the file from its source, or import the model again: batnet models import FILE",
    )


# --- entries


def make_entry(fields: Mapping[str, Any]) -> ModelEntry:
    """An entry from plain values. Raises ``UsageError`` naming the field that is wrong or missing."""
    try:
        return parse_entry(dict(fields))
    except _Wrong as error:
        raise UsageError(
            "model-description",
            f"The description of the model is not complete: {error}.",
            "Title, stage, licence, source and what it was trained on belong to every model.",
            "Give the field named above.",
        ) from error


class _Wrong(ValueError):
    pass


class _Fields:
    """Typed access to a JSON object, with errors that name the place."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _Wrong(f"{place}: an object is wanted, found {_kind(value)}")
        self.values, self.place = value, place
        self.used: set[str] = set()

    def wrong(self, key: str, wanted: str) -> None:
        found = self.values.get(key)
        shown = repr(found)[:60] if isinstance(found, (str, int, float)) else _kind(found)
        raise _Wrong(f"{self.place}: {key} should be {wanted}, found {shown}")

    def _get(self, key: str, kind: type | tuple[type, ...], wanted: str, *default: Any) -> Any:
        self.used.add(key)
        if key not in self.values or (default and self.values[key] is None):
            if default:
                return default[0]
            raise _Wrong(f"{self.place}: {key} is missing")
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.wrong(key, wanted)
        return value

    def text(self, key: str, *default: Any) -> Any:
        value = self._get(key, str, "a text", *default)
        if isinstance(value, str) and not default and not value.strip():
            self.wrong(key, "a text that is not empty")
        return value

    def whole(self, key: str, *default: int) -> int:
        return self._get(key, int, "a whole number", *default)

    def yes(self, key: str) -> bool:
        return self._get(key, bool, "true or false", False)

    def share(self, key: str) -> float:
        value = float(self._get(key, (int, float), "a number from 0 to 1"))
        if not 0 <= value <= 1:
            self.wrong(key, "a number from 0 to 1")
        return value

    def objects(self, key: str, *default: Any) -> list[Any]:
        return self._get(key, list, "a list", *default)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.objects(key, [])
        if not all(isinstance(value, str) for value in values):
            self.wrong(key, "a list of texts")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, Any]:
        return self._get(key, dict, "an object")

    def done(self) -> None:
        unknown = sorted(set(self.values) - self.used)
        if unknown:
            raise _Wrong(f"{self.place}: {unknown[0][:60]!r} is not a field of it")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")


def is_name(name: str) -> bool:
    """Names are lower-case letters, digits, dots and dashes: they become names of files everywhere."""
    return bool(_NAME.fullmatch(name)) and ".." not in name


def parse_entry(value: Any) -> ModelEntry:
    place = f"model {value['name']}"[:80] if isinstance(value, dict) and "name" in value else "model"
    reader = _Fields(value, place)
    reader.used.add("schema_version")
    name, stage, architecture = reader.text("name"), reader.text("stage"), reader.text("architecture")
    if not is_name(name):
        reader.wrong("name", "of lower-case letters, digits, dots and dashes, at most 64")
    if stage not in STAGES:
        reader.wrong("stage", "adipose or brown")
    if architecture not in ARCHITECTURES or ARCHITECTURES[architecture].stage != stage:
        reader.wrong("architecture", f"one of stage {stage}")
    width = reader.whole("width", PUBLISHED_WIDTH)
    if not 1 <= width <= WIDEST:
        reader.wrong("width", f"from 1 to {WIDEST}")
    sha256 = reader.text("sha256", None)
    if sha256 is not None and not _HASH.fullmatch(sha256):
        reader.wrong("sha256", "64 hexadecimal digits")
    shipped = reader.text("shipped", None)
    if shipped is not None and not re.fullmatch(r"[a-z0-9-]+\.safetensors", shipped):
        reader.wrong("shipped", "the name of a .safetensors file without a folder")
    entry = ModelEntry(
        name=name,
        title=reader.text("title"),
        stage=stage,
        architecture=architecture,
        width=width,
        licence=reader.text("licence"),
        source=_parse_source(reader.mapping("source"), f"{place}, source"),
        trained_on=reader.text("trained_on"),
        demonstration=reader.yes("demonstration"),
        calibrated=reader.yes("calibrated"),
        sha256=sha256,
        shipped=shipped,
        operating_points=tuple(_parse_point(p, place) for p in reader.objects("operating_points", [])),
        patents=reader.texts("patents"),
        notes=reader.text("notes", ""),
    )
    reader.done()
    return entry


def _parse_source(value: Any, place: str) -> Source:
    reader = _Fields(value, place)
    optional = {key: reader.text(key, None) for key in ("url", "record", "file", "member", "password")}
    if optional["url"] and not optional["url"].startswith("https://"):
        reader.wrong("url", "an https address")
    if optional["record"] and not optional["record"].isdigit():
        reader.wrong("record", "the number of a record")
    source = Source(text=reader.text("text"), **optional)
    reader.done()
    return source


def _parse_point(value: Any, place: str) -> OperatingPoint:
    reader = _Fields(value, f"{place}, operating point")
    point = OperatingPoint(
        threshold=reader.share("threshold"),
        cohort=reader.text("cohort"),
        sensitivity=reader.share("sensitivity"),
        specificity=reader.share("specificity"),
        n=reader.whole("n"),
    )
    if point.n < 1:
        reader.wrong("n", "the number of patients")
    reader.done()
    return point


def _parse_set(name: str, value: Any) -> ModelSet:
    reader = _Fields(value, f"set {name}"[:80])
    found = ModelSet(name, reader.text("title"), reader.text("adipose"), reader.text("brown"))
    reader.done()
    return found


def _check_together(registry: Registry, models: list[ModelEntry]) -> None:
    if len(registry.models) != len(models):
        raise _Wrong("registry: two models have the same name")
    for group in registry.sets.values():
        if group.name in registry.models:
            raise _Wrong(f"set {group.name}: a model has the same name")
        for stage in STAGES:
            entry = registry.models.get(group.model(stage))
            if entry is None or entry.stage != stage:
                raise _Wrong(f"set {group.name}: {stage} should name a model of that stage")

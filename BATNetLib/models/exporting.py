"""From a model of the list to a file for others: the authors' code, or another computer with BATNet.

Needs numpy, not torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import NoModel, UsageError
from ..events import Events
from ..workfiles import whole_file
from .architectures import ARCHITECTURES, PUBLISHED_WIDTH, state_shapes
from .loading import locate, read_stored
from .reading import read_weights
from .registry import ModelEntry, load_registry
from .store import StoredModel, catalogue, description_path, description_text, not_installed
from .torchfile import write_torch_file
from .weights import Arrays, file_sha256, write_safetensors

#: Format to the endings its files have; the first is the usual one.
FORMATS = {"authors": (".pth", ".pt"), "safetensors": (".safetensors",)}


@dataclass(frozen=True)
class Exported:
    """A written file. ``sha256``: of the file itself; ``fits_authors``: whether the published code, whose
    width is fixed, can load these weights."""

    path: Path
    entry: ModelEntry
    form: str
    sha256: str
    fits_authors: bool


def export_model(
    model: str | Path,
    out: Path,
    form: str | None = None,
    *,
    replace_existing: bool = False,
    folder: Path | None = None,
    events: Events | None = None,
) -> Exported:
    """Write a model as a file, with its description beside it (``<file>.json``).

    ``model``: a name of the list or a .safetensors file. ``form``: "authors", a state dict for torch with
    the published keys; "safetensors"; None: by the ending of ``out``. The description lets ``models
    import`` take the file back under its name; the published code does not need it.

    A model of another width than the published one is written all the same, with the warning
    "width-not-published". Raises ``NoModel`` as ``load_model``, ``UsageError`` ("model-is-a-set",
    "export-format", "output-exists", "output-is-input"), ``OutputRefused``.
    """
    events = events or Events()
    form = _format_of(out, form)
    found = find_model(model, folder)
    _require_free(out, found, replace_existing)
    stage = found.entry.stage
    with events.stage(f"export {found.entry.name}"):
        found_arrays, architecture, width, digest = read_stored(found, stage)
        # Reading gives no fixed order; the networks' own is the published one.
        arrays = {key: found_arrays[key] for key in state_shapes(architecture.name, width)}
        entry = replace(found.entry, architecture=architecture.name, width=width, sha256=digest, shipped=None)
        with whole_file(out) as temporary:
            _writer(form)(temporary, arrays, events)
            sha256 = file_sha256(temporary)
        with whole_file(description_path(out)) as temporary:
            temporary.write_bytes(description_text(entry))
    fits = width == PUBLISHED_WIDTH
    if form == "authors" and not fits:
        events.warning("width-not-published", _width_words(architecture.name, width))
    return Exported(out, entry, form, sha256, fits)


def find_model(model: str | Path, folder: Path | None = None) -> StoredModel:
    """The model that a name or a .safetensors file means, whatever its stage.

    Raises ``NoModel`` where there is none, ``UsageError`` for the name of a set.
    """
    text = str(model)
    path = Path(text).expanduser()
    if path.suffix.lower() == ".safetensors" and path.is_file():
        return locate(path, read_weights(path).stage)
    registry = load_registry()
    if text in registry.sets:
        group = registry.sets[text]
        raise UsageError(
            "model-is-a-set",
            f"{text} is the name of two models, {group.adipose} and {group.brown}.",
            "A file holds one model.",
            "Export them one by one.",
        )
    known = catalogue(folder)
    for line in known:
        if text == line.entry.name or (line.path and text == line.path.name[: -len(".safetensors")]):
            if line.path is None:
                raise not_installed(line.entry, registry)
            return StoredModel(line.entry, line.path)
    if path.is_file():
        # A checkpoint is refused with the words on importing it first.
        locate(path, "adipose")
    raise NoModel(
        "model-unknown",
        f"There is no model {path.name}.",
        f"These are installed: {', '.join(line.entry.name for line in known if line.path) or 'none'}.",
        "List them with: batnet models list",
    )


def _format_of(out: Path, form: str | None) -> str:
    suffix = out.suffix.lower()
    if form is None:
        form = next((name for name, endings in FORMATS.items() if suffix in endings), None)
    if form in FORMATS and suffix in FORMATS[form]:
        return form
    wanted = "; ".join(f"{name}: {' or '.join(endings)}" for name, endings in FORMATS.items())
    raise UsageError(
        "export-format",
        f"'{out.name}' does not end as a file of this kind does." if form else f"'{out.name}' says no kind.",
        f"The endings are {wanted}.",
        "Give the file such an ending with --out.",
    )


def _require_free(out: Path, model: StoredModel, replace_existing: bool) -> None:
    if out.exists() and out.resolve() == model.path.resolve():
        raise UsageError(
            "output-is-input",
            f"'{out.name}' is the model itself.",
            "A model is not written over by its own copy.",
            "Choose another file with --out.",
        )
    if out.exists() and not replace_existing:
        raise UsageError(
            "output-exists",
            f"'{out.name}' exists already.",
            "A file of weights is not written over unasked.",
            "Choose another file with --out, or say --replace.",
        )


def _writer(form: str) -> Callable[[Path, Arrays, Events], object]:
    if form == "authors":
        return write_torch_file
    return lambda path, arrays, events: write_safetensors(path, arrays)


def _width_words(architecture: str, width: int) -> str:
    title = ARCHITECTURES[architecture].title.split(",")[0]
    return (
        f"The published code of {title} has width {PUBLISHED_WIDTH}; this model has width {width} and the "
        "file loads only into a network built with that width. BATNet itself takes it back."
    )
